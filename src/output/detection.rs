//! Detections as text.

use std::io::{Result, Write};

use embedport::detect::{Detection, Status};

use super::Show;

impl Show for Detection {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        for c in &self.collections {
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
                    "  fix: embedport migrate-collection --store {} --collection {} --projection {fix}",
                    super::quoted(&self.store),
                    super::quoted(&c.collection)
                )?;
            }
        }
        if self.collections.is_empty() {
            writeln!(out, "the store holds no collection")?;
        }
        Ok(())
    }
}
