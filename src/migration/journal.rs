//! What happened to a migration, durably: the only memory that survives a crash.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::store::Backup;

use super::BACKUP;
use super::indexing::IndexReport;
use super::plan::MigrationPlan;
use super::verification::VerificationReport;

/// Its name in a migration's own folder.
pub(super) const FILE: &str = "journal.json";
const FORMAT: u32 = 1;

/// How far a migration came. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The plan was accepted; the store is untouched.
    Planned,
    /// What a rollback needs is saved.
    BackedUp,
    /// New vectors are complete and invisible; the commit makes them durable first.
    Rewritten,
    /// The invisible result passed its checks.
    Verified,
    /// The new vectors are visible.
    Committed,
    /// The collection is as it was before the migration.
    RolledBack,
}

/// One line of the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The state that was reached.
    pub state: State,
    /// When, RFC 3339, UTC.
    pub at: String,
}

/// The journal of one migration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Journal {
    /// Format of this file.
    pub format: u32,
    /// Identifier of the migration.
    pub migration: String,
    /// What was to be done.
    pub plan: MigrationPlan,
    /// States reached, oldest first.
    pub history: Vec<Entry>,
    /// What the store needs to remove the remains of an unfinished rewrite.
    pub sweep: serde_json::Value,
    /// What was kept for the way back. `None` before it is complete and from the moment on at which it is
    /// to be removed: what lies in the folder then is no backup any more.
    pub backup: Option<Backup>,
    /// When the backup was given up, RFC 3339, UTC.
    #[serde(default)]
    pub pruned: Option<String>,
    /// When a rollback was begun that did not end yet, RFC 3339, UTC: noted before the store is touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taking_back: Option<String>,
    /// Digest of ids, texts and metadata before the rewrite.
    pub content_digest: Option<String>,
    /// Fingerprint of ids and source vectors before the rewrite, see [`Fingerprint`](super::fingerprint::Fingerprint).
    pub source_fingerprint: Option<String>,
    /// What became of the index.
    #[serde(default)]
    pub index: Option<IndexReport>,
    /// The checks of the result.
    pub verification: Option<VerificationReport>,
}

/// What is to be done with a journal that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Finished: leave it alone.
    Nothing,
    /// The rewrite never became visible: remove its remains.
    Sweep,
    /// The rewrite is visible and the journal does not know it yet: write that down.
    RecordCommit,
    /// The way back is visible and the journal does not know it yet: write that down.
    RecordRollback,
    /// A rollback was begun and did nothing: write that down.
    ForgetRollback,
}

/// Decides from what the journal says and what the store shows. Pure.
pub fn recovery(state: State, taking_back: bool, is_current: bool) -> Recovery {
    match (state, is_current) {
        (State::RolledBack, _) => Recovery::Nothing,
        (State::Committed, true) if taking_back => Recovery::ForgetRollback,
        (State::Committed, true) => Recovery::Nothing,
        // A rollback died after its commit.
        (State::Committed, false) if taking_back => Recovery::RecordRollback,
        // A later migration took its place; or collection, stamp or file are gone, and the backup is all there is.
        (State::Committed, false) => Recovery::Nothing,
        (_, true) => Recovery::RecordCommit,
        (_, false) => Recovery::Sweep,
    }
}

/// A journal, and the folder of its migration.
pub type InFolder = (PathBuf, Journal);

impl Journal {
    /// A journal in state `planned`, not yet on disk.
    pub fn new(plan: MigrationPlan, at: String) -> Self {
        Journal {
            format: FORMAT,
            migration: plan.migration.clone(),
            plan,
            history: vec![Entry { state: State::Planned, at }],
            sweep: serde_json::Value::Null,
            backup: None,
            pruned: None,
            taking_back: None,
            content_digest: None,
            source_fingerprint: None,
            index: None,
            verification: None,
        }
    }

    /// The last state reached.
    pub fn state(&self) -> State {
        self.history.last().map_or(State::Planned, |e| e.state)
    }

    /// When the last state was reached.
    pub fn at(&self) -> &str {
        self.history.last().map_or("", |e| e.at.as_str())
    }

    /// Notes a state and makes it durable in `folder`.
    pub fn reach(&mut self, state: State, at: String, folder: &Path) -> Result<()> {
        self.history.push(Entry { state, at });
        self.taking_back = None;
        self.save(folder)
    }

    /// Notes that a rollback is begun, or (`None`) that it did nothing, durably in `folder`.
    pub fn take_back(&mut self, since: Option<String>, folder: &Path) -> Result<()> {
        self.taking_back = since;
        self.save(folder)
    }

    /// Gives up the backup of the migration in `folder`: in the journal before its first file goes.
    pub fn give_up_backup(&mut self, at: String, folder: &Path) -> Result<()> {
        if self.backup.take().is_some() {
            self.pruned = Some(at);
            self.save(folder)?;
        }
        files::remove_folder(&folder.join(BACKUP))
    }

    /// Makes the journal durable in `folder`.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot serialise the journal").because(e))?;
        files::write(&folder.join(FILE), &bytes)
    }

    /// Reads the journal of `folder`.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if it is none, [`Kind::Unsupported`] if a newer embedport wrote it.
    pub fn load(folder: &Path) -> Result<Journal> {
        let path = folder.join(FILE);
        let bytes = files::read_at_most(&path, 64 << 20)?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| damaged(&path, e))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(f) if f == u64::from(FORMAT) => {}
            Some(f) => {
                return Err(Error::new(
                    Kind::Unsupported,
                    format!("journal `{}` has format {f}, wanted {FORMAT}", path.display()),
                )
                .hint("use the embedport release that wrote it, or a newer one"));
            }
            None => return Err(damaged(&path, "no format number")),
        }
        serde_json::from_value(value).map_err(|e| damaged(&path, e))
    }

    /// All journals of a store, oldest first. A folder whose migration died before its first
    /// journal has none and is not listed; nor is one that is being removed.
    ///
    /// # Errors
    /// As [`Journal::load`], for any of them: who writes has to know all.
    pub fn load_all(state_folder: &Path) -> Result<Vec<InFolder>> {
        let (found, mut broken) = Journal::load_readable(state_folder)?;
        broken.pop().map_or(Ok(found), Err)
    }

    /// As [`Journal::load_all`], for who only looks; with what is the matter with the others.
    pub fn load_readable(state_folder: &Path) -> Result<(Vec<InFolder>, Vec<Error>)> {
        let (mut found, mut broken) = (Vec::new(), Vec::new());
        let entries = match std::fs::read_dir(state_folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((found, broken)),
            Err(e) => return Err(Error::io("list", state_folder, e)),
        };
        for entry in entries {
            let folder = entry.map_err(|e| Error::io("list", state_folder, e))?.path();
            if !files::is_doomed(&folder) && folder.join(FILE).is_file() {
                match Journal::load(&folder) {
                    Ok(journal) => found.push((folder, journal)),
                    Err(error) => broken.push(error),
                }
            }
        }
        found.sort_by(|(_, a), (_, b)| {
            let key = |j: &Journal| j.history.first().map(|e| e.at.clone());
            key(a).cmp(&key(b)).then_with(|| a.migration.cmp(&b.migration))
        });
        Ok((found, broken))
    }
}

fn damaged(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Damaged, format!("`{}` is no journal of embedport", path.display()))
        .because(cause)
        .hint("restore the file, or move its folder away if the migration is not to be rolled back")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_follows_what_the_store_shows() {
        for state in [State::Planned, State::BackedUp, State::Rewritten, State::Verified] {
            assert_eq!(recovery(state, false, false), Recovery::Sweep);
            assert_eq!(recovery(state, false, true), Recovery::RecordCommit);
        }
        assert_eq!(recovery(State::Committed, false, true), Recovery::Nothing);
        assert_eq!(recovery(State::Committed, true, true), Recovery::ForgetRollback);
        assert_eq!(recovery(State::Committed, true, false), Recovery::RecordRollback);
        assert_eq!(recovery(State::Committed, false, false), Recovery::Nothing, "nobody took it back");
        assert_eq!(recovery(State::RolledBack, false, false), Recovery::Nothing);
    }

    #[test]
    fn states_are_ordered_as_they_happen() {
        assert!(State::Planned < State::BackedUp && State::Verified < State::Committed);
    }
}
