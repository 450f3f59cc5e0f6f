//! Opening the database: to read one moment of it, or to keep everybody else out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::catalog::{self, Entry};
use super::release::Release;
use super::snapshot::Snapshot;
use super::{ChromaStore, DATABASE, changes, stamp};
use crate::error::{Error, Kind, Result};
use crate::platform::holders;
use crate::store::sql::{self, Doing};
use crate::store::{Collection, VectorStore};

/// Longer than it takes to start a program, shorter than anybody notices.
const INSTANT: std::time::Duration = std::time::Duration::from_millis(200);
/// How often is looked again before somebody counts as a holder.
const LOOKS: usize = 5;

impl ChromaStore {
    pub(super) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    /// A connection inside a read transaction: everything read through it is of one moment.
    pub(super) fn read(&self) -> Result<(Connection, Release)> {
        let connection = sql::open(&self.database(), true)?;
        connection.execute_batch("BEGIN").doing("begin to read")?;
        let release = Release::read(&connection)?;
        Ok((connection, release))
    }

    /// A connection that keeps every other opener out, the database checked to be one that can be changed.
    pub(super) fn lock(&self, attached: bool) -> Result<(Connection, Release)> {
        self.refuse_holders()?;
        let connection = sql::open(&self.database(), false)?;
        if connection.is_readonly("main").doing("look at the permissions")? {
            return Err(Error::new(
                Kind::CannotWrite,
                format!("`{}` cannot be written", self.database().display()),
            )
            .hint("check the permissions of the folder and whether the medium is read-only"));
        }
        // EXTRA also makes the end of the journal durable. Without it a power cut after the commit could
        // bring the old rows back when their index files have already been moved.
        connection
            .execute_batch("PRAGMA synchronous = EXTRA; PRAGMA foreign_keys = OFF")
            .doing("set up the tables")?;
        // With a write-ahead log an exclusive transaction lets readers in, and a Chroma that reads now would
        // go on with what it read after the switch. In this mode the file is this connection's alone.
        let journal: String = connection
            .query_row("PRAGMA main.journal_mode", [], |row| row.get(0))
            .doing("look at the journal")?;
        if journal == "wal" {
            connection.execute_batch("PRAGMA main.locking_mode = EXCLUSIVE").doing("set up the tables")?;
        }
        if attached {
            changes::attach(&connection)?;
        }
        connection.execute_batch("BEGIN EXCLUSIVE").doing("lock the database")?;
        // Asked again under the lock: whoever opens now has to wait before it can read anything.
        if holders::KNOWS_ITSELF {
            self.refuse_holders()?;
        }
        let release = Release::read(&connection)?;
        Ok((connection, release))
    }

    pub(super) fn refuse_holders(&self) -> Result<()> {
        let mut holders = self.holders()?;
        for _ in 0..LOOKS {
            if holders.is_empty() {
                return Ok(());
            }
            // A program that is being started has all descriptors of the one that starts it for an instant, which
            // is a long one where the processors are busy.
            std::thread::sleep(INSTANT);
            let still = self.holders()?;
            holders.retain(|holder| still.contains(holder));
        }
        if holders.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Locked,
            format!("`{}` is held open by {}", self.folder.display(), holders.join(", ")),
        )
        .hint(holders::HOW_TO_STOP)
        .hint(holders::SIGHT))
    }

    /// `texts`: how many records have one, if that is known.
    pub(super) fn describe_collection(
        &self,
        connection: &Connection,
        entry: Entry,
        texts: Option<u64>,
    ) -> Result<Collection> {
        let doing = "count the records";
        let count = |sql: &str| -> Result<u64> {
            let n: i64 = connection
                .prepare_cached(sql)
                .doing(doing)?
                .query_row([&entry.metadata], |row| row.get(0))
                .doing(doing)?;
            Ok(n.unsigned_abs())
        };
        let records = count("SELECT count(*) FROM embeddings WHERE segment_id = ?1")?;
        // The index of the primary key answers this alone; a document is always a text.
        let with_text = "SELECT count(*) FROM embeddings e JOIN embedding_metadata m \
                         ON m.id = e.id AND m.key = 'chroma:document' WHERE e.segment_id = ?1";
        let texts = texts.map_or_else(|| count(with_text), Ok)?;
        let stamp = stamp::read(connection, &entry.id)?
            .filter(|stamp| stamp.segment == entry.vector && Some(stamp.space.dimension) == entry.dimension);
        let (stamped, migration) = stamp.map(|stamp| (stamp.space, stamp.migration)).unzip();
        Ok(Collection {
            count: records,
            dimension: entry.dimension,
            metric: entry.settings.metric,
            texts,
            stamped,
            migration,
            configured_model: entry.function.model(),
            embedding_function: entry.function.name().to_owned(),
            bytes: folder_bytes(&self.folder.join(&entry.vector)) + entry.queue_bytes,
            layout: None,
            rounded_to: None,
            unsupported: entry.unsupported,
            id: entry.id,
            name: entry.name,
            namespace: entry.namespace,
        })
    }

    pub(super) fn snapshot(
        &self,
        connection: &Connection,
        release: Release,
        collection: &Collection,
    ) -> Result<Arc<Snapshot>> {
        let entry = catalog::find(connection, release, &collection.id)?;
        if let Some(why) = entry.unsupported.as_ref().filter(|_| release.unsupported().is_none()) {
            return Err(unsupported(&entry.name, why));
        }
        self.see(connection, entry)
    }
}

pub(super) fn unsupported(name: &str, why: &str) -> Error {
    Error::new(Kind::Unsupported, format!("collection `{name}`: {why}"))
}

/// Bytes of the files of a folder; 0 if it is not there.
pub(super) fn folder_bytes(folder: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(folder) else { return 0 };
    files.flatten().filter_map(|file| file.metadata().ok()).filter(|m| m.is_file()).map(|m| m.len()).sum()
}
