//! Giving up backups: planned, shown, then carried out. Nothing is pruned unasked.
//!
//! A backup is given up in the journal before its first file goes, and what is left of a migration that
//! was rolled back is renamed before it is removed: at no moment does half of a backup look whole, and
//! [`recovery`] ends a removal that was cut short.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::platform::{files, lock};
use crate::store::VectorStore;

use super::backups::{Backups, Kept};
use super::journal::{Journal, State};
use super::leftover::LeftTexts;
use super::recovery;

/// Which backups are to go.
#[derive(Clone, Debug)]
pub enum Which {
    /// All of them; of all collections also the texts that stopped runs embedded.
    All,
    /// All but the latest `n` of each collection.
    AllButLatest(usize),
    /// That of one migration.
    Migration(String),
}

/// What the user asks for.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// Of this collection alone, by name or id.
    pub collection: Option<String>,
    /// Namespace, where the name alone is not unique.
    pub namespace: Option<String>,
    /// Which.
    pub which: Which,
}

/// What will be removed.
#[derive(Clone, Debug, Serialize)]
pub struct PrunePlan {
    /// Where the store lies.
    pub store: PathBuf,
    /// What goes, oldest first.
    pub prunes: Vec<Doomed>,
    /// Migrations whose backups stay.
    pub keeps: Vec<String>,
    /// Embedded texts that go; the next run would embed them again.
    pub embedded: Vec<LeftTexts>,
    /// Bytes that become free.
    pub bytes: u64,
    /// Unfinished migrations whose remains will be removed first.
    pub sweeps: Vec<String>,
    /// What the user should know before saying yes.
    pub warnings: Vec<String>,
}

/// What goes of one migration.
#[derive(Clone, Debug, Serialize)]
pub struct Doomed {
    /// Identifier of the migration.
    pub migration: String,
    /// The collection's name.
    pub collection: String,
    /// Its last state; all that is left of a migration that was rolled back goes, else its backup alone.
    pub state: State,
    /// Whether it is the way back of its collection now.
    pub is_way_back: bool,
    /// Bytes that become free.
    pub bytes: u64,
}

/// What was removed.
#[derive(Clone, Debug, Serialize)]
pub struct PruneReport {
    /// Where the store lies.
    pub store: PathBuf,
    /// What went.
    pub pruned: Vec<Doomed>,
    /// Embedded texts that went.
    pub embedded: Vec<LeftTexts>,
    /// Bytes that became free.
    pub bytes: u64,
    /// Unfinished migrations whose remains were removed first.
    pub swept: Vec<String>,
}

impl PrunePlan {
    /// Computes what would be removed. Changes nothing.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the store has no such collection or migration.
    pub fn new(store: &dyn VectorStore, options: &PruneOptions) -> Result<PrunePlan> {
        let kept = Backups::of(store, options.collection.as_deref(), options.namespace.as_deref())?;
        let (sweeps, finished): (Vec<Kept>, Vec<Kept>) =
            kept.migrations.into_iter().partition(|m| m.state < State::Committed && !m.is_current);
        if let Which::Migration(wanted) = &options.which
            && !finished.iter().chain(&sweeps).any(|m| m.migration == *wanted)
        {
            return Err(Error::new(Kind::NotFound, format!("nothing is kept of a migration `{wanted}`"))
                .hint("`embedport backups list` shows what is kept"));
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut plan = PrunePlan {
            store: kept.store,
            prunes: Vec::new(),
            keeps: Vec::new(),
            embedded: Vec::new(),
            bytes: 0,
            sweeps: sweeps.into_iter().map(|m| m.migration).collect(),
            warnings: Vec::new(),
        };
        for m in finished.into_iter().rev() {
            let rolled_back = m.state == State::RolledBack;
            if !rolled_back && !m.has_backup && m.backup_bytes == 0 {
                continue;
            }
            let goes = match &options.which {
                Which::All => true,
                Which::Migration(wanted) => m.migration == *wanted,
                Which::AllButLatest(_) if rolled_back => true,
                Which::AllButLatest(n) => {
                    let seen = seen.entry(m.collection_id.clone()).or_default();
                    *seen += 1;
                    *seen > *n
                }
            };
            match goes {
                true => plan.add(&m),
                false => plan.keeps.push(m.migration),
            }
        }
        plan.prunes.reverse();
        plan.keeps.reverse();
        // They were paid for, and are nobody's backup: only who means everything means them.
        if matches!(options.which, Which::All) && options.collection.is_none() {
            plan.bytes += kept.embedded.iter().map(|left| left.bytes).sum::<u64>();
            plan.embedded = kept.embedded;
        }
        Ok(plan)
    }

    /// Whether nothing would be removed.
    pub fn is_empty(&self) -> bool {
        self.prunes.is_empty() && self.embedded.is_empty()
    }

    fn add(&mut self, m: &Kept) {
        let bytes = if m.state == State::RolledBack { m.bytes } else { m.backup_bytes };
        if m.is_way_back {
            self.warnings.push(format!("`{}` will have no way back to {}", m.collection, m.source));
        }
        self.bytes += bytes;
        self.prunes.push(Doomed {
            migration: m.migration.clone(),
            collection: m.collection.clone(),
            state: m.state,
            is_way_back: m.is_way_back,
            bytes,
        });
    }
}

/// Carries out `plan`.
///
/// # Errors
/// [`Kind::Locked`] if another embedport is at work, [`Kind::Refused`] if a migration changed since the plan
/// was made, [`Kind::CannotWrite`]. What was begun is ended by the next run.
pub fn prune(plan: PrunePlan, store: &mut dyn VectorStore, context: &Context<'_>) -> Result<PruneReport> {
    let state_folder = store.state_folder();
    let mut report = PruneReport {
        store: plan.store,
        pruned: Vec::new(),
        embedded: Vec::new(),
        bytes: 0,
        swept: Vec::new(),
    };
    if !state_folder.is_dir() {
        return Ok(report);
    }
    let _lock = lock::acquire(&state_folder.join("lock"), "backups prune")?;
    report.swept = recovery::run(store, context)?;
    for doomed in plan.prunes {
        context.check()?;
        let folder = state_folder.join(&doomed.migration);
        // Recovery may have ended the removal already.
        if folder.exists() {
            let mut journal = Journal::load(&folder)?;
            if (journal.state() == State::RolledBack) != (doomed.state == State::RolledBack) {
                let changed = format!("migration {} changed since the plan was made", doomed.migration);
                return Err(Error::new(Kind::Refused, changed).hint(
                    "its backup was not touched; run the same command again for a plan of what is there now",
                ));
            }
            match journal.state() {
                State::RolledBack => files::remove_whole_folder(&folder)?,
                _ => journal.give_up_backup(context.timestamp(), &folder)?,
            }
        }
        report.bytes += doomed.bytes;
        report.pruned.push(doomed);
    }
    for left in plan.embedded {
        context.check()?;
        if left.remove()? {
            report.bytes += left.bytes;
            report.embedded.push(left);
        }
    }
    Ok(report)
}
