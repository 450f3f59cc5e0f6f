//! Going through what records hold beside their vectors.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::entry::{Entry, list};
use super::rows::identifier;
use super::sink::Contents;
use crate::error::Result;
use crate::store::sql::Doing;

/// Shows every record of a table to `contents`, in the order of the keys.
pub(super) fn contents(connection: &Connection, entry: &Entry, contents: &mut Contents<'_>) -> Result<()> {
    let doing = "read records";
    let ids = entry.id_columns();
    let text: Vec<String> = entry.text_column.iter().cloned().collect();
    let columns = [&entry.key[..], &ids, &text, &entry.others].concat();
    let mut statement = connection
        .prepare(&format!(
            "SELECT {} FROM main.{} WHERE {} ORDER BY {}",
            list(&columns),
            entry.table_name(),
            entry.belongs(),
            entry.key_columns()
        ))
        .doing(doing)?;
    let key = entry.key.len();
    let others = columns.len() - entry.others.len()..columns.len();
    let mut rows = statement.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let id = identifier(row, key, ids.len())?;
        let text = match text.is_empty() {
            true => None,
            false => row.get_ref(key + ids.len()).doing(doing)?.as_str().ok(),
        };
        let values: Vec<ValueRef<'_>> =
            others.clone().map(|at| row.get_ref(at)).collect::<rusqlite::Result<_>>().doing(doing)?;
        contents.record(&id, text, &values);
    }
    Ok(())
}
