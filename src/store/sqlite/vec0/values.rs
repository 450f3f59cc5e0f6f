//! What rows of a vec0 table hold beside their vectors, read from the shadow tables: the extension would believe
//! whatever length a damaged file gives for a text.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use super::declaration::{Declaration, Holds, Metadata};
use super::shadow::{Place, chunk_blob, damaged, place};
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;

/// Bytes of chunks that are remembered: rows may be asked for in any order.
const REMEMBERED: usize = 1 << 27;
/// A text of a metadata column: its length and its beginning.
const VIEW: usize = 16;
const IN_VIEW: usize = 12;

/// Is shown the number, the place and the values of a row.
pub(super) type Look<'a> = dyn FnMut(i64, &Place, &[Value]) -> Result<()> + 'a;

/// Reads the values of some columns, row by row.
pub(super) struct Values<'a> {
    connection: &'a Connection,
    declaration: &'a Declaration,
    wanted: Vec<&'a Holds>,
    /// For each wanted column what it has of a chunk: a partition's value, a metadata column's blob.
    chunks: HashMap<i64, Vec<Value>>,
    bytes: usize,
    auxiliary: Option<String>,
}

impl<'a> Values<'a> {
    /// # Errors
    /// [`Kind::NotFound`] for a name that is not one of a column without vectors.
    pub fn new(
        connection: &'a Connection,
        declaration: &'a Declaration,
        columns: &[String],
    ) -> Result<Values<'a>> {
        let wanted = columns.iter().map(|name| match declaration.column(name).map(|column| &column.holds) {
            None | Some(Holds::Vectors(..)) => Err(Error::new(
                Kind::NotFound,
                format!("vec0 table `{}` has no such column of values", declaration.table),
            )),
            Some(holds) => Ok(holds),
        });
        let wanted: Vec<&Holds> = wanted.collect::<Result<_>>()?;
        let auxiliary: Vec<String> = wanted
            .iter()
            .filter_map(|holds| match holds {
                Holds::Auxiliary(number, _) => Some(format!("value{number:02}")),
                _ => None,
            })
            .collect();
        let auxiliary = (!auxiliary.is_empty()).then(|| {
            format!(
                "SELECT {} FROM {} WHERE rowid = ?1",
                auxiliary.join(", "),
                place(declaration, "auxiliary")
            )
        });
        Ok(Values { connection, declaration, wanted, chunks: HashMap::new(), bytes: 0, auxiliary })
    }

    /// The values of a row in the order of the columns that were asked for.
    pub fn of(&mut self, rowid: i64, place: &Place) -> Result<Vec<Value>> {
        let mut auxiliary = self.auxiliary(rowid)?.into_iter();
        let slot = usize::try_from(place.slot).ok().filter(|slot| *slot < self.declaration.chunk_size);
        let slot = slot.ok_or_else(|| damaged(self.declaration, "a row is noted outside of its chunk"))?;
        self.load(place.chunk)?;
        let chunk = self.chunks.get(&place.chunk).map(Vec::as_slice).unwrap_or_default();
        let broken = || damaged(self.declaration, "a metadata column has no value where a row is");
        let mut values = Vec::with_capacity(self.wanted.len());
        for (holds, chunk) in self.wanted.iter().zip(chunk) {
            values.push(match (holds, chunk) {
                (Holds::Auxiliary(..), _) => auxiliary.next().unwrap_or(Value::Null),
                (Holds::Metadata(number, kind), Value::Blob(blob)) => {
                    match metadata(*kind, blob, slot).ok_or_else(broken)? {
                        Some(value) => value,
                        None => self.long_text(*number, rowid)?,
                    }
                }
                (_, value) => value.clone(),
            });
        }
        Ok(values)
    }

    fn auxiliary(&self, rowid: i64) -> Result<Vec<Value>> {
        let Some(sql) = &self.auxiliary else { return Ok(Vec::new()) };
        let doing = "read auxiliary columns";
        let mut statement = self.connection.prepare_cached(sql).doing(doing)?;
        let columns = statement.column_count();
        let values = statement
            .query_row([rowid], |row| (0..columns).map(|at| row.get(at)).collect::<rusqlite::Result<_>>())
            .optional()
            .doing(doing)?;
        values.ok_or_else(|| damaged(self.declaration, "a row has no auxiliary columns"))
    }

    fn long_text(&self, number: usize, rowid: i64) -> Result<Value> {
        let doing = "read metadata columns";
        // The column `rowid` is the row here, whatever number SQLite gives.
        let sql = format!(
            "SELECT data FROM {} WHERE rowid = ?1",
            place(self.declaration, &format!("metadatatext{number:02}"))
        );
        let mut statement = self.connection.prepare_cached(&sql).doing(doing)?;
        let found = statement.query_row([rowid], |row| row.get(0)).optional().doing(doing)?;
        found.ok_or_else(|| damaged(self.declaration, "a long text of a metadata column is missing"))
    }

    fn load(&mut self, chunk: i64) -> Result<()> {
        if self.chunks.contains_key(&chunk) {
            return Ok(());
        }
        let size = self.declaration.chunk_size;
        let mut parts = Vec::new();
        for holds in &self.wanted {
            parts.push(match holds {
                Holds::Metadata(number, kind) => {
                    let length = match kind {
                        Metadata::Boolean => size / 8,
                        Metadata::Integer | Metadata::Float => size * 8,
                        Metadata::Text => size * VIEW,
                    };
                    self.bytes += length;
                    let suffix = format!("metadatachunks{number:02}");
                    Value::Blob(chunk_blob(
                        self.connection,
                        self.declaration,
                        (&suffix, "data"),
                        chunk,
                        length,
                    )?)
                }
                Holds::Partition(number) => {
                    let doing = "read partition keys";
                    let sql = format!(
                        "SELECT partition{number:02} FROM {} WHERE chunk_id = ?1",
                        place(self.declaration, "chunks")
                    );
                    let mut statement = self.connection.prepare_cached(&sql).doing(doing)?;
                    let found = statement.query_row([chunk], |row| row.get(0)).optional().doing(doing)?;
                    let value: Value = found
                        .ok_or_else(|| damaged(self.declaration, &format!("chunk {chunk} is missing")))?;
                    self.bytes += match &value {
                        Value::Text(text) => text.len(),
                        Value::Blob(blob) => blob.len(),
                        _ => 0,
                    };
                    value
                }
                Holds::Vectors(..) | Holds::Auxiliary(..) => Value::Null,
            });
        }
        self.bytes += 64 * (1 + parts.len());
        if self.bytes > REMEMBERED {
            self.chunks.clear();
            self.bytes = 0;
        }
        self.chunks.insert(chunk, parts);
        Ok(())
    }

    /// Every row in the order of the keys, its place and values.
    pub fn each(&mut self, look: &mut Look<'_>) -> Result<()> {
        let doing = "read the places of rows";
        let order = if self.declaration.has_text_keys() { "id" } else { "rowid" };
        let sql = format!(
            "SELECT rowid, id, chunk_id, chunk_offset FROM {} ORDER BY {order}",
            place(self.declaration, "rowids")
        );
        let connection = self.connection;
        let mut statement = connection.prepare(&sql).doing(doing)?;
        let mut rows = statement.query([]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let rowid = row.get(0).doing(doing)?;
            let place = Place {
                id: row.get(1).doing(doing)?,
                chunk: row.get(2).doing(doing)?,
                slot: row.get(3).doing(doing)?,
            };
            let values = self.of(rowid, &place)?;
            look(rowid, &place, &values)?;
        }
        Ok(())
    }
}

/// A value of a metadata column. Outer `None`: there is none; inner: it is a text that lies in a table of its own.
fn metadata(kind: Metadata, blob: &[u8], slot: usize) -> Option<Option<Value>> {
    let number = || blob.as_chunks::<8>().0.get(slot).copied();
    Some(Some(match kind {
        Metadata::Boolean => Value::Integer(i64::from(blob.get(slot / 8)? >> (slot % 8) & 1)),
        Metadata::Integer => Value::Integer(i64::from_le_bytes(number()?)),
        // SQLite has no NaN: where one lies, it gives NULL.
        Metadata::Float => match f64::from_le_bytes(number()?) {
            x if x.is_nan() => Value::Null,
            x => Value::Real(x),
        },
        Metadata::Text => {
            let (length, text) = blob.as_chunks::<VIEW>().0.get(slot)?.split_first_chunk::<4>()?;
            match usize::try_from(i32::from_le_bytes(*length)).ok()? {
                length @ 0..=IN_VIEW => {
                    Value::Text(std::str::from_utf8(text.get(..length)?).ok()?.to_owned())
                }
                _ => return Some(None),
            }
        }
    }))
}

/// Key and identifier of a row.
pub(super) fn key(declaration: &Declaration, rowid: i64, place: &Place) -> Result<(Value, String)> {
    if !declaration.has_text_keys() {
        return Ok((Value::Integer(rowid), rowid.to_string()));
    }
    match &place.id {
        Value::Text(id) => Ok((Value::Text(id.clone()), id.clone())),
        _ => Err(damaged(declaration, "a row has no text as its key")),
    }
}
