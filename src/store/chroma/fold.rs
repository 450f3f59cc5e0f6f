//! The switch: what one transaction changes in the tables when a collection gets its new vectors.
//!
//! The queue is folded: all of the collection's rows give way to one that deletes a record that never was.
//! It is needed, because sequence numbers continue from the largest one left in the table, and a number
//! at or below `max_seq_id` would make Chroma drop what is added next.

use rusqlite::{Connection, params};
use serde_json::Value;

use super::catalog::{self, Entry};
use super::embedding_function::{set_in_config, set_in_schema};
use super::release::Release;
use super::stamp::{self, Stamp};
use super::{queue, tail};
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;

/// Points `entry` to the segment of `stamp`, whose files are complete and durable. `tail`: what stays in the
/// queue, if the new index has not read all of it.
pub(super) fn switch(
    connection: &Connection,
    release: Release,
    entry: &Entry,
    stamp: &Stamp,
    tail: Option<&[(i64, Vec<u8>)]>,
) -> Result<()> {
    let doing = "switch to the new vectors";
    let changed = connection
        .execute(
            "UPDATE segments SET id = ?1 WHERE id = ?2 AND collection = ?3",
            params![stamp.segment, entry.vector, entry.id],
        )
        .doing(doing)?;
    if changed != 1 {
        return Err(Error::new(
            Kind::Internal,
            format!("{changed} segments of collection {} changed", entry.id),
        ));
    }
    connection
        .execute(
            "UPDATE segment_metadata SET segment_id = ?1 WHERE segment_id = ?2",
            [&stamp.segment, &entry.vector],
        )
        .doing(doing)?;
    let dimension = i64::try_from(stamp.space.dimension)
        .map_err(|e| Error::new(Kind::Internal, "a dimension over 63 bits").because(e))?;
    connection
        .execute("UPDATE collections SET dimension = ?1 WHERE id = ?2", params![dimension, entry.id])
        .doing(doing)?;
    if let Some(function) = entry.function.after(&stamp.space) {
        write_function(connection, release, entry, function.as_ref())?;
    }
    match tail {
        Some(tail) => {
            connection
                .execute(
                    "UPDATE max_seq_id SET segment_id = ?1 WHERE segment_id = ?2",
                    [&stamp.segment, &entry.vector],
                )
                .doing(doing)?;
            tail::keep(connection, release, entry, tail)?;
        }
        None => fold_queue(connection, release, entry, stamp)?,
    }
    let last = catalog::max_seq_id(connection, &entry.metadata)?;
    stamp::write(connection, &entry.id, &Stamp { last, ..stamp.clone() })
}

/// All of the queue is in the new index.
fn fold_queue(connection: &Connection, release: Release, entry: &Entry, stamp: &Stamp) -> Result<()> {
    let doing = "fold the queue";
    connection.execute("DELETE FROM embeddings_queue WHERE topic = ?1", [&entry.topic]).doing(doing)?;
    let last = queue::sentinel(connection, &entry.topic, entry.last())?;
    for segment in [&entry.vector, &stamp.segment, &entry.metadata] {
        connection.execute("DELETE FROM max_seq_id WHERE segment_id = ?1", [segment]).doing(doing)?;
    }
    let counted = Some(&stamp.segment).filter(|_| release.counts_in_table());
    for segment in counted.into_iter().chain([&entry.metadata]) {
        connection
            .execute(
                "INSERT INTO max_seq_id (segment_id, seq_id) VALUES (?1, ?2)",
                params![segment, release.sequence(last)],
            )
            .doing(doing)?;
    }
    Ok(())
}

/// Where the embedding function's entry is kept: `schema_str` if the collection has one.
pub(super) fn function_column(entry: &Entry) -> Option<(&'static str, &str)> {
    match (&entry.schema, &entry.config) {
        (Some(schema), _) => Some(("schema_str", schema)),
        (None, Some(config)) => Some(("config_json_str", config)),
        (None, None) => None,
    }
}

fn write_function(
    connection: &Connection,
    release: Release,
    entry: &Entry,
    function: Option<&Value>,
) -> Result<()> {
    let Some((column, text)) = function_column(entry).filter(|_| release.has_config()) else { return Ok(()) };
    let doing = "write the embedding function";
    let mut json: Value = serde_json::from_str(text).map_err(|e| {
        Error::new(Kind::Damaged, format!("{column} of collection {} is no JSON", entry.id)).because(e)
    })?;
    set_function(column, &mut json, function);
    connection
        .execute(
            &format!("UPDATE collections SET {column} = ?1 WHERE id = ?2"),
            params![json.to_string(), entry.id],
        )
        .doing(doing)
        .map(drop)
}

/// Sets or removes the entry in the JSON of `column`.
pub(super) fn set_function(column: &str, json: &mut Value, function: Option<&Value>) {
    match column {
        "schema_str" => set_in_schema(json, function),
        _ => set_in_config(json, function),
    }
}
