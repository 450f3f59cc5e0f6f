//! Advice as text.

use std::io::{Result, Write};
use std::path::PathBuf;

use embedport::advice::{Advice, Asked, CHARACTERS_PER_TOKEN, Choice, PART, RESCORED, Way};
use embedport::measure::{Estimate, Ways};
use serde::Serialize;

use super::migration::curve;
use super::{Show, html, number, seconds};

/// Advice, and where its report is.
#[derive(Serialize)]
pub struct Advised {
    /// The advice.
    #[serde(flatten)]
    pub advice: Advice,
    /// The HTML report, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<PathBuf>,
}

impl Advised {
    /// The report as one HTML file.
    pub fn html(&self, now: &str) -> embedport::error::Result<String> {
        html::advice(&self.advice, now)
    }
}

/// Heads of the table of ways, the first included.
pub const HEADS: [&str; 6] = ["way", "of native top 10", "90 % interval", "time", "price", "basis"];

impl Show for Advised {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        let advice = &self.advice;
        writeln!(out, "from  {}", advice.source)?;
        writeln!(out, "to    {}", advice.target)?;
        writeln!(out, "{}", rests_on(advice))?;
        line(out, HEADS.map(str::to_owned))?;
        for choice in &advice.choices {
            line(out, cells(choice))?;
        }
        for fact in facts(advice) {
            writeln!(out, "  {fact}")?;
        }
        for note in &advice.notes {
            writeln!(out, "  note: {note}")?;
        }
        if let Some(report) = &self.report {
            writeln!(out, "report: {}", report.display())?;
        }
        writeln!(out, "advice: {}", advice.sentence)
    }
}

fn line(out: &mut dyn Write, [way, share, interval, time, price, basis]: [String; 6]) -> Result<()> {
    let line = format!("  {way:<36} {share:>16}  {interval:<16} {time:>9} {price:>10}  {basis}");
    writeln!(out, "{}", line.trim_end())
}

/// What the figures rest on.
pub fn rests_on(advice: &Advice) -> String {
    format!("rests on {} pairs of a collection of {} records", advice.facts.pairs, advice.facts.records)
}

/// The cells of a way, as [`HEADS`] names them.
pub fn cells(choice: &Choice) -> [String; 6] {
    let way = match choice.way {
        Way::LeaveAlone => "leave alone".into(),
        Way::Project => "project".into(),
        Way::ProjectAndReembedWorst => format!("project, re-embed {:.0} % of it", PART * 100.0),
        Way::ProjectAndRescore => format!("project, re-score the first {RESCORED}"),
        Way::Reembed => "re-embed".into(),
    };
    let interval = match (choice.low, choice.high) {
        (Some(low), Some(high)) => format!("{low:.3} to {high:.3}"),
        _ => "-".into(),
    };
    [
        way,
        number(choice.overlap),
        interval,
        choice.seconds.map_or_else(|| "-".into(), seconds),
        choice.price.map_or_else(|| "-".into(), |p| format!("{p:.2}")),
        choice.basis.clone(),
    ]
}

/// What is worth knowing below the table.
pub fn facts(advice: &Advice) -> Vec<String> {
    let mut facts = Vec::new();
    if advice.facts.price_per_million_tokens.is_some() {
        facts.push(format!("tokens are estimated as characters / {CHARACTERS_PER_TOKEN}"));
    }
    if let Some(expected) = &advice.facts.projected {
        facts.push(format!("projecting, by number of pairs fitted to: {}", curve(expected)));
    }
    if let Some(ways) = &advice.facts.ways {
        let part = |told: &embedport::measure::Reembedded| {
            format!("{:.3} with {:.0} %", told.share.value, told.part * 100.0)
        };
        let hits = |told: &embedport::measure::Rescored| format!("{:.3} of {}", told.share.value, told.hits);
        facts.push(format!("re-embedding the most crowded part: {}", joined(&ways.reembedded, part)));
        facts.push(format!("re-scoring the first hits: {}", joined(&ways.rescored, hits)));
        facts.push(among(ways));
    }
    facts.extend(advice.asked.as_ref().map(of_queries));
    facts
}

fn joined<T>(told: &[T], words: impl Fn(&T) -> String) -> String {
    told.iter().map(words).collect::<Vec<String>>().join(", ")
}

/// What the user's queries found.
fn of_queries(asked: &Asked) -> String {
    let answers = asked.answers.iter().map(|answer| {
        let way = match answer.way {
            Way::LeaveAlone => "left alone",
            Way::Reembed => "re-embedded",
            _ => "projected",
        };
        let of = |e: &Estimate, digits: fn(f64) -> String| match (e.value, e.low, e.high) {
            (Some(value), Some(low), Some(high)) => {
                format!("{} ({} to {})", digits(value), digits(low), digits(high))
            }
            (value, ..) => number(value),
        };
        let share = of(&answer.ndcg, |v| format!("{v:.3}"));
        match answer.way {
            Way::Reembed => format!("{way} {share}"),
            _ => format!("{way} {share}, re-embedding gives {}", of(&answer.lacking, |v| format!("{v:+.3}"))),
        }
    });
    format!(
        "nDCG@10 of {} queries among {} records ({} judged, the others held-out pairs; fewer compete than in the collection): {}",
        asked.queries,
        asked.records,
        asked.judged,
        answers.collect::<Vec<String>>().join("; ")
    )
}

/// Like with like: what was measured among the same pairs.
fn among(ways: &Ways) -> String {
    let among = &ways.among_pairs;
    let interval = |e: &Estimate| match (e.low, e.high) {
        (Some(low), Some(high)) => format!(" ({low:+.3} to {high:+.3})"),
        _ => String::new(),
    };
    format!(
        "measured among {} pairs, where fewer records compete: source vectors {}, projected ones {}, difference {}{}",
        among.pairs,
        number(among.alone.value),
        number(among.projected.value),
        among.gain.value.map_or_else(|| "-".into(), |v| format!("{v:+.3}")),
        interval(&among.gain)
    )
}
