//! `embedport backups`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::{Error, Kind, Result};
use embedport::migration::{self, PruneOptions, PrunePlan, Which};
use embedport::store;

use crate::cli::{BackupsAction, Prune, StoreCollection};
use crate::output::Output;

pub fn run(action: BackupsAction, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    match action {
        BackupsAction::List { store } => list(&store, output),
        BackupsAction::Prune(args) => prune(args, output, context),
    }
}

fn list(args: &StoreCollection, output: Output) -> Result<ExitCode> {
    let store = store::open(&args.location()?)?;
    let kept = migration::Backups::of(store.as_ref(), args.collection.as_deref(), args.namespace.as_deref())?;
    output.result(&kept)?;
    Ok(ExitCode::SUCCESS)
}

fn prune(args: Prune, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let mut store = store::open(&args.store.location()?)?;
    let which = match (args.migration, args.keep_latest) {
        (Some(migration), _) => Which::Migration(migration),
        (None, Some(n)) => Which::AllButLatest(n),
        (None, None) => Which::All,
    };
    let options = PruneOptions { collection: args.store.collection, namespace: args.store.namespace, which };
    let plan = PrunePlan::new(store.as_ref(), &options)?;
    if args.dry_run {
        output.result(&plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !plan.is_empty() {
        output.aside(&plan);
        if !output.can_ask() {
            return Err(Error::new(Kind::Refused, "pruning needs a yes, and nobody can be asked here")
                .hint("pass --yes to go on, or --dry-run to see the plan alone"));
        }
        if !output.ask("remove these for good?", context)? {
            return Err(Error::new(Kind::Refused, "not confirmed; nothing was removed"));
        }
    } else if !output.json && !output.quiet {
        output.aside(&plan);
    }
    let report = migration::prune(plan, store.as_mut(), context)?;
    output.result(&report)?;
    Ok(ExitCode::SUCCESS)
}
