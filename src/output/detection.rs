//! Detections as text.

use std::io::{Result, Write};
use std::path::Path;

use embedport::detect::{Detection, Status};
use embedport::identification::Identification;
use serde::Serialize;

use super::{Show, quoted};

/// A detection, and the registry that its fixes are in.
#[derive(Serialize)]
pub struct Detected<'a> {
    /// What was found.
    #[serde(flatten)]
    pub detection: &'a Detection,
    /// What was found out about those of which nothing is recorded, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identified: Option<Vec<Identification>>,
    /// The registry, if it is not the usual one.
    #[serde(skip)]
    pub registry: Option<&'a Path>,
}

impl Show for Detected<'_> {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        let registry = self
            .registry
            .map_or_else(String::new, |file| format!(" --registry {}", quoted(&file.display().to_string())));
        for c in &self.detection.collections {
            let status = match c.status {
                Status::Match => "match",
                Status::Unknown => "unknown",
                Status::ModelMismatch => "MODEL MISMATCH",
                Status::DimensionMismatch => "DIMENSION MISMATCH",
                Status::Unfinished => "UNFINISHED MIGRATION",
            };
            let dimension = c.dimension.map_or_else(|| "-".into(), |d| d.to_string());
            let model = c.model.as_deref().unwrap_or("not recorded");
            writeln!(
                out,
                "{status:<20} {} in {} ({} records, {dimension} components, model: {model}): {}",
                c.collection, c.namespace, c.records, c.reason
            )?;
            if let Some(fix) = &c.fix {
                writeln!(
                    out,
                    "  fix: embedport migrate-collection --store {} --collection {} --namespace {} --projection {}{registry}",
                    quoted(&self.detection.store),
                    quoted(&c.collection),
                    quoted(&c.namespace),
                    quoted(fix)
                )?;
            }
        }
        if self.detection.collections.is_empty() {
            writeln!(out, "the store holds no collection")?;
        }
        Ok(())
    }
}
