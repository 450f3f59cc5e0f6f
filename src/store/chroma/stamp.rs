//! The stamp: which space embedport left a collection in, kept in a table of its own inside the database,
//! so that it changes in the same transaction as the vectors. Chroma ignores tables that it does not know.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Error, Kind, Result};
use crate::space::Space;
use crate::store::sql::{self, Doing};

pub(super) const TABLE: &str = "embedport_spaces";

/// What a migration left behind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stamp {
    pub space: Space,
    pub migration: String,
    /// VECTOR segment that the migration made; with another one the stamp no longer holds.
    pub segment: String,
    /// Number of the last write that the collection had seen when it was stamped.
    pub last: Option<i64>,
}

/// The stamp of a collection.
pub(super) fn read(connection: &Connection, collection: &str) -> Result<Option<Stamp>> {
    if !sql::has_table(connection, TABLE)? {
        return Ok(None);
    }
    let doing = "read the stamp";
    let found: Option<(String, String, String, Option<i64>)> = connection
        .prepare_cached(
            "SELECT space, migration, segment, last FROM embedport_spaces WHERE collection_id = ?1",
        )
        .doing(doing)?
        .query_row([collection], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()
        .doing(doing)?;
    let Some((space, migration, segment, last)) = found else { return Ok(None) };
    let space = serde_json::from_str(&space).map_err(|e| {
        Error::new(Kind::Damaged, format!("the stamp of collection {collection} is no space")).because(e)
    })?;
    Ok(Some(Stamp { space, migration, segment, last }))
}

/// Writes the stamp; the table is made if missing.
pub(super) fn write(connection: &Connection, collection: &str, stamp: &Stamp) -> Result<()> {
    let doing = "stamp the collection";
    let space = serde_json::to_string(&stamp.space)
        .map_err(|e| Error::new(Kind::Internal, "cannot write a space as JSON").because(e))?;
    make_table(connection)?;
    connection
        .execute(
            "INSERT OR REPLACE INTO embedport_spaces (collection_id, space, migration, segment, last) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![collection, space, stamp.migration, stamp.segment, stamp.last],
        )
        .doing(doing)
        .map(drop)
}

/// Puts back the stamp that was saved as `kept.embedport_spaces`.
pub(super) fn restore(connection: &Connection, collection: &str) -> Result<()> {
    make_table(connection)?;
    connection
        .execute(
            "INSERT OR REPLACE INTO main.embedport_spaces SELECT * FROM kept.embedport_spaces WHERE collection_id = ?1",
            [collection],
        )
        .doing("restore the stamp")
        .map(drop)
}

fn make_table(connection: &Connection) -> Result<()> {
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS main.embedport_spaces (collection_id TEXT PRIMARY KEY, space TEXT NOT NULL, \
             migration TEXT NOT NULL, segment TEXT NOT NULL, last INTEGER)",
        )
        .doing("make room for the stamp")
}

/// Removes the stamp, and the table with the last one.
pub(super) fn remove(connection: &Connection, collection: &str) -> Result<()> {
    if !sql::has_table(connection, TABLE)? {
        return Ok(());
    }
    let doing = "remove the stamp";
    connection.execute("DELETE FROM embedport_spaces WHERE collection_id = ?1", [collection]).doing(doing)?;
    let left: i64 =
        connection.query_row("SELECT count(*) FROM embedport_spaces", [], |row| row.get(0)).doing(doing)?;
    if left == 0 {
        connection.execute_batch("DROP TABLE embedport_spaces").doing(doing)?;
    }
    Ok(())
}
