//! `embedport migrate-collection`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::{Error, Kind, Result};
use embedport::migration::{self, MigrationPlan, PlanOfAll, PlanOptions};
use embedport::registry::Resolved;
use embedport::store::{self, VectorStore};

use crate::cli::{Consent, MigrateCollection};
use crate::output::{Output, ShowJson};

pub fn run(args: MigrateCollection, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    if args.filter.is_some() {
        return Err(Error::new(
            Kind::Usage,
            "a part of a collection cannot be migrated: all of its vectors share one space",
        )
        .hint("copy those records into a collection of their own and migrate that one"));
    }
    // The projection is judged before a store is opened.
    let projection = args.registry.resolve(&args.projection)?;
    projection.projection.check_maps_records()?;
    if let Some(path) = &args.confidence {
        projection.projection.can_rate()?;
        super::check_output(path, &args.projection, &args.registry, &[])?;
    }
    let mut store = store::open(&args.store.location()?)?;
    if args.all {
        return all(&args, store.as_mut(), &projection, output, context);
    }
    let options = options(&args, only(&args, store.as_ref())?);
    let overlooked = || store.describe().ok().and_then(|description| description.overlooked());
    let options = options.map_err(|e| match overlooked() {
        Some(columns) => e.hint(columns),
        None => e,
    })?;
    let plan = MigrationPlan::new(store.as_ref(), &projection, &options, context);
    let plan = plan.map_err(|refused| super::tidied(refused, &args.consent, store.as_mut(), context))?;
    if let Some(path) = &args.confidence {
        migration::check_output(&plan, store.as_ref(), path)?;
    }
    if !is_agreed(&args.consent, &plan, "rewrite this collection?", output, context)? {
        return Ok(ExitCode::SUCCESS);
    }
    let model = super::target_model(args.target_model.as_deref(), &plan.target, context)?;
    let (store, model) = (store.as_mut(), model.as_deref());
    let report = match &args.confidence {
        Some(path) => migration::execute_rated(plan, store, &projection, model, path, context)?,
        None => migration::execute(plan, store, &projection, model, context)?,
    };
    output.result(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn all(
    args: &MigrateCollection,
    store: &mut dyn VectorStore,
    projection: &Resolved,
    output: Output,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let plan = PlanOfAll::new(store, projection, &options(args, None)?, context);
    let plan = plan.map_err(|refused| super::tidied(refused, &args.consent, store, context))?;
    if !is_agreed(&args.consent, &plan, "rewrite these collections?", output, context)? {
        return Ok(ExitCode::SUCCESS);
    }
    let target = projection.projection.target();
    let model = super::target_model(args.target_model.as_deref(), target, context)?;
    let report = plan.execute(store, projection, model.as_deref(), context)?;
    output.result(&report)?;
    let failed = report.failed.first().map(|failed| failed.kind);
    let kind = if report.stopped { Some(Kind::Interrupted) } else { failed };
    Ok(kind.map_or(ExitCode::SUCCESS, |kind| ExitCode::from(kind.exit_code())))
}

/// The collection that the arguments about tables leave, if it is one.
fn only(args: &MigrateCollection, store: &dyn VectorStore) -> Result<Option<String>> {
    if args.store.table.table.is_none() {
        return Ok(None);
    }
    let collections = store.describe()?.collections;
    Ok(match collections.as_slice() {
        [one] => Some(one.id.clone()),
        _ => None,
    })
}

fn options(args: &MigrateCollection, only: Option<String>) -> Result<PlanOptions> {
    let collection = match (args.store.collection.clone().or(only), args.all) {
        (Some(name), _) => name,
        (None, true) => String::new(),
        (None, false) => {
            return Err(Error::new(Kind::Usage, "no collection was named").hint(format!(
                "name one with --collection, or all that the projection fits with --all; \
                 `embedport inspect --store {}` lists them",
                crate::output::quoted(&args.store.store)
            )));
        }
    };
    super::plan_options(collection, &args.store, &args.rewriting)
}

/// A plan that can be shown, in full or by what it warns of.
pub(super) trait Planned: ShowJson {
    fn warnings(&self) -> Vec<String>;
}

impl Planned for MigrationPlan {
    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

impl Planned for PlanOfAll {
    fn warnings(&self) -> Vec<String> {
        let of = |plan: &MigrationPlan, said: &String| format!("{}: {said}", plan.collection);
        self.plans.iter().flat_map(|plan| plan.warnings.iter().map(move |said| of(plan, said))).collect()
    }
}

/// Shows the plan and asks, as far as the arguments want it; false: the plan was all that was wanted.
pub(super) fn is_agreed(
    args: &Consent,
    plan: &dyn Planned,
    question: &str,
    output: Output,
    context: &Context<'_>,
) -> Result<bool> {
    if args.dry_run {
        output.result(plan)?;
        return Ok(false);
    }
    if args.yes {
        match (output.json, output.quiet) {
            // They are in the document.
            (true, _) => {}
            (false, false) => output.aside(plan),
            (false, true) => output.warn(&plan.warnings()),
        }
        return Ok(true);
    }
    output.aside(plan);
    if !output.can_ask() {
        return Err(Error::new(Kind::Refused, "a migration needs a yes, and nobody can be asked here")
            .hint("pass --yes to go on, or --dry-run to see the plan alone"));
    }
    match output.ask(question, context)? {
        true => Ok(true),
        false => Err(Error::new(Kind::Refused, "not confirmed; nothing was changed")),
    }
}
