//! Going through what records hold beside their vectors.

use rusqlite::Connection;

use super::entry::Entry;
use super::rows::{ALL, Columns, RowReader, Select};
use super::sink::Contents;
use crate::error::Result;
use crate::store::sql::Doing;

/// Shows every record of a table to `contents`, in the order of the keys.
pub(super) fn contents(connection: &Connection, entry: &Entry, contents: &mut Contents<'_>) -> Result<()> {
    let doing = "read records";
    let select = Select::new(entry, false, Columns { vectors: false, texts: true, others: true });
    let reader = RowReader { entry, select: &select };
    let mut statement = connection.prepare(&select.sql).doing(doing)?;
    let mut rows = statement.query([ALL]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let values = reader.contents(row)?;
        contents.hashed(&reader.id(row)?, reader.text(row)?, &values);
    }
    Ok(())
}
