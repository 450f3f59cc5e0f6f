//! A vec0 table that repeats the vectors of another table: filled from that one.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params};

use super::rewrite::is_read_as;
use super::shadow::{self, Chunk, chunk_blob, damaged};
use super::{Vec0, kept, schema};
use crate::context::Context;
use crate::error::Result;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::Writer;
use crate::store::sqlite::entry::Entry;

impl Vec0 {
    /// Saves the table as [`Holder::transform`](crate::store::sqlite::holder::Holder::transform) does, then gives each row
    /// the bytes of `vector`, of `dimension` components. `entry` is this table's.
    pub fn refill(
        &self,
        connection: &Connection,
        entry: &Entry,
        dimension: usize,
        rows: &mut Writer<'_>,
        vector: &mut dyn FnMut(i64) -> Result<Vec<u8>>,
        context: &Context<'_>,
    ) -> Result<()> {
        let doing = "fill the vec0 table";
        let declaration = self.as_declared(connection)?;
        let table = shadow::vector_chunks(self.number);
        kept::save_declaration(connection, &declaration, rows)?;
        for suffix in shadow::present(connection, &declaration)?.iter().filter(|suffix| **suffix != table) {
            kept::save(connection, &declaration, suffix, rows)?;
        }
        rows.table(&table, &["_rowid_", "rowid", "vectors"].map(str::to_owned))?;
        let place = shadow::place(&declaration, &table);
        let mut named =
            connection.prepare(&format!("SELECT rowid FROM {place} WHERE _rowid_ = ?1")).doing(doing)?;
        let mut update = connection
            .prepare(&format!("UPDATE {place} SET vectors = ?1 WHERE _rowid_ = ?2"))
            .doing(doing)?;
        let (source, target) = (self.bytes(entry)?, self.element.bytes(dimension));
        let mut from = Some(i64::MIN);
        while let Some(start) = from {
            context.check()?;
            let Some(chunk) = Chunk::from(connection, &declaration, start)? else { break };
            from = chunk.id.checked_add(1);
            let length = source * declaration.chunk_size;
            let blob = chunk_blob(connection, &declaration, (&table, "vectors"), chunk.id, length)?;
            let rowid: Value = named.query_row([chunk.id], |row| row.get(0)).doing(doing)?;
            rows.begin_row()?;
            rows.value(ValueRef::Integer(chunk.id))?;
            rows.value(ValueRef::from(&rowid))?;
            rows.value(ValueRef::Blob(&blob))?;
            let mut made = vec![0; target * declaration.chunk_size];
            for (slot, row) in &chunk.rows {
                let bytes = vector(*row)?;
                match made
                    .get_mut(slot * target..(slot + 1) * target)
                    .filter(|place| place.len() == bytes.len())
                {
                    Some(place) => place.copy_from_slice(&bytes),
                    None => {
                        return Err(damaged(
                            &declaration,
                            "a row's vector has another length in the table beside it",
                        ));
                    }
                }
            }
            if update.execute(params![made, chunk.id]).doing(doing)? != 1 {
                return Err(damaged(&declaration, &format!("chunk {} is gone", chunk.id)));
            }
        }
        rows.end_table()?;
        let sql = declaration.with_dimension(&entry.vector, dimension)?;
        if sql != declaration.sql() {
            schema::declare(connection, &declaration.table, &sql)?;
        }
        is_read_as(connection, entry, target)
    }
}
