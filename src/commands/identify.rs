//! `embedport identify`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::embed::ModelSpec;
use embedport::error::Result;
use embedport::identification::{Named, Origin, identify};
use embedport::store::{self, find_collection};

use crate::cli::Identify;
use crate::output::{Identified, Output};

pub fn run(args: Identify, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let named = |text: &String| text.parse::<ModelSpec>().map(|spec| Named { spec, origin: Origin::Given });
    let given = args.candidate.iter().map(named).collect::<Result<Vec<_>>>()?;
    let registry = args.registry.open()?;
    let store = store::open(&args.store)?;
    let description = store.describe()?;
    let collection = find_collection(&description, &args.collection, args.namespace.as_deref())?;
    let models = super::model_options(args.device.into());
    let samples = args.samples as usize;
    let found = identify(store.as_ref(), collection, given, samples, &registry, &models, context)?;
    output.result(&Identified(&found))?;
    Ok(ExitCode::from(found.findings.verdict.exit_code()))
}
