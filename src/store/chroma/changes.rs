//! What happened to a collection since the rows of a backup were saved.

use std::path::Path;

use rusqlite::{Connection, params};

use super::catalog::Entry;
use super::sql::Doing;
use crate::error::{Error, Kind, Result};
use crate::store::Changes;

/// Makes the saved rows readable as `kept.*`. Not possible inside a transaction.
pub(super) fn attach(connection: &Connection, rows: &Path) -> Result<()> {
    let path = rows.to_str().ok_or_else(|| {
        Error::new(Kind::Io, format!("the path `{}` is not UTF-8, which SQLite wants", rows.display()))
    })?;
    connection.execute("ATTACH DATABASE ?1 AS kept", [path]).doing("open the saved rows").map(drop)
}

/// Compares the live records with the saved ones. Chroma gives a record the sequence number of each write
/// to it, so an equal number means an untouched record; a row of the queue that the tables have not taken
/// in counts as an update.
pub(super) fn since(connection: &Connection, entry: &Entry) -> Result<Changes> {
    let doing = "look for changes";
    let count = |sql: &str| -> Result<u64> {
        let found: i64 = connection.query_row(sql, [&entry.metadata], |row| row.get(0)).doing(doing)?;
        Ok(found.unsigned_abs())
    };
    let join = "FROM main.embeddings e LEFT JOIN kept.embeddings k ON k.embedding_id = e.embedding_id WHERE e.segment_id = ?1";
    let added = count(&format!("SELECT count(*) {join} AND k.id IS NULL"))?;
    let updated =
        count(&format!("SELECT count(*) {join} AND k.id IS NOT NULL AND k.seq_id IS NOT e.seq_id"))?;
    let removed = count(
        "SELECT count(*) FROM kept.embeddings k WHERE NOT EXISTS \
         (SELECT 1 FROM main.embeddings e WHERE e.segment_id = ?1 AND e.embedding_id = k.embedding_id)",
    )?;
    let unread: i64 = connection
        .query_row(
            "SELECT count(*) FROM main.embeddings_queue WHERE topic = ?1 AND seq_id > ?2",
            params![entry.topic, entry.metadata_seq.unwrap_or(0)],
            |row| row.get(0),
        )
        .doing(doing)?;
    Ok(Changes { added, removed, updated: updated + unread.unsigned_abs() })
}
