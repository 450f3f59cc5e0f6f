//! `embedport apply`

use std::path::Path;
use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::{Error, Kind, Result};
use embedport::vector_file::{NpyReader, NpyWriter};
use ndarray::{Axis, stack};

use crate::cli::Apply;
use crate::output::{Applied, Output};

/// Rows held at a time.
const BLOCK: usize = 4096;

pub fn run(args: Apply, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let resolved = args.registry.resolve(&args.projection)?;
    let projection = resolved.projection;
    let mut input = NpyReader::open(&args.input)?;
    let check = |path: &Path, in_use: &[(&str, &Path)]| {
        super::check_output(path, &args.projection, &args.registry, in_use)
    };
    check(&args.output, &[("the input", &args.input)])?;
    if let Some(path) = &args.confidence {
        projection.can_rate()?;
        check(path, &[("the input", &args.input), ("the output", &args.output)])?;
    }
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
    let mut rated = args.confidence.as_deref().map(|path| NpyWriter::create(path, 2)).transpose()?;
    let mut begin = 0;
    while let Some(block) = input.next_block(BLOCK)? {
        context.check()?;
        let projected = projection.apply(block.view()).map_err(|error| {
            error
                .context(format!("`{}`, counted from row {begin}", args.input.display()))
                .hint("leave such rows out, or make them again with the source model")
        })?;
        writer.write(projected.view())?;
        if let Some(rated) = &mut rated {
            let told = projection.rate(projected.view())?;
            rated.write(stack![Axis(1), told.confidence, told.crowding].view())?;
        }
        begin += block.nrows();
        context.progress.advance(block.nrows() as u64);
    }
    context.progress.finish();
    rated.map(NpyWriter::finish).transpose()?;
    output.result(&Applied {
        projection: resolved.name,
        without_texts: projection.assisted.is_some(),
        rows: writer.finish()?,
        source_dimension: projection.source().dimension,
        target_dimension: projection.target().dimension,
        output: args.output,
        confidence: args.confidence,
    })?;
    Ok(ExitCode::SUCCESS)
}
