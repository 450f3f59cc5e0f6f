//! Virtual tables of sqlite-vec: read and rewritten through their shadow tables, declared and checked through the
//! extension.

#[cfg(test)]
mod back_tests;
mod chunks;
mod column;
mod declaration;
#[cfg(test)]
mod declaration_tests;
mod find;
mod kept;
mod link;
mod refill;
#[cfg(test)]
mod refusal_tests;
mod rewrite;
mod schema;
mod shadow;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod values;

use ndarray::Array2;
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

pub(in crate::store::sqlite) use find::{entries, vss_tables};
pub(in crate::store::sqlite) use link::register;

use self::declaration::{Declaration, Element, Holds, MOST_COMPONENTS, Metadata};
use self::shadow::{Chunk, damaged};
use self::values::Values;
use super::encoding::Encoding;
use super::entry::Entry;
use super::holder::{Cursor, Holder, Send, Sides};
use super::sink::{Contents, Sink};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::store::Batch;
use crate::store::sql::Doing;

/// One vector column of a vec0 table.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Vec0 {
    /// As it was found; the dimension of the column may be another by now.
    declaration: Declaration,
    /// Number among the vector columns.
    number: usize,
    element: Element,
}

impl Element {
    fn encoding(self) -> Encoding {
        match self {
            Element::F32 => Encoding::F32,
            Element::Int8 => Encoding::Int8Unit,
            Element::Bit => Encoding::Bit,
        }
    }
}

impl Vec0 {
    /// Rows of the table.
    pub fn count(&self, connection: &Connection) -> Result<u64> {
        shadow::count(connection, &self.declaration)
    }

    /// Rows with a text in `column`.
    pub fn texts(&self, connection: &Connection, column: &str) -> Result<u64> {
        let columns = &self.declaration.columns;
        match columns.iter().find(|known| known.name == column).map(|known| &known.holds) {
            Some(Holds::Auxiliary(number, _)) => {
                let place = shadow::place(&self.declaration, "auxiliary");
                let sql = format!("SELECT count(*) FROM {place} WHERE typeof(value{number:02}) = 'text'");
                let found = connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
                found.doing("count the texts").map(i64::unsigned_abs)
            }
            // Those are never missing.
            Some(Holds::Metadata(_, Metadata::Text)) => self.count(connection),
            _ => Ok(0),
        }
    }

    /// The declaration as the file has it now.
    fn as_declared(&self, connection: &Connection) -> Result<Declaration> {
        let table = &self.declaration.table;
        let sql = schema::declared(connection, table)?
            .ok_or_else(|| Error::new(Kind::NotFound, format!("vec0 table `{table}` is gone")))?;
        Declaration::parse(&sql)
    }

    /// Bytes of a vector of the collection.
    fn bytes(&self, entry: &Entry) -> Result<usize> {
        let dimension = entry.dimension.filter(|dimension| (1..=MOST_COMPONENTS).contains(dimension));
        dimension
            .map(|dimension| self.element.bytes(dimension))
            .ok_or_else(|| Error::new(Kind::Internal, "a vec0 table without a dimension"))
    }

    /// Vectors, one for each of `ids`.
    fn decode<'a>(
        &self,
        declaration: &Declaration,
        ids: &[String],
        blobs: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Array2<f32>> {
        let mut values = Vec::new();
        for (blob, id) in blobs.zip(ids) {
            let start = values.len();
            let found = self.element.encoding().decode(ValueRef::Blob(blob), None, &mut values);
            if found.is_none() || !values.get(start..).is_some_and(crate::simd::all_finite) {
                let found = format!("record `{}` has no vector of finite numbers", id.escape_debug());
                return Err(damaged(declaration, &found));
            }
        }
        let dimension = values.len().checked_div(ids.len()).unwrap_or(0);
        Array2::from_shape_vec((ids.len(), dimension), values)
            .map_err(|e| Error::new(Kind::Internal, "a batch of records has the wrong shape").because(e))
    }
}

impl Holder for Vec0 {
    fn next_batch(
        &self,
        connection: &Connection,
        entry: &Entry,
        cursor: &mut Cursor,
        max: usize,
        texts: bool,
    ) -> Result<Option<Batch>> {
        let declaration = &self.declaration;
        let column = entry.text_column.as_ref().filter(|_| texts);
        let mut values = Values::new(connection, declaration, &Vec::from_iter(column.cloned()))?;
        let bytes = self.bytes(entry)?;
        let table = shadow::vector_chunks(self.number);
        let (mut ids, mut blobs, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let (mut from, mut behind) = match cursor.0.as_slice() {
            [Value::Integer(chunk), Value::Integer(slot)] => {
                (Some(*chunk), usize::try_from(*slot).unwrap_or(0))
            }
            _ => (Some(i64::MIN), 0),
        };
        while let Some(start) = from.filter(|_| ids.len() < max.max(1)) {
            let Some(mut chunk) = Chunk::from(connection, declaration, start)? else { break };
            if chunk.id == start {
                chunk.rows.retain(|(slot, _)| *slot >= behind);
            }
            let more = chunk.rows.len() > max.max(1) - ids.len();
            chunk.rows.truncate(max.max(1) - ids.len());
            if let (Some((first, _)), Some((last, _))) = (chunk.rows.first(), chunk.rows.last()) {
                let length = bytes * declaration.chunk_size;
                let blob =
                    shadow::chunk_blob(connection, declaration, (&table, "vectors"), chunk.id, length)?;
                let part = blob.get(first * bytes..(last + 1) * bytes).unwrap_or_default();
                for row in &chunk.rows {
                    let place = shadow::row(connection, declaration, chunk.id, *row)?;
                    ids.push(values::key(declaration, row.1, &place)?.1);
                    let at = (row.0 - first) * bytes;
                    blobs.push(part.get(at..at + bytes).unwrap_or_default().to_vec());
                    if texts {
                        let value = values.of(row.1, &place)?.into_iter().next();
                        found.push(if let Some(Value::Text(text)) = value { Some(text) } else { None });
                    }
                }
                behind = last + 1;
            }
            if more {
                from = Some(chunk.id);
            } else {
                (from, behind) = (chunk.id.checked_add(1), 0);
            }
            // Behind the last chunk that there can be: nothing more, said by a slot that no chunk has.
            cursor.0 = match from {
                Some(chunk) => vec![Value::Integer(chunk), Value::Integer(behind as i64)],
                None => vec![Value::Integer(i64::MAX), Value::Integer(declaration.chunk_size as i64)],
            };
        }
        if ids.is_empty() {
            return Ok(None);
        }
        let vectors = self.decode(declaration, &ids, blobs.iter().map(Vec::as_slice))?;
        Ok(Some(Batch { ids, vectors, texts: found }))
    }

    fn transform(
        &self,
        sides: &mut Sides<'_>,
        entry: &Entry,
        dimension: usize,
        send: &Send<'_>,
        sink: &mut Sink<'_, '_>,
        context: &Context<'_>,
    ) -> Result<()> {
        rewrite::run(self, sides.target(context)?, entry, dimension, send, sink, context)
    }

    fn restore(&self, connection: &Connection, entry: &Entry, changed: bool) -> Result<()> {
        match changed {
            true => kept::restore_all(connection),
            false => kept::restore_vectors(connection, &entry.vector, self.number),
        }
    }

    fn contents(&self, connection: &Connection, entry: &Entry, contents: &mut Contents<'_>) -> Result<()> {
        rewrite::contents(connection, &self.as_declared(connection)?, entry, contents, &|| Ok(())).map(drop)
    }

    fn saved(&self, connection: &Connection, entry: &Entry) -> Result<Entry> {
        kept::as_shadow_tables(connection, &self.declaration)?;
        Ok(entry.clone())
    }

    fn rows(&self, connection: &Connection, _: &Entry) -> Result<u64> {
        self.count(connection)
    }

    fn obstacle(&self, connection: &Connection, entry: &Entry, dimension: usize) -> Result<Option<String>> {
        if let Some(unsupported) = &entry.unsupported {
            return Ok(Some(unsupported.clone()));
        }
        if dimension > MOST_COMPONENTS {
            return Ok(Some(format!(
                "vec0 tables take at most {MOST_COMPONENTS} components, wanted {dimension}"
            )));
        }
        if self.element == Element::Bit && !dimension.is_multiple_of(8) {
            return Ok(Some(format!("bit columns take multiples of 8 components, wanted {dimension}")));
        }
        let triggers = find::triggers(connection, &self.declaration)?;
        Ok(triggers.first().filter(|_| !entry.fire_triggers).map(|trigger| {
            format!("trigger `{trigger}` on a shadow table of `{}` would see the rewrite", entry.table)
        }))
    }
}
