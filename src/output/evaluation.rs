//! Evaluations as tables, which text and the HTML report share, and as text.

use std::io::{Result, Write};
use std::path::PathBuf;

use embedport::evaluation::{Evaluation, Figure, Native, Quantiles, System, WorstQuery};
use embedport::measure::Estimate;
use serde::Serialize;

use super::{Show, html, number};

/// An evaluation and its report.
#[derive(Serialize)]
pub struct Evaluated {
    /// What was found.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// The HTML report, if one was written.
    pub report: Option<PathBuf>,
}

impl Evaluated {
    /// The report as one HTML file.
    pub fn html(&self, now: &str) -> embedport::error::Result<String> {
        html::evaluation(&self.evaluation, now)
    }
}

/// A table with a name in its first column.
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Heads of the columns, the first included.
    pub heads: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, heads: impl IntoIterator<Item = String>) -> Self {
        Table { title: title.into(), heads: heads.into_iter().collect(), rows: Vec::new() }
    }
}

/// What was evaluated, as pairs of name and words.
pub fn facts(e: &Evaluation) -> Vec<(String, String)> {
    let mut facts: Vec<(String, String)> = e
        .systems
        .iter()
        .map(|s| {
            let words = format!("{}: {} records of {} components", s.origin, s.records, s.dimension);
            (s.name.clone(), words)
        })
        .collect();
    facts.push((
        "queries".into(),
        format!("{}: {} of {} asked", e.queries.origin, e.queries.asked, e.queries.given),
    ));
    facts.push((
        "judgements".into(),
        e.judgements.as_ref().map_or_else(
            || "none".into(),
            |j| {
                format!(
                    "{}: {} relevant records, {} of them not in the corpus",
                    j.origin, j.relevant, j.absent
                )
            },
        ),
    ));
    facts.push((
        "measured".into(),
        format!(
            "exact search by {}; {:.0} % bootstrap intervals ({} resamples of queries or documents, seed {})",
            e.metric,
            e.coverage * 100.0,
            e.resamples,
            e.seed
        ),
    ));
    facts
}

/// All figures.
pub fn tables(e: &Evaluation) -> Vec<Table> {
    let mut tables = vec![figures(e)];
    let others: Vec<&System> = e.systems.iter().filter(|s| !s.differences.is_empty()).collect();
    if !others.is_empty() {
        tables.extend(differences(&others));
    }
    tables.extend(e.native.as_ref().map(against_native));
    tables.push(scores(e));
    tables.extend(
        e.worst_queries.as_ref().map(|worst| worst_queries(worst, e.k.first().copied().unwrap_or(0))),
    );
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn figures(e: &Evaluation) -> Table {
    let shown: Vec<&System> = e.systems.iter().filter(|s| !s.figures.is_empty()).collect();
    let mut table = Table::new("Figures", first("").chain(shown.iter().map(|s| s.name.clone())));
    let mut names: Vec<&str> = Vec::new();
    for figure in shown.iter().flat_map(|s| &s.figures) {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    for name in names {
        let cell = |s: &&System| {
            s.figures.iter().find(|f| f.name == name).map_or_else(|| "-".into(), |f| estimate(&f.estimate))
        };
        table.rows.push(first(title(name)).chain(shown.iter().map(cell)).collect());
    }
    table
}

fn differences(others: &[&System]) -> [Table; 2] {
    let heads = |title: &str| Table::new(title, first("").chain(others.iter().map(|s| s.name.clone())));
    let mut means = heads("Corpus minus other, on the same queries");
    let mut counts = heads("Queries on which the corpus is better, equal, worse");
    let mut names: Vec<&str> = Vec::new();
    for difference in others.iter().flat_map(|s| &s.differences) {
        if !names.contains(&difference.name.as_str()) {
            names.push(&difference.name);
        }
    }
    for name in names {
        let row = |cell: &dyn Fn(&embedport::evaluation::Difference) -> String| -> Vec<String> {
            let of =
                |s: &&System| s.differences.iter().find(|d| d.name == name).map_or_else(|| "-".into(), cell);
            first(title(name)).chain(others.iter().map(of)).collect()
        };
        means.rows.push(row(&|d| signed(&d.estimate)));
        counts.rows.push(row(&|d| format!("{}, {}, {}", d.better, d.equal, d.worse)));
    }
    [means, counts]
}

fn against_native(native: &Native) -> Table {
    let heads = ["", "corpus against native"].map(str::to_owned);
    let mut table = Table::new(format!("Against native vectors, on {} common records", native.common), heads);
    let figure = |f: &Figure, words: &str| vec![format!("{}{words}", title(&f.name)), estimate(&f.estimate)];
    table.rows.extend(native.retention.iter().map(|f| figure(f, " retained (corpus / native)")));
    let words = format!(" kept ({} documents)", native.documents);
    table.rows.extend(native.neighbours.iter().map(|f| figure(f, &words)));
    for (name, value) in [("Pearson", native.similarity_pearson), ("Spearman", native.similarity_spearman)] {
        table.rows.push(vec![format!("similarity preservation ({name})"), number(value)]);
    }
    table
}

fn scores(e: &Evaluation) -> Table {
    let kind = e.systems.first().map_or("", |s| s.scores.kind);
    let heads = ["", "5 %", "25 %", "median", "75 %", "95 %"].map(str::to_owned);
    let mut table = Table::new(format!("Quantiles of the {kind} of hits"), heads);
    let row = |name: String, q: &Quantiles| {
        first(name).chain([q.p5, q.p25, q.p50, q.p75, q.p95].map(number)).collect::<Vec<_>>()
    };
    let k = e.k.first().copied().unwrap_or(0);
    for system in &e.systems {
        table.rows.push(row(format!("{}, best hit", system.name), &system.scores.first));
        table.rows.push(row(format!("{}, first {k}", system.name), &system.scores.top));
    }
    table
}

fn worst_queries(worst: &[WorstQuery], k: usize) -> Table {
    let heads = ["query", "text", &format!("nDCG@{k}"), "first relevant", "found first", "relevant"]
        .map(str::to_owned);
    let mut table = Table::new("Worst queries", heads);
    for query in worst {
        table.rows.push(vec![
            query.id.clone(),
            query.text.clone().unwrap_or_else(|| "-".into()),
            number(Some(query.ndcg)),
            query.first_relevant.map_or_else(|| "-".into(), |rank| rank.to_string()),
            query.found.join(", "),
            query.wanted.join(", "),
        ]);
    }
    table
}

fn first(name: impl Into<String>) -> impl Iterator<Item = String> {
    std::iter::once(name.into())
}

/// A figure's name as a person reads it.
pub fn title(name: &str) -> String {
    match name.split_once('@') {
        Some(("ndcg", k)) => format!("nDCG@{k}"),
        Some(("mrr", k)) => format!("MRR@{k}"),
        Some(("native_top", k)) => format!("native top {k} found"),
        Some(("native_neighbours", k)) => format!("native neighbours@{k}"),
        _ => name.to_owned(),
    }
}

fn estimate(e: &Estimate) -> String {
    match (e.low, e.high) {
        (Some(low), Some(high)) => format!("{} ({low:.3} to {high:.3})", number(e.value)),
        _ => number(e.value),
    }
}

fn signed(e: &Estimate) -> String {
    match (e.value, e.low, e.high) {
        (Some(value), Some(low), Some(high)) => format!("{value:+.3} ({low:+.3} to {high:+.3})"),
        _ => number(e.value),
    }
}

impl Show for Evaluated {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        let facts = facts(&self.evaluation);
        let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, words) in &facts {
            writeln!(out, "{name:<width$}  {words}")?;
        }
        for table in tables(&self.evaluation) {
            writeln!(out)?;
            show_table(out, &table)?;
        }
        if !self.evaluation.notes.is_empty() {
            writeln!(out)?;
        }
        for note in &self.evaluation.notes {
            writeln!(out, "note: {note}")?;
        }
        match &self.report {
            Some(report) => writeln!(out, "report: {}", report.display()),
            None => Ok(()),
        }
    }
}

fn show_table(out: &mut dyn Write, table: &Table) -> Result<()> {
    let lines = || std::iter::once(&table.heads).chain(&table.rows);
    let widths: Vec<usize> = (0..table.heads.len())
        .map(|i| lines().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    writeln!(out, "{}", table.title)?;
    for row in lines() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}
