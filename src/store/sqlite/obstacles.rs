//! What stands in the way of writing vectors of another dimension into a table, found without writing to it.

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::encoding::Encoding;
use super::entry::{Entry, list};
use super::put::update;
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;

/// The first obstacle, in words.
pub(super) fn find(connection: &Connection, entry: &Entry, dimension: usize) -> Result<Option<String>> {
    if entry.encoding == Encoding::Bit && !dimension.is_multiple_of(8) {
        return Ok(Some(format!(
            "vectors of one bit a component have whole bytes, {dimension} components have not"
        )));
    }
    let checks = [neighbours, triggers, constraints];
    for check in checks {
        if let Some(found) = check(connection, entry, dimension)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Vectors of the new dimension in the same column: afterwards nobody could tell them from the rewritten ones.
fn neighbours(connection: &Connection, entry: &Entry, dimension: usize) -> Result<Option<String>> {
    if !entry.grouped || entry.dimension == Some(dimension) {
        return Ok(None);
    }
    let others = Entry { grouped: false, ..entry.clone() };
    let sql = format!(
        "SELECT 1 FROM main.{} WHERE {} AND {} LIMIT 1",
        entry.table_name(),
        others.belongs(),
        entry.has_dimension(dimension)
    );
    let found = connection.query_row(&sql, [], |_| Ok(())).optional().doing("look at the dimensions")?;
    Ok(found.map(|()| {
        format!(
            "column `{}` of `{}` holds vectors of {dimension} components already: afterwards nothing would tell them apart; \
             name the rows by a condition of their own (--where)",
            entry.vector, entry.table
        )
    }))
}

/// Triggers that would see the rewrite, as SQLite's own plan of it shows them.
fn triggers(connection: &Connection, entry: &Entry, _: usize) -> Result<Option<String>> {
    if entry.fire_triggers {
        return Ok(None);
    }
    let doing = "look for triggers";
    let before = connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER).doing(doing)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true).doing(doing)?;
    let names = fired(connection, entry);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, before).doing(doing)?;
    let names = names?;
    Ok((!names.is_empty()).then(|| {
        format!(
            "writing vectors would fire {} of `{}`: if what it does is wanted (an index kept up to date, a change noted), \
             say so with --fire-triggers",
            names.join(", "),
            entry.table
        )
    }))
}

/// Names of the triggers that an update of the vectors runs.
fn fired(connection: &Connection, entry: &Entry) -> Result<Vec<String>> {
    let doing = "look for triggers";
    let sql = format!("EXPLAIN {}", update(entry, &entry.vector_columns()));
    let mut statement = connection.prepare(&sql).doing(doing)?;
    let places = statement.parameter_count();
    let mut rows = statement.query(params_from_iter(vec![Value::Null; places])).doing(doing)?;
    let mut names = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        // Each program of a trigger begins with a comment that names it: `-- TRIGGER name`.
        let text: Option<String> = row.get::<_, Value>("p4").ok().and_then(|value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        });
        if let Some(name) = text.as_deref().and_then(|text| text.strip_prefix("-- TRIGGER ")) {
            names.push(format!("trigger `{name}`"));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Constraints, tried on a copy of the table's definition and of one row, in memory.
fn constraints(connection: &Connection, entry: &Entry, dimension: usize) -> Result<Option<String>> {
    let doing = "look at the constraints";
    let definition: Option<String> = connection
        .query_row(
            "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?1",
            [&entry.table],
            |row| row.get(0),
        )
        .optional()
        .doing(doing)?;
    let Some(definition) = definition else { return Ok(None) };
    let copy = Connection::open_in_memory().doing(doing)?;
    copy.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false).doing(doing)?;
    // What needs functions or collations of the user's program cannot be tried here.
    if copy.execute_batch(&definition).is_err() {
        return Ok(None);
    }
    let stored = [&entry.others[..], &entry.vector_columns()].concat();
    let sql = format!(
        "SELECT {} FROM main.{} WHERE {} LIMIT 1",
        list(&stored),
        entry.table_name(),
        entry.belongs()
    );
    let row = connection.query_row(&sql, [], |row| (0..stored.len()).map(|at| row.get(at)).collect());
    let row: Option<Vec<Value>> = match row.optional() {
        // A text that is no UTF-8 cannot be tried here either.
        Err(rusqlite::Error::FromSqlConversionFailure(..)) => return Ok(None),
        row => row.doing(doing)?,
    };
    let Some(mut row) = row else { return Ok(None) };
    let places = vec!["?"; stored.len()].join(", ");
    let insert = format!("INSERT INTO {} ({}) VALUES ({places})", entry.table_name(), list(&stored));
    if copy.execute(&insert, params_from_iter(&row)).is_err() {
        return Ok(None);
    }
    copy.execute(&format!("DELETE FROM {}", entry.table_name()), []).doing(doing)?;
    let even = vec![1.0 / (dimension as f32).sqrt(); dimension];
    let (value, scale) = entry.encoding.encode(&even);
    let new = std::iter::once(value).chain(scale.map(Value::Real));
    row.iter_mut().skip(entry.others.len()).zip(new).for_each(|(place, value)| *place = value);
    match copy.execute(&insert, params_from_iter(&row)) {
        Ok(_) => Ok(None),
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            let why = match &e {
                rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
                other => other.to_string(),
            };
            Ok(Some(format!(
                "the definition of `{}` forbids vectors of {dimension} components ({why}): make the table anew with \
                 another constraint first",
                entry.table
            )))
        }
        Err(e) => Err(Error::new(Kind::Internal, "the constraints cannot be tried").because(e)),
    }
}
