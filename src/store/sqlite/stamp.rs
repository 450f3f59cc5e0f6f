//! The stamp: which space a migration left a collection in, in a table of embedport's own inside the same file, so that
//! it changes in the same transaction as the vectors.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::settings::Wishes;
use crate::error::{Error, Kind, Result};
use crate::space::Space;
use crate::store::Settings;
use crate::store::sql::{self, Doing};

pub(super) const TABLE: &str = "embedport_spaces";

/// What a migration left behind.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    /// [`Collection::id`](crate::store::Collection::id).
    pub collection: String,
    pub space: Space,
    pub migration: String,
    /// How the collection was read: later readers need not be told again.
    pub settings: Settings,
}

impl Stamp {
    /// # Errors
    /// [`Kind::Damaged`] if they are none.
    pub fn wishes(&self) -> Result<Wishes> {
        Wishes::read(&self.settings).map_err(|e| e.context(format!("the stamp in `{TABLE}` is damaged")))
    }
}

/// A stamp as it is noted down outside of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Noted {
    pub space: Space,
    pub migration: String,
    settings: String,
}

impl Noted {
    pub fn of(stamp: &Stamp) -> Noted {
        let Stamp { space, migration, settings, .. } = stamp.clone();
        Noted { space, migration, settings: settings.to_text() }
    }

    /// # Errors
    /// [`Kind::Damaged`](crate::error::Kind::Damaged) if it was changed by something else.
    pub fn stamp(&self, collection: &str) -> Result<Stamp> {
        let Noted { space, migration, settings } = self.clone();
        Ok(Stamp {
            collection: collection.to_owned(),
            space,
            migration,
            settings: Settings::parse(&settings)?,
        })
    }
}

/// All stamps of the file.
pub(super) fn all(connection: &Connection) -> Result<Vec<Stamp>> {
    if !sql::has_table(connection, TABLE)? {
        return Ok(Vec::new());
    }
    let doing = "read the stamps";
    let mut statement = connection
        .prepare("SELECT collection, space, migration, settings FROM embedport_spaces ORDER BY collection")
        .doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let mut stamps = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        let text = |column: usize| row.get::<_, String>(column).doing(doing);
        let space = serde_json::from_str(&text(1)?).map_err(|e| {
            Error::new(Kind::Damaged, format!("a stamp in `{TABLE}` names no space")).because(e)
        })?;
        let settings = Settings::parse(&text(3)?)?;
        stamps.push(Stamp { collection: text(0)?, space, migration: text(2)?, settings });
    }
    Ok(stamps)
}

/// The stamp of one collection.
pub(super) fn of(connection: &Connection, collection: &str) -> Result<Option<Stamp>> {
    Ok(all(connection)?.into_iter().find(|stamp| stamp.collection == collection))
}

/// Writes a stamp; the table is made if missing.
pub(super) fn write(connection: &Connection, stamp: &Stamp) -> Result<()> {
    let space = serde_json::to_string(&stamp.space)
        .map_err(|e| Error::new(Kind::Internal, "cannot write a space as JSON").because(e))?;
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS main.embedport_spaces (collection TEXT PRIMARY KEY, space TEXT NOT NULL, \
             migration TEXT NOT NULL, settings TEXT NOT NULL)",
        )
        .doing("make room for the stamp")?;
    connection
        .execute(
            "INSERT OR REPLACE INTO main.embedport_spaces (collection, space, migration, settings) VALUES (?1, ?2, ?3, ?4)",
            params![stamp.collection, space, stamp.migration, stamp.settings.to_text()],
        )
        .doing("stamp the collection")
        .map(drop)
}

/// Removes the stamp of a collection, and the table with the last one.
pub(super) fn remove(connection: &Connection, collection: &str) -> Result<()> {
    if !sql::has_table(connection, TABLE)? {
        return Ok(());
    }
    let doing = "remove the stamp";
    connection
        .execute("DELETE FROM main.embedport_spaces WHERE collection = ?1", [collection])
        .doing(doing)?;
    let left: i64 = connection
        .query_row("SELECT count(*) FROM main.embedport_spaces", [], |row| row.get(0))
        .doing(doing)?;
    if left == 0 {
        connection.execute_batch("DROP TABLE main.embedport_spaces").doing(doing)?;
    }
    Ok(())
}
