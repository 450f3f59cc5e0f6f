//! The demo as text, in less than a screen.

use std::io::{Result, Write};
use std::path::PathBuf;

use embedport::detect::Detected;
use embedport::migration::{MigrationReport, RollbackReport};
use embedport::projection::Header;
use serde::Serialize;

use super::{Show, bytes, number, seconds};

/// Everything that happened.
#[derive(Serialize)]
pub struct DemoReport {
    /// What a program that expects the target model is told before.
    pub before: Vec<Detected>,
    /// And after.
    pub after: Vec<Detected>,
    /// The projection that was trained.
    pub training: Header,
    /// Its file.
    pub projection_file: PathBuf,
    /// The migration.
    pub migrated: MigrationReport,
    /// Questions in the target model.
    pub answers: Vec<Answer>,
    /// The way back.
    pub rolled_back: RollbackReport,
    /// Where it was kept, if it was.
    pub kept: Option<PathBuf>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// One question and what was found.
#[derive(Serialize)]
pub struct Answer {
    /// The question.
    pub question: String,
    /// The record that answers it.
    pub expected: String,
    /// What the migrated collection found, nearest first.
    pub hits: Vec<String>,
}

impl Show for DemoReport {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        let plan = &self.migrated.plan;
        writeln!(out, "A real Chroma database: {} help pages, {}", plan.records, plan.source)?;
        writeln!(out, "A program now wants: {}", plan.target)?;
        for c in &self.before {
            writeln!(out, "  before: {}", c.reason)?;
        }
        let header = &self.training;
        let figure = |name: &str| {
            let Some(f) = header.report.figure(name) else { return "-".to_owned() };
            let baseline = [f.mean_vector, f.padded_source];
            format!("{} (baselines {}, {})", number(f.value), number(baseline[0]), number(baseline[1]))
        };
        writeln!(
            out,
            "1. train: {} on {} pairs of the collection's own texts",
            header.method, header.training_pairs
        )?;
        writeln!(out, "   {} held-out pairs: cosine {}", header.held_out_pairs, figure("cosine_mean"))?;
        writeln!(out, "   neighbour overlap@10 {}", figure("overlap_at_10"))?;
        let total: f64 = self.migrated.seconds.iter().map(|(_, s)| s).sum();
        writeln!(out, "2. migrate-collection: {} records in {}", self.migrated.records, seconds(total))?;
        let checks = &self.migrated.verification.checks;
        writeln!(
            out,
            "   {} of {} checks passed; backup {}",
            checks.iter().filter(|c| c.passed).count(),
            checks.len(),
            bytes(self.migrated.backup_bytes.unwrap_or(0))
        )?;
        for check in checks.iter().filter(|c| c.name.starts_with("recall@")) {
            writeln!(out, "   {}: {:.3}", check.name, check.measured)?;
        }
        for c in &self.after {
            writeln!(out, "   after: {}", c.reason)?;
        }
        writeln!(out, "3. questions in the target model (before, Chroma refused them: other dimension)")?;
        for answer in &self.answers {
            let mark = match answer.hits.iter().position(|h| *h == answer.expected) {
                Some(0) => "first".to_owned(),
                Some(place) => format!("place {}", place + 1),
                None => "missed".to_owned(),
            };
            let question: String = answer.question.chars().take(58).collect();
            writeln!(out, "   {mark:>7}  {question:58} {}", answer.hits.join(", "))?;
        }
        let restored = &self.rolled_back.verification;
        writeln!(
            out,
            "4. rollback: {} records of {} components, {}",
            self.rolled_back.records,
            self.rolled_back.dimension,
            if restored.passed() {
                "vectors the same bit for bit, texts and metadata too"
            } else {
                "NOT as before"
            }
        )?;
        match &self.kept {
            Some(folder) => writeln!(out, "done in {}, kept in {}", seconds(self.seconds), folder.display()),
            None => writeln!(out, "done in {}; nothing is left behind", seconds(self.seconds)),
        }
    }
}
