//! `embedport verify`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::{Kind, Result};
use embedport::migration::verify::{VerifyOptions, target_space, verify};
use embedport::store;

use crate::cli::Verify;
use crate::output::Output;

pub fn run(args: Verify, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let store = store::open(&args.store.location()?)?;
    let options = VerifyOptions {
        collection: args.store.collection,
        namespace: args.store.namespace,
        migration: args.migration,
    };
    let target = target_space(store.as_ref(), &options)?;
    let model = super::target_model(args.target_model.as_deref(), &target, context)?;
    let verified = verify(store.as_ref(), &options, model.as_deref(), context)?;
    output.result(&verified)?;
    Ok(match verified.verification.passed() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(Kind::Verification.exit_code()),
    })
}
