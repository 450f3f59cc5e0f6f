//! Vectors that lie twice in a file: in a column of a table with the texts, and once more in a vec0 table that a trigger
//! fills from it, for searching. LangChain's SQLiteVec makes its stores so. Both change together.

use rusqlite::{Connection, OptionalExtension};

use super::entry::Entry;
use super::find::Found;
use super::holder::{Cursor, Holder, Send, Sides};
use super::parts::Part;
use super::sink::Sink;
use super::table::Table;
use super::vec0::Vec0;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::store::Batch;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::quoted;

/// See the module.
#[derive(Debug)]
pub(super) struct Twin {
    /// The vec0 table as a collection of its own.
    entry: Entry,
    repeats: Vec0,
}

/// Place of the collection whose vectors the vec0 table of `entry` repeats.
pub(super) fn joined(connection: &Connection, found: &[Found], entry: &Entry) -> Result<Option<usize>> {
    let doing = "list the triggers";
    let mut statement = connection
        .prepare_cached("SELECT sql FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?1")
        .doing(doing)?;
    for (at, one) in found.iter().enumerate() {
        let triggers = statement.query_map([&one.entry.table], |row| row.get::<_, String>(0)).doing(doing)?;
        let triggers: Vec<String> = triggers.collect::<rusqlite::Result<_>>().doing(doing)?;
        let repeats = |sql: &String| {
            let word = |c: char| !c.is_alphanumeric() && c != '_' && c != '.';
            let mut words = sql.split(word);
            words.clone().any(|word| word == entry.table)
                && words.any(|word| word.eq_ignore_ascii_case(&format!("new.{}", one.entry.vector)))
        };
        if one.entry.encoding == entry.encoding && triggers.iter().any(repeats) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

impl Twin {
    /// `one` with its vectors repeated by `repeats`. What searches says how closeness is measured.
    pub fn of(one: Found, entry: Entry, repeats: Vec0) -> Found {
        let mut both = one.entry;
        both.metric = entry.metric;
        if both.unsupported.is_none() {
            both.unsupported = entry.unsupported.clone();
        }
        if both.grouped {
            both.unsupported = Some(format!(
                "its column holds vectors of several dimensions, and `{}` repeats those of one",
                entry.table
            ));
        }
        Found { entry: both, holder: Box::new(Twin { entry, repeats }), ..one }
    }
}

impl Holder for Twin {
    fn next_batch(
        &self,
        connection: &Connection,
        entry: &Entry,
        cursor: &mut Cursor,
        max: usize,
        texts: bool,
    ) -> Result<Option<Batch>> {
        Table.next_batch(connection, entry, cursor, max, texts)
    }

    fn parts(&self, connection: &Connection, entry: &Entry) -> Result<Vec<Part>> {
        Table.parts(connection, entry)
    }

    fn rows(&self, connection: &Connection, entry: &Entry) -> Result<u64> {
        Table.rows(connection, entry)
    }

    fn transform(
        &self,
        sides: &mut Sides<'_>,
        entry: &Entry,
        dimension: usize,
        send: &Send<'_>,
        sink: &mut Sink<'_, '_>,
        context: &Context<'_>,
    ) -> Result<()> {
        Table.transform(sides, entry, dimension, send, sink, context)?;
        let connection = sides.target(context)?;
        let doing = "read the rewritten vectors";
        let sql =
            format!("SELECT {} FROM main.{} WHERE rowid = ?1", quoted(&entry.vector), entry.table_name());
        let mut written = connection.prepare(&sql).doing(doing)?;
        let mut vector = |row: i64| {
            let found = written.query_row([row], |row| row.get::<_, Vec<u8>>(0)).optional().doing(doing)?;
            found.ok_or_else(|| {
                let found = format!("row {row} of `{}` has no row in `{}`", self.entry.table, entry.table);
                Error::new(Kind::Damaged, found).hint("delete it there, or add the row that it belongs to")
            })
        };
        let repeated = Entry { dimension: entry.dimension, ..self.entry.clone() };
        self.repeats.refill(connection, &repeated, dimension, sink.rows, &mut vector, context)
    }

    fn restore(&self, connection: &Connection, entry: &Entry, changed: bool) -> Result<()> {
        // What the trigger would put into the vec0 table comes back by itself.
        let enabled = rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER;
        connection.set_db_config(enabled, false).doing("set up the tables")?;
        Table.restore(connection, entry, changed)?;
        self.repeats.restore(connection, &self.entry, changed)
    }

    fn saved(&self, connection: &Connection, entry: &Entry) -> Result<Entry> {
        Table.saved(connection, entry)
    }

    fn obstacle(&self, connection: &Connection, entry: &Entry, dimension: usize) -> Result<Option<String>> {
        match Table.obstacle(connection, entry, dimension)? {
            Some(found) => Ok(Some(found)),
            None => self.repeats.obstacle(connection, &self.entry, dimension),
        }
    }
}
