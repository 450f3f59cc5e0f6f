//! Which release family wrote a database: the table `migrations` tells, never a version number.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use super::pickle_write::Form;
use crate::error::{Error, Kind, Result};
use crate::store::sql::{self, Doing};

/// Each part's oldest and newest migration known here: what chromadb 0.4.0 starts with, and what anything
/// above was written by a release that came later.
const KNOWN: [(&str, i64, i64); 3] = [("sysdb", 3, 10), ("metadb", 1, 6), ("embeddings_queue", 1, 2)];

/// Highest applied migration of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Release {
    pub sysdb: i64,
    pub metadb: i64,
    pub queue: i64,
}

impl Release {
    /// Reads the table of migrations.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for a database that is none of chromadb 0.4.0 or later.
    pub fn read(connection: &Connection) -> Result<Release> {
        let newest = |dir: &str| -> Result<i64> {
            connection
                .query_row("SELECT coalesce(max(version), 0) FROM migrations WHERE dir = ?1", [dir], |row| {
                    row.get(0)
                })
                .doing("read the migrations")
        };
        if !sql::has_table(connection, "migrations")? || !sql::has_table(connection, "collections")? {
            return Err(Error::new(Kind::Unsupported, "chroma.sqlite3 is not a database that Chroma made")
                .hint("a database of chromadb before 0.4 (DuckDB) has to be converted by Chroma's own tool first"));
        }
        let release = Release {
            sysdb: newest("sysdb")?,
            metadb: newest("metadb")?,
            queue: newest("embeddings_queue")?,
        };
        let strange: Option<String> = connection
            .query_row(
                "SELECT dir FROM migrations WHERE dir NOT IN ('sysdb', 'metadb', 'embeddings_queue') LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()
            .doing("read the migrations")?;
        if let Some(part) = strange {
            let found = format!("the database has migrations of an unknown part `{}`", part.escape_default());
            return Err(Error::new(Kind::Unsupported, found)
                .hint("it was written by a newer Chroma than is known here; look for a newer embedport"));
        }
        let lacking = KNOWN.iter().zip(release.parts()).find(|((_, oldest, _), found)| found < oldest);
        if let Some(((part, oldest, _), found)) = lacking {
            let found = format!("the database is at {part} migration {found}, wanted {oldest} or later");
            return Err(Error::new(Kind::Unsupported, found).hint(
                "it is older than chromadb 0.4.0 or was not set up completely; open it with Chroma once",
            ));
        }
        Ok(release)
    }

    /// The family in words.
    pub fn name(self) -> String {
        if let Some(newer) = self.newer() {
            return format!("chroma, newer than known ({newer})");
        }
        let family = match self {
            Release { metadb: 6.., .. } => "1.5 or later",
            Release { sysdb: 10.., .. } => "1.3 to 1.4",
            Release { metadb: 5.., .. } => "1.0 to 1.2",
            Release { queue: 2.., .. } => "0.5.6 to 0.6",
            Release { sysdb: 5.., .. } => "0.5.0 to 0.5.5",
            _ => "0.4",
        };
        format!("chroma {family}")
    }

    /// Why no collection of this database can be rewritten, if so.
    pub fn unsupported(self) -> Option<String> {
        let newer = self.newer()?;
        Some(format!("the database was written by a newer Chroma than is known here ({newer})"))
    }

    /// Whether the Rust engine (1.0 or later) is the one that opens this database: it writes numbers where
    /// the engine in Python wrote bytes, a dict where that wrote an object, and has other defaults.
    pub fn is_rust(self) -> bool {
        self.metadb >= 5
    }

    /// A sequence number in the form in which this release reads `max_seq_id`.
    pub fn sequence(self, number: i64) -> Value {
        match self.is_rust() {
            true => Value::Integer(number),
            false => Value::Blob(number.to_be_bytes().to_vec()),
        }
    }

    /// Whether `max_seq_id` says how far an index has read the queue; before, its pickle does.
    pub fn counts_in_table(self) -> bool {
        self.queue >= 2
    }

    /// The form of pickle that this release reads, for an index that has read the queue up to `last`.
    pub fn pickle(self, last: i64) -> Form {
        match self.is_rust() {
            true => Form::Dict,
            false => Form::Object { last, counted: !self.counts_in_table() },
        }
    }

    /// Whether `collections` names the collection's topic.
    pub fn has_topics(self) -> bool {
        self.sysdb < 5
    }

    /// Whether `collections` has the JSON columns.
    pub fn has_config(self) -> bool {
        self.sysdb >= 7
    }

    /// Whether `collections.schema_str` is there.
    pub fn has_schema(self) -> bool {
        self.sysdb >= 10
    }

    /// Whether metadata may be lists.
    pub fn has_arrays(self) -> bool {
        self.metadb >= 6
    }

    /// Whether collections belong to databases and tenants.
    pub fn has_databases(self) -> bool {
        self.sysdb >= 4
    }

    fn parts(self) -> [i64; 3] {
        [self.sysdb, self.metadb, self.queue]
    }

    fn newer(self) -> Option<String> {
        KNOWN
            .iter()
            .zip(self.parts())
            .find(|((_, _, newest), found)| found > newest)
            .map(|((part, _, newest), found)| format!("{part} migration {found}, known up to {newest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_by_their_migrations() {
        let of = |sysdb, metadb, queue| Release { sysdb, metadb, queue };
        assert_eq!(of(10, 6, 2).name(), "chroma 1.5 or later");
        assert_eq!(of(10, 5, 2).name(), "chroma 1.3 to 1.4");
        assert_eq!(of(9, 5, 2).name(), "chroma 1.0 to 1.2");
        assert_eq!(of(9, 4, 2).name(), "chroma 0.5.6 to 0.6");
        assert_eq!(of(4, 3, 1).name(), "chroma 0.4");
        assert_eq!(of(9, 5, 2).unsupported(), None);
        assert_eq!(of(3, 1, 1).unsupported(), None);
        assert!(of(11, 6, 2).unsupported().is_some_and(|why| why.contains("sysdb migration 11")));
    }

    #[test]
    fn sequence_numbers_and_pickles_in_the_form_of_the_release() {
        let of = |sysdb, metadb, queue| Release { sysdb, metadb, queue };
        assert_eq!(of(9, 5, 2).sequence(258), Value::Integer(258));
        assert_eq!(of(9, 4, 2).sequence(258), Value::Blob(vec![0, 0, 0, 0, 0, 0, 1, 2]));
        assert_eq!(of(9, 5, 2).pickle(7), Form::Dict);
        assert_eq!(of(9, 4, 2).pickle(7), Form::Object { last: 7, counted: false });
        assert_eq!(of(4, 3, 1).pickle(7), Form::Object { last: 7, counted: true });
    }

    #[test]
    fn what_is_older_or_has_unknown_parts_is_refused_by_name() {
        let connection = Connection::open_in_memory().expect("open");
        connection
            .execute_batch(
                "CREATE TABLE collections (id); CREATE TABLE migrations (dir, version); \
                 INSERT INTO migrations VALUES ('sysdb', 3), ('metadb', 1)",
            )
            .expect("tables");
        let error = Release::read(&connection).expect_err("no queue yet");
        assert!(error.message().contains("embeddings_queue migration 0, wanted 1"), "{error}");
        connection.execute("INSERT INTO migrations VALUES ('embeddings_queue', 1)", []).expect("insert");
        assert_eq!(Release::read(&connection).expect("known"), Release { sysdb: 3, metadb: 1, queue: 1 });
        connection.execute("INSERT INTO migrations VALUES ('blockstore', 1)", []).expect("insert");
        let error = Release::read(&connection).expect_err("unknown");
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.message().contains("`blockstore`"), "{error}");
    }
}
