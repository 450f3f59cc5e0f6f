//! What was read of a collection, used again as long as nobody writes to its files.

use std::sync::{Arc, PoisonError};

use rusqlite::Connection;

use super::catalog::Entry;
use super::snapshot::Snapshot;
use super::{ChromaStore, index};
use crate::error::Result;
use crate::platform::identity;
use crate::store::sql;

/// A snapshot and the files that it was read from.
pub(super) struct Seen {
    state: State,
    snapshot: Arc<Snapshot>,
}

/// Of the database and of each file of the index.
type State = Vec<Option<identity::State>>;

impl ChromaStore {
    /// The collection `entry` as the connection's transaction sees it.
    pub(super) fn see(&self, connection: &Connection, entry: Entry) -> Result<Arc<Snapshot>> {
        // Taken before anything is read: a write in between shows as a difference later.
        let state = self.state(&entry);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |seen: &&Seen| seen.snapshot.entry.id == entry.id && Some(&seen.state) == state.as_ref();
        if let Some(seen) = seen.as_ref().filter(same) {
            return Ok(seen.snapshot.clone());
        }
        // One at a time is kept in memory.
        *seen = None;
        let snapshot = Arc::new(Snapshot::open(connection, &self.folder, entry)?);
        let state = state.filter(|_| snapshot.count >= identity::MANY);
        *seen = state.map(|state| Seen { state, snapshot: snapshot.clone() });
        Ok(snapshot)
    }

    /// Keeps nothing in memory any longer.
    pub(super) fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// `None` if it does not tell who wrote: with a write-ahead log others can write while this is looked at.
    fn state(&self, entry: &Entry) -> Option<State> {
        let database = self.database();
        if sql::beside(&database, "-wal").exists() {
            return None;
        }
        let segment = self.folder.join(&entry.vector);
        let files = index::FILES.iter().map(|name| segment.join(name));
        let state = |path| std::fs::metadata(path).ok().as_ref().map(identity::state);
        Some(std::iter::once(database).chain(files).map(state).collect())
    }
}
