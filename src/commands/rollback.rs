//! `embedport rollback`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::embed::{self, DeviceChoice, ModelSpec};
use embedport::error::{Error, Kind, Result};
use embedport::migration::{self, LaterRecords, RollbackOptions};
use embedport::store;

use crate::cli::{Rollback, SinceChoice};
use crate::output::Output;

pub fn run(args: Rollback, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let reverse = args.reverse_projection.as_ref().map(|name| args.registry.resolve(name)).transpose()?;
    let spec = args.source_model.as_deref().map(str::parse::<ModelSpec>).transpose()?;
    if spec.is_some() && args.since != SinceChoice::Keep {
        return Err(Error::new(
            Kind::Usage,
            "--source-model embeds records that came since, and these are not kept",
        )
        .hint("say --since keep as well, or leave --source-model out"));
    }
    let mut store = store::open(&args.store.location()?)?;
    let open = |spec| embed::open(&spec, None, &super::model_options(DeviceChoice::Auto), context);
    let model = spec.map(open).transpose()?;
    let since = match args.since {
        SinceChoice::Keep if reverse.is_none() && model.is_none() => {
            return Err(Error::new(Kind::Usage, "--since keep asks how later records get a vector of before").hint(
                "--reverse-projection P maps theirs back, --source-model M embeds their texts; with both, the projection maps what has \
                 no text",
            ));
        }
        SinceChoice::Keep => LaterRecords::Keep { reverse: reverse.as_ref(), model: model.as_deref() },
        SinceChoice::Drop => LaterRecords::Drop,
        SinceChoice::Refuse => LaterRecords::Refuse,
    };
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
