//! Columns that may hold vectors and were not recognised: a collection is what looks like one in every value.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::columns::{self, TableInfo};
use super::encoding::Encoding;
use super::find::Found;
use crate::error::Result;

/// Bytes that a vector has at least: identifiers and hashes have fewer.
const LEAST: usize = 48;

/// Every such column that is none of `found`, in words.
pub(super) fn columns(connection: &Connection, found: &[Found]) -> Result<Vec<String>> {
    let mut overlooked = Vec::new();
    for table in columns::tables(connection)? {
        for column in &table.columns {
            let known = |found: &Found| {
                found.entry.table == table.name && found.entry.vector_columns().contains(&column.name)
            };
            if !found.iter().any(known)
                && let Some(values) = values(connection, &table, &column.name)?
            {
                overlooked.push(format!("column `{}` of table `{}` ({values})", column.name, table.name));
            }
        }
    }
    Ok(overlooked)
}

/// What most of the first values are, if that may be vectors.
fn values(connection: &Connection, table: &TableInfo, column: &str) -> Result<Option<String>> {
    let (mut all, mut arrays, mut lengths) = (0, 0, Vec::new());
    columns::first_values(connection, table, column, &mut |value| {
        all += 1;
        match value {
            text @ ValueRef::Text(_) => arrays += usize::from(Encoding::Json.dimension(text) > Some(1)),
            ValueRef::Blob(blob) if blob.len() >= LEAST => lengths.push(blob.len()),
            _ => {}
        }
        true
    })?;
    if 2 * arrays > all {
        return Ok(Some(format!("{arrays} of {all} values are JSON arrays of numbers")));
    }
    lengths.sort_unstable();
    let longest_run = lengths.chunk_by(|a, b| a == b).max_by_key(|run| run.len());
    Ok(longest_run.filter(|run| 2 * run.len() > all).and_then(|run| {
        run.first().map(|bytes| format!("{} of {all} values are blobs of {bytes} bytes", run.len()))
    }))
}
