//! The way back: one transaction that undoes the switch from the saved rows.

use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
use rusqlite::{Connection, params, types};
use serde_json::Value;

use super::catalog::Entry;
use super::release::Release;
use super::traces::Traces;
use super::{changes, content, fold, queue, sequence, stamp};
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::store::sql::{self, Doing};
use crate::store::{Backup, BackupFile, Changes, Since};

/// Where a file of the backup lies. Index files may lie in the backup or, if the run that made it was cut
/// short, still (or again) in the store.
fn place(store: &Path, file: &BackupFile, traces: &Traces) -> Result<PathBuf> {
    if !file.path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Error::new(
            Kind::Damaged,
            format!("the backup names the file `{}`, outside of the store", file.path.display()),
        )
        .hint("the collection was left as it is"));
    }
    let named = store.join(&file.path);
    Ok(match file.path.strip_prefix(&traces.old_segment) {
        Ok(name) if !named.exists() => traces.kept_segment(store).join(name),
        _ => named,
    })
}

/// Files of the backup that are not there or have another size.
pub(super) fn missing(store: &Path, backup: &Backup, traces: &Traces) -> Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    for file in &backup.files {
        if !file.lies_at(&place(store, file, traces)?) {
            missing.push(file.path.clone());
        }
    }
    Ok(missing)
}

/// Checks that every file of the backup is there and unchanged.
pub(super) fn check_files(store: &Path, backup: &Backup, traces: &Traces) -> Result<()> {
    backup.files.par_iter().try_for_each(|file| file.check(&place(store, file, traces)?))
}

/// Puts the old index files back to where the saved rows will point. Until then Chroma ignores them.
pub(super) fn place_segment(store: &Path, traces: &Traces) -> Result<()> {
    let (kept, visible) = (traces.kept_segment(store), store.join(&traces.old_segment));
    if kept.exists() && !visible.exists() {
        files::rename(&kept, &visible)?;
    }
    Ok(())
}

/// Undoes the switch inside the open transaction; `kept` is attached. `entry` is the collection as it is now.
pub(super) fn undo(
    connection: &Connection,
    release: Release,
    entry: &Entry,
    traces: &Traces,
    rows: &Path,
    since: Since,
) -> Result<Changes> {
    changes::load(connection, "kept", rows, false)?;
    let mut found = Changes::default();
    if !changes::untouched(connection, entry)? {
        changes::load(connection, "kept", rows, true)?;
        found = changes::since(connection, entry)?;
    }
    if !found.is_none() && since == Since::Refuse {
        let Changes { added, removed, updated } = found;
        return Err(Error::new(
            Kind::Refused,
            format!(
                "collection `{}` changed since the migration: {added} records added, {removed} removed, {updated} updated",
                entry.name
            ),
        )
        .hint("lose them: --since drop; keep them: --since keep --reverse-projection P"));
    }
    if !found.is_none() {
        content::restore(connection, entry)?;
    }
    let doing = "restore the saved rows";
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| connection.execute(sql, values).doing(doing);
    let (old, new) = (&traces.old_segment, &traces.new_segment);
    if run("UPDATE segments SET id = ?1 WHERE id = ?2 AND collection = ?3", params![old, new, entry.id])? != 1
    {
        return Err(Error::new(Kind::Internal, format!("segment {new} is not there to be replaced")));
    }
    run("UPDATE segment_metadata SET segment_id = ?1 WHERE segment_id = ?2", params![old, new])?;
    run(
        "UPDATE collections SET dimension = (SELECT dimension FROM kept.collections WHERE id = ?1) WHERE id = ?1",
        params![entry.id],
    )?;
    function(connection, entry)?;
    run("DELETE FROM embeddings_queue WHERE topic = ?1", params![entry.topic])?;
    run("DELETE FROM max_seq_id WHERE segment_id IN (?1, ?2, ?3)", params![old, new, entry.metadata])?;
    let columns = content::columns(connection, "embeddings_queue")?;
    run(
        &format!("INSERT INTO main.embeddings_queue ({columns}) SELECT {columns} FROM kept.embeddings_queue"),
        &[],
    )?;
    counts(connection, release)?;
    stamp::remove(connection, &entry.id)?;
    if sql::holds(connection, "kept", stamp::TABLE)? {
        stamp::restore(connection, &entry.id)?;
    }
    keep_numbers_rising(connection, &entry.topic)?;
    Ok(found)
}

/// Puts the configuration back: the saved text if nothing but the embedding function differs, else only
/// the embedding function, so that settings changed since (or keys that Chroma added) stay.
fn function(connection: &Connection, entry: &Entry) -> Result<()> {
    let Some((column, now)) = fold::function_column(entry) else { return Ok(()) };
    let doing = "restore the configuration";
    if !content::columns(connection, "collections")?.contains(column) {
        return Ok(()); // the column came with an upgrade after the backup
    }
    let saved: Option<String> = connection
        .query_row(&format!("SELECT {column} FROM kept.collections WHERE id = ?1"), [&entry.id], |row| {
            row.get(0)
        })
        .doing(doing)?;
    if saved.as_deref() == Some(now) {
        return Ok(());
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    let text = match (saved.as_deref().and_then(parse), parse(now)) {
        (Some(before), Some(mut now)) => {
            let place = match column {
                "schema_str" => "/keys/#embedding/float_list/vector_index/config/embedding_function",
                _ => "/embedding_function",
            };
            fold::set_function(column, &mut now, before.pointer(place));
            if let (None, Some(now)) = (before.pointer(place), now.as_object_mut()) {
                now.shift_remove("embedding_function"); // 0.5 and 0.6 have no such entry, not even a null
            }
            if now == before { saved } else { Some(now.to_string()) }
        }
        _ => saved,
    };
    connection
        .execute(&format!("UPDATE collections SET {column} = ?1 WHERE id = ?2"), params![text, entry.id])
        .doing(doing)
        .map(drop)
}

/// How far each segment had read the queue: as it was saved, unless a newer Chroma that keeps numbers
/// instead of bytes has taken the database over since.
fn counts(connection: &Connection, release: Release) -> Result<()> {
    let doing = "restore the sequence numbers";
    let mut statement = connection.prepare("SELECT segment_id, seq_id FROM kept.max_seq_id").doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let segment: String = row.get(0).doing(doing)?;
        let saved = row.get_ref(1).doing(doing)?;
        let value = match (release.is_rust(), sequence::read(saved)) {
            (true, Some(number)) => types::Value::Integer(number),
            _ => row.get(1).doing(doing)?,
        };
        connection
            .execute(
                "INSERT INTO main.max_seq_id (segment_id, seq_id) VALUES (?1, ?2)",
                params![segment, value],
            )
            .doing(doing)?;
    }
    Ok(())
}

/// Chroma continues behind the largest number in the queue: it must not lie below what any segment has
/// read, or that segment would take the next writes for old ones.
fn keep_numbers_rising(connection: &Connection, topic: &str) -> Result<()> {
    let doing = "look at the sequence numbers";
    let queue: i64 = connection
        .query_row("SELECT coalesce(max(seq_id), 0) FROM main.embeddings_queue", [], |row| row.get(0))
        .doing(doing)?;
    let mut statement = connection.prepare("SELECT seq_id FROM main.max_seq_id").doing(doing)?;
    let counts = statement.query_map([], |row| Ok(sequence::read(row.get_ref(0)?))).doing(doing)?;
    let counts: Vec<Option<i64>> = counts.collect::<rusqlite::Result<_>>().doing(doing)?;
    match counts.into_iter().flatten().max() {
        Some(read) if queue < read => queue::sentinel(connection, topic, read).map(drop),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `max_seq_id` of a release with bytes and of one with numbers, `kept` beside it.
    fn database(counts: &str) -> Connection {
        let connection = Connection::open_in_memory().expect("open");
        connection
            .execute_batch(&format!(
                "ATTACH ':memory:' AS kept; CREATE TABLE kept.max_seq_id (segment_id, seq_id);
                 INSERT INTO kept.max_seq_id VALUES ('bytes', x'0000000000000102'), ('number', 9);
                 CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, operation, topic, id);
                 INSERT INTO embeddings_queue VALUES (250, 3, 'other', 'x');
                 CREATE TABLE max_seq_id (segment_id, seq_id {counts})"
            ))
            .expect("tables");
        connection
    }

    fn numbers(connection: &Connection) -> Vec<types::Value> {
        let mut statement = connection.prepare("SELECT seq_id FROM max_seq_id ORDER BY 1").expect("select");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<rusqlite::Result<_>>().expect("values")
    }

    #[test]
    fn sequence_numbers_come_back_in_the_form_of_the_release_that_is_there_now() {
        let bytes = types::Value::Blob(vec![0, 0, 0, 0, 0, 0, 1, 2]);
        let connection = database("BLOB");
        counts(&connection, Release { sysdb: 9, metadb: 4, queue: 2 }).expect("restored");
        assert_eq!(numbers(&connection), [types::Value::Integer(9), bytes]);
        let connection = database("INTEGER");
        counts(&connection, Release { sysdb: 10, metadb: 6, queue: 2 }).expect("restored");
        assert_eq!(numbers(&connection), [types::Value::Integer(9), types::Value::Integer(258)]);
    }

    #[test]
    fn the_next_number_is_above_what_was_read_in_bytes_too() {
        let connection = database("BLOB");
        let last = |c: &Connection| -> (i64, String) {
            c.query_row("SELECT seq_id, topic FROM embeddings_queue ORDER BY 1 DESC", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .expect("row")
        };
        keep_numbers_rising(&connection, "own").expect("nothing to do");
        assert_eq!(last(&connection), (250, "other".into()));
        connection.execute("INSERT INTO main.max_seq_id SELECT * FROM kept.max_seq_id", []).expect("insert");
        keep_numbers_rising(&connection, "own").expect("kept");
        assert_eq!(last(&connection), (258, "own".into()));
    }
}
