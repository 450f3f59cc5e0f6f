//! Other collections of the same table: rows that two of them share must not be projected twice, and what one of them
//! became must not go back with another.

use rusqlite::Connection;

use super::SqliteStore;
use super::entry::{Entry, enclosed};
use super::stamp::{self, Stamp};
use super::unstamped::Unstamped;
use crate::error::{Error, Kind, Result};
use crate::store::VectorStore;
use crate::store::sql::Doing;

impl SqliteStore {
    /// What migrations left in the table of `entry`, in other collections than this one: in the file, or noted beside it.
    fn others_of(&self, connection: &Connection, entry: &Entry) -> Result<Vec<Stamp>> {
        let mut all = stamp::all(connection)?;
        for note in Unstamped::all(&self.state_folder())? {
            if note.holds(connection)? {
                all.push(note.stamp()?);
            }
        }
        let mut of_table = Vec::new();
        for stamp in all {
            if stamp.collection != entry.id && stamp.wishes()?.table.as_ref() == Some(&entry.table) {
                of_table.push(stamp);
            }
        }
        Ok(of_table)
    }

    /// Refuses a collection of which some records were migrated as another, by a condition of their own or without one.
    ///
    /// # Errors
    /// [`Kind::Refused`]
    pub(super) fn refuse_shared(&self, connection: &Connection, entry: &Entry) -> Result<()> {
        for stamp in self.others_of(connection, entry)? {
            let said = stamp.wishes()?;
            if said.vector.as_ref() != Some(&entry.vector) || said.condition == entry.condition {
                continue;
            }
            let condition = enclosed(said.condition.as_deref().unwrap_or("1"));
            let sql = format!(
                "SELECT count(*) FROM main.{} WHERE {} AND {condition}",
                entry.table_name(),
                entry.belongs()
            );
            let shared: i64 = connection
                .query_row(&sql, [], |row| row.get(0))
                .doing("look for records that were migrated before")?;
            if shared > 0 {
                let which = match &said.condition {
                    Some(condition) => format!("those where {condition}"),
                    None => "the whole table".to_owned(),
                };
                return Err(Error::new(
                    Kind::Refused,
                    format!(
                        "{shared} records of collection `{}` were migrated already, with {which}: they are of {} (migration {})",
                        entry.name, stamp.space.model, stamp.migration
                    ),
                )
                .hint("they would be projected a second time: leave them out by a condition (--where), or roll that migration back first"));
            }
        }
        Ok(())
    }

    /// Refuses to put back rows of a table of which another column was migrated later: its vectors of before would come
    /// back with them, under the name of their new space.
    ///
    /// # Errors
    /// [`Kind::Refused`]
    pub(super) fn refuse_later(&self, connection: &Connection, entry: &Entry, migration: &str) -> Result<()> {
        for stamp in self.others_of(connection, entry)? {
            let vector = stamp.wishes()?.vector;
            // Identifiers begin with the time.
            if stamp.migration.as_str() > migration && vector.as_ref() != Some(&entry.vector) {
                return Err(Error::new(
                    Kind::Refused,
                    format!(
                        "column `{}` of the same table was migrated later, by {}: this one's rows hold its vectors of before",
                        vector.unwrap_or_default(),
                        stamp.migration
                    ),
                )
                .hint("roll that migration back first (--migration), this one after it, and migrate the other again"));
            }
        }
        Ok(())
    }
}
