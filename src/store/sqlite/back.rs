//! The way back: what changed since a rewrite, and putting back what was.

use std::io::Write;
use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::entry::{Entry, list};
use super::put::{by_key, update};
use super::sink::{self, HASH, hash_values};
use super::table::{KEY, SAVED};
use crate::error::{Error, Kind, Result};
use crate::store::Changes;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::{self, Writer, quoted};

/// Files of a backup: the saved rows, and what each record was left as.
pub(super) const ROWS: &str = "rows.bin";
pub(super) const WRITTEN: &str = "written.bin";
/// Table of [`WRITTEN`]; its columns are those of the key as [`KEY`] with a number, then these two.
const NOTED: &str = "written";
const CONTENTS: &str = "contents";
const VECTOR: &str = "vector";

/// Makes room for saved rows as `kept.*`, in a temporary file. Not possible inside a transaction.
pub(super) fn attach(connection: &Connection) -> Result<()> {
    // Not synced: then a commit involves one file alone, whatever was loaded here.
    connection
        .execute_batch(
            "ATTACH DATABASE '' AS kept; PRAGMA kept.synchronous = OFF; PRAGMA kept.journal_mode = OFF",
        )
        .doing("make room for the saved rows")
}

/// Names of the key's columns among saved rows.
pub(super) fn key_names(entry: &Entry) -> Vec<String> {
    (0..entry.key.len()).map(|at| format!("{KEY}{at}")).collect()
}

fn index(connection: &Connection, entry: &Entry, table: &str) -> Result<()> {
    connection
        .execute_batch(&format!(
            "CREATE UNIQUE INDEX IF NOT EXISTS kept.{table}_by_key ON {table} ({})",
            list(&key_names(entry))
        ))
        .doing("load the saved rows")
}

/// Shown the key of a record, and the hashes of what it holds beside the vector and of its vector.
type Look<'l> = dyn FnMut(&[ValueRef<'_>], [[u8; HASH]; 2]) -> Result<()> + 'l;

/// Shows each record as it is now.
fn each(connection: &Connection, entry: &Entry, look: &mut Look<'_>) -> Result<()> {
    let doing = "look for changes";
    let columns = [&entry.key[..], &entry.others, &entry.vector_columns()].concat();
    let mut statement = connection
        .prepare(&format!(
            "SELECT {} FROM main.{} WHERE {}",
            list(&columns),
            entry.table_name(),
            entry.belongs()
        ))
        .doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let values: Vec<ValueRef<'_>> =
            (0..columns.len()).map(|at| row.get_ref(at)).collect::<rusqlite::Result<_>>().doing(doing)?;
        let (key, rest) = values.split_at(entry.key.len());
        let (others, vector) = rest.split_at(entry.others.len());
        look(key, [others, vector].map(|values| hash_values(values.iter().copied())))?;
    }
    Ok(())
}

/// Notes what each record, which reads as `entry`, was left as: for [`changes`].
pub(super) fn note(connection: &Connection, entry: &Entry, out: &mut dyn Write) -> Result<()> {
    let mut written = Writer::new(out)?;
    begin_notes(&mut written, entry)?;
    each(connection, entry, &mut |key, hashes| {
        sink::note(&mut written, key.iter().copied(), hashes.each_ref())
    })?;
    written.end_table()?;
    written.finish()
}

/// Begins the table of [`WRITTEN`].
pub(super) fn begin_notes(written: &mut Writer<'_>, entry: &Entry) -> Result<()> {
    let hashes = [CONTENTS, VECTOR].map(str::to_owned);
    written.table(NOTED, &[&key_names(entry)[..], &hashes].concat())
}

/// Compares the collection, which reads as `entry` now, with what the rewrite left; `kept` is attached.
pub(super) fn changes(connection: &Connection, entry: &Entry, written: &Path) -> Result<Changes> {
    let doing = "look for changes";
    rows_file::load(connection, "kept", written, |_| true)?;
    index(connection, entry, NOTED)?;
    let mut noted = connection
        .prepare(&format!(
            "SELECT {CONTENTS}, {VECTOR} FROM kept.{NOTED} WHERE {}",
            by_key(&key_names(entry))
        ))
        .doing(doing)?;
    let mut changes = Changes::default();
    let mut met = 0;
    each(connection, entry, &mut |own, now| {
        let found = noted
            .query_row(params_from_iter(own.iter().map(|value| ToSqlOutput::Borrowed(*value))), |row| {
                Ok([row.get::<_, [u8; HASH]>(0)?, row.get::<_, [u8; HASH]>(1)?])
            })
            .optional()
            .doing(doing)?;
        match found {
            None => changes.added += 1,
            Some(then) => {
                met += 1;
                changes.updated += u64::from(then != now);
            }
        }
        Ok(())
    })?;
    let kept: i64 = connection
        .query_row(&format!("SELECT count(*) FROM kept.{NOTED}"), [], |row| row.get(0))
        .doing(doing)?;
    changes.removed = kept.unsigned_abs().saturating_sub(met);
    Ok(changes)
}

/// `DELETE` of the rows that were not saved: they came later.
fn without_later(entry: &Entry) -> String {
    let same: Vec<String> = entry
        .key
        .iter()
        .zip(key_names(entry))
        // The plus takes the column's affinity away; with it the index would not be asked, and each row compared with all.
        .map(|(key, kept)| format!("k.{} = +t.{}", quoted(&kept), quoted(key)))
        .collect();
    format!(
        "DELETE FROM main.{0} AS t WHERE {1} AND NOT EXISTS (SELECT 1 FROM kept.{SAVED} AS k WHERE {2})",
        entry.table_name(),
        entry.belongs(),
        same.join(" AND ")
    )
}

/// Puts the saved rows of a plain table back; `kept` holds them. `changed`: rows came, went or were written again since.
pub(super) fn rows(connection: &Connection, entry: &Entry, changed: bool) -> Result<()> {
    let doing = "restore the saved rows";
    if changed {
        index(connection, entry, SAVED)?;
        connection.execute(&without_later(entry), []).doing(doing)?;
    }
    let vectors = entry.vector_columns();
    let all = [&entry.others[..], &vectors].concat();
    let written: Vec<String> = match changed {
        true => all.iter().filter(|column| !entry.key.contains(column)).cloned().collect(),
        false => vectors,
    };
    let mut update = connection.prepare(&update(entry, &written)).doing(doing)?;
    // A rowid that no column stands for is a column of its own here.
    let hidden: Vec<String> = entry.key.iter().filter(|key| !all.contains(key)).cloned().collect();
    let inserted = [&hidden[..], &all].concat();
    let places = vec!["?"; inserted.len()].join(", ");
    let insert = format!("INSERT INTO main.{} ({}) VALUES ({places})", entry.table_name(), list(&inserted));
    let mut saved = connection
        .prepare(&format!("SELECT {}, {} FROM kept.{SAVED}", list(&key_names(entry)), list(&all)))
        .doing(doing)?;
    let key = entry.key.len();
    let place = |name: &String| all.iter().position(|column| column == name).map(|at| at + key);
    let values_at: Vec<usize> = written.iter().filter_map(place).chain(0..key).collect();
    let mut rows = saved.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let get = |at: usize| row.get_ref(at).map(ToSqlOutput::Borrowed).doing(doing);
        let values = values_at.iter().map(|at| get(*at)).collect::<Result<Vec<_>>>()?;
        if update.execute(params_from_iter(values)).doing(doing)? == 1 {
            continue;
        }
        if !changed {
            return Err(Error::new(Kind::Internal, "a saved row is not there to be put back"));
        }
        let keys = (0..hidden.len()).chain(key..key + all.len());
        let values = keys.map(get).collect::<Result<Vec<_>>>()?;
        connection.prepare_cached(&insert).doing(doing)?.execute(params_from_iter(values)).doing(doing)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Settings;
    use crate::store::sqlite::find::{self, Depth};
    use crate::store::sqlite::settings::Wishes;

    #[test]
    fn later_rows_are_found_by_the_index_whatever_the_key_is() {
        for key in ["id INTEGER PRIMARY KEY", "id TEXT COLLATE NOCASE PRIMARY KEY", "id INT, UNIQUE (id)"] {
            let connection = Connection::open_in_memory().unwrap();
            attach(&connection).unwrap();
            let vector = "x'0000803f0000803f0000803f0000803f'";
            let sql =
                format!("CREATE TABLE docs (embedding BLOB, {key}); INSERT INTO docs VALUES ({vector}, 7)");
            connection.execute_batch(&sql).unwrap();
            let wishes =
                Wishes::read(&Settings::parse("table=docs&vector=embedding&encoding=f32").unwrap()).unwrap();
            let found = find::all(&connection, &wishes, &[], Depth::Form).unwrap();
            let entry = &found[0].entry;
            let names = [&key_names(entry)[..], &entry.others, &entry.vector_columns()].concat();
            connection.execute_batch(&format!("CREATE TABLE kept.{SAVED} ({})", list(&names))).unwrap();
            index(&connection, entry, SAVED).unwrap();
            let plan: Vec<String> = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {}", without_later(entry)))
                .unwrap()
                .query_map([], |row| row.get(3))
                .unwrap()
                .collect::<rusqlite::Result<_>>()
                .unwrap();
            assert!(plan.iter().any(|step| step.starts_with("SEARCH k ")), "{key}: {plan:?}");
        }
    }
}
