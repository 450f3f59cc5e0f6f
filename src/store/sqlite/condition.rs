//! The condition that a user puts on the rows of a collection.

use rusqlite::Connection;

use super::entry::Entry;
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;

/// Whether the condition looks at the vectors: it would not mean the same rows afterwards.
pub(super) fn reads_vector(connection: &Connection, entry: &Entry) -> Result<Option<String>> {
    let Some(condition) = &entry.condition else { return Ok(None) };
    let doing = "read the condition";
    let wrong = |e: rusqlite::Error| {
        Error::new(
            Kind::Usage,
            format!("the condition on the rows of `{}` is no SQL expression", entry.table),
        )
        .because(e)
        .hint("give --where what may follow WHERE in SQL, such as \"tenant = 'a'\"")
    };
    // Alone first: it must not end the expression that it is put into.
    let table = entry.table_name();
    connection.prepare(&format!("SELECT {condition} FROM main.{table}")).map_err(wrong)?;
    let sql = format!("EXPLAIN SELECT 1 FROM main.{table} WHERE ({condition})");
    let mut statement = connection.prepare(&sql).map_err(wrong)?;
    if statement.parameter_count() > 0 {
        return Err(Error::new(
            Kind::Usage,
            "the condition on the rows has places for values, and there are none",
        ));
    }
    let position: i64 = connection
        .query_row(
            "SELECT cid FROM pragma_table_xinfo(?1, 'main') WHERE name = ?2",
            [&entry.table, &entry.vector],
            |row| row.get(0),
        )
        .doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let opcode: String = row.get("opcode").doing(doing)?;
        if opcode == "Column" && row.get::<_, i64>("p2").doing(doing)? == position {
            return Ok(Some(format!(
                "its condition looks at `{}`, which a rewrite changes: it would mean other rows afterwards",
                entry.vector
            )));
        }
    }
    Ok(None)
}
