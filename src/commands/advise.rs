//! `embedport advise`

use std::process::ExitCode;

use embedport::advice::{self, Questions};
use embedport::context::Context;
use embedport::embed::ModelSpec;
use embedport::error::{Error, Kind, Result};
use embedport::platform::files;
use embedport::projection::fit::FitOptions;
use embedport::training::{Request, TextOrigin, TrainOptions};

use crate::cli::Advise;
use crate::output::{Advised, Output};

pub fn run(args: Advise, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    args.html.as_deref().map_or(Ok(()), super::is_html)?;
    let questions = args.queries.clone().zip(args.qrels.clone());
    let questions = questions.map(|(queries, judgements)| Questions { queries, judgements });
    let advice =
        advice::advise(&request(&args)?, args.price_per_million_tokens, questions.as_ref(), context)?;
    let advised = Advised { advice, report: args.html };
    if let Some(path) = &advised.report {
        files::write(path, advised.html(&context.timestamp())?.as_bytes())?;
    }
    output.result(&advised)?;
    Ok(ExitCode::from(advised.advice.exit_code()))
}

fn request(args: &Advise) -> Result<Request> {
    let models = super::model_options(args.device.into());
    let collection = args.store.collection.clone().ok_or_else(|| {
        Error::new(Kind::Usage, "no collection is named")
            .hint("name it with --collection; `embedport inspect --store PATH` lists them")
    })?;
    Ok(Request {
        source_model: args.source_model.as_deref().map(str::parse::<ModelSpec>).transpose()?,
        source_provider: args.source_provider.clone(),
        target_model: args.target_model.parse()?,
        target_provider: args.target_provider.clone(),
        texts: TextOrigin::Collection {
            store: args.store.location()?,
            collection,
            namespace: args.store.namespace.clone(),
        },
        options: TrainOptions {
            samples: args.samples as usize,
            fit: FitOptions { device: models.device.resolve()?, ..FitOptions::default() },
            accept_mismatch: args.accept_mismatch,
            ..TrainOptions::default()
        },
        models,
    })
}
