//! After a crash: bringing journals and store into step again.

use std::path::Path;

use crate::context::Context;
use crate::error::Result;
use crate::platform::{files, lock};
use crate::store::VectorStore;

use super::BACKUP;
use super::journal::{self, Journal, Recovery, State};
use super::leftover;

/// What is to be done about one journal, given what the store shows.
pub fn of(store: &dyn VectorStore, journal: &Journal) -> Result<Recovery> {
    let is_current = store.is_current(&journal.plan.collection_id, &journal.migration)?;
    Ok(journal::recovery(journal.state(), journal.taking_back.is_some(), is_current))
}

/// Whether an embedport is at work on the store now.
pub fn is_running(store: &dyn VectorStore) -> bool {
    lock::is_held(&store.state_folder().join("lock"))
}

/// As [`run`], for a caller that does not hold the lock and embeds nothing; what a re-embedding had no time to remove behind
/// its commit goes as well. Does nothing where embedport never was.
///
/// # Errors
/// [`Kind::Locked`](crate::error::Kind::Locked) if another embedport is at work.
pub fn finish(store: &mut dyn VectorStore, context: &Context<'_>) -> Result<Vec<String>> {
    let state_folder = store.state_folder();
    if !state_folder.is_dir() {
        return Ok(Vec::new());
    }
    let _lock = lock::acquire(&state_folder.join("lock"), "recovery")?;
    let swept = run(store, context)?;
    for (folder, journal) in Journal::load_all(&state_folder)? {
        // Texts of a migration that was followed by another are embedded for a purpose.
        if store.is_current(&journal.plan.collection_id, &journal.migration)? {
            leftover::forget(&state_folder, &folder, &journal.plan);
        }
    }
    Ok(swept)
}

/// Brings every journal of the store into step: removes what never became visible, notes commits
/// and rollbacks that died before they could be noted, ends removals that were begun. Returns the
/// migrations that were swept.
///
/// The caller holds the store's lock. Safe to repeat.
pub fn run(store: &mut dyn VectorStore, context: &Context<'_>) -> Result<Vec<String>> {
    let state_folder = store.state_folder();
    let mut swept = Vec::new();
    store.tidy()?;
    // The newest first: the index files of an earlier migration are the backup of a later one, and have to
    // be in its folder before the earlier one's remains are looked for.
    for (folder, mut journal) in Journal::load_all(&state_folder)?.into_iter().rev() {
        files::remove_temporaries(&folder)?;
        match of(store, &journal)? {
            Recovery::Sweep => {
                sweep(store, &folder, &journal)?;
                swept.push(journal.migration);
                continue;
            }
            Recovery::RecordCommit => {
                store.sweep(&journal.migration, &journal.sweep)?;
                journal.reach(State::Committed, context.timestamp(), &folder)?;
            }
            Recovery::RecordRollback => {
                store.sweep(&journal.migration, &journal.sweep)?;
                journal.reach(State::RolledBack, context.timestamp(), &folder)?;
            }
            Recovery::ForgetRollback => {
                store.sweep(&journal.migration, &journal.sweep)?;
                journal.take_back(None, &folder)?;
            }
            // The tidying after a commit may have failed.
            Recovery::Nothing if journal.state() == State::Committed => {
                store.sweep(&journal.migration, &journal.sweep)?;
            }
            Recovery::Nothing => {}
        }
        if journal.state() == State::Committed && !journal.plan.keeps_backup && journal.backup.is_some() {
            journal.give_up_backup(context.timestamp(), &folder)?;
        }
        if journal.backup.is_none() {
            files::remove_folder(&folder.join(BACKUP))?;
        }
    }
    remove_unborn_and_doomed(&state_folder)?;
    swept.reverse();
    Ok(swept)
}

/// Removes what an unfinished migration left, its folder last and at once.
pub fn sweep(store: &mut dyn VectorStore, folder: &Path, journal: &Journal) -> Result<()> {
    // Nothing is noted before the rewrite has begun.
    if !journal.sweep.is_null() {
        store.sweep(&journal.migration, &journal.sweep)?;
    }
    files::remove_whole_folder(folder)
}

/// Removes migration folders that died before their first journal, and those that were being removed.
fn remove_unborn_and_doomed(state_folder: &Path) -> Result<()> {
    files::remove_temporaries(state_folder)?;
    let Ok(entries) = std::fs::read_dir(state_folder) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let unborn = super::is_migration_folder(&path) && !path.join("journal.json").exists()
            // The journal comes before the backup: a backup without one has lost it and is all there is.
            && !path.join(BACKUP).exists();
        let doomed = files::is_doomed(&path) && super::is_migration_folder(&path.with_extension(""));
        if unborn || doomed {
            files::remove_folder(&path)?;
        }
    }
    Ok(())
}
