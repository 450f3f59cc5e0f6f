//! `embedport bridge`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::embed::ModelSpec;
use embedport::error::Result;
use embedport::projection::Role;
use embedport::registry::Registry;
use embedport::training::{self, Request, TrainOptions};

use crate::cli::Bridge;
use crate::output::{Output, Trained};

pub fn run(args: Bridge, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let mut registry = Registry::open_or_empty(&args.registry.registry)?;
    registry.check_folder(&args.output_dir)?;
    let training = training::run(&request(&args)?, context)?;
    let file = training::save(&training, &args.output_dir, Some(&mut registry))?;
    output.result(&Trained { training: &training, file: &file })?;
    Ok(ExitCode::SUCCESS)
}

fn request(args: &Bridge) -> Result<Request> {
    let vectors = (args.source_vectors.as_deref(), args.target_vectors.as_deref());
    let collection = (args.store.as_deref(), args.collection.as_deref(), args.namespace.as_deref());
    Ok(Request {
        source_model: args.source_model.as_deref().map(str::parse::<ModelSpec>).transpose()?,
        source_provider: args.source_provider.clone(),
        target_model: args.target_model.parse()?,
        target_provider: args.target_provider.clone(),
        texts: super::train::origin(
            "--store",
            collection,
            args.texts.as_deref(),
            args.text_key.as_deref(),
            vectors,
        )?,
        options: TrainOptions {
            role: Role::Queries,
            samples: args.samples as usize,
            name: args.name.clone(),
            accept_mismatch: args.accept_mismatch,
            ..TrainOptions::default()
        },
        models: super::model_options(args.device.into()),
    })
}
