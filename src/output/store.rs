//! Stores as text.

use std::io::{Result, Write};

use embedport::store::StoreDescription;

use super::{Show, bytes};

impl Show for StoreDescription {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(
            out,
            "{} ({}, {}), {} collection{}",
            self.path.display(),
            self.release,
            bytes(self.bytes),
            self.collections.len(),
            if self.collections.len() == 1 { "" } else { "s" }
        )?;
        if let Some(overlooked) = self.overlooked() {
            writeln!(out, "{overlooked}")?;
        }
        for c in &self.collections {
            let dimension =
                c.dimension.map_or_else(|| "no dimension yet".into(), |d| format!("{d} components"));
            writeln!(out, "{} in {}", c.name, c.namespace)?;
            writeln!(
                out,
                "  {} records, {} with text, {dimension}, {}, {}",
                c.count,
                c.texts,
                c.metric.name(),
                bytes(c.bytes)
            )?;
            match (&c.stamped, &c.migration) {
                (Some(space), Some(migration)) => {
                    writeln!(out, "  space {space}, made by migration {migration}")?;
                }
                (Some(space), None) => writeln!(out, "  space {space}")?,
                _ => {}
            }
            writeln!(
                out,
                "  embedding function: {}{}",
                c.embedding_function,
                c.configured_model.as_deref().map_or_else(String::new, |m| format!(" ({m})"))
            )?;
            if let Some(layout) = &c.layout {
                writeln!(out, "  {layout}")?;
            }
            writeln!(out, "  id {}", c.id)?;
            if let Some(reason) = &c.unsupported {
                writeln!(out, "  cannot be rewritten: {reason}")?;
            }
        }
        Ok(())
    }
}
