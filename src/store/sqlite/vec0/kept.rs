//! What is saved of a vec0 table for the way back, and putting it back.
//!
//! Every shadow table is saved under its name without the table's own, with SQLite's number of each row where that is not
//! one of its columns: the extension finds chunks by it. [`DECLARATION`] holds the texts that made all of them.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::declaration::Declaration;
use super::{schema, shadow};
use crate::error::{Error, Kind, Result};
use crate::store::sql::rows_file::{Writer, quoted};
use crate::store::sql::{self, Doing};

/// Saved table with one row for each text or number: what it is, of which shadow table, the value.
pub(super) const DECLARATION: &str = "declaration";
const TABLE: &str = "table";
const SHADOW: &str = "shadow";
const SEQUENCE: &str = "sequence";
/// SQLite's number of a row.
const ROW: &str = "_rowid_";

/// Saves the texts and the counters.
pub(super) fn save_declaration(
    connection: &Connection,
    declaration: &Declaration,
    rows: &mut Writer<'_>,
) -> Result<()> {
    rows.table(DECLARATION, &["kind", "of", "value"].map(str::to_owned))?;
    let mut put = |kind: &str, of: &str, value: ValueRef<'_>| {
        rows.begin_row()?;
        rows.value(ValueRef::Text(kind.as_bytes()))?;
        rows.value(ValueRef::Text(of.as_bytes()))?;
        rows.value(value)
    };
    put(TABLE, &declaration.table, ValueRef::Text(declaration.sql().as_bytes()))?;
    for suffix in shadow::present(connection, declaration)? {
        let name = format!("{}_{suffix}", declaration.table);
        if let Some(sql) = schema::made_by(connection, &name)? {
            put(SHADOW, &suffix, ValueRef::Text(sql.as_bytes()))?;
        }
        if let Some(number) = sequence(connection, &name)? {
            put(SEQUENCE, &suffix, ValueRef::Integer(number))?;
        }
    }
    rows.end_table()
}

/// Last number that `AUTOINCREMENT` gave in a table.
fn sequence(connection: &Connection, table: &str) -> Result<Option<i64>> {
    if !sql::has_table(connection, "sqlite_sequence")? {
        return Ok(None);
    }
    connection
        .query_row("SELECT seq FROM main.sqlite_sequence WHERE name = ?1", [table], |row| row.get(0))
        .optional()
        .doing("read the counters")
}

/// Names under which a shadow table's values are saved.
pub(super) fn columns(
    connection: &Connection,
    declaration: &Declaration,
    suffix: &str,
) -> Result<Vec<String>> {
    let found = shadow::columns(connection, &format!("{}_{suffix}", declaration.table))?;
    let numbered = found.iter().any(|(_, is_row_number)| *is_row_number);
    let own = found.into_iter().map(|(name, _)| name);
    Ok((!numbered).then(|| ROW.to_owned()).into_iter().chain(own).collect())
}

/// The columns as a list for SQL: a row's number must not be quoted.
pub(super) fn list(columns: &[String]) -> String {
    let name = |column: &String| if column == ROW { ROW.to_owned() } else { quoted(column) };
    columns.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Saves a whole shadow table.
pub(super) fn save(
    connection: &Connection,
    declaration: &Declaration,
    suffix: &str,
    rows: &mut Writer<'_>,
) -> Result<()> {
    let doing = "save rows for the way back";
    let columns = columns(connection, declaration, suffix)?;
    rows.table(suffix, &columns)?;
    let sql =
        format!("SELECT {} FROM {} ORDER BY _rowid_", list(&columns), shadow::place(declaration, suffix));
    let mut statement = connection.prepare(&sql).doing(doing)?;
    let mut found = statement.query([]).doing(doing)?;
    while let Some(row) = found.next().doing(doing)? {
        rows.row(row, 0..columns.len())?;
    }
    rows.end_table()
}

/// Gives saved tables that were loaded into a file of their own the names of shadow tables, and makes rows easy to find.
pub(super) fn as_shadow_tables(connection: &Connection, declaration: &Declaration) -> Result<()> {
    let doing = "read the saved rows";
    for (suffix, columns) in shadow::wanted(declaration) {
        let by = if suffix.contains("chunks") && suffix != "chunks" {
            ROW
        } else {
            columns.first().map_or(ROW, String::as_str)
        };
        let (place, table) = (shadow::place(declaration, &suffix), quoted(&suffix));
        connection
            .execute_batch(&format!(
                "CREATE INDEX main.{} ON {table} ({}); CREATE VIEW {place} AS SELECT * FROM main.{table}",
                quoted(&format!("{suffix}_by_row")),
                list(&[by.to_owned()])
            ))
            .doing(doing)?;
    }
    Ok(())
}

/// The texts and counters that were saved of one kind.
fn saved<T: rusqlite::types::FromSql>(connection: &Connection, kind: &str) -> Result<Vec<(String, T)>> {
    let doing = "read the saved declaration";
    let sql = format!("SELECT of, value FROM kept.{DECLARATION} WHERE kind = ?1");
    let mut statement = connection.prepare(&sql).doing(doing)?;
    let found = statement.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?))).doing(doing)?;
    found.collect::<rusqlite::Result<_>>().doing(doing)
}

/// The declaration that was saved.
pub(super) fn declaration(connection: &Connection) -> Result<Declaration> {
    match saved::<String>(connection, TABLE)?.as_slice() {
        [(table, sql)] => Declaration::parse(sql)
            .and_then(|found| if found.table == *table { Ok(found) } else { Err(broken()) }),
        _ => Err(broken()),
    }
}

fn broken() -> Error {
    Error::new(Kind::Damaged, "the saved rows do not hold the declaration of a vec0 table")
}

/// Puts the vectors of one column back, and its dimension; whatever else the table holds stays.
pub(super) fn restore_vectors(connection: &Connection, column: &str, number: usize) -> Result<()> {
    let doing = "restore the saved vectors";
    let before = declaration(connection)?;
    let Some((_, vectors)) = before.vectors().find(|(name, _)| *name == column) else { return Err(broken()) };
    let now = schema::declared(connection, &before.table)?.ok_or_else(broken)?;
    let suffix = shadow::vector_chunks(number);
    let update = format!("UPDATE {} SET vectors = ?1 WHERE _rowid_ = ?2", shadow::place(&before, &suffix));
    let mut update = connection.prepare(&update).doing(doing)?;
    let mut saved = connection
        .prepare(&format!("SELECT \"{ROW}\", vectors FROM kept.{}", quoted(&suffix)))
        .doing(doing)?;
    let mut rows = saved.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let (chunk, blob) = (row.get_ref(0).doing(doing)?, row.get_ref(1).doing(doing)?);
        let chunk = chunk.as_i64().map_err(|_| broken())?;
        if update.execute(params![shadow::blob(blob)?, chunk]).doing(doing)? != 1 {
            return Err(Error::new(Kind::Damaged, format!("chunk {chunk} of `{}` is gone", before.table)));
        }
    }
    schema::declare(
        connection,
        &before.table,
        &Declaration::parse(&now)?.with_dimension(column, vectors.dimension)?,
    )
}

/// Puts the whole table back, whatever has become of it.
pub(super) fn restore_all(connection: &Connection) -> Result<()> {
    let doing = "restore the saved tables";
    let before = declaration(connection)?;
    let made: Vec<(String, String)> = saved(connection, SHADOW)?;
    if made.iter().any(|(suffix, sql)| !is_shadow(&before, suffix, sql)) {
        return Err(broken());
    }
    let name = |suffix: &str| format!("{}_{suffix}", before.table);
    let mut same = schema::declared(connection, &before.table)?
        .and_then(|sql| Declaration::parse(&sql).ok())
        .is_some_and(|now| shadow::wanted(&now) == shadow::wanted(&before));
    same = same && shadow::present(connection, &before)?.len() == made.len();
    for (suffix, sql) in &made {
        same = same && schema::made_by(connection, &name(suffix))?.as_ref() == Some(sql);
    }
    if same {
        schema::declare(connection, &before.table, before.sql())?;
    } else {
        remake(connection, &before, &made)?;
    }
    for (suffix, _) in &made {
        let columns = columns(connection, &before, suffix)?;
        let (to, from) = (shadow::place(&before, suffix), quoted(suffix));
        let values: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let sql = format!(
            "DELETE FROM {to}; INSERT INTO {to} ({}) SELECT {} FROM kept.{from};",
            list(&columns),
            values.join(", ")
        );
        connection.execute_batch(&sql).doing(doing)?;
    }
    let counters: Vec<(String, i64)> = saved(connection, SEQUENCE)?;
    for (suffix, _) in &made {
        let name = name(suffix);
        let wanted = counters.iter().find(|(of, _)| of == suffix).map(|(_, number)| *number);
        if sequence(connection, &name)? == wanted {
            continue;
        }
        connection.execute("DELETE FROM main.sqlite_sequence WHERE name = ?1", [&name]).doing(doing)?;
        if let Some(number) = wanted {
            let sql = "INSERT INTO main.sqlite_sequence (name, seq) VALUES (?1, ?2)";
            connection.execute(sql, params![name, number]).doing(doing)?;
        }
    }
    Ok(())
}

/// Whether a saved text makes the shadow table that it is said to make, and nothing besides.
fn is_shadow(declaration: &Declaration, suffix: &str, sql: &str) -> bool {
    let known = suffix == "info" || shadow::wanted(declaration).iter().any(|(wanted, _)| wanted == suffix);
    let start = format!("CREATE TABLE {}", quoted(&format!("{}_{suffix}", declaration.table)));
    known && sql.starts_with(&start)
}

/// Makes the table and its shadow tables by the saved texts; whatever has their names goes.
fn remake(connection: &Connection, before: &Declaration, made: &[(String, String)]) -> Result<()> {
    let doing = "make the saved tables anew";
    let run = |sql: &str| connection.execute_batch(sql).doing(doing);
    if let Some(sql) = schema::declared(connection, &before.table)? {
        // The extension drops nothing if one of the tables that it wants to drop is missing.
        let now = Declaration::parse(&sql)?;
        for suffix in shadow::wanted(&now).into_iter().map(|(suffix, _)| suffix).chain(["info".to_owned()]) {
            run(&format!("CREATE TABLE IF NOT EXISTS {} (x)", shadow::place(&now, &suffix)))?;
        }
    }
    run(&format!("DROP TABLE IF EXISTS main.{}", quoted(&before.table)))?;
    let all = shadow::wanted(before).into_iter().map(|(suffix, _)| suffix).chain(["info".to_owned()]);
    let all: Vec<String> = all.map(|suffix| shadow::place(before, &suffix)).collect();
    for place in &all {
        run(&format!("DROP TABLE IF EXISTS {place}"))?;
    }
    run(before.sql())?;
    for place in &all {
        run(&format!("DROP TABLE IF EXISTS {place}"))?;
    }
    // One statement each: what stands behind the first is an error.
    made.iter().try_for_each(|(_, sql)| connection.execute(sql, []).doing(doing).map(drop))
}
