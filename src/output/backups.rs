//! Backups as text.

use std::io::{Result, Write};

use embedport::migration::Backups;
use embedport::migration::journal::State;
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
        Ok(())
    }
}

impl Show for PrunePlan {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        match self.prunes.is_empty() {
            true => writeln!(out, "nothing to prune in {}", self.store.display())?,
            false => writeln!(out, "to prune in {}: {}", self.store.display(), bytes(self.bytes))?,
        }
        self.prunes.iter().try_for_each(|doomed| show(out, doomed))?;
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
        match self.pruned.is_empty() {
            true => writeln!(out, "nothing was pruned"),
            false => {
                writeln!(out, "pruned {}: {} became free", self.pruned.len(), bytes(self.bytes))?;
                self.pruned.iter().try_for_each(|doomed| show(out, doomed))
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
