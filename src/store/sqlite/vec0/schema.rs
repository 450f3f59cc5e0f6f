//! Puts another declaration in the place of a vec0 table's, and nothing else.
//!
//! Dropping and creating the table through the extension would give the same, after every shadow table was copied twice;
//! of a table that a release before `info` made, the extension cannot even drop the shadow tables. The dimension stands
//! in the declaration alone, so the declaration alone is changed, in the way that SQLite documents for changes that do
//! not touch stored content (lang_altertable.html, section 7); the extension then reads it as it reads any file.

use rusqlite::{Connection, params};

use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;

/// Inside the open transaction: `sql` becomes the declaration of the virtual table `table`. Every connection, this one
/// included, reads the schema again before its next statement.
pub(super) fn declare(connection: &Connection, table: &str, sql: &str) -> Result<()> {
    let doing = "change the declaration of a vec0 table";
    let version: i32 =
        connection.pragma_query_value(None, "schema_version", |row| row.get(0)).doing(doing)?;
    connection.pragma_update(None, "writable_schema", true).doing(doing)?;
    let changed = connection
        .execute(
            "UPDATE main.sqlite_master SET sql = ?1 WHERE type = 'table' AND name = ?2 AND rootpage = 0",
            params![sql, table],
        )
        .doing(doing);
    connection.pragma_update(None, "writable_schema", false).doing(doing)?;
    if changed? != 1 {
        return Err(Error::new(Kind::Internal, format!("vec0 table `{table}` is not in the schema")));
    }
    connection.pragma_update(None, "schema_version", version.wrapping_add(1)).doing(doing)
}

/// The declaration of a virtual table as the file has it.
pub(super) fn declared(connection: &Connection, table: &str) -> Result<Option<String>> {
    text(connection, table, "rootpage = 0")
}

/// The text with which a plain table was made.
pub(super) fn made_by(connection: &Connection, table: &str) -> Result<Option<String>> {
    text(connection, table, "rootpage > 0")
}

fn text(connection: &Connection, table: &str, condition: &str) -> Result<Option<String>> {
    let doing = "read the schema";
    let sql =
        format!("SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?1 AND {condition}");
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query([table]).doing(doing)?;
    match rows.next().doing(doing)? {
        Some(row) => row.get(0).doing(doing),
        None => Ok(None),
    }
}
