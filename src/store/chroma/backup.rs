//! Saving what the switch will change: rows in a flat file, folders by name and hash.
//!
//! The old index files are not copied: they stay where they are, untouched, until the commit, and are then
//! renamed into the backup.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params_from_iter};

use super::digest::Digester;
use super::release::Release;
use super::snapshot::Snapshot;
use super::stamp;
use super::traces::{ROWS, Traces};
use crate::error::Result;
use crate::platform::files;
use crate::store::backup::relative;
use crate::store::sql::rows_file::Writer;
use crate::store::sql::{self, Doing, whole};
use crate::store::{Backup, BackupFile, Saved};

/// Writes the rows into `<folder>/backup/` and describes them together with the index files. `look` sees id and text
/// of every record that has one. `full`: besides, a whole copy of the database, whose files come with the description:
/// they have to stay open as long as its lock is held.
pub(super) fn write(
    connection: &Connection,
    store: &Path,
    release: Release,
    snapshot: &Snapshot,
    traces: &Traces,
    full: bool,
    look: &mut dyn FnMut(&str, &str),
) -> Result<(Saved, Vec<File>)> {
    let folder = traces.backup(store);
    files::create_folder(&folder)?;
    let index: Vec<PathBuf> = match snapshot.index() {
        Some(_) => super::index::FILES.iter().map(|name| Path::new(&traces.old_segment).join(name)).collect(),
        None => Vec::new(),
    };
    let rows = folder.join(ROWS);
    // Hashing the index files keeps one processor busy, the tables another.
    let (hashed, saved) = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| {
            index.into_iter().map(|path| BackupFile::of(&store.join(&path), path)).collect::<Result<Vec<_>>>()
        });
        let saved = save_rows(connection, &rows, release, snapshot, look);
        (hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), saved)
    });
    let (content, written) = saved?;
    let mut kept = vec![BackupFile::written(relative(store, &rows), written)];
    kept.extend(hashed?);
    let mut open = Vec::new();
    if full {
        let (copies, files) = whole::copy(&store.join(super::DATABASE), store, &folder, &|| Ok(()))?;
        kept.extend(copies);
        open = files;
    }
    let backup = Backup {
        scheme: super::SCHEME.into(),
        collection: traces.collection.clone(),
        count: snapshot.count,
        dimension: snapshot.dimension(),
        files: kept,
        details: traces.to_json(),
    };
    Ok((Saved { backup, content }, open))
}

/// Returns the digest of the contents, and what the file holds.
fn save_rows(
    connection: &Connection,
    path: &Path,
    release: Release,
    snapshot: &Snapshot,
    look: &mut dyn FnMut(&str, &str),
) -> Result<(String, (u64, String))> {
    let entry = &snapshot.entry;
    let mut failed = None;
    let mut digest = String::new();
    let written = files::write_hashed(path, |out| {
        let mut save = || -> Result<String> {
            let mut writer = Writer::new(out)?;
            let mut some = |table: &str, condition: &str, values: &[&str]| {
                copy(connection, &mut writer, table, condition, values)
            };
            some("collections", "id = ?1", &[&entry.id])?;
            some("segments", "id = ?1", &[&entry.vector])?;
            some("max_seq_id", "segment_id IN (?1, ?2)", &[&entry.vector, &entry.metadata])?;
            some("embeddings_queue", "topic = ?1 ORDER BY seq_id", &[&entry.topic])?;
            if sql::has_table(connection, stamp::TABLE)? {
                some(stamp::TABLE, "collection_id = ?1", &[&entry.id])?;
            }
            let mut digester = Digester::new(connection, release, &entry.metadata);
            digester.save_into(&mut writer);
            let digest = digester.run(look)?;
            writer.finish()?;
            Ok(digest)
        };
        match save() {
            Ok(found) => {
                digest = found;
                Ok(())
            }
            Err(error) => {
                failed = Some(error);
                Err(std::io::ErrorKind::Other.into())
            }
        }
    })
    .map_err(|e| failed.take().unwrap_or(e))?;
    Ok((digest, written))
}

/// Copies rows of `table`, which is called `t` in `condition`.
fn copy(
    from: &Connection,
    writer: &mut Writer<'_>,
    table: &str,
    condition: &str,
    values: &[&str],
) -> Result<()> {
    let doing = "save rows for the way back";
    let mut select = from.prepare(&format!("SELECT t.* FROM {table} t WHERE {condition}")).doing(doing)?;
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    writer.table(table, &columns)?;
    let mut rows = select.query(params_from_iter(values)).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        writer.row(row, 0..columns.len())?;
    }
    writer.end_table()
}
