//! Putting values into rows that are there.

use ndarray::ArrayView1;
use rusqlite::blob::Blob;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Statement, params_from_iter};

use super::encoding::Encoding;
use super::entry::Entry;
use super::sink::{HASH, hash_values};
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;
use crate::store::sql::rows_file::quoted;

const DOING: &str = "write vectors";

/// Writes the vectors of one row after the other.
pub(super) struct Put<'c> {
    entry: &'c Entry,
    connection: &'c Connection,
    /// Bytes of every value, where they can be written over the ones there: see [`overwrites`].
    length: Option<usize>,
    blob: Option<Blob<'c>>,
    update: Statement<'c>,
}

impl<'c> Put<'c> {
    /// `entry` as it is before; the new vectors have `dimension` components.
    pub fn new(connection: &'c Connection, entry: &'c Entry, dimension: usize) -> Result<Self> {
        let length = match overwrites(connection, entry, dimension)? {
            true => entry.encoding.length(dimension),
            false => None,
        };
        let update =
            connection.prepare(&update(entry, &entry.vector_columns())).doing("prepare the rewrite")?;
        Ok(Put { entry, connection, length, blob: None, update })
    }

    /// Gives the row with this key the values of [`Entry::vector_columns`].
    pub fn row(&mut self, key: &[Value], values: &[Value]) -> Result<()> {
        if let (Some(length), [Value::Integer(row)], [Value::Blob(bytes)]) = (self.length, key, values)
            && bytes.len() == length
            && self.over(*row, bytes)?
        {
            return Ok(());
        }
        let changed = self.update.execute(params_from_iter(values.iter().chain(key))).doing(DOING)?;
        if changed == 1 {
            return Ok(());
        }
        let found = format!("a key of `{}` stands for {changed} rows, wanted 1", self.entry.table);
        Err(Error::new(Kind::Damaged, found))
    }

    /// Writes over the value of a row. `false`: that one has another length, or none; what it is, a statement says.
    fn over(&mut self, row: i64, bytes: &[u8]) -> Result<bool> {
        let blob = match &mut self.blob {
            Some(blob) => match blob.reopen(row) {
                Ok(()) => blob,
                // A value that the row does not hold itself, as the default of a column that came later.
                Err(_) => {
                    self.blob = None;
                    return Ok(false);
                }
            },
            None => {
                let Entry { table, vector, .. } = self.entry;
                match self.connection.blob_open("main", table.as_str(), vector.as_str(), row, false) {
                    Ok(blob) => self.blob.insert(blob),
                    Err(_) => return Ok(false),
                }
            }
        };
        if blob.len() != bytes.len() {
            // The statement that comes instead must not meet an open blob of the row.
            self.blob = None;
            return Ok(false);
        }
        blob.write_at(bytes, 0).doing(DOING).map(|()| true)
    }
}

/// A vector as the values of [`Entry::vector_columns`], and the hash of these.
///
/// # Errors
/// [`Kind::Damaged`] if it is not finite.
pub(super) fn encoded(
    encoding: Encoding,
    vector: ArrayView1<'_, f32>,
    id: &str,
) -> Result<(Value, Option<Value>, [u8; HASH])> {
    let vector = vector.to_slice().unwrap_or_default();
    if !crate::simd::all_finite(vector) {
        let found = format!("the new vector of record `{}` is not finite", id.escape_debug());
        return Err(Error::new(Kind::Damaged, found));
    }
    let (value, scale) = encoding.encode(vector);
    let scale = scale.map(Value::Real);
    let hash = hash_values(std::iter::once(&value).chain(&scale).map(ValueRef::from));
    Ok((value, scale, hash))
}

/// Whether values can be written over those there, byte for byte, past the statement that SQLite would run for each row:
/// they are blobs as long as before in rows with a number, and nothing else depends on them. SQLite itself refuses
/// columns that an index or a generated column reads.
pub(super) fn overwrites(connection: &Connection, entry: &Entry, dimension: usize) -> Result<bool> {
    let lengths =
        entry.dimension.map(|source| (entry.encoding.length(source), entry.encoding.length(dimension)));
    let alike = matches!(lengths, Some((Some(source), Some(target))) if source == target);
    if !alike || entry.scale.is_some() || entry.fire_triggers || entry.key.len() != 1 {
        return Ok(false);
    }
    let doing = "look at the table";
    // A constraint or the condition of an index may look at the bytes.
    let looked_at: bool = connection
        .query_row(
            "SELECT count(*) FROM main.sqlite_master WHERE tbl_name = ?1 AND (type = 'table' AND sql LIKE '%check%' OR \
             type = 'index' AND sql LIKE '%where%')",
            [&entry.table],
            |row| Ok(row.get::<_, i64>(0)? > 0),
        )
        .doing(doing)?;
    if looked_at {
        return Ok(false);
    }
    // Not every column that is called an integer primary key is the number of the row.
    let sql = format!(
        "EXPLAIN QUERY PLAN SELECT 1 FROM main.{} WHERE {} = 1",
        entry.table_name(),
        entry.key_columns()
    );
    let plan: Option<String> = connection.query_row(&sql, [], |row| row.get(3)).optional().doing(doing)?;
    if !plan.is_some_and(|plan| plan.ends_with("USING INTEGER PRIMARY KEY (rowid=?)")) {
        return Ok(false);
    }
    let sql = format!(
        "SELECT {} FROM main.{} WHERE {} LIMIT 1",
        entry.key_columns(),
        entry.table_name(),
        entry.belongs()
    );
    let Some(row) = connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).optional().doing(doing)?
    else {
        return Ok(false);
    };
    Ok(connection.blob_open("main", entry.table.as_str(), entry.vector.as_str(), row, false).is_ok())
}

/// `UPDATE` of some columns of the row with a key; values: those of the columns, then the key's.
pub(super) fn update(entry: &Entry, columns: &[String]) -> String {
    let set: Vec<String> = columns.iter().map(|column| format!("{} = ?", quoted(column))).collect();
    format!("UPDATE main.{} SET {} WHERE {}", entry.table_name(), set.join(", "), by_key(&entry.key))
}

/// The condition that names one row by the values of these columns.
pub(super) fn by_key(key: &[String]) -> String {
    key.iter().map(|column| format!("{} = ?", quoted(column))).collect::<Vec<_>>().join(" AND ")
}
