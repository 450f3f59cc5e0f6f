//! A program that asks, when it starts, whether its vector store still fits its embedding model.
//!
//!     cargo run --release --example startup_check -- STORE COLLECTION MODEL DIMENSION [LEAST_OVERLAP]
//!
//! With a fifth argument it migrates by itself, if a registered projection is that good.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::process::ExitCode;

use embedport::context::{Cancel, Context, Silent};
use embedport::detect::{Outcome, Policy, ensure};
use embedport::error::{Error, Kind, Result};
use embedport::registry::Registry;
use embedport::space::Space;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, collection, model, dimension, rest @ ..] = arguments.as_slice() else {
        return Err(Error::new(Kind::Usage, "wanted STORE COLLECTION MODEL DIMENSION [LEAST_OVERLAP]"));
    };
    let number = |text: &str| Error::new(Kind::Usage, format!("`{text}` is not a number"));
    let expected = Space::named(model, dimension.parse().map_err(|_| number(dimension))?);
    let policy = match rest.first() {
        Some(text) => Policy::Migrate { least_overlap: text.parse().map_err(|_| number(text))? },
        None => Policy::Report,
    };

    let cancel = Cancel::new();
    let context = Context {
        seed: 7,
        progress: &Silent,
        cancel: &cancel,
        now: &jiff::Timestamp::now,
        entropy: &|| *uuid::Uuid::new_v4().as_bytes(),
    };
    let registry = Registry::open_or_empty(Path::new("registry.json"))?;
    match ensure(store, collection, &expected, &policy, &registry, &context)? {
        Outcome::Fits(_) => println!("the store fits: starting"),
        Outcome::Migrated(report) => {
            println!("the store was migrated ({} records): starting", report.records);
        }
        Outcome::Reported { detection, reason } => {
            for c in &detection.collections {
                println!("{}: {}", c.collection, c.reason);
            }
            println!("not starting: {reason}");
            return Ok(ExitCode::from(detection.status.exit_code()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
