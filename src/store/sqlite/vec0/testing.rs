//! What the tests of vec0 tables share: tables, a rewrite, and everything that can be read.

use std::io::Write;

use ndarray::Array2;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::*;
use crate::context::testing::context;
use crate::store::sql::rows_file::{self, Writer};
use crate::store::sqlite::sink::Contents;

pub(super) fn open() -> Connection {
    register().unwrap();
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("ATTACH ':memory:' AS kept").unwrap();
    connection
}

/// A number in (-1, 1) that tells row and component.
pub(super) fn component(row: i64, at: usize) -> f32 {
    (((row.unsigned_abs() + 1) * 7919 + at as u64 * 104_729) % 1999) as f32 / 1000.0 - 0.9993
}

pub(super) fn blob(row: i64, dimension: usize) -> Vec<u8> {
    (0..dimension).flat_map(|at| component(row, at).to_le_bytes()).collect()
}

/// Twenty rows, of which some went again: one whole chunk of eight, and single ones.
pub(super) fn fill(connection: &Connection, table: &str, columns: &str, values: &dyn Fn(i64) -> Vec<Value>) {
    for row in 1..=30 {
        let values = values(row);
        let places = vec!["?"; values.len()].join(", ");
        let sql = format!("INSERT INTO {table} ({columns}) VALUES ({})", places);
        connection.execute(&sql, params_from_iter(values)).unwrap();
    }
    for row in (9..=16).chain([2, 30, 20]) {
        connection.execute(&format!("DELETE FROM {table} WHERE rowid = ?1 OR 0"), [row]).unwrap();
    }
}

/// The vectors that the tests put in the place of others: a function of the ones before.
pub(super) fn mapped(vectors: &Array2<f32>, dimension: usize) -> Array2<f32> {
    Array2::from_shape_fn((vectors.nrows(), dimension), |(row, at)| {
        let source = vectors[[row, at % vectors.ncols()]];
        (source * 0.9 - 0.01 * at as f32 / dimension as f32).clamp(-1.0, 1.0)
    })
}

/// Every value of every table of the file with its type, and the whole schema.
pub(super) fn everything(connection: &Connection) -> Vec<String> {
    let mut schema =
        connection.prepare("SELECT name, sql, rootpage FROM main.sqlite_master ORDER BY name").unwrap();
    let tables: Vec<(String, Option<String>, i64)> = schema
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut all = Vec::new();
    for (name, sql, root) in tables {
        all.push(format!("{name}: {sql:?}"));
        if root == 0 || sql.is_none() {
            continue;
        }
        let order = if name == "sqlite_sequence" { "name" } else { "_rowid_" };
        let sql = format!(
            "SELECT _rowid_ * {}, * FROM main.{} ORDER BY {order}",
            i64::from(order == "_rowid_"),
            rows_file::quoted(&name)
        );
        let mut statement = connection.prepare(&sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            all.push(format!("{:?}", (0..columns).map(|at| row.get_ref(at).unwrap()).collect::<Vec<_>>()));
        }
    }
    all
}

pub(super) struct Saved {
    pub rows: tempfile::NamedTempFile,
    pub digest: String,
    pub texts: Vec<(String, String)>,
    /// Keys, hashes of contents and of vectors.
    pub written: Connection,
}

/// Rewrites a collection of the open transaction.
pub(super) fn rewrite(connection: &Connection, name: &str, dimension: usize) -> Result<Saved> {
    let (entry, holder) = found(connection, name);
    let (mut rows, mut written, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    let mut look = |id: &str, text: &str| texts.push((id.to_owned(), text.to_owned()));
    let (mut rows_writer, mut written_writer) = (Writer::new(&mut rows)?, Writer::new(&mut written)?);
    let mut sink =
        Sink { rows: &mut rows_writer, written: &mut written_writer, contents: Contents::new(&mut look) };
    sink.written.table("written", &["key", "contents", "vector"].map(str::to_owned))?;
    let send = |batch: &Batch| Ok(mapped(&batch.vectors, dimension));
    holder.transform(&mut Sides::Same(connection), &entry, dimension, &send, &mut sink, &context())?;
    let digest = sink.contents.finish();
    rows_writer.finish()?;
    written_writer.end_table()?;
    written_writer.finish()?;
    let file = |bytes: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    };
    let noted = Connection::open_in_memory().unwrap();
    rows_file::load(&noted, "main", file(&written).path(), |_| true)?;
    Ok(Saved { rows: file(&rows), digest, texts, written: noted })
}

pub(super) fn found(connection: &Connection, name: &str) -> (Entry, Vec0) {
    let mut entries = entries(connection).unwrap();
    entries.retain(|(entry, _)| entry.name == name);
    entries.pop().expect("there is one")
}

/// Identifiers and vectors as the holder reads them, `max` at a time.
pub(super) fn read(
    connection: &Connection,
    name: &str,
    max: usize,
) -> Vec<(String, Vec<f32>, Option<String>)> {
    let (entry, holder) = found(connection, name);
    let (mut cursor, mut all) = (Cursor::default(), Vec::new());
    while let Some(batch) = holder.next_batch(connection, &entry, &mut cursor, max, true).unwrap() {
        assert!(batch.ids.len() <= max && !batch.ids.is_empty());
        for ((id, vector), text) in batch.ids.into_iter().zip(batch.vectors.outer_iter()).zip(batch.texts) {
            all.push((id, vector.to_vec(), text));
        }
    }
    all
}

/// Identifiers and vectors as the extension gives them.
pub(super) fn through_extension(connection: &Connection, name: &str) -> Vec<(String, Vec<f32>)> {
    let (entry, holder) = found(connection, name);
    let sql = format!("SELECT {}, \"{}\" FROM {}", entry.key_columns(), entry.vector, entry.table_name());
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement
        .query_map([], |row| {
            let id = match row.get(0)? {
                Value::Integer(id) => id.to_string(),
                Value::Text(id) => id,
                other => panic!("{other:?}"),
            };
            let mut vector = Vec::new();
            holder.element.encoding().decode(row.get_ref(1)?, None, &mut vector).unwrap();
            Ok((id, vector))
        })
        .unwrap();
    rows.map(Result::unwrap).collect()
}

pub(super) fn sorted<T: Clone>(rows: &[(String, T)]) -> Vec<(String, T)> {
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

pub(super) fn load(connection: &Connection, rows: &std::path::Path) {
    connection.execute_batch("DETACH kept; ATTACH ':memory:' AS kept").unwrap();
    rows_file::load(connection, "kept", rows, |_| true).unwrap();
}
