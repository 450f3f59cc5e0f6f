//! `embedport train`

use std::path::Path;
use std::process::ExitCode;

use embedport::context::Context;
use embedport::embed::ModelSpec;
use embedport::error::{Error, Kind, Result};
use embedport::projection::fit::FitOptions;
use embedport::registry::Registry;
use embedport::training::{self, Request, TextOrigin, TrainOptions};

use crate::cli::Train;
use crate::output::{Output, Trained};

pub fn run(args: Train, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let mut registry = Registry::open_or_empty(&args.registry.registry)?;
    registry.check_folder(&args.output_dir)?;
    let request = request(&args)?;
    let training = training::run(&request, context)?;
    let file = training::save(&training, &args.output_dir, Some(&mut registry))?;
    output.result(&Trained { training: &training, file: &file })?;
    Ok(ExitCode::SUCCESS)
}

fn request(args: &Train) -> Result<Request> {
    let models = super::model_options(args.device.into());
    let vectors = (args.source_vectors.as_deref(), args.target_vectors.as_deref());
    let collection = (args.from.as_deref(), args.collection.as_deref(), args.namespace.as_deref());
    Ok(Request {
        source_model: args.source_model.as_deref().map(str::parse::<ModelSpec>).transpose()?,
        source_provider: args.source_provider.clone(),
        target_model: args.target_model.parse()?,
        target_provider: args.target_provider.clone(),
        texts: origin("--from", collection, args.texts.as_deref(), args.text_key.as_deref(), vectors)?,
        options: TrainOptions {
            samples: args.samples as usize,
            method: args.method.clone(),
            words: args.words.map(|words| words as usize),
            fit: FitOptions { device: models.device.resolve()?, ..FitOptions::default() },
            name: args.name.clone(),
            accept_mismatch: args.accept_mismatch,
            ..TrainOptions::default()
        },
        models,
    })
}

/// Where the texts come from; `option` names the store on the command line.
pub(super) fn origin(
    option: &str,
    (store, collection, namespace): (Option<&str>, Option<&str>, Option<&str>),
    texts: Option<&Path>,
    text_key: Option<&str>,
    (source, target): (Option<&Path>, Option<&Path>),
) -> Result<TextOrigin> {
    match (store, texts, source, target) {
        (Some(store), None, None, None) => Ok(TextOrigin::Collection {
            store: store.to_owned(),
            collection: collection.map(str::to_owned).ok_or_else(|| {
                Error::new(Kind::Usage, format!("{option} names a store and no collection")).hint(
                    "name the collection with --collection; `embedport inspect --store PATH` lists them",
                )
            })?,
            namespace: namespace.map(str::to_owned),
        }),
        (None, Some(path), None, None) => {
            Ok(TextOrigin::File { path: path.to_owned(), text_key: text_key.map(str::to_owned) })
        }
        (None, None, Some(source), Some(target)) => {
            Ok(TextOrigin::PairedVectors { source: source.to_owned(), target: target.to_owned() })
        }
        (None, None, None, None) => Ok(TextOrigin::Bundled),
        _ => Err(Error::new(Kind::Usage, "the texts come from more than one place")
            .hint(format!("give one of {option}, --texts, or --source-vectors with --target-vectors"))),
    }
}
