//! `embedport migrate-collection`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::{Error, Kind, Result};
use embedport::migration::{self, MigrationPlan, PlanOptions};
use embedport::store;

use crate::cli::MigrateCollection;
use crate::output::Output;

pub fn run(args: MigrateCollection, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    // The projection is judged before a store is opened.
    let registry = args.registry.open()?;
    let projection = registry.resolve(&args.projection)?;
    let mut store = store::open(&args.store.store)?;
    let collection = args.store.collection.ok_or_else(|| {
        Error::new(Kind::Usage, "no collection was named")
            .hint("name one with --collection; `embedport inspect --store PATH` lists them")
    })?;
    let options = PlanOptions {
        collection,
        namespace: args.store.namespace,
        source_model: args.source_model,
        accept_unrecognised_vectors: args.accept_unrecognised_vectors,
        discard_backup: args.no_backup,
    };
    let plan = MigrationPlan::new(store.as_ref(), &projection, &options, context)?;
    if args.dry_run {
        output.result(&plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        output.aside(&plan);
        if !output.can_ask() {
            return Err(Error::new(Kind::Refused, "a migration needs a yes, and nobody can be asked here")
                .hint("pass --yes to go on, or --dry-run to see the plan alone"));
        }
        if !output.ask("rewrite this collection?") {
            return Err(Error::new(Kind::Refused, "not confirmed; nothing was changed"));
        }
    } else if !output.json && !output.quiet {
        output.aside(&plan);
    }
    let model = super::target_model(args.target_model.as_deref(), &plan.target, context)?;
    let report = migration::execute(plan, store.as_mut(), &projection, model.as_deref(), context)?;
    output.result(&report)?;
    Ok(ExitCode::SUCCESS)
}
