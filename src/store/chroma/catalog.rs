//! Which collections a database holds, with their segments, settings and place in the queue.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Value;

use super::embedding_function::EmbeddingFunction;
use super::release::Release;
use super::sequence;
use super::settings::{Settings, Sources};
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;

const VECTOR_TYPE: &str = "urn:chroma:segment/vector/hnsw-local-persisted";
const METADATA_TYPE: &str = "urn:chroma:segment/metadata/sqlite";

/// One collection as the tables have it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub id: String,
    pub name: String,
    /// `tenant/database`.
    pub namespace: String,
    pub dimension: Option<usize>,
    /// `config_json_str` and `schema_str`, verbatim.
    pub config: Option<String>,
    pub schema: Option<String>,
    /// Segment of the vectors: also the name of its folder.
    pub vector: String,
    /// Segment of ids, texts and metadata.
    pub metadata: String,
    /// Its name in the queue.
    pub topic: String,
    /// Newest sequence number of its queue.
    pub queue_last: Option<i64>,
    /// Bytes of its vectors in the queue.
    pub queue_bytes: u64,
    /// How far the index has read the queue, as the table has it; before 0.5.6 only its pickle does.
    pub vector_seq: Option<i64>,
    /// How far the metadata tables have.
    pub metadata_seq: Option<i64>,
    pub settings: Settings,
    pub function: EmbeddingFunction,
    /// Why it cannot be rewritten.
    pub unsupported: Option<String>,
}

impl Entry {
    /// Newest sequence number that the collection or one of its segments has seen.
    pub fn last(&self) -> i64 {
        [self.queue_last, self.vector_seq, self.metadata_seq].into_iter().flatten().max().unwrap_or(0)
    }
}

struct Queue {
    topic: String,
    last: i64,
    bytes: u64,
}

/// Every collection, ordered by namespace and name.
pub(super) fn read(connection: &Connection, release: Release) -> Result<Vec<Entry>> {
    let queues = queues(connection)?;
    let or_null = |there: bool, column: &'static str| if there { column } else { "NULL" };
    let place = match release.has_databases() {
        true => "coalesce(d.tenant_id, 'default_tenant') || '/' || coalesce(d.name, 'default_database')",
        false => "'default_tenant/default_database'",
    };
    let join = if release.has_databases() { "LEFT JOIN databases d ON d.id = c.database_id" } else { "" };
    let sql = format!(
        "SELECT c.id, c.name, {place}, c.dimension, {}, {}, {} FROM collections c {join} ORDER BY 3, 2, 1",
        or_null(release.has_config(), "c.config_json_str"),
        or_null(release.has_schema(), "c.schema_str"),
        or_null(release.has_topics(), "c.topic"),
    );
    let mut statement = connection.prepare(&sql).doing("list the collections")?;
    let mut rows = statement.query([]).doing("list the collections")?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().doing("list the collections")? {
        entries.push(entry(connection, release, &queues, row)?);
    }
    Ok(entries)
}

/// One collection by its id.
pub(super) fn find(connection: &Connection, release: Release, id: &str) -> Result<Entry> {
    read(connection, release)?.into_iter().find(|entry| entry.id == id).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("collection {id} is no longer in the database"))
            .hint("it was deleted meanwhile; look again with `embedport inspect --store PATH`")
    })
}

fn entry(connection: &Connection, release: Release, queues: &[Queue], row: &Row<'_>) -> Result<Entry> {
    let doing = "read a collection";
    let id: String = row.get(0).doing(doing)?;
    let dimension: Option<i64> = row.get(3).doing(doing)?;
    let config: Option<String> = row.get(4).doing(doing)?;
    let schema: Option<String> = row.get(5).doing(doing)?;
    let segments = segments(connection, &id)?;
    let mut unsupported = release.unsupported();
    let mut segment =
        |scope: &str, wanted: &str| match segments.iter().filter(|s| s.1 == scope).collect::<Vec<_>>()[..] {
            [(id, _, kind)] if kind == wanted => id.clone(),
            [(id, _, kind)] => {
                unsupported
                    .get_or_insert(format!("its {scope} segment is of the type `{}`", kind.escape_default()));
                id.clone()
            }
            _ => {
                unsupported.get_or_insert(format!("it has not exactly one {scope} segment"));
                String::new()
            }
        };
    let vector = segment("VECTOR", VECTOR_TYPE);
    let metadata = segment("METADATA", METADATA_TYPE);
    // The segment's id names a folder: nothing but a UUID may become a path.
    if uuid::Uuid::parse_str(&vector).is_err() {
        unsupported.get_or_insert_with(|| "the id of its VECTOR segment is no UUID".into());
    }
    let parsed = |text: &Option<String>| text.as_deref().and_then(|t| serde_json::from_str::<Value>(t).ok());
    let (schema_json, config_json) = (parsed(&schema), parsed(&config));
    let sources = Sources {
        schema: schema_json.as_ref(),
        config: config_json.as_ref(),
        segment: hnsw_keys(connection, "segment_metadata", "segment_id", &vector)?,
        collection: hnsw_keys(connection, "collection_metadata", "collection_id", &id)?,
        rust: release.is_rust(),
    };
    let settings = sources.settings().unwrap_or_else(|why| {
        unsupported.get_or_insert(why);
        Settings { metric: crate::store::Metric::L2, m: 16, ef_construction: 100, ef_search: 100 }
    });
    let function = match &schema_json {
        Some(schema) => schema.pointer("/keys/#embedding/float_list/vector_index/config/embedding_function"),
        None => config_json.as_ref().and_then(|c| c.get("embedding_function")),
    };
    let topic: Option<String> = row.get(6).doing(doing)?;
    let suffix = format!("/{id}");
    let queue = queues.iter().find(|q| match &topic {
        Some(topic) => q.topic == *topic,
        None => q.topic.ends_with(&suffix),
    });
    let topic = topic
        .or_else(|| queue.map(|q| q.topic.clone()))
        .unwrap_or_else(|| format!("persistent://default/default/{id}"));
    Ok(Entry {
        name: row.get(1).doing(doing)?,
        namespace: row.get(2).doing(doing)?,
        dimension: dimension.and_then(|d| usize::try_from(d).ok()).filter(|d| *d > 0),
        function: EmbeddingFunction::parse(function),
        topic,
        queue_last: queue.map(|q| q.last),
        queue_bytes: queue.map_or(0, |q| q.bytes),
        vector_seq: max_seq_id(connection, &vector)?,
        metadata_seq: max_seq_id(connection, &metadata)?,
        id,
        config,
        schema,
        vector,
        metadata,
        settings,
        unsupported,
    })
}

fn queues(connection: &Connection) -> Result<Vec<Queue>> {
    let doing = "read the queue";
    let mut statement = connection
        .prepare("SELECT topic, max(seq_id), coalesce(sum(length(vector)), 0) FROM embeddings_queue GROUP BY topic")
        .doing(doing)?;
    let rows = statement
        .query_map([], |row| {
            let bytes: i64 = row.get(2)?;
            Ok(Queue { topic: row.get(0)?, last: row.get(1)?, bytes: bytes.unsigned_abs() })
        })
        .doing(doing)?;
    rows.collect::<rusqlite::Result<_>>().doing(doing)
}

/// Id, scope and type of a collection's segments.
fn segments(connection: &Connection, collection: &str) -> Result<Vec<(String, String, String)>> {
    let doing = "read the segments";
    let mut statement = connection
        .prepare_cached("SELECT id, scope, type FROM segments WHERE collection = ?1")
        .doing(doing)?;
    let rows =
        statement.query_map([collection], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).doing(doing)?;
    rows.collect::<rusqlite::Result<_>>().doing(doing)
}

fn hnsw_keys(connection: &Connection, table: &str, column: &str, id: &str) -> Result<HashMap<String, Value>> {
    let doing = "read the index settings";
    let sql = format!(
        "SELECT key, coalesce(str_value, int_value, float_value) FROM {table} WHERE {column} = ?1 AND key LIKE 'hnsw:%'"
    );
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let rows = statement
        .query_map([id], |row| {
            let value = match row.get_ref(1)? {
                ValueRef::Integer(n) => Value::from(n),
                ValueRef::Real(x) => Value::from(x),
                ValueRef::Text(text) => Value::from(String::from_utf8_lossy(text)),
                ValueRef::Null | ValueRef::Blob(_) => Value::Null,
            };
            Ok((row.get(0)?, value))
        })
        .doing(doing)?;
    rows.collect::<rusqlite::Result<_>>().doing(doing)
}

pub(super) fn max_seq_id(connection: &Connection, segment: &str) -> Result<Option<i64>> {
    let doing = "read how far a segment is";
    let found = connection
        .prepare_cached("SELECT seq_id FROM max_seq_id WHERE segment_id = ?1")
        .doing(doing)?
        .query_row([segment], |row| Ok(sequence::read(row.get_ref(0)?)))
        .optional()
        .doing(doing)?;
    match found {
        Some(None) => Err(Error::new(Kind::Damaged, format!("max_seq_id of segment {segment} is no number"))),
        Some(known) => Ok(known),
        None => Ok(None),
    }
}
