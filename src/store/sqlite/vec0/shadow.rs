//! The shadow tables of a vec0 table: which there are, and their chunks read without the extension.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

use super::declaration::{Declaration, Holds, Metadata};
use crate::error::{Error, Kind, Result};
use crate::store::sql::rows_file::quoted;
use crate::store::sql::{self, Doing};

/// The shadow tables that `declaration` asks for, without the table's own name before, and the columns of each.
pub(super) fn wanted(declaration: &Declaration) -> Vec<(String, Vec<String>)> {
    let table =
        |suffix: String, columns: &[&str]| (suffix, columns.iter().map(|c| (*c).to_owned()).collect());
    let mut chunks: Vec<String> = ["chunk_id", "size", "validity", "rowids"].map(str::to_owned).into();
    let mut auxiliary = vec!["rowid".to_owned()];
    let mut tables = vec![table("rowids".into(), &["rowid", "id", "chunk_id", "chunk_offset"])];
    for column in &declaration.columns {
        match &column.holds {
            Holds::Vectors(number, _) => tables.push(table(vector_chunks(*number), &["rowid", "vectors"])),
            Holds::Partition(number) => chunks.push(format!("partition{number:02}")),
            Holds::Auxiliary(number, _) => auxiliary.push(format!("value{number:02}")),
            Holds::Metadata(number, kind) => {
                tables.push(table(format!("metadatachunks{number:02}"), &["rowid", "data"]));
                if *kind == Metadata::Text {
                    tables.push(table(format!("metadatatext{number:02}"), &["rowid", "data"]));
                }
            }
        }
    }
    tables.push(("chunks".into(), chunks));
    if auxiliary.len() > 1 {
        tables.push(("auxiliary".into(), auxiliary));
    }
    tables
}

/// The shadow tables that the file has; `info` is missing in files of older releases.
pub(super) fn present(connection: &Connection, declaration: &Declaration) -> Result<Vec<String>> {
    let mut tables: Vec<String> = wanted(declaration).into_iter().map(|(suffix, _)| suffix).collect();
    if sql::has_table(connection, &format!("{}_info", declaration.table))? {
        tables.push("info".into());
    }
    Ok(tables)
}

/// Why the shadow tables of the file cannot be read; none: they are as expected.
pub(super) fn obstacle(connection: &Connection, declaration: &Declaration) -> Result<Option<String>> {
    for (suffix, wanted) in wanted(declaration) {
        let columns = columns(connection, &format!("{}_{suffix}", declaration.table))?;
        if let Some(missing) = wanted.iter().find(|column| !columns.iter().any(|(name, _)| name == *column)) {
            return Ok(Some(match columns.is_empty() {
                true => format!("its shadow table `{suffix}` is missing"),
                false => format!(
                    "its shadow table `{suffix}` has no column `{missing}`: another release of sqlite-vec made it"
                ),
            }));
        }
    }
    Ok(None)
}

/// Columns of a table of the file, and whether each of them is the table's row number.
pub(super) fn columns(connection: &Connection, table: &str) -> Result<Vec<(String, bool)>> {
    let doing = "list the columns";
    let mut statement = connection
        .prepare_cached("SELECT name, pk > 0 AND upper(type) = 'INTEGER' FROM pragma_table_info(?1, 'main')")
        .doing(doing)?;
    let columns = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).doing(doing)?;
    columns.collect::<rusqlite::Result<_>>().doing(doing)
}

pub(super) fn vector_chunks(number: usize) -> String {
    format!("vector_chunks{number:02}")
}

/// A shadow table's name in SQL.
pub(super) fn place(declaration: &Declaration, suffix: &str) -> String {
    format!("main.{}", quoted(&format!("{}_{suffix}", declaration.table)))
}

/// Which rows a chunk holds.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub id: i64,
    /// Slot and row number of each row.
    pub rows: Vec<(usize, i64)>,
}

/// What a row of `rowids` says: its text key if it has one, and its place.
pub(super) struct Place {
    pub id: Value,
    pub chunk: i64,
    pub slot: i64,
}

impl Chunk {
    /// The first chunk from `from` on.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for blobs of another length than the declaration gives them.
    pub fn from(connection: &Connection, declaration: &Declaration, from: i64) -> Result<Option<Chunk>> {
        let doing = "read the chunks";
        let sql = format!(
            "SELECT chunk_id, size, validity, rowids FROM {} WHERE chunk_id >= ?1 ORDER BY chunk_id LIMIT 1",
            place(declaration, "chunks")
        );
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query([from]).doing(doing)?;
        let Some(row) = rows.next().doing(doing)? else { return Ok(None) };
        let id = row.get(0).doing(doing)?;
        let (validity, rowids) = (blob(row.get_ref(2).doing(doing)?)?, blob(row.get_ref(3).doing(doing)?)?);
        let size = declaration.chunk_size;
        if row.get_ref(1).doing(doing)? != ValueRef::Integer(size as i64)
            || validity.len() != size / 8
            || rowids.len() != size * 8
        {
            return Err(damaged(declaration, &format!("chunk {id} is not of {size} rows")));
        }
        let used = |slot: usize| validity.get(slot / 8).is_some_and(|byte| byte >> (slot % 8) & 1 == 1);
        let rows = rowids.as_chunks().0.iter().enumerate().filter(|(slot, _)| used(*slot));
        Ok(Some(Chunk { id, rows: rows.map(|(slot, bytes)| (slot, i64::from_le_bytes(*bytes))).collect() }))
    }
}

/// The place of a row, checked against the chunk that has it in a slot: so no row is met twice.
pub(super) fn row(
    connection: &Connection,
    declaration: &Declaration,
    chunk: i64,
    (slot, rowid): (usize, i64),
) -> Result<Place> {
    let doing = "read the places of rows";
    let sql =
        format!("SELECT id, chunk_id, chunk_offset FROM {} WHERE rowid = ?1", place(declaration, "rowids"));
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let found = statement
        .query_row([rowid], |row| Ok(Place { id: row.get(0)?, chunk: row.get(1)?, slot: row.get(2)? }))
        .optional()
        .doing(doing)?;
    found.filter(|place| (place.chunk, place.slot) == (chunk, slot as i64)).ok_or_else(|| {
        damaged(declaration, &format!("slot {slot} of chunk {chunk} holds a row that is not noted there"))
    })
}

/// Rows that the table notes.
pub(super) fn count(connection: &Connection, declaration: &Declaration) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", place(declaration, "rowids"));
    connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).doing("count the rows").map(i64::unsigned_abs)
}

/// A blob of a chunk, in one of the tables that have a blob for each of them.
pub(super) fn chunk_blob(
    connection: &Connection,
    declaration: &Declaration,
    (suffix, column): (&str, &str),
    chunk: i64,
    length: usize,
) -> Result<Vec<u8>> {
    let doing = "read the chunks";
    // As the extension does: by the row's own number, which the column `rowid` only repeats.
    let sql = format!("SELECT {column} FROM {} WHERE _rowid_ = ?1", place(declaration, suffix));
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let found = statement
        .query_row(params![chunk], |row| {
            Ok(row.get_ref(0)?.as_blob_or_null().ok().flatten().map(<[u8]>::to_vec))
        })
        .optional()
        .doing(doing)?
        .flatten();
    let found =
        found.ok_or_else(|| damaged(declaration, &format!("`{suffix}` has no blob for chunk {chunk}")))?;
    if found.len() != length {
        let found = found.len();
        return Err(damaged(
            declaration,
            &format!("`{suffix}` has {found} bytes for chunk {chunk}, wanted {length}"),
        ));
    }
    Ok(found)
}

pub(super) fn blob(value: ValueRef<'_>) -> Result<&[u8]> {
    match value {
        ValueRef::Blob(blob) => Ok(blob),
        _ => Err(Error::new(Kind::Damaged, "a shadow table of sqlite-vec holds no blob where one has to be")),
    }
}

pub(super) fn damaged(declaration: &Declaration, found: &str) -> Error {
    Error::new(Kind::Damaged, format!("vec0 table `{}`: {found}", declaration.table))
        .hint("sqlite-vec itself will not read these rows either; bring back an intact copy of the file")
}
