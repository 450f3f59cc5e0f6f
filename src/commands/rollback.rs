//! `embedport rollback`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::{Kind, Result};
use embedport::migration::{self, LaterRecords, RollbackOptions};
use embedport::store;

use crate::cli::{Rollback, SinceChoice};
use crate::output::Output;

pub fn run(args: Rollback, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let reverse = match &args.reverse_projection {
        Some(name) => Some(args.registry.resolve(name)?),
        None => None,
    };
    let since = match (args.since, &reverse) {
        (SinceChoice::Keep, Some(reverse)) => LaterRecords::Keep(reverse),
        (SinceChoice::Drop, _) => LaterRecords::Drop,
        _ => LaterRecords::Refuse,
    };
    let mut store = store::open(&args.store.location()?)?;
    let options = RollbackOptions {
        collection: args.store.collection,
        namespace: args.store.namespace,
        migration: args.migration,
        since,
    };
    let report = migration::rollback(store.as_mut(), &options, context)?;
    output.result(&report)?;
    Ok(match report.verification.passed() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(Kind::Verification.exit_code()),
    })
}
