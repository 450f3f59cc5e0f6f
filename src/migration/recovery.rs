//! After a crash: bringing journals and store into step again.

use std::path::Path;

use crate::context::Context;
use crate::error::Result;
use crate::platform::files;
use crate::store::VectorStore;

use super::journal::{self, Journal, Recovery, State};

/// What is to be done about one journal, given what the store shows.
pub fn of(store: &dyn VectorStore, journal: &Journal) -> Result<Recovery> {
    let is_current = store.is_current(&journal.plan.collection_id, &journal.migration)?;
    Ok(journal::recovery(journal.state(), is_current))
}

/// Brings every journal of the store into step: removes what never became visible, notes commits
/// and rollbacks that died before they could be noted. Returns the migrations that were swept.
///
/// The caller holds the store's lock. Safe to repeat.
pub fn run(store: &mut dyn VectorStore, context: &Context<'_>) -> Result<Vec<String>> {
    let mut swept = Vec::new();
    let journals = Journal::load_all(&store.state_folder())?;
    let latest_commit = |collection: &str| {
        journals
            .iter()
            .rev()
            .find(|(_, j)| j.plan.collection_id == collection && j.state() == State::Committed)
            .map(|(_, j)| j.migration.clone())
    };
    for (folder, journal) in &journals {
        match of(store, journal)? {
            Recovery::Nothing => {}
            Recovery::Sweep => {
                sweep(store, folder, journal)?;
                swept.push(journal.migration.clone());
            }
            Recovery::RecordCommit => {
                journal.clone().reach(State::Committed, context.timestamp(), folder)?;
            }
            Recovery::RecordRollback => {
                // An earlier commit that a later one replaced is still the way back of that one.
                if latest_commit(&journal.plan.collection_id).as_deref() == Some(&journal.migration) {
                    journal.clone().reach(State::RolledBack, context.timestamp(), folder)?;
                }
            }
        }
    }
    remove_unborn(&store.state_folder())?;
    Ok(swept)
}

/// Removes what an unfinished migration left, its folder last.
pub fn sweep(store: &mut dyn VectorStore, folder: &Path, journal: &Journal) -> Result<()> {
    store.sweep(&journal.migration, &journal.sweep)?;
    files::remove_folder(folder)
}

/// Removes migration folders that died before their first journal.
fn remove_unborn(state_folder: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(state_folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && super::is_migration_folder(&path) && !path.join("journal.json").exists()
            // The journal comes before the backup: a backup without one has lost it and is all there is.
            && !path.join("backup").exists()
        {
            files::remove_folder(&path)?;
        }
    }
    Ok(())
}
