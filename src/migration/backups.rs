//! What a store keeps of its migrations: journals, backups, and whether they are a way back.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::space::Space;
use crate::store::{Backup, StoreDescription, VectorStore, find_collection};

use super::journal::{Journal, State};
use super::leftover::{self, LeftTexts};

/// Everything that embedport keeps for a store.
#[derive(Clone, Debug, Serialize)]
pub struct Backups {
    /// Where the store lies.
    pub store: PathBuf,
    /// Its migrations, oldest first.
    pub migrations: Vec<Kept>,
    /// Texts that a stopped run embedded, for the next.
    pub embedded: Vec<LeftTexts>,
    /// Bytes of all of it on disk.
    pub bytes: u64,
}

/// What is kept of one migration.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// Identifier of the migration.
    pub migration: String,
    /// The collection's name when it was migrated.
    pub collection: String,
    /// The collection's own identifier.
    pub collection_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Space before.
    pub source: Space,
    /// Space after.
    pub target: Space,
    /// The last state reached.
    pub state: State,
    /// When it was begun, RFC 3339, UTC.
    pub begun: String,
    /// When the last state was reached, RFC 3339, UTC.
    pub reached: String,
    /// Whether the collection holds what this migration made.
    pub is_current: bool,
    /// Whether `rollback` would go back through it now (sizes are looked at, contents are not).
    pub is_way_back: bool,
    /// Why it is none, if it is none.
    pub reason: Option<String>,
    /// Bytes of its backup on disk; 0 without one.
    pub backup_bytes: u64,
    /// Bytes of all its files on disk.
    pub bytes: u64,
    /// All its files.
    pub files: Vec<KeptFile>,
    /// Whether there is a backup, complete or not.
    #[serde(skip)]
    pub has_backup: bool,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct KeptFile {
    /// Relative to the migration's folder.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
}

impl Backups {
    /// What is kept, of all collections or of one. Changes nothing.
    ///
    /// # Errors
    /// [`Kind::Damaged`](crate::error::Kind::Damaged) if a journal is; whatever the store says.
    pub fn of(store: &dyn VectorStore, collection: Option<&str>, namespace: Option<&str>) -> Result<Backups> {
        let description = store.describe()?;
        let journals = Journal::load_all(&store.state_folder())?;
        let id = collection.map(|name| id_of(&description, &journals, name, namespace)).transpose()?;
        let mut migrations = Vec::new();
        for (folder, journal) in journals {
            if id.as_ref().is_none_or(|id| *id == journal.plan.collection_id) {
                migrations.push(kept(store, &folder, journal)?);
            }
        }
        let stands: HashSet<String> =
            migrations.iter().filter(|m| m.is_current).map(|m| m.collection_id.clone()).collect();
        for kept in migrations.iter_mut().filter(|m| m.reason.as_deref() == Some(REPLACED)) {
            if !stands.contains(&kept.collection_id) {
                kept.reason = Some(GONE.to_owned());
            }
        }
        let mut embedded = leftover::all(&store.state_folder(), &description)?;
        if let Some(id) = &id {
            embedded.retain(|left| left.is_of(id));
        }
        let bytes = migrations.iter().map(|m| m.bytes).chain(embedded.iter().map(|left| left.bytes)).sum();
        Ok(Backups { store: description.path, migrations, embedded, bytes })
    }
}

/// Why a migration is no way back that another one followed.
const REPLACED: &str = "the collection holds something else now: what came later has to be rolled back first";
/// Why one is none that nothing followed. Its backup may be all that is left.
const GONE: &str = "the store no longer shows it: the collection, its stamp or the whole store was replaced or removed; the \
                    files of before are below";

/// The id of a collection that is there, or that was and has left something here. A migration may have changed its name.
///
/// # Errors
/// [`Kind::NotFound`](crate::error::Kind::NotFound)
pub(super) fn id_of(
    description: &StoreDescription,
    journals: &[(PathBuf, Journal)],
    name: &str,
    namespace: Option<&str>,
) -> Result<String> {
    match find_collection(description, name, namespace) {
        Ok(found) => Ok(found.id.clone()),
        Err(e) if e.is_not_found() => {
            let gone = journals.iter().map(|(_, j)| &j.plan).find(|p| {
                (p.collection == name || p.collection_id == name)
                    && namespace.is_none_or(|n| p.namespace.ends_with(n))
            });
            gone.map(|p| p.collection_id.clone()).ok_or(e)
        }
        Err(e) => Err(e),
    }
}

fn kept(store: &dyn VectorStore, folder: &Path, journal: Journal) -> Result<Kept> {
    let mut files = Vec::new();
    list(folder, folder, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let is_current = store.is_current(&journal.plan.collection_id, &journal.migration)?;
    let reason = match &journal.backup {
        _ if journal.state() == State::RolledBack => Some("it was rolled back".to_owned()),
        _ if journal.state() < State::Committed && !is_current => {
            Some("it was never finished; the next migration or rollback removes its remains".to_owned())
        }
        None if journal.pruned.is_some() && journal.plan.keeps_backup => {
            Some("its backup was pruned".to_owned())
        }
        None => Some("it was made without a backup".to_owned()),
        _ if !is_current => Some(REPLACED.to_owned()),
        Some(backup) => incomplete(store, backup)?,
    };
    let sum = |files: &[KeptFile], within: Option<&str>| {
        files.iter().filter(|f| within.is_none_or(|w| f.path.starts_with(w))).map(|f| f.bytes).sum()
    };
    Ok(Kept {
        is_current,
        is_way_back: reason.is_none(),
        reason,
        backup_bytes: sum(&files, Some(super::BACKUP)),
        bytes: sum(&files, None),
        files,
        has_backup: journal.backup.is_some(),
        state: journal.state(),
        begun: journal.history.first().map(|e| e.at.clone()).unwrap_or_default(),
        reached: journal.at().to_owned(),
        migration: journal.migration,
        collection: journal.plan.collection,
        collection_id: journal.plan.collection_id,
        namespace: journal.plan.namespace,
        source: journal.plan.source,
        target: journal.plan.target,
    })
}

/// Why nothing can be restored from a backup, by names and sizes alone.
fn incomplete(store: &dyn VectorStore, backup: &Backup) -> Result<Option<String>> {
    let missing = store.missing_from(backup)?;
    Ok(missing.first().map(|first| {
        format!(
            "{} of the {} files of its backup are missing or changed, such as `{}`",
            missing.len(),
            backup.files.len(),
            first.display()
        )
    }))
}

/// Every file below `folder`; links are counted, not followed.
fn list(top: &Path, folder: &Path, found: &mut Vec<KeptFile>) -> Result<()> {
    let failed = |cause| Error::io("list", folder, cause);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, metadata) = (entry.path(), entry.metadata().map_err(failed)?);
        if metadata.is_dir() {
            list(top, &path, found)?;
        } else {
            let path = path.strip_prefix(top).unwrap_or(&path).to_path_buf();
            found.push(KeptFile { path, bytes: metadata.len() });
        }
    }
    Ok(())
}
