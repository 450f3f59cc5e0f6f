//! A fingerprint of everything that a rewrite must leave alone; on the same walk the rows can be saved.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use xxhash_rust::xxh3::Xxh3;

use super::release::Release;
use crate::error::Result;
use crate::platform::files;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::Writer;

/// XXH3 (128 bits) over ids, texts and metadata of the METADATA segment `segment`, in the order of the keys.
pub(super) fn content(connection: &Connection, release: Release, segment: &str) -> Result<String> {
    Digester::new(connection, release, segment).run(&mut |_, _| {})
}

/// Walks over the records of one METADATA segment.
pub(super) struct Digester<'a, 'w, 'o> {
    connection: &'a Connection,
    release: Release,
    segment: &'a str,
    writer: Option<&'w mut Writer<'o>>,
    hash: Xxh3,
    buffer: Vec<u8>,
}

/// Columns that are hashed, beside the id.
const MOST_HASHED: usize = 5;

/// One table's part of the walk. The statement gives the record's id first, then the whole row.
struct Part<'s> {
    table: &'s str,
    sql: &'s str,
    /// Columns of the row that are hashed, the record's id always.
    hashed: &'s [&'s str],
}

impl<'a, 'w, 'o> Digester<'a, 'w, 'o> {
    pub fn new(connection: &'a Connection, release: Release, segment: &'a str) -> Self {
        let buffer = Vec::with_capacity(1 << 16);
        Digester { connection, release, segment, writer: None, hash: Xxh3::new(), buffer }
    }

    /// The rows go there on the way, whole.
    pub fn save_into(&mut self, writer: &'w mut Writer<'o>) {
        self.writer = Some(writer);
    }

    /// Walks, shows id and text of every record that has one, and returns the digest. Every value is preceded
    /// by its type and length, so that no two contents give the same bytes.
    pub fn run(mut self, look: &mut dyn FnMut(&str, &str)) -> Result<String> {
        self.part(
            &Part {
                table: "embeddings",
                sql: "SELECT e.embedding_id, e.* FROM embeddings e WHERE +e.segment_id = ?1 ORDER BY e.id",
                hashed: &[],
            },
            look,
        )?;
        let values: [&str; MOST_HASHED] = ["key", "string_value", "int_value", "float_value", "bool_value"];
        self.part(
            &Part {
                table: "embedding_metadata",
                sql: "SELECT e.embedding_id, m.* FROM embeddings e CROSS JOIN embedding_metadata m ON m.id = e.id \
                      WHERE +e.segment_id = ?1 ORDER BY e.id, m.key",
                hashed: &values,
            },
            look,
        )?;
        if self.release.has_arrays() {
            self.part(
                &Part {
                    table: "embedding_metadata_array",
                    sql: "SELECT e.embedding_id, m.* FROM embeddings e CROSS JOIN embedding_metadata_array m ON m.id = e.id \
                          WHERE +e.segment_id = ?1 ORDER BY e.id, m.key, m.rowid",
                    hashed: &values,
                },
                look,
            )?;
        }
        self.flush();
        Ok(files::shown(&self.hash))
    }

    fn part(&mut self, part: &Part<'_>, look: &mut dyn FnMut(&str, &str)) -> Result<()> {
        let doing = "read the metadata";
        let mut statement = self.connection.prepare_cached(part.sql).doing(doing)?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let at = |name: &&str| names.iter().skip(1).position(|n| n == name).map(|at| at + 1);
        // A column that this release does not have yet counts as NULL.
        let hashed: Vec<Option<usize>> = part.hashed.iter().map(at).collect();
        if let Some(writer) = &mut self.writer {
            writer.table(part.table, names.get(1..).unwrap_or_default())?;
        }
        // Where among the hashed values each column belongs.
        let place = |column: usize| hashed.iter().position(|at| *at == Some(column));
        let places: Vec<Option<usize>> = (0..names.len()).map(place).collect();
        let mut rows = statement.query([self.segment]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let id = row.get_ref(0).doing(doing)?;
            let mut values = [ValueRef::Null; MOST_HASHED];
            if let Some(writer) = &mut self.writer {
                writer.begin_row()?;
            }
            for (column, place) in places.iter().enumerate().skip(1) {
                if place.is_none() && self.writer.is_none() {
                    continue;
                }
                let value = row.get_ref(column).doing(doing)?;
                if let Some(writer) = &mut self.writer {
                    writer.value(value)?;
                }
                if let Some(kept) = place.and_then(|place| values.get_mut(place)) {
                    *kept = value;
                }
            }
            self.value(id);
            values.iter().take(hashed.len()).for_each(|value| self.value(*value));
            let [key, text, ..] = values;
            show_text(id, key, text, look);
            if self.buffer.len() > 1 << 15 {
                self.flush();
            }
        }
        if let Some(writer) = &mut self.writer {
            writer.end_table()?;
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
}

fn show_text(id: ValueRef<'_>, key: ValueRef<'_>, text: ValueRef<'_>, look: &mut dyn FnMut(&str, &str)) {
    if let (ValueRef::Text(b"chroma:document"), ValueRef::Text(id), ValueRef::Text(text)) = (key, id, text)
        && let (Ok(id), Ok(text)) = (std::str::from_utf8(id), std::str::from_utf8(text))
    {
        look(id, text);
    }
}
