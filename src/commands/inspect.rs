//! `embedport inspect`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::Result;
use embedport::store::{self, find_collection};

use super::mixed_spaces;
use crate::cli::Inspect;
use crate::output::{Deep, Output};

/// Exit code of a deep look that found what blocks a migration.
const BLOCKED: u8 = 24;

pub fn run(args: Inspect, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let store = store::open(&args.store.location()?)?;
    let mut description = store.describe()?;
    let one = match &args.store.collection {
        Some(name) => Some(find_collection(&description, name, args.store.namespace.as_deref())?.clone()),
        None => None,
    };
    if let Some(one) = &one {
        description.collections = vec![one.clone()];
    }
    if !args.deep {
        output.result(&description)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut examination = store.examine(one.as_ref(), context)?;
    for collection in &description.collections {
        let found = mixed_spaces::look(store.as_ref(), collection, context)?;
        examination.findings.extend(found);
    }
    let blocks = examination.blocks();
    output.result(&Deep { description, findings: examination.findings, blocks })?;
    Ok(ExitCode::from(if blocks { BLOCKED } else { 0 }))
}
