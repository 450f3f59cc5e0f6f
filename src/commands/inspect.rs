//! `embedport inspect`

use std::process::ExitCode;

use embedport::error::Result;
use embedport::store::{self, find_collection};

use crate::cli::Inspect;
use crate::output::Output;

pub fn run(args: Inspect, output: Output) -> Result<ExitCode> {
    let store = store::open(&args.store.store)?;
    let mut description = store.describe()?;
    if let Some(name) = &args.store.collection {
        let one = find_collection(&description, name, args.store.namespace.as_deref())?.clone();
        description.collections = vec![one];
    }
    output.result(&description)?;
    Ok(ExitCode::SUCCESS)
}
