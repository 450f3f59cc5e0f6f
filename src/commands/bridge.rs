//! `embedport bridge`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::Result;
use embedport::projection::Role;
use embedport::training::TrainOptions;

use crate::cli::Bridge;
use crate::output::Output;

pub fn run(args: Bridge, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    super::train::fitted(
        &args.pairing,
        TrainOptions { role: Role::Queries, ..TrainOptions::default() },
        output,
        context,
    )
}
