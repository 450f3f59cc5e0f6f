//! `embedport detect`

use std::process::ExitCode;

use embedport::detect::{Expectation, detect};
use embedport::error::Result;
use embedport::registry::Registry;
use embedport::store;

use crate::cli::Detect;
use crate::output::Output;

pub fn run(args: Detect, output: Output) -> Result<ExitCode> {
    let registry = Registry::open_or_empty(&args.registry.registry)?;
    let store = store::open(&args.store.store)?;
    let expectation = Expectation { dimension: args.expect_dimension, model: args.expect_model, space: None };
    let collection = args.store.collection.as_deref().map(|c| (c, args.store.namespace.as_deref()));
    let detection = detect(store.as_ref(), collection, &expectation, &registry)?;
    output.result(&detection)?;
    Ok(ExitCode::from(detection.status.exit_code()))
}
