//! A fingerprint of everything that a rewrite must leave alone.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};

use super::release::Release;
use super::sql::Doing;
use crate::error::Result;
use crate::platform::files;

/// SHA-256 over ids, texts and metadata of the METADATA segment `segment`, in the order of the keys.
/// Every value is preceded by its type and length, so that no two contents give the same bytes.
pub(super) fn content(connection: &Connection, release: Release, segment: &str) -> Result<String> {
    let mut hash = Writer { hash: Sha256::new(), buffer: Vec::with_capacity(1 << 16) };
    hash.rows(
        connection,
        "SELECT e.embedding_id FROM embeddings e WHERE +e.segment_id = ?1 ORDER BY e.id",
        segment,
    )?;
    let boolean = if release.has_booleans() { "m.bool_value" } else { "NULL" };
    let metadata = |table: &str, order: &str| {
        format!(
            "SELECT e.embedding_id, m.key, m.string_value, m.int_value, m.float_value, {boolean} \
             FROM embeddings e CROSS JOIN {table} m ON m.id = e.id WHERE +e.segment_id = ?1 ORDER BY e.id, {order}"
        )
    };
    hash.rows(connection, &metadata("embedding_metadata", "m.key"), segment)?;
    if release.has_arrays() {
        hash.rows(connection, &metadata("embedding_metadata_array", "m.key, m.rowid"), segment)?;
    }
    Ok(hash.finish())
}

struct Writer {
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Writer {
    fn rows(&mut self, connection: &Connection, sql: &str, segment: &str) -> Result<()> {
        let doing = "read the metadata";
        let mut statement = connection.prepare_cached(sql).doing(doing)?;
        let columns = statement.column_count();
        let mut rows = statement.query([segment]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            for column in 0..columns {
                self.value(row.get_ref(column).doing(doing)?);
            }
            if self.buffer.len() > 1 << 15 {
                self.flush();
            }
        }
        self.buffer.push(b'.');
        Ok(())
    }

    fn value(&mut self, value: ValueRef<'_>) {
        let mut bytes = |kind: u8, bytes: &[u8]| {
            self.buffer.push(kind);
            self.buffer.extend((bytes.len() as u64).to_le_bytes());
            self.buffer.extend(bytes);
        };
        match value {
            ValueRef::Null => self.buffer.push(b'n'),
            ValueRef::Integer(n) => bytes(b'i', &n.to_le_bytes()),
            ValueRef::Real(x) => bytes(b'f', &x.to_le_bytes()),
            ValueRef::Text(text) => bytes(b't', text),
            ValueRef::Blob(blob) => bytes(b'b', blob),
        }
    }

    fn flush(&mut self) {
        self.hash.update(&self.buffer);
        self.buffer.clear();
    }

    fn finish(mut self) -> String {
        self.flush();
        files::hex(&self.hash.finalize())
    }
}
