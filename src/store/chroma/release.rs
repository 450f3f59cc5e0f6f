//! Which release family wrote a database: the table `migrations` tells, never a version number.

use rusqlite::Connection;

use super::sql::{self, Doing};
use crate::error::{Error, Kind, Result};

/// Newest migrations known here; anything above was written by a release that came later.
const NEWEST: [(&str, i64); 3] = [("sysdb", 10), ("metadb", 6), ("embeddings_queue", 2)];

/// Highest applied migration of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Release {
    pub sysdb: i64,
    pub metadb: i64,
    pub queue: i64,
}

impl Release {
    /// Reads the table of migrations.
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
        Ok(Release { sysdb: newest("sysdb")?, metadb: newest("metadb")?, queue: newest("embeddings_queue")? })
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
        if let Some(newer) = self.newer() {
            return Some(format!("the database was written by a newer Chroma than is known here ({newer})"));
        }
        (self.metadb < 5).then(|| {
            format!(
                "databases of {} are read, not rewritten; opening it once with chromadb 1.x upgrades it",
                self.name()
            )
        })
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

    fn newer(self) -> Option<String> {
        let [sysdb, metadb, queue] = NEWEST;
        [(sysdb, self.sysdb), (metadb, self.metadb), (queue, self.queue)]
            .into_iter()
            .find(|((_, known), found)| found > known)
            .map(|((dir, known), found)| format!("{dir} migration {found}, known up to {known}"))
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
        assert!(of(9, 4, 2).unsupported().is_some());
        assert!(of(11, 6, 2).unsupported().is_some_and(|why| why.contains("sysdb migration 11")));
    }
}
