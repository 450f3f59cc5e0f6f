//! Fits, applies and compares matrices in `.npy` files. `benches/prior_art.py` runs it.
//!
//!     fit_pairs METHOD TRAIN_SOURCE TRAIN_TARGET SOURCE OUTPUT   fits, projects SOURCE to OUTPUT, prints seconds
//!     fit_pairs bridge TRAIN_QUERIES TRAIN_RECORDS QUERIES OUTPUT
//!                                                                fits a bridge, maps QUERIES to OUTPUT, prints seconds
//!     fit_pairs match-space SAMPLE REFERENCE                     prints whether SAMPLE is in REFERENCE's space
//!     fit_pairs words MODEL TEXTS OUTPUT                         embeds the words of TEXTS into OUTPUT.npy, OUTPUT.json
//!     fit_pairs METHOD TRAIN_SOURCE TRAIN_TARGET SOURCE OUTPUT WORDS TRAIN_TEXTS TEXTS
//!                                                                fits and projects with texts; WORDS as `words` made them
//!
//! Texts are JSON lists of strings. With `--foretell` a fit also says what SOURCE, all rows at random, is expected to keep.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use embedport::context::{Cancel, Context, Silent};
use embedport::embed;
use embedport::measure::match_space;
use embedport::projection::fit::{FitOptions, Rest, expected, fit};
use embedport::projection::{Pairs, Projection, Subject, Words};
use embedport::space::Space;
use embedport::texts::Vocabulary;
use embedport::training::DEFAULT_WORDS;
use embedport::vector_file::{NpyReader, NpyWriter};
use ndarray::Array2;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let foretell = arguments.contains(&"--foretell");
    let arguments: Vec<&str> = arguments.into_iter().filter(|argument| *argument != "--foretell").collect();
    match *arguments {
        ["match-space", sample, reference] => {
            let found = match_space(read(sample)?.view(), read(reference)?.view())?;
            println!("{}", serde_json::to_string(&found)?);
        }
        ["words", model, texts, output] => embed_words(model, texts, output)?,
        ["bridge", queries, records, asking, output] => {
            let (pairs, asking) = (pairs(queries, records)?, read(asking)?);
            let cancel = Cancel::new();
            let start = Instant::now();
            let bridge = Projection::bridge(subject(pairs.dimensions()), &pairs, Some(2), &context(&cancel))?;
            let seconds = start.elapsed().as_secs_f64();
            let start = Instant::now();
            write(output, &bridge.apply(asking.view())?)?;
            let apply_seconds = start.elapsed().as_secs_f64();
            let report = Projection::bridge(subject(pairs.dimensions()), &pairs, None, &context(&cancel))?
                .header
                .bridge;
            println!(
                "{}",
                serde_json::json!({ "seconds": seconds, "apply_seconds": apply_seconds, "report": report })
            );
        }
        [method, train_source, train_target, source, output, words, train_texts, texts] => {
            let (pairs, all) = (pairs(train_source, train_target)?, strings(train_texts)?);
            // Repeated rows were left out; the ids are the numbers of the others.
            let kept: Vec<&str> =
                pairs.ids().iter().map(|id| Ok(all[id.parse::<usize>()?].as_str())).collect::<Result<_>>()?;
            let pairs = pairs.with_texts(table(words, &kept)?, &kept)?;
            with_texts(method, &pairs, &read(source)?, output, &strings(texts)?, foretell)?;
        }
        [method, train_source, train_target, source, output] => {
            let (pairs, source) = (pairs(train_source, train_target)?, read(source)?);
            let cancel = Cancel::new();
            let context = context(&cancel);
            let start = Instant::now();
            let fitted = fit(method, &pairs, &FitOptions::default(), &context)?;
            let seconds = start.elapsed().as_secs_f64();
            let mut out = Array2::zeros((source.nrows(), pairs.dimensions().1));
            let start = Instant::now();
            fitted.kind.apply_into(source.view(), out.view_mut())?;
            let apply_seconds = start.elapsed().as_secs_f64();
            write(output, &out)?;
            let rest = Rest { records: source.nrows() as u64, source: source.view(), words: None };
            let start = Instant::now();
            let taken = fitted.taken.unwrap_or(method);
            let expected = match foretell {
                true => {
                    let options = FitOptions::default().again(&fitted);
                    expected(taken, &pairs, None, &rest, &options, &context)?
                }
                false => None,
            };
            let expected_seconds = foretell.then(|| start.elapsed().as_secs_f64());
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

fn context(cancel: &Cancel) -> Context<'_> {
    Context { seed: 7, progress: &Silent, cancel, now: &jiff::Timestamp::now, entropy: &|| [0; 16] }
}

fn pairs(source: &str, target: &str) -> Result<Pairs> {
    let (x, y) = (read(source)?, read(target)?);
    Ok(Pairs::new((0..x.nrows()).map(|i| i.to_string()).collect(), x, y)?)
}

fn subject((from, to): (usize, usize)) -> Subject {
    let (source, target) = (Space::named("source", from), Space::named("target", to));
    Subject { name: "fit-pairs".into(), source, target, texts: "texts".into() }
}

fn strings(path: &str) -> Result<Vec<String>> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// Embeds the words of texts with a model.
fn embed_words(model: &str, texts: &str, output: &str) -> Result<()> {
    let texts = strings(texts)?;
    let vocabulary = Vocabulary::count(texts.iter().map(String::as_str), DEFAULT_WORDS);
    let options =
        embed::Options { device: embed::DeviceChoice::Cpu, hub: embed::HubConfig::from_env(), threads: 0 };
    let cancel = Cancel::new();
    let model = embed::open(&model.parse()?, None, &options, &context(&cancel))?;
    let words: Vec<&str> = vocabulary.words.iter().map(String::as_str).collect();
    let start = Instant::now();
    let vectors = model.embed(&words, embed::Role::Document, &context(&cancel))?;
    let seconds = start.elapsed().as_secs_f64();
    write(&format!("{output}.npy"), &vectors)?;
    let listed = serde_json::json!({ "words": vocabulary.words, "rarity": vocabulary.rarity });
    std::fs::write(format!("{output}.json"), listed.to_string())?;
    println!("{}", serde_json::json!({ "words": words.len(), "seconds": seconds }));
    Ok(())
}

/// The table of words, reduced by the training texts.
fn table(words: &str, texts: &[&str]) -> Result<Words> {
    let listed: serde_json::Value = serde_json::from_slice(&std::fs::read(format!("{words}.json"))?)?;
    let vocabulary = Vocabulary {
        words: serde_json::from_value(listed["words"].clone())?,
        rarity: serde_json::from_value(listed["rarity"].clone())?,
    };
    Ok(Words::of(&vocabulary, read(&format!("{words}.npy"))?.view(), texts)?)
}

/// Fits to vectors and texts, projects both, prints seconds.
fn with_texts(
    method: &str,
    pairs: &Pairs,
    source: &Array2<f32>,
    output: &str,
    texts: &[String],
    foretell: bool,
) -> Result<()> {
    let cancel = Cancel::new();
    let context = context(&cancel);
    let subject = subject(pairs.dimensions());
    let words = pairs.words().map(|words| words.rows_of(texts));
    let rest = Rest {
        records: source.nrows() as u64,
        source: source.view(),
        words: words.as_ref().map(|words| words.view()),
    };
    let fit = |held_out, rest: Option<&Rest<'_>>| {
        Projection::fit(subject.clone(), pairs, method, held_out, &FitOptions::default(), rest, &context)
    };
    let start = Instant::now();
    let projection = fit(Some(2), None)?;
    let seconds = start.elapsed().as_secs_f64();
    // As `train` does it: with a part of the pairs held out, which asks.
    let start = Instant::now();
    let expected = match foretell {
        true => fit(None, Some(&rest))?.header.expected_for(true).cloned(),
        false => None,
    };
    let expected_seconds = foretell.then(|| start.elapsed().as_secs_f64());
    let start = Instant::now();
    let codes: Vec<Vec<u16>> = match &projection.assisted {
        Some(assisted) => texts.iter().map(|text| assisted.words().codes(text)).collect(),
        None => vec![Vec::new(); texts.len()],
    };
    let reading = start.elapsed().as_secs_f64();
    let codes: Vec<&[u16]> = codes.iter().map(Vec::as_slice).collect();
    let start = Instant::now();
    let out = projection.apply_to_texts(source.view(), &codes)?;
    let apply_seconds = start.elapsed().as_secs_f64();
    write(output, &out)?;
    let outcome = serde_json::json!({
        "method": method, "pairs": pairs.len(), "seconds": seconds, "apply_seconds": apply_seconds,
        "text_seconds": reading, "notes": projection.header.notes,
        "expected": expected, "expected_seconds": expected_seconds,
    });
    println!("{outcome}");
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
