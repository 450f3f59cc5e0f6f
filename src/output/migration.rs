//! Plans, reports, verifications and rollbacks as text.

use std::io::{Result, Write};

use embedport::measure::{HeldOutReport, Retention, ScorePoint, ScoreScale};
use embedport::migration::all::Skipped;
use embedport::migration::reembed::Rest;
use embedport::migration::source::SourceKnowledge;
use embedport::migration::verification::{Relation, VerificationReport};
use embedport::migration::verify::Verified;
use embedport::migration::{
    IndexReport, MigrationPlan, MigrationReport, PlanOfAll, ReportOfAll, RollbackReport,
};
use embedport::store::{BackupChoice, IndexChoice, IndexWay};

use super::{Show, bytes, number, quoted, seconds};

impl Show for MigrationPlan {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        let known = match self.source_known_by {
            SourceKnowledge::Stamped => "stamped by embedport",
            SourceKnowledge::Configured => "recorded by the store",
            SourceKnowledge::Declared => "declared",
            SourceKnowledge::Unrecorded => "not recorded",
        };
        writeln!(out, "plan {}", self.migration)?;
        writeln!(out, "  store        {} ({})", self.store.display(), self.release)?;
        writeln!(
            out,
            "  collection   {} in {}: {} records, {} with text, {}",
            self.collection, self.namespace, self.records, self.texts, self.metric
        )?;
        writeln!(out, "  from         {} ({known})", self.source)?;
        writeln!(out, "  to           {}", self.target)?;
        let p = &self.projection;
        if let Some(texts) = &self.re_embeds {
            let rest = match texts.rest {
                Rest::None => "",
                Rest::Kept => "; the others keep the vectors that they have",
                Rest::Projected => "; the others are projected",
            };
            let first = if texts.percent.is_some() { "the most crowded " } else { "" };
            writeln!(
                out,
                "  texts        {first}{} of {} records are embedded{rest}",
                texts.records, self.records
            )?;
        }
        let projects = self.re_embeds.as_ref().is_none_or(|texts| texts.rest == Rest::Projected);
        if projects {
            writeln!(
                out,
                "  projection   {} ({}, {} pairs, texts: {})",
                p.name, p.method, p.training_pairs, p.texts
            )?;
        }
        writeln!(
            out,
            "  disk         {} now, {} needed, {} free",
            bytes(self.bytes_now),
            bytes(self.bytes_needed),
            bytes(self.bytes_free)
        )?;
        let backup = match (self.keeps_backup, self.backup) {
            (false, _) => "none",
            (true, BackupChoice::Auto | BackupChoice::Rows) => "kept until you remove it",
            (true, BackupChoice::Full) => "kept until you remove it, with a whole copy of the database",
        };
        writeln!(out, "  backup       {backup}")?;
        let index = match self.index {
            _ if !self.indexed => "none: the store compares with every vector",
            IndexChoice::Auto if !projects => "built anew",
            IndexChoice::Auto => "kept if it then finds as much as before, else built anew",
            IndexChoice::Keep => "kept, repaired if need be",
            IndexChoice::Rebuild => "built anew",
        };
        writeln!(out, "  index        {index}")?;
        let embedding = if self.re_embeds.is_some() { ", and what it takes to embed the texts" } else { "" };
        writeln!(out, "  time         about {}{embedding}", seconds(self.expected_seconds))?;
        for effect in &self.side_effects {
            writeln!(out, "  changes      {effect}")?;
        }
        for sweep in &self.sweeps {
            writeln!(out, "  removes      remains of the unfinished migration {sweep}")?;
        }
        if projects {
            let texts = if p.with_texts { ", with what their texts say" } else { "" };
            writeln!(out, "  expected quality, measured on {} held-out pairs{texts}:", p.held_out.pairs)?;
            show_report(out, &p.held_out)?;
            show_expected(out, p.expected.as_ref())?;
            show_scores(out, p.scores.as_ref())?;
        }
        for warning in &self.warnings {
            writeln!(out, "  warning: {warning}")?;
        }
        Ok(())
    }
}

/// The held-out figures, each beside its baselines.
pub(super) fn show_report(out: &mut dyn Write, report: &HeldOutReport) -> Result<()> {
    writeln!(
        out,
        "    {:<22} {:>8}  {:<17} {:>11} {:>13}",
        "figure", "value", "95 % interval", "mean vector", "padded source"
    )?;
    for f in &report.figures {
        let interval = format!("{} to {}", number(f.low), number(f.high));
        writeln!(
            out,
            "    {:<22} {:>8}  {:<17} {:>11} {:>13}",
            f.name,
            precise(f.value),
            if f.name == "mse" { format!("{} to {}", precise(f.low), precise(f.high)) } else { interval },
            precise(f.mean_vector),
            precise(f.padded_source)
        )?;
    }
    Ok(())
}

/// What a collection is expected to keep, and what fewer pairs would.
pub(super) fn show_expected(out: &mut dyn Write, expected: Option<&Retention>) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    writeln!(
        out,
        "  expected overlap with the native top 10 in a collection of {} records: {:.3} (90 % interval {:.3} to {:.3})",
        expected.records, expected.value, expected.low, expected.high
    )?;
    writeln!(out, "    by number of pairs fitted to: {}", curve(expected))
}

/// What is kept with fewer pairs.
pub(super) fn curve(expected: &Retention) -> String {
    let points = expected.curve.iter().map(|point| format!("{:.3} with {}", point.value, point.pairs));
    points.collect::<Vec<String>>().join(", ")
}

/// How scores between records shift, at a few shares of their pairs.
pub(super) fn show_scores(out: &mut dyn Write, scores: Option<&ScoreScale>) -> Result<()> {
    let Some(scores) = scores else { return Ok(()) };
    let shown = |quantile: &f64| scores.points.iter().find(|point| point.quantile == *quantile);
    let shown: Vec<&ScorePoint> = [0.5, 0.9, 0.99, 0.999].iter().filter_map(shown).collect();
    if shown.is_empty() {
        return Ok(());
    }
    let line = |score: fn(&ScorePoint) -> f64| {
        let scores: Vec<String> = shown.iter().map(|point| format!("{:.3}", score(point))).collect();
        scores.join(" / ")
    };
    let shares: Vec<String> = shown.iter().map(|point| format!("{:.1}", 100.0 * point.quantile)).collect();
    writeln!(
        out,
        "  cosines between records, {} % of them below: source {}, projected {}, native {}",
        shares.join(" / "),
        line(|point| point.source),
        line(|point| point.projected),
        line(|point| point.native)
    )
}

/// Three decimals, and five for values so small that three would say nothing.
fn precise(value: Option<f64>) -> String {
    match value {
        Some(v) if v != 0.0 && v.abs() < 0.01 => format!("{v:.5}"),
        other => number(other),
    }
}

fn show_checks(out: &mut dyn Write, report: &VerificationReport) -> Result<()> {
    for check in &report.checks {
        let mark = if check.passed { "ok  " } else { "FAIL" };
        let relation = match check.relation {
            Relation::Equal => "wanted",
            Relation::AtLeast => "at least",
            Relation::AtMost => "at most",
        };
        let value = |v: f64| if v.fract() == 0.0 { format!("{v:.0}") } else { format!("{v:.4}") };
        writeln!(
            out,
            "  {mark} {}: {} ({relation} {})",
            check.name,
            value(check.measured),
            value(check.bound)
        )?;
    }
    for missing in &report.not_measured {
        writeln!(out, "  not measured: {missing}")?;
    }
    Ok(())
}

impl Show for MigrationReport {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(
            out,
            "migrated {} records of {} from {} to {}",
            self.records, self.plan.collection, self.plan.source, self.plan.target
        )?;
        if let Some(texts) = self.with_texts {
            writeln!(out, "  {texts} of them with what their texts say")?;
        }
        if let Some(texts) = self.re_embedded {
            writeln!(out, "  {texts} of them by their texts, embedded with {}", self.plan.target.model)?;
        }
        show_checks(out, &self.verification)?;
        show_index(out, &self.index)?;
        if self.zero_vectors > 0 {
            writeln!(out, "  warning: {} records had an all-zero vector", self.zero_vectors)?;
        }
        let stages: Vec<String> =
            self.seconds.iter().map(|(stage, s)| format!("{stage} {}", seconds(*s))).collect();
        writeln!(out, "  time: {}", stages.join(", "))?;
        match self.backup_bytes {
            Some(kept) => {
                writeln!(out, "  backup: {} kept", bytes(kept))?;
                writeln!(out, "to go back:")?;
                writeln!(
                    out,
                    "  embedport rollback --store {} --migration {}",
                    quoted(&self.plan.store.display().to_string()),
                    self.migration
                )
            }
            None => writeln!(out, "  backup: none, there is no way back"),
        }
    }
}

fn show_index(out: &mut dyn Write, index: &IndexReport) -> Result<()> {
    let way = |way: IndexWay| match way {
        IndexWay::Kept => "links kept",
        IndexWay::Repaired => "links kept and repaired",
        IndexWay::Rebuilt => "built anew",
        IndexWay::None => "none",
    };
    if index.way == IndexWay::None {
        return writeln!(out, "  index: none, the store compares with every vector");
    }
    let recall = |value: Option<f64>| value.map_or("not measured".into(), |v| format!("{v:.4}"));
    write!(
        out,
        "  index: {}; recall@10 before {}, after {}",
        way(index.way),
        recall(index.recall_before),
        recall(index.recall_after)
    )?;
    for (tried, found) in &index.rejected {
        write!(out, " ({}: {}, not enough)", way(*tried), recall(*found))?;
    }
    writeln!(out)
}

impl Show for PlanOfAll {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        for plan in &self.plans {
            plan.show(out)?;
        }
        writeln!(
            out,
            "{} collections will be migrated, {} left alone; {} needed, {} free",
            self.plans.len(),
            self.skipped.len(),
            bytes(self.bytes_needed),
            bytes(self.bytes_free)
        )?;
        show_skipped(out, &self.skipped)
    }
}

impl Show for ReportOfAll {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(
            out,
            "{:<28} {:>9}  {:<9} {:>8} {:>8}  migration",
            "collection", "records", "index", "before", "after"
        )?;
        for one in &self.done {
            writeln!(
                out,
                "{:<28} {:>9}  {:<9} {:>8} {:>8}  {}",
                one.plan.collection,
                one.records,
                format!("{:?}", one.index.way).to_lowercase(),
                number(one.index.recall_before),
                number(one.index.recall_after),
                one.migration
            )?;
        }
        for failed in &self.failed {
            writeln!(out, "FAILED {} in {}: {}", failed.collection, failed.namespace, failed.reason)?;
            failed.hints.iter().try_for_each(|hint| writeln!(out, "  hint: {hint}"))?;
        }
        show_skipped(out, &self.skipped)
    }
}

fn show_skipped(out: &mut dyn Write, skipped: &[Skipped]) -> Result<()> {
    skipped.iter().try_for_each(|one| {
        writeln!(
            out,
            "left alone: {} in {} ({} records): {}",
            one.collection, one.namespace, one.records, one.reason
        )
    })
}

impl Show for Verified {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "{}: migration {}, committed {}", self.collection, self.migration, self.committed)?;
        if !self.changes.is_none() {
            let c = &self.changes;
            writeln!(
                out,
                "  since then: {} records added, {} removed, {} updated",
                c.added, c.removed, c.updated
            )?;
        }
        show_checks(out, &self.verification)?;
        writeln!(out, "{}", if self.verification.passed() { "passed" } else { "FAILED" })
    }
}

impl Show for RollbackReport {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(
            out,
            "rolled back {}: {} holds {} records of {} components again",
            self.migration, self.collection, self.records, self.dimension
        )?;
        let c = &self.changes;
        match self.kept {
            Some(kept) => {
                let embedded = self.re_embedded.unwrap_or(0).min(kept);
                let how = match (kept - embedded, embedded) {
                    (_, 0) => "mapped back by the reverse projection".to_owned(),
                    (0, _) => "their texts embedded anew".to_owned(),
                    (mapped, _) => format!(
                        "{embedded} texts embedded anew, {mapped} mapped back by the reverse projection"
                    ),
                };
                writeln!(out, "  kept: {kept} records written since, {how}; {} removals", c.removed)?;
            }
            None if !c.is_none() => writeln!(
                out,
                "  dropped: {} records added since, {} removals, {} updates",
                c.added, c.removed, c.updated
            )?,
            None => {}
        }
        show_checks(out, &self.verification)
    }
}
