//! `embedport evaluate`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::embed::{self, Embedder, ModelSpec};
use embedport::error::{Error, Kind, Result};
use embedport::evaluation::{self, Baseline, QuerySource, Request, VectorSource};
use embedport::platform::files;

use crate::cli::Evaluate;
use crate::output::{Evaluated, Output};

pub fn run(args: Evaluate, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    args.html.as_deref().map_or(Ok(()), super::is_html)?;
    let baselines = baselines(&args)?;
    let corpus = corpus(&args)?;
    let model = query_model(&args, context)?;
    let request = Request {
        corpus,
        queries: match &model {
            Some(model) => QuerySource::Texts { path: args.queries, model: model.as_ref() },
            None => QuerySource::Vectors(args.queries),
        },
        judgements: args.qrels,
        native: args.native,
        baselines,
        metric: args.metric.map(Into::into),
        k: distinct(args.k),
        with_texts: args.with_texts,
    };
    let evaluation = evaluation::evaluate(&request, context)?;
    let evaluated = Evaluated { evaluation, report: args.html };
    if let Some(path) = &evaluated.report {
        files::write(path, evaluated.html(&context.timestamp())?.as_bytes())?;
    }
    output.result(&evaluated)?;
    Ok(ExitCode::SUCCESS)
}

fn corpus(args: &Evaluate) -> Result<VectorSource> {
    match (&args.store, &args.collection, &args.vectors) {
        (Some(store), Some(collection), None) => Ok(VectorSource::Collection {
            store: store.clone(),
            collection: collection.clone(),
            namespace: args.namespace.clone(),
        }),
        (None, None, Some(path)) => Ok(VectorSource::File(path.clone())),
        _ => Err(Error::new(Kind::Usage, "one corpus is wanted")
            .hint("give --store PATH with --collection NAME, or --vectors FILE")),
    }
}

fn query_model(args: &Evaluate, context: &Context<'_>) -> Result<Option<Box<dyn Embedder>>> {
    let Some(name) = &args.query_model else { return Ok(None) };
    let options = super::model_options(args.device.into());
    embed::open(&name.parse::<ModelSpec>()?, None, &options, context).map(Some)
}

fn baselines(args: &Evaluate) -> Result<Vec<Baseline>> {
    let mut queries = args.baseline_queries.clone();
    let mut baselines = Vec::new();
    for (name, vectors) in &args.baseline {
        let own = queries.iter().position(|(of, _)| of == name).map(|i| queries.remove(i).1);
        baselines.push(Baseline { name: name.clone(), vectors: vectors.clone(), queries: own });
    }
    match queries.first() {
        None => Ok(baselines),
        Some((name, _)) => Err(Error::new(
            Kind::Usage,
            format!("--baseline-queries names `{name}`, which is no baseline or has queries already"),
        )
        .hint("name each baseline first with --baseline NAME=FILE")),
    }
}

fn distinct(lengths: Vec<u16>) -> Vec<usize> {
    let mut distinct = Vec::new();
    for k in lengths.into_iter().map(usize::from) {
        if !distinct.contains(&k) {
            distinct.push(k);
        }
    }
    distinct
}
