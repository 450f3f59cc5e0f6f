//! Fits, applies and compares matrices in `.npy` files. `benches/prior_art.py` runs it.
//!
//!     fit_pairs METHOD TRAIN_SOURCE TRAIN_TARGET SOURCE OUTPUT   fits, projects SOURCE to OUTPUT, prints seconds and
//!                                                              what SOURCE, all rows at random, is expected to keep
//!     fit_pairs match-space SAMPLE REFERENCE                     prints whether SAMPLE is in REFERENCE's space

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use embedport::context::{Cancel, Context, Silent};
use embedport::measure::match_space;
use embedport::projection::Pairs;
use embedport::projection::fit::{FitOptions, Rest, expected, fit};
use embedport::vector_file::{NpyReader, NpyWriter};
use ndarray::Array2;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["match-space", sample, reference] => {
            let found = match_space(read(sample)?.view(), read(reference)?.view())?;
            println!("{}", serde_json::to_string(&found)?);
        }
        [method, train_source, train_target, source, output] => {
            let (x, y, source) = (read(train_source)?, read(train_target)?, read(source)?);
            let cancel = Cancel::new();
            let context = Context {
                seed: 7,
                progress: &Silent,
                cancel: &cancel,
                now: &jiff::Timestamp::now,
                entropy: &|| [0; 16],
            };
            let pairs = Pairs::new((0..x.nrows()).map(|i| i.to_string()).collect(), x, y)?;
            let start = Instant::now();
            let fitted = fit(method, &pairs, &FitOptions::default(), &context)?;
            let seconds = start.elapsed().as_secs_f64();
            let mut out = Array2::zeros((source.nrows(), pairs.dimensions().1));
            let start = Instant::now();
            fitted.kind.apply_into(source.view(), out.view_mut())?;
            let apply_seconds = start.elapsed().as_secs_f64();
            write(output, &out)?;
            let rest = Rest { records: source.nrows() as u64, source: source.view() };
            let start = Instant::now();
            let taken = fitted.taken.unwrap_or(method);
            let expected = expected(taken, &pairs, None, &rest, &FitOptions::default(), &context)?;
            let expected_seconds = start.elapsed().as_secs_f64();
            let outcome = serde_json::json!({
                "method": method, "pairs": pairs.len(), "seconds": seconds, "apply_seconds": apply_seconds, "lambda": fitted.lambda, "notes": fitted.notes,
                "expected": expected, "expected_seconds": expected_seconds,
            });
            println!("{outcome}");
        }
        _ => return Err("see the head of examples/fit_pairs.rs for arguments".into()),
    }
    Ok(())
}

fn read(path: &str) -> Result<Array2<f32>> {
    Ok(NpyReader::open(Path::new(path))?.read_all()?)
}

fn write(path: &str, rows: &Array2<f32>) -> Result<()> {
    let mut writer = NpyWriter::create(Path::new(path), rows.ncols())?;
    writer.write(rows.view())?;
    writer.finish()?;
    Ok(())
}
