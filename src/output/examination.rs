//! Deep looks as text.

use std::io::{Result, Write};

use embedport::store::{Finding, Severity, StoreDescription};
use serde::Serialize;

use super::Show;

/// What a store holds, and what is wrong with it.
#[derive(Serialize)]
pub struct Deep {
    /// What is there.
    #[serde(flatten)]
    pub description: StoreDescription,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether a migration would be refused.
    pub blocks: bool,
}

impl Show for Deep {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        self.description.show(out)?;
        writeln!(out)?;
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Harmless => "harmless",
                Severity::Repaired => "a migration repairs it",
                Severity::Carried => "a migration cannot mend it",
                Severity::Blocks => "BLOCKS A MIGRATION",
            };
            let place = finding.collection.as_deref().unwrap_or("the folder");
            writeln!(out, "{place}: {} ({}; {severity})", finding.found, finding.check)?;
            if !finding.examples.is_empty() {
                writeln!(out, "  such as {}", finding.examples.join(", "))?;
            }
            writeln!(out, "  a migration {}", finding.migration)?;
            writeln!(out, "  {}", finding.advice)?;
        }
        match (self.findings.is_empty(), self.blocks) {
            (true, _) => writeln!(out, "nothing is wrong"),
            (false, true) => writeln!(out, "a migration would be refused"),
            (false, false) => writeln!(out, "nothing blocks a migration"),
        }
    }
}
