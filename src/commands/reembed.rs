//! `embedport re-embed`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::embed::{self, ModelSpec};
use embedport::error::{Error, Kind, Result};
use embedport::migration::{self, ReEmbedOptions, ReEmbedPlan};
use embedport::store;

use super::migrate_collection::is_agreed;
use crate::cli::ReEmbed;
use crate::output::Output;

pub fn run(args: ReEmbed, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let projection = args.projection.as_ref().map(|name| args.registry.resolve(name)).transpose()?;
    if let Some(projection) = &projection {
        projection.projection.check_maps_records()?;
    }
    let mut store = store::open(&args.store.location()?)?;
    let options = options(&args)?;
    let spec: ModelSpec = args.target_model.parse()?;
    let model = embed::open(&spec, None, &super::model_options(args.device.into()), context)?;
    let planned = ReEmbedPlan::new(store.as_ref(), model.space(), projection.as_ref(), &options, context);
    let planned =
        planned.map_err(|refused| super::tidied(refused, &args.consent, store.as_mut(), context))?;
    if !is_agreed(&args.consent, &planned.plan, "rewrite this collection?", output, context)? {
        return Ok(ExitCode::SUCCESS);
    }
    let report = migration::re_embed(planned, store.as_mut(), projection.as_ref(), model.as_ref(), context)?;
    output.result(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn options(args: &ReEmbed) -> Result<ReEmbedOptions> {
    let collection = args.store.collection.clone().ok_or_else(|| {
        Error::new(Kind::Usage, "no collection is named")
            .hint("name it with --collection; `embedport inspect --store PATH` lists them")
    })?;
    let plan = super::plan_options(collection, &args.store, &args.rewriting)?;
    Ok(ReEmbedOptions { plan, percent: args.percent })
}
