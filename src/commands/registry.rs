//! `embedport registry list|show|check|compose`

use std::path::Path;
use std::process::ExitCode;

use embedport::context::Context;
use embedport::error::{Error, Kind, Result};
use embedport::projection::Header;
use embedport::registry;
use embedport::training;

use crate::cli::{Registry, RegistryAction};
use crate::output::{Checked, CheckedEntry, Composed, Listing, Output, Shown, Threshold};

pub fn run(args: Registry, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let registry = args.registry.open()?;
    match args.action {
        RegistryAction::List => output.result(&Listing { projections: registry.entries().collect() })?,
        RegistryAction::Show { name, threshold } => {
            let header = registry.resolve(&name)?.projection.header;
            let threshold = threshold.map(|threshold| translated(&header, threshold)).transpose()?;
            output.result(&Shown { header, threshold })?;
        }
        RegistryAction::Compose { first, second, name, output_dir } => {
            compose(registry, [&first, &second], name, &output_dir, output, context)?;
        }
        RegistryAction::Check => {
            let projections: Vec<CheckedEntry> = registry
                .check()
                .into_iter()
                .map(|status| CheckedEntry {
                    name: status.entry.name.clone(),
                    bundled: status.bundled,
                    problem: status.problem.map(|e| e.to_string()),
                })
                .collect();
            let broken = projections.iter().any(|p| p.problem.is_some());
            output.result(&Checked { projections })?;
            if broken {
                return Ok(ExitCode::from(Kind::Damaged.exit_code()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compose(
    mut registry: registry::Registry,
    [first, second]: [&str; 2],
    name: Option<String>,
    folder: &Path,
    output: Output,
    context: &Context<'_>,
) -> Result<()> {
    registry.check_folder(folder)?;
    let (first, second) = (registry.resolve(first)?, registry.resolve(second)?);
    let name = name.unwrap_or_else(|| format!("{}--then--{}", first.name, second.name));
    training::check_name(&name)?;
    let composed = first.projection.then(&second.projection, &name, context)?;
    let file = training::save_projection(&composed, folder, Some(&mut registry))?;
    output.result(&Composed { header: composed.header, file })
}

fn translated(header: &Header, source: f64) -> Result<Threshold> {
    let points = header.scores.iter().flat_map(|scores| &scores.points);
    let found = header.scores.as_ref().and_then(|scores| scores.translate(source));
    found.map(|(projected, native)| Threshold { source, projected, native }).ok_or_else(|| {
        let measured: Vec<f64> = points.map(|point| point.source).collect();
        let range = match (measured.first(), measured.last()) {
            (Some(low), Some(high)) => format!("{low:.3} to {high:.3} were measured"),
            _ => "no scores were measured when it was trained".to_owned(),
        };
        Error::new(Kind::Refused, format!("a cosine of {source} cannot be translated: {range}"))
            .hint("train with more held-out pairs for scores further out")
    })
}
