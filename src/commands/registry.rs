//! `embedport registry list|show|check`

use std::process::ExitCode;

use embedport::error::{Kind, Result};

use crate::cli::{Registry, RegistryAction};
use crate::output::{Checked, CheckedEntry, Listing, Output};

pub fn run(args: Registry, output: Output) -> Result<ExitCode> {
    let registry = args.registry.open()?;
    match args.action {
        RegistryAction::List => output.result(&Listing { projections: registry.entries().collect() })?,
        RegistryAction::Show { name } => output.result(&registry.resolve(&name)?.projection.header)?,
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
