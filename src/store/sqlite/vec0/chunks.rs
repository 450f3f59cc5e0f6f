//! The chunks of one vector column while they are rewritten: saved, read, written, and declared anew.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Statement, params};

use super::declaration::Declaration;
use super::shadow::{self, chunk_blob, damaged};
use super::{Vec0, kept, schema};
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;
use crate::store::sql::rows_file::{Writer, quoted};
use crate::store::sqlite::entry::Entry;

/// See the module.
pub(super) struct VectorChunks<'a> {
    connection: &'a Connection,
    declaration: &'a Declaration,
    table: String,
    /// Bytes of a chunk's blob before.
    length: usize,
    number: Statement<'a>,
    update: Statement<'a>,
}

impl<'a> VectorChunks<'a> {
    /// Saves everything of the table but these chunks, for which a table of saved rows is begun: `entry` says what they are
    /// like before. `check` is asked now and then.
    pub fn begin(
        holder: &Vec0,
        connection: &'a Connection,
        declaration: &'a Declaration,
        entry: &Entry,
        rows: &mut Writer<'_>,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let table = shadow::vector_chunks(holder.number);
        kept::save_declaration(connection, declaration, rows)?;
        for suffix in shadow::present(connection, declaration)?.iter().filter(|suffix| **suffix != table) {
            check()?;
            kept::save(connection, declaration, suffix, rows)?;
        }
        rows.table(&table, &["_rowid_", "rowid", "vectors"].map(str::to_owned))?;
        let (place, doing) = (shadow::place(declaration, &table), "prepare the rewrite");
        Ok(VectorChunks {
            connection,
            declaration,
            length: holder.bytes(entry)? * declaration.chunk_size,
            number: connection
                .prepare(&format!("SELECT rowid FROM {place} WHERE _rowid_ = ?1"))
                .doing(doing)?,
            update: connection
                .prepare(&format!("UPDATE {place} SET vectors = ?1 WHERE _rowid_ = ?2"))
                .doing(doing)?,
            table,
        })
    }

    /// The vectors of a chunk, which are saved.
    pub fn take(&mut self, chunk: i64, rows: &mut Writer<'_>) -> Result<Vec<u8>> {
        let blob =
            chunk_blob(self.connection, self.declaration, (&self.table, "vectors"), chunk, self.length)?;
        let number: Value =
            self.number.query_row([chunk], |row| row.get(0)).doing("save rows for the way back")?;
        rows.begin_row()?;
        rows.value(ValueRef::Integer(chunk))?;
        rows.value(ValueRef::from(&number))?;
        rows.value(ValueRef::Blob(&blob))?;
        Ok(blob)
    }

    /// Gives a chunk other vectors.
    pub fn put(&mut self, chunk: i64, blob: &[u8]) -> Result<()> {
        match self.update.execute(params![blob, chunk]).doing("write vectors")? {
            1 => Ok(()),
            _ => Err(damaged(self.declaration, &format!("chunk {chunk} is gone"))),
        }
    }

    /// How many chunks there are.
    pub fn count(&self) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {}", shadow::place(self.declaration, &self.table));
        let count: i64 = self.connection.query_row(&sql, [], |row| row.get(0)).doing("count the chunks")?;
        Ok(count.unsigned_abs())
    }
}

/// Declares the vectors of `entry` to have `dimension` components from now on, and asks the extension itself, which has
/// read the declaration again for it: a vector has so many `bytes`.
pub(super) fn declare(
    connection: &Connection,
    declaration: &Declaration,
    entry: &Entry,
    dimension: usize,
    bytes: usize,
) -> Result<()> {
    let sql = declaration.with_dimension(&entry.vector, dimension)?;
    if sql != declaration.sql() {
        schema::declare(connection, &declaration.table, &sql)?;
    }
    let doing = "read the rewritten table through sqlite-vec";
    let sql = format!("SELECT length({}) FROM main.{} LIMIT 1", quoted(&entry.vector), entry.table_name());
    let mut statement = connection.prepare(&sql).doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    match rows.next().doing(doing)?.map(|row| row.get::<_, i64>(0)).transpose().doing(doing)? {
        Some(found) if usize::try_from(found) != Ok(bytes) => Err(Error::new(
            Kind::Internal,
            format!("sqlite-vec reads vectors of {found} bytes from the rewritten table, wanted {bytes}"),
        )),
        _ => Ok(()),
    }
}
