//! Real Chroma databases of several releases, from the corpus.

use super::{Kind, exercise, list};

pub const KIND: Kind = Kind {
    databases: |originals, _| list(originals),
    file: "chroma.sqlite3",
    locations: |folder| folder.to_str().map(str::to_owned).into_iter().collect(),
    exercise: exercise::without_commit,
};

pub const TABLES: [&str; 12] = [
    "collections",
    "segments",
    "embeddings",
    "embeddings_queue",
    "max_seq_id",
    "embedding_metadata",
    "segment_metadata",
    "collection_metadata",
    "databases",
    "tenants",
    "migrations",
    "embeddings_queue_config",
];
