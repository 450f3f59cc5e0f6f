//! Saving what the switch will change: rows into a database of their own, folders by name and hash.
//!
//! The old index files are not copied: they stay where they are, untouched, until the commit, and are then
//! renamed into the backup.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::catalog::Entry;
use super::release::Release;
use super::snapshot::Snapshot;
use super::sql::{self, Doing};
use super::stamp;
use super::traces::{ROWS, Traces};
use crate::error::{Error, Result};
use crate::platform::files;
use crate::store::{Backup, BackupFile};

/// Writes `<folder>/backup/rows.sqlite3` and describes it together with the index files.
pub(super) fn write(
    connection: &Connection,
    store: &Path,
    release: Release,
    snapshot: &Snapshot,
    traces: &Traces,
) -> Result<Backup> {
    let folder = traces.backup(store);
    files::create_folder(&folder)?;
    let rows = folder.join(ROWS);
    let unfinished = folder.join("rows.sqlite3.unfinished");
    remove_file(&unfinished)?;
    save_rows(connection, &unfinished, release, &snapshot.entry)?;
    std::fs::File::open(&unfinished)
        .and_then(|file| file.sync_all())
        .map_err(|e| Error::io("fsync", &unfinished, e))?;
    files::rename(&unfinished, &rows)?;
    let mut kept = vec![describe(&rows, relative(store, &rows))?];
    if snapshot.has_index() {
        for name in super::index::FILES {
            let path = Path::new(&traces.old_segment).join(name);
            kept.push(describe(&store.join(&path), path)?);
        }
    }
    Ok(Backup {
        scheme: super::SCHEME.into(),
        collection: traces.collection.clone(),
        count: snapshot.count,
        dimension: snapshot.dimension(),
        files: kept,
        details: traces.to_json(),
    })
}

/// `path` as the store sees it: relative if it lies below.
pub(super) fn relative(store: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(store).unwrap_or(path).to_path_buf()
}

fn describe(path: &Path, name: PathBuf) -> Result<BackupFile> {
    let (bytes, sha256) = files::sha256(path)?;
    Ok(BackupFile { path: name, bytes, sha256 })
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

fn save_rows(from: &Connection, path: &Path, release: Release, entry: &Entry) -> Result<()> {
    let doing = "save rows for the way back";
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let to = Connection::open_with_flags(path, flags).doing(doing)?;
    // The file counts only once it is complete, synced and renamed, so it needs no journal of its own.
    to.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536; BEGIN",
    )
    .doing(doing)?;
    let save = |table: &str, condition: &str, values: &[&str]| copy(from, &to, table, condition, values);
    save("collections", "id = ?1", &[&entry.id])?;
    save("segments", "id = ?1", &[&entry.vector])?;
    save("max_seq_id", "segment_id IN (?1, ?2)", &[&entry.vector, &entry.metadata])?;
    save("embeddings_queue", "topic = ?1 ORDER BY seq_id", &[&entry.topic])?;
    if sql::has_table(from, stamp::TABLE)? {
        save(stamp::TABLE, "collection_id = ?1", &[&entry.id])?;
    }
    save("embeddings", "+segment_id = ?1 ORDER BY id", &[&entry.metadata])?;
    to.execute_batch("CREATE UNIQUE INDEX embeddings_by_id ON embeddings (embedding_id)").doing(doing)?;
    let live = "EXISTS (SELECT 1 FROM embeddings e WHERE e.id = t.id AND e.segment_id = ?1)";
    save("embedding_metadata", &format!("{live} ORDER BY id, key"), &[&entry.metadata])?;
    to.execute_batch("CREATE INDEX metadata_by_id ON embedding_metadata (id)").doing(doing)?;
    if release.has_arrays() {
        save("embedding_metadata_array", &format!("{live} ORDER BY id, rowid"), &[&entry.metadata])?;
        to.execute_batch("CREATE INDEX arrays_by_id ON embedding_metadata_array (id)").doing(doing)?;
    }
    to.execute_batch("COMMIT").doing(doing)?;
    to.close().map_err(|(_, cause)| cause).doing(doing)
}

/// Copies rows of `table` (called `t` in `condition`) with their values as stored, types included.
fn copy(from: &Connection, to: &Connection, table: &str, condition: &str, values: &[&str]) -> Result<()> {
    let doing = "save rows for the way back";
    let mut select = from.prepare(&format!("SELECT t.* FROM {table} t WHERE {condition}")).doing(doing)?;
    let columns: Vec<String> = select.column_names().map(quoted).collect();
    to.execute_batch(&format!("CREATE TABLE {table} ({})", columns.join(", "))).doing(doing)?;
    let places = vec!["?"; columns.len()].join(", ");
    let mut insert = to.prepare(&format!("INSERT INTO {table} VALUES ({places})")).doing(doing)?;
    let mut rows = select.query(params_from_iter(values)).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let saved: Vec<Value> =
            (0..columns.len()).map(|i| row.get(i)).collect::<rusqlite::Result<_>>().doing(doing)?;
        insert.execute(params_from_iter(saved)).doing(doing)?;
    }
    Ok(())
}

/// A column's name as an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
