//! A vec0 table that repeats the vectors of another table: filled from that one.

use rusqlite::Connection;

use super::Vec0;
use super::chunks::{self, VectorChunks};
use super::shadow::{Chunk, damaged};
use crate::context::Context;
use crate::error::Result;
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
        let declaration = self.as_declared(connection)?;
        let mut vectors =
            VectorChunks::begin(self, connection, &declaration, entry, rows, &|| context.check())?;
        let target = self.element.bytes(dimension);
        let mut from = Some(i64::MIN);
        while let Some(start) = from {
            context.check()?;
            let Some(chunk) = Chunk::from(connection, &declaration, start)? else { break };
            from = chunk.id.checked_add(1);
            vectors.take(chunk.id, rows)?;
            let mut made = vec![0; target * declaration.chunk_size];
            for (slot, row) in &chunk.rows {
                let bytes = vector(*row)?;
                let place = made.get_mut(slot * target..(slot + 1) * target);
                match place.filter(|place| place.len() == bytes.len()) {
                    Some(place) => place.copy_from_slice(&bytes),
                    None => {
                        let found = "a row's vector has another length in the table beside it";
                        return Err(damaged(&declaration, found));
                    }
                }
            }
            vectors.put(chunk.id, &made)?;
        }
        drop(vectors);
        rows.end_table()?;
        chunks::declare(connection, &declaration, entry, dimension, target)
    }
}
