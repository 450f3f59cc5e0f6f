//! Backups as text.

use std::io::{Result, Write};

use embedport::migration::Backups;
use embedport::migration::journal::State;
use embedport::migration::leftover::LeftTexts;
use embedport::migration::prune::{Doomed, PrunePlan, PruneReport};

use super::{Show, bytes, quoted};

impl Show for Backups {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        let count = self.migrations.len();
        let s = if count == 1 { "" } else { "s" };
        writeln!(out, "{}: {count} migration{s}, {} kept", self.store.display(), bytes(self.bytes))?;
        for m in &self.migrations {
            writeln!(out, "{}  {} {}", m.migration, state(m.state), m.reached)?;
            writeln!(out, "  collection   {} in {}", m.collection, m.namespace)?;
            writeln!(out, "  from         {}", m.source)?;
            writeln!(out, "  to           {}", m.target)?;
            writeln!(out, "  kept         {}, {} of it backup", bytes(m.bytes), bytes(m.backup_bytes))?;
            for file in &m.files {
                writeln!(out, "    {:>10}  {}", bytes(file.bytes), file.path.display())?;
            }
            match &m.reason {
                None => {
                    let store = quoted(&self.store.display().to_string());
                    writeln!(
                        out,
                        "  way back     yes: embedport rollback --store {store} --migration {}",
                        m.migration
                    )?;
                }
                Some(reason) => writeln!(out, "  way back     no: {reason}")?,
            }
        }
        self.embedded.iter().try_for_each(|left| show_left(out, left))
    }
}

impl Show for PrunePlan {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        match self.is_empty() {
            true => writeln!(out, "nothing to prune in {}", self.store.display())?,
            false => writeln!(out, "to prune in {}: {}", self.store.display(), bytes(self.bytes))?,
        }
        self.prunes.iter().try_for_each(|doomed| show(out, doomed))?;
        self.embedded.iter().try_for_each(|left| show_left(out, left))?;
        for kept in &self.keeps {
            writeln!(out, "  keeps        {kept}")?;
        }
        for sweep in &self.sweeps {
            writeln!(out, "  removes      remains of the unfinished migration {sweep}")?;
        }
        for warning in &self.warnings {
            writeln!(out, "  warning: {warning}")?;
        }
        Ok(())
    }
}

impl Show for PruneReport {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        match self.pruned.len() + self.embedded.len() {
            0 => writeln!(out, "nothing was pruned"),
            count => {
                writeln!(out, "pruned {count}: {} became free", bytes(self.bytes))?;
                self.pruned.iter().try_for_each(|doomed| show(out, doomed))?;
                self.embedded.iter().try_for_each(|left| show_left(out, left))
            }
        }
    }
}

fn show(out: &mut dyn Write, doomed: &Doomed) -> Result<()> {
    let what = match doomed.state {
        State::RolledBack => "what a rollback left",
        _ if doomed.is_way_back => "backup, the way back now",
        _ => "backup",
    };
    writeln!(out, "  {}  {}: {what}, {}", doomed.migration, doomed.collection, bytes(doomed.bytes))
}

fn show_left(out: &mut dyn Write, left: &LeftTexts) -> Result<()> {
    let collection = left.collection.as_deref().unwrap_or("a collection that is gone");
    let model = left.model.as_deref().unwrap_or("unknown");
    let name = left.path.file_name().unwrap_or_default().display();
    writeln!(out, "{name}  {collection}: {} texts embedded with {model}, {}", left.texts, bytes(left.bytes))
}

fn state(state: State) -> &'static str {
    match state {
        State::Planned => "planned",
        State::BackedUp => "backed up, unfinished",
        State::Rewritten => "rewritten, unfinished",
        State::Verified => "verified, unfinished",
        State::Committed => "committed",
        State::RolledBack => "rolled back",
    }
}
