//! Putting back records, texts and metadata that were changed after a migration.

use rusqlite::{Connection, params};

use super::catalog::Entry;
use crate::error::Result;
use crate::store::sql::rows_file::quoted;
use crate::store::sql::{self, Doing};

const DOING: &str = "restore the records";

/// Columns of a saved table, as a list for SQL.
pub(super) fn columns(connection: &Connection, table: &str) -> Result<String> {
    let mut statement =
        connection.prepare_cached("SELECT name FROM pragma_table_info(?1, 'kept')").doing(DOING)?;
    let names = statement.query_map([table], |row| row.get::<_, String>(0)).doing(DOING)?;
    let names: Vec<String> = names.collect::<rusqlite::Result<_>>().doing(DOING)?;
    Ok(names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "))
}

/// Removes the records that were added or written again, and puts back those that were removed or written
/// again, with texts, metadata and full-text entries.
pub(super) fn restore(connection: &Connection, entry: &Entry) -> Result<()> {
    let arrays = sql::has_table(connection, "embedding_metadata_array")?;
    let fulltext = FullText::of(connection)?;
    connection.execute_batch("CREATE TEMP TABLE touched (id INTEGER PRIMARY KEY)").doing(DOING)?;
    connection
        .execute(
            "INSERT INTO touched SELECT e.id FROM main.embeddings e \
             LEFT JOIN kept.embeddings k ON k.embedding_id = e.embedding_id \
             WHERE e.segment_id = ?1 AND (k.id IS NULL OR k.seq_id IS NOT e.seq_id)",
            [&entry.metadata],
        )
        .doing(DOING)?;
    let mut tables = vec![("embedding_metadata", "id"), (fulltext.table, fulltext.key), ("embeddings", "id")];
    if arrays {
        tables.push(("embedding_metadata_array", "id"));
    }
    for (table, key) in tables {
        connection
            .execute(&format!("DELETE FROM main.{table} WHERE {key} IN (SELECT id FROM touched)"), [])
            .doing(DOING)?;
    }
    connection.execute_batch("DROP TABLE touched").doing(DOING)?;
    for key in missing(connection, entry)? {
        put_back(connection, &fulltext, key)?;
    }
    Ok(())
}

/// Keys of saved records that are not there.
fn missing(connection: &Connection, entry: &Entry) -> Result<Vec<i64>> {
    let mut statement = connection
        .prepare(
            "SELECT k.id FROM kept.embeddings k WHERE NOT EXISTS \
             (SELECT 1 FROM main.embeddings e WHERE e.segment_id = ?1 AND e.embedding_id = k.embedding_id) ORDER BY k.id",
        )
        .doing(DOING)?;
    let keys = statement.query_map([&entry.metadata], |row| row.get(0)).doing(DOING)?;
    keys.collect::<rusqlite::Result<_>>().doing(DOING)
}

/// Puts one saved record back, under its old key unless another collection's record has taken that since.
fn put_back(connection: &Connection, fulltext: &FullText, saved: i64) -> Result<()> {
    let key: i64 = connection
        .prepare_cached(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM main.embeddings WHERE id = ?1) \
             THEN (SELECT max(id) + 1 FROM main.embeddings) ELSE ?1 END",
        )
        .doing(DOING)?
        .query_row([saved], |row| row.get(0))
        .doing(DOING)?;
    for table in ["embeddings", "embedding_metadata", "embedding_metadata_array"] {
        if !sql::holds(connection, "kept", table)? {
            continue;
        }
        let columns = columns(connection, table)?;
        // The key is the first column of all three.
        let Some((_, others)) = columns.split_once(", ") else { continue };
        connection
            .prepare_cached(&format!(
                "INSERT INTO main.{table} (id, {others}) SELECT ?1, {others} FROM kept.{table} WHERE id = ?2 ORDER BY rowid"
            ))
            .doing(DOING)?
            .execute(params![key, saved])
            .doing(DOING)?;
    }
    let FullText { table, key: column } = fulltext;
    // 0.4 leaves the entry of a deleted record behind.
    connection
        .prepare_cached(&format!("DELETE FROM main.{table} WHERE {column} = ?1"))
        .doing(DOING)?
        .execute([key])
        .doing(DOING)?;
    connection
        .prepare_cached(&format!(
            "INSERT INTO main.{table} ({column}, string_value) SELECT ?1, string_value \
             FROM kept.embedding_metadata WHERE id = ?2 AND key = 'chroma:document' AND string_value IS NOT NULL"
        ))
        .doing(DOING)?
        .execute(params![key, saved])
        .doing(DOING)
        .map(drop)
}

/// The full-text table and its column with `embeddings.id`.
struct FullText {
    table: &'static str,
    key: &'static str,
}

impl FullText {
    /// Up to 0.4.9 (metadb migration 2) it was another one.
    fn of(connection: &Connection) -> Result<FullText> {
        Ok(match sql::has_table(connection, "embedding_fulltext_search")? {
            true => FullText { table: "embedding_fulltext_search", key: "rowid" },
            false => FullText { table: "embedding_fulltext", key: "id" },
        })
    }
}
