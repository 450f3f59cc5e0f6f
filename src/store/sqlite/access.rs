//! Opening the file: to read one moment of it, or to be the only one that writes.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::entry::is_group;
use super::find::{self, Depth, Found};
use super::settings::Wishes;
use super::stamp::Stamp;
use super::unstamped::Unstamped;
use super::{SqliteStore, back, exchange, identifiers, stamp};
use crate::error::{Error, Kind, Result};
use crate::platform::identity;
use crate::store::sql::{self, Doing};
use crate::store::{BackupChoice, Collection, VectorStore};

/// Page cache of a connection that rewrites, in KiB: what does not fit is written before its time.
const CACHE: i64 = 256 << 10;

impl SqliteStore {
    /// See [`read`].
    pub(super) fn read(&self) -> Result<Connection> {
        read(&self.database)
    }

    /// Further connections that see what this one sees: see [`More`](super::parts::More). With a write-ahead log they might see
    /// what was written meanwhile.
    pub(super) fn more(&self, first: &Connection) -> Result<Option<impl Fn() -> Result<Connection>>> {
        let more = || self.read();
        Ok((!is_wal(first)?).then_some(more))
    }

    /// How collections were read that this store took back.
    pub(super) fn said(&self) -> Vec<Wishes> {
        let taken_back = self.taken_back.lock().unwrap_or_else(PoisonError::into_inner);
        taken_back.values().map(|then| then.said.clone()).collect()
    }

    /// Every collection, counted.
    pub(super) fn counted(&self, connection: &Connection) -> Result<Vec<Found>> {
        let more = self.more(connection)?;
        let depth = Depth::Count(more.as_ref().map(|more| more as _));
        let mut all = find::all(connection, &self.wishes, &self.said(), depth)?;
        for found in all.iter_mut().filter(|found| found.stamp.is_none()) {
            found.stamp = self.noted(connection, found)?;
        }
        let mut mixed = self.mixed.lock().unwrap_or_else(PoisonError::into_inner);
        mixed.extend(all.iter().map(|found| (found.entry.id.clone(), found.entry.grouped)));
        drop(mixed);
        Ok(all)
    }

    /// The stamp that a rewrite has kept out of the file, if the vectors are still its.
    fn noted(&self, connection: &Connection, found: &Found) -> Result<Option<Stamp>> {
        for note in Unstamped::all(&self.state_folder())? {
            if note.is_of(&found.entry.id) && note.holds(connection)? {
                let stamp = note.stamp()?;
                return Ok((Some(stamp.space.dimension) == found.entry.dimension).then_some(stamp));
            }
        }
        Ok(None)
    }

    /// One collection by its id, uncounted: its vectors are known to have so many components.
    pub(super) fn formed(
        &self,
        connection: &Connection,
        id: &str,
        dimension: Option<usize>,
    ) -> Result<Found> {
        let all = find::all(connection, &self.wishes, &self.said(), Depth::Form)?;
        let Some(mut found) = all.into_iter().find(|found| found.entry.goes_by(id)) else {
            return Err(Error::new(Kind::NotFound, format!("no collection `{id}` (any more)")));
        };
        // One group of several is named by the dimension that it had first; its stamp knows the one that it has.
        let stamp = stamp::of(connection, id)?;
        let named = stamp.as_ref().filter(|_| is_group(id));
        let dimension = named.map(|stamp| stamp.space.dimension).or(dimension);
        let mixed = self.mixed.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied();
        found.entry.id = id.to_owned();
        // A virtual table says it itself.
        if found.entry.dimension.is_none() {
            found.entry.dimension = dimension;
            // Where it is not known whether there are others, only those that fit are taken.
            found.entry.grouped = dimension.is_some() && mixed.unwrap_or(true);
        }
        found.stamp = stamp.filter(|stamp| Some(stamp.space.dimension) == found.entry.dimension);
        Ok(found)
    }

    /// A connection inside a transaction that no other writer can enter. `attached`: with room for saved rows; `fires`:
    /// triggers see what it writes.
    pub(super) fn lock(&self, attached: bool, fires: bool) -> Result<Connection> {
        let connection = sql::open(&self.database, false)?;
        if connection.is_readonly("main").doing("look at the permissions")? {
            return Err(unwritable(&self.database));
        }
        // EXTRA also makes the end of the journal durable.
        connection.execute_batch("PRAGMA synchronous = EXTRA").doing("set up the tables")?;
        for_rewriting(&connection, fires)?;
        if attached {
            back::attach(&connection)?;
        }
        // With a write-ahead log readers go on with what was until the commit; else they have to wait, or the commit
        // would have to wait for them.
        let begin = if is_wal(&connection)? { "BEGIN IMMEDIATE" } else { "BEGIN EXCLUSIVE" };
        connection.execute_batch(begin).doing("lock the database")?;
        Ok(connection)
    }

    /// Refuses a file or a folder that cannot be written, as far as the system tells beforehand.
    pub(super) fn expect_writable(&self) -> Result<()> {
        match [self.database.clone(), self.base()].iter().find(|path| !identity::is_writable(path)) {
            Some(path) => Err(unwritable(path)),
            None => Ok(()),
        }
    }

    /// Whether a rewrite of `collection` is to be of a copy that takes the file's place. This process must hold no lock on it.
    pub(super) fn exchanges(&self, collection: &Collection, backup: BackupChoice) -> Result<bool> {
        let worth = match backup {
            BackupChoice::Rows => false,
            BackupChoice::Full => true,
            // The rest of the file is copied too.
            BackupChoice::Auto => 2 * collection.bytes >= self.bytes(),
        };
        Ok(worth && exchange::lease(&self.database)?.is_some())
    }

    /// Refuses a collection that cannot take vectors of `dimension` components.
    pub(super) fn expect_fit(&self, connection: &Connection, found: &Found, dimension: usize) -> Result<()> {
        let entry = &found.entry;
        identifiers::expect(connection, entry)?;
        let why = match self.wishes.no_stamp && entry.grouped {
            true => Some(
                "vectors of several dimensions in one column are told apart by the stamp: leave out --no-stamp".into(),
            ),
            false => found.holder.obstacle(connection, entry, dimension)?,
        };
        match why {
            None => Ok(()),
            Some(why) => Err(Error::new(
                Kind::Refused,
                format!("collection `{}` cannot take vectors of {dimension} components", entry.name),
            )
            .hint(why)),
        }
    }

    /// A readable collection inside a transaction.
    pub(super) fn readable(&self, collection: &Collection) -> Result<(Connection, Found)> {
        let connection = self.read()?;
        let found = self.formed(&connection, &collection.id, collection.dimension)?;
        match &found.entry.unsupported {
            Some(why) => {
                Err(Error::new(Kind::Unsupported, format!("collection `{}`: {why}", found.entry.name)))
            }
            None => Ok((connection, found)),
        }
    }

    /// Where backups are named from: the folder of the file.
    pub(super) fn base(&self) -> PathBuf {
        self.database.parent().map(PathBuf::from).unwrap_or_default()
    }
}

fn unwritable(path: &Path) -> Error {
    Error::new(Kind::CannotWrite, format!("`{}` cannot be written", path.display()))
        .hint("check the permissions of the file and its folder, and whether the medium is read-only")
}

/// A connection inside a read transaction: everything read through it is of one moment.
pub(super) fn read(database: &Path) -> Result<Connection> {
    let connection = sql::open(database, true)?;
    map(&connection)?;
    // The first look takes the lock.
    connection.execute_batch("BEGIN; SELECT 1 FROM sqlite_master LIMIT 1").doing("begin to read")?;
    Ok(connection)
}

fn for_rewriting(connection: &Connection, fires: bool) -> Result<()> {
    let doing = "set up the tables";
    connection.pragma_update(None, "cache_size", -CACHE).doing(doing)?;
    map(connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false).doing(doing)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, fires).doing(doing).map(drop)
}

/// Sets up a connection to a file that nobody else knows, and that is thrown away if it fails: no journal, no waiting for
/// the disk. `fires`: triggers see what it writes.
pub(super) fn alone(connection: &Connection, fires: bool) -> Result<()> {
    connection
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        .doing("set up the copy")?;
    for_rewriting(connection, fires)
}

/// Pages that nobody changes need not be copied. SQLite maps 2 GiB of a file at most.
fn map(connection: &Connection) -> Result<()> {
    connection.pragma_update(None, "mmap_size", i64::MAX).doing("map the file")
}

/// Whether the file has a write-ahead log.
pub(super) fn is_wal(connection: &Connection) -> Result<bool> {
    let mode: String = connection
        .query_row("PRAGMA main.journal_mode", [], |row| row.get(0))
        .doing("look at the journal")?;
    Ok(mode == "wal")
}
