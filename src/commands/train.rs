//! `embedport train`, and what it has in common with `bridge`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::embed::ModelSpec;
use embedport::error::{Error, Kind, Result};
use embedport::projection::Role;
use embedport::projection::fit::FitOptions;
use embedport::registry::Registry;
use embedport::training::{self, Request, TextOrigin, TrainOptions};

use crate::cli::{Pairing, Train};
use crate::output::{Output, Trained};

pub fn run(args: Train, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let options = TrainOptions {
        method: args.method.clone(),
        words: args.words.map(|words| words as usize),
        ..TrainOptions::default()
    };
    fitted(&args.pairing, options, output, context)
}

/// Fits to the pairs of `args`, saves and shows what was fitted.
pub(super) fn fitted(
    args: &Pairing,
    options: TrainOptions,
    output: Output,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let mut registry = Registry::open_or_empty(&args.registry.registry)?;
    registry.check_folder(&args.output_dir)?;
    let request = request(args, options)?;
    // Known before anything is fitted; the direction of a bridge is known behind that.
    let replaced = args.name.as_deref().and_then(|name| registry.own(name));
    if let (Some(entry), Role::Records) = (replaced, request.options.role) {
        let source = request.source_model.as_ref().map(|spec| spec.name.as_str());
        training::check_replaced(entry, Role::Records, source, &request.target_model.name)?;
    }
    let training = training::run(&request, context)?;
    let file = training::save(&training, &args.output_dir, Some(&mut registry))?;
    output.result(&Trained { training: &training, file: &file })?;
    Ok(ExitCode::SUCCESS)
}

fn request(args: &Pairing, options: TrainOptions) -> Result<Request> {
    let models = super::model_options(args.device.into());
    Ok(Request {
        source_model: args.source_model.as_deref().map(str::parse::<ModelSpec>).transpose()?,
        source_provider: args.source_provider.clone(),
        target_model: args.target_model.parse()?,
        target_provider: args.target_provider.clone(),
        texts: origin(args)?,
        options: TrainOptions {
            samples: args.samples as usize,
            fit: FitOptions { device: models.device.resolve()?, ..FitOptions::default() },
            name: args.name.clone(),
            accept_mismatch: args.accept_mismatch,
            ..options
        },
        models,
    })
}

fn origin(args: &Pairing) -> Result<TextOrigin> {
    match (&args.from, &args.texts, &args.source_vectors, &args.target_vectors) {
        (Some(store), None, None, None) => Ok(TextOrigin::Collection {
            store: store.clone(),
            collection: args.collection.clone().ok_or_else(|| {
                Error::new(Kind::Usage, "--from names a store and no collection").hint(
                    "name the collection with --collection; `embedport inspect --store PATH` lists them",
                )
            })?,
            namespace: args.namespace.clone(),
        }),
        (None, Some(path), None, None) => {
            Ok(TextOrigin::File { path: path.clone(), text_key: args.text_key.clone() })
        }
        (None, None, Some(source), Some(target)) => {
            Ok(TextOrigin::PairedVectors { source: source.clone(), target: target.clone() })
        }
        (None, None, None, None) => Ok(TextOrigin::Bundled),
        _ => Err(Error::new(Kind::Usage, "the texts come from more than one place")
            .hint("give one of --from, --texts, or --source-vectors with --target-vectors")),
    }
}
