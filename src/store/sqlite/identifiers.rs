//! Whether the identifiers of a collection tell its records apart.

use rusqlite::Connection;

use super::entry::{Entry, list};
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;
use crate::store::sql::rows_file::quoted;

/// Rows that their identifiers do not name.
pub(super) struct Unnamed {
    /// In words.
    pub found: String,
    pub rows: u64,
}

/// # Errors
/// [`Kind::Refused`] if there are such rows.
pub(super) fn expect(connection: &Connection, entry: &Entry) -> Result<()> {
    let Some(unnamed) = unnamed(connection, entry)? else { return Ok(()) };
    Err(Error::new(Kind::Refused, unnamed.found).hint(match entry.key.as_slice() {
        [key] => format!("name another: --id-column {key} tells the rows apart, or any column with a value of its own for each"),
        _ => "leave out --id-column: the primary key tells the rows apart".to_owned(),
    }))
}

/// Rows of the collection without an identifier, or with that of another. SQLite lets a primary key be NULL that is not
/// the number of the row.
pub(super) fn unnamed(connection: &Connection, entry: &Entry) -> Result<Option<Unnamed>> {
    let Entry { ids, .. } = entry;
    let (table, belongs) = (entry.table_name(), entry.belongs());
    let sql = match ids.as_slice() {
        // The key is it.
        [] => return Ok(None),
        [id] => {
            let id = quoted(id);
            format!(
                "SELECT count(*) - count({id}), count({id}) - count(DISTINCT {id}) FROM main.{table} WHERE {belongs}"
            )
        }
        // The primary key: without a NULL, no two are alike.
        _ => {
            let missing: Vec<String> = ids.iter().map(|id| format!("{} IS NULL", quoted(id))).collect();
            let some = format!("FROM main.{table} WHERE {belongs} AND ({})", missing.join(" OR "));
            format!(
                "SELECT 0, (SELECT count(*) {some}) - (SELECT count(*) FROM (SELECT DISTINCT {} {some}))",
                list(ids)
            )
        }
    };
    let (missing, twice): (i64, i64) = connection
        .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .doing("compare the identifiers")?;
    if (missing, twice) == (0, 0) {
        return Ok(None);
    }
    let columns = match ids.as_slice() {
        [id] => format!("column `{id}` of `{}` does", entry.table),
        several => format!("columns `{}` of `{}` do", several.join("`, `"), entry.table),
    };
    let mut rows = Vec::new();
    if missing > 0 {
        rows.push(format!("NULL in {missing}"));
    }
    if twice > 0 {
        rows.push(format!("what another row holds in {twice}"));
    }
    Ok(Some(Unnamed {
        found: format!("{columns} not identify every row: {}", rows.join(" and ")),
        rows: missing.unsigned_abs() + twice.unsigned_abs(),
    }))
}
