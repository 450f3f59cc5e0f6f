//! The queue of a collection whose graph is kept: what the index has not read stays in it, with new vectors.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::catalog::Entry;
use super::queue;
use super::release::Release;
use crate::error::Result;
use crate::store::sql::Doing;

const UPSERT: i64 = 2;

/// Leaves of the queue just the last write of each waiting record, as an upsert of its new vector: whether
/// its index holds the record already or not, Chroma then takes it in.
///
/// `tail`: rows and vectors (float32, little-endian). What was deleted is gone from the kept index, so that
/// rows that delete go too. Metadata is not read again: its segment is at the end of the queue.
pub(super) fn keep(
    connection: &Connection,
    release: Release,
    entry: &Entry,
    tail: &[(i64, Vec<u8>)],
) -> Result<()> {
    let doing = "rewrite the queue";
    let kept: BTreeMap<i64, &Vec<u8>> = tail.iter().map(|(seq, vector)| (*seq, vector)).collect();
    let first = kept.keys().next().copied().unwrap_or(i64::MAX);
    connection
        .execute("DELETE FROM embeddings_queue WHERE topic = ?1 AND seq_id < ?2", params![entry.topic, first])
        .doing(doing)?;
    let mut statement = connection
        .prepare("SELECT seq_id FROM embeddings_queue WHERE topic = ?1 AND seq_id >= ?2")
        .doing(doing)?;
    let rows: Vec<i64> = statement
        .query_map(params![entry.topic, first], |row| row.get(0))
        .doing(doing)?
        .collect::<rusqlite::Result<_>>()
        .doing(doing)?;
    for seq in rows.iter().filter(|seq| !kept.contains_key(seq)) {
        connection.execute("DELETE FROM embeddings_queue WHERE seq_id = ?1", [seq]).doing(doing)?;
    }
    for (seq, vector) in kept {
        connection
            .prepare_cached(
                "UPDATE embeddings_queue SET operation = ?1, vector = ?2, encoding = 'FLOAT32' WHERE seq_id = ?3",
            )
            .doing(doing)?
            .execute(params![UPSERT, vector, seq])
            .doing(doing)?;
    }
    let last = entry.last();
    if !tail.iter().any(|(seq, _)| *seq == last) {
        let reached = queue::sentinel(connection, &entry.topic, last)?;
        if reached != last {
            connection
                .execute(
                    "UPDATE max_seq_id SET seq_id = ?1 WHERE segment_id = ?2",
                    params![release.sequence(reached), entry.metadata],
                )
                .doing(doing)?;
        }
    }
    Ok(())
}
