//! `embedport detect`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::detect::{Expectation, detect, identify_unrecorded};
use embedport::embed::DeviceChoice;
use embedport::error::Result;
use embedport::registry::Registry;
use embedport::store;

use crate::cli::{Detect, RegistryFile};
use crate::output::{Detected, Output};

pub fn run(args: Detect, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let registry = registry(&args.registry, context)?;
    let store = store::open(&args.store.location()?)?;
    let expectation = Expectation {
        dimension: args.expect_dimension.map(|d| d as usize),
        model: args.expect_model.as_deref().map(super::model_name).transpose()?,
        space: None,
    };
    let collection = args.store.collection.as_deref().map(|c| (c, args.store.namespace.as_deref()));
    let mut detection = detect(store.as_ref(), collection, &expectation, &registry)?;
    let identified = match args.identify {
        true => {
            let models = super::model_options(DeviceChoice::Auto);
            Some(identify_unrecorded(
                store.as_ref(),
                &mut detection,
                &expectation,
                &registry,
                &models,
                context,
            )?)
        }
        false => None,
    };
    let named = (!args.registry.is_default()).then_some(args.registry.registry.as_path());
    output.result(&Detected { detection: &detection, identified, registry: named })?;
    Ok(ExitCode::from(detection.status.exit_code()))
}

/// The registry that fixes are sought in. One that cannot be read changes no verdict.
fn registry(file: &RegistryFile, context: &Context<'_>) -> Result<Registry> {
    match file.open() {
        Err(error) if !error.is_not_found() => {
            context
                .progress
                .note(&format!("{error}; fixes are sought among the projections that ship with embedport"));
            Registry::bundled()
        }
        found => found,
    }
}
