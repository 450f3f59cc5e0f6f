//! What happened to a collection since the rows of a backup were saved.

use std::path::Path;

use rusqlite::{Connection, params};

use super::catalog::Entry;
use super::stamp;
use crate::error::Result;
use crate::store::Changes;
use crate::store::sql::rows_file;
use crate::store::sql::{self, Doing};

/// Tables of the saved rows that grow with the collection.
const RECORDS: [&str; 3] = ["embeddings", "embedding_metadata", "embedding_metadata_array"];

/// Makes room for saved rows as `kept.*`, in a temporary file. Not possible inside a transaction.
pub(super) fn attach(connection: &Connection) -> Result<()> {
    // Not synced: then a commit involves one file alone, whatever was loaded here.
    connection
        .execute_batch("ATTACH DATABASE '' AS kept; PRAGMA kept.synchronous = OFF")
        .doing("make room for the saved rows")
}

/// Loads the saved rows into `schema`; those of the records only if `records`.
pub(super) fn load(connection: &Connection, schema: &str, rows: &Path, records: bool) -> Result<()> {
    rows_file::load(connection, schema, rows, |table| RECORDS.contains(&table) == records)?;
    if records {
        connection
            .execute_batch(&format!(
                "CREATE UNIQUE INDEX {schema}.embeddings_by_id ON embeddings (embedding_id); \
                 CREATE INDEX {schema}.metadata_by_id ON embedding_metadata (id);"
            ))
            .doing("load the saved rows")?;
        if sql::holds(connection, schema, RECORDS[2])? {
            connection
                .execute_batch(&format!(
                    "CREATE INDEX {schema}.arrays_by_id ON embedding_metadata_array (id)"
                ))
                .doing("load the saved rows")?;
        }
    }
    Ok(())
}

/// Whether nothing was written to the collection since the commit that the stamp belongs to: each write takes a
/// number from the queue, and the tables note the last one that they have read.
pub(super) fn untouched(connection: &Connection, entry: &Entry) -> Result<bool> {
    let committed =
        stamp::read(connection, &entry.id)?.filter(|s| s.segment == entry.vector).and_then(|s| s.last);
    Ok(committed.is_some_and(|last| {
        entry.metadata_seq == Some(last) && entry.queue_last.is_none_or(|queued| queued <= last)
    }))
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
