//! Rewrites that leave no stamp in the file, because the user wants no table of embedport's there. What tells then whether the
//! vectors are theirs are some of the rows, by the hashes that they were left with.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, list};
use super::put::by_key;
use super::sink::hash_values;
use super::stamp::{Noted, Stamp};
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::store::sql::rows_file::{self, Stored, quoted};
use crate::store::sql::{self, Doing};

/// Name of the note, in the migration's own folder. It outlives the backup.
const NAME: &str = "unstamped.json";
/// Rows that are noted, at least, from all of the table. As long as a quarter of those that are there hold what they were left with, the vectors are those of
/// the rewrite: some may be the same before and after.
const ROWS: usize = 256;
/// Largest note that is read.
const MOST: u64 = 16 << 20;

/// See the module.
#[derive(Serialize, Deserialize)]
pub(super) struct Unstamped {
    collection: String,
    #[serde(flatten)]
    noted: Noted,
    table: String,
    key: Vec<String>,
    vectors: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    key: Vec<Key>,
    /// Hash of the vector, hexadecimal.
    vector: String,
}

/// A value of SQLite.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Key {
    Null,
    Integer(i64),
    /// Its bits: JSON has no infinite numbers.
    Real(u64),
    Text(String),
    Blob(Vec<u8>),
}

impl Unstamped {
    /// Notes what `written`, the file of hashes, says of some rows.
    ///
    /// # Errors
    /// Where keys are no valid texts: nothing would find those rows again.
    pub fn note(entry: &Entry, stamp: &Stamp, written: &Path, folder: &Path) -> Result<()> {
        let rows = rows_file::some(written, ROWS)?.into_iter().map(|mut row| {
            // Behind the key: hash of the contents, hash of the vector.
            let vector = row.pop();
            row.pop();
            let key = row.into_iter().map(Key::of).collect::<Option<Vec<_>>>();
            match (key, vector) {
                (Some(key), Some(Stored::Value(Value::Blob(hash)))) => {
                    Ok(Row { key, vector: files::hex(&hash) })
                }
                _ => Err(Error::new(Kind::Damaged, "a key is no valid text")),
            }
        });
        let note = Unstamped {
            collection: stamp.collection.clone(),
            noted: Noted::of(stamp),
            table: entry.table.clone(),
            key: entry.key.clone(),
            vectors: entry.vector_columns(),
            rows: rows.collect::<Result<_>>()?,
        };
        files::write_json(&folder.join(NAME), &note)
    }

    /// The note of the migration whose folder this is, if it left no stamp on this collection.
    pub fn of(collection: &str, folder: &Path) -> Result<Option<Unstamped>> {
        Ok(Unstamped::at(folder)?.filter(|note| note.is_of(collection)))
    }

    /// Whether it is of this collection.
    pub fn is_of(&self, collection: &str) -> bool {
        self.collection == collection
    }

    /// The notes of all migrations that left no stamp; `state` is the folder of their folders.
    pub fn all(state: &Path) -> Result<Vec<Unstamped>> {
        let folders = std::fs::read_dir(state).into_iter().flatten().flatten();
        folders.filter_map(|folder| Unstamped::at(&folder.path()).transpose()).collect()
    }

    /// The note of the migration whose folder this is, if it left no stamp.
    fn at(folder: &Path) -> Result<Option<Unstamped>> {
        let path = folder.join(NAME);
        if !path.exists() {
            return Ok(None);
        }
        serde_json::from_slice(&files::read_at_most(&path, MOST)?).map(Some).map_err(|e| {
            Error::new(Kind::Damaged, format!("`{}` is no note of a rewrite", path.display())).because(e)
        })
    }

    /// Whether the vectors are those of the rewrite.
    pub fn holds(&self, connection: &Connection) -> Result<bool> {
        let doing = "compare rows with what they were left with";
        if self.key.is_empty() || self.vectors.is_empty() || !sql::has_table(connection, &self.table)? {
            return Ok(false);
        }
        let sql = format!(
            "SELECT {} FROM main.{} WHERE {}",
            list(&self.vectors),
            quoted(&self.table),
            by_key(&self.key)
        );
        // A table that lost a column holds nothing of before.
        let Ok(mut statement) = connection.prepare(&sql) else { return Ok(false) };
        let (mut there, mut same) = (0, 0);
        for row in self.rows.iter().filter(|row| row.key.len() == self.key.len()) {
            let found = statement
                .query_row(params_from_iter(row.key.iter().map(Key::value)), |found| {
                    let values = (0..self.vectors.len()).map(|at| found.get_ref(at));
                    Ok(hash_values(values.collect::<rusqlite::Result<Vec<_>>>()?.into_iter()))
                })
                .optional()
                .doing(doing)?;
            there += usize::from(found.is_some());
            same += usize::from(found.is_some_and(|hash| files::hex(&hash) == row.vector));
        }
        Ok(4 * same > there)
    }

    /// The stamp that the file does not have.
    pub fn stamp(&self) -> Result<Stamp> {
        self.noted.stamp(&self.collection)
    }

    /// The migration of this folder is taken back.
    pub fn forget(folder: &Path) -> Result<()> {
        let path = folder.join(NAME);
        if path.exists() { files::remove_file(&path) } else { Ok(()) }
    }
}

impl Key {
    fn of(value: Stored) -> Option<Key> {
        Some(match value {
            Stored::Value(Value::Null) => Key::Null,
            Stored::Value(Value::Integer(n)) => Key::Integer(n),
            Stored::Value(Value::Real(x)) => Key::Real(x.to_bits()),
            Stored::Value(Value::Text(text)) => Key::Text(text),
            Stored::Value(Value::Blob(blob)) => Key::Blob(blob),
            Stored::Text(bytes) => Key::Text(String::from_utf8(bytes).ok()?),
        })
    }

    fn value(&self) -> Value {
        match self {
            Key::Null => Value::Null,
            Key::Integer(n) => Value::Integer(*n),
            Key::Real(bits) => Value::Real(f64::from_bits(*bits)),
            Key::Text(text) => Value::Text(text.clone()),
            Key::Blob(blob) => Value::Blob(blob.clone()),
        }
    }
}
