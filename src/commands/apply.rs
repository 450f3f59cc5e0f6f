//! `embedport apply`

use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::{Error, Kind, Result};
use embedport::registry::Registry;
use embedport::vector_file::{NpyReader, NpyWriter};

use crate::cli::Apply;
use crate::output::{Applied, Output};

/// Rows held at a time.
const BLOCK: usize = 4096;

pub fn run(args: Apply, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let resolved = Registry::open_or_empty(&args.registry.registry)?.resolve(&args.projection)?;
    let projection = resolved.projection;
    let mut input = NpyReader::open(&args.input)?;
    if input.dimension != projection.source().dimension {
        return Err(Error::new(
            Kind::Mismatch,
            format!(
                "`{}` has rows of {} components, the projection takes {}",
                args.input.display(),
                input.dimension,
                projection.source()
            ),
        )
        .hint("choose a projection for these vectors; `embedport registry list` shows those there are"));
    }
    let mut writer = NpyWriter::create(&args.output, projection.target().dimension)?;
    context.progress.start("projecting", Some(input.rows as u64), "rows");
    while let Some(block) = input.next_block(BLOCK)? {
        context.check()?;
        writer.write(projection.apply(block.view())?.view())?;
        context.progress.advance(block.nrows() as u64);
    }
    context.progress.finish();
    output.result(&Applied {
        projection: resolved.name,
        rows: writer.finish()?,
        source_dimension: projection.source().dimension,
        target_dimension: projection.target().dimension,
        output: args.output,
    })?;
    Ok(ExitCode::SUCCESS)
}
