//! How many vectors of which dimension a column holds.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::entry::Entry;
use super::parts::{self, More};
use crate::error::Result;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::quoted;

/// Rows and texts by the length of the vector.
type Lengths = BTreeMap<Option<i64>, (u64, u64)>;

/// Vectors of a column by their dimension.
#[derive(Default)]
pub(super) struct Groups {
    /// Dimension, vectors, and how many of their rows have a text; by dimension.
    pub dimensions: Vec<(usize, u64, u64)>,
    /// Values that are no vectors.
    pub strange: u64,
    pub all: u64,
    pub texts: u64,
}

impl Groups {
    /// How many values and texts there are.
    pub fn count(connection: &Connection, entry: &Entry) -> Result<Groups> {
        let sql = format!(
            "SELECT count(*), coalesce(sum({}), 0) FROM main.{} WHERE {}",
            has_text(entry),
            entry.table_name(),
            entry.belongs()
        );
        let (all, texts): (i64, i64) = connection
            .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .doing("count the records")?;
        Ok(Groups { all: all.unsigned_abs(), texts: texts.unsigned_abs(), ..Groups::default() })
    }

    /// How many there are of each length.
    pub fn of(connection: &Connection, more: More<'_>, entry: &Entry) -> Result<Groups> {
        let doing = "count the records";
        let length = entry.length();
        let lengths = Mutex::new(BTreeMap::new());
        parts::each(&parts::of(connection, entry)?, connection, more, &|connection, part| {
            // Counted here: SQLite would sort all rows first.
            let sql = format!(
                "SELECT {length}, {} FROM main.{} WHERE {}",
                has_text(entry),
                entry.table_name(),
                part.belongs()
            );
            let mut statement = connection.prepare(&sql).doing(doing)?;
            let mut rows = statement.query([]).doing(doing)?;
            let mut last = (None, (0, 0));
            while let Some(row) = rows.next().doing(doing)? {
                let length = row.get(0).doing(doing)?;
                if length != last.0 {
                    add(&lengths, last);
                    last = (length, (0, 0));
                }
                last.1.0 += 1;
                last.1.1 += u64::from(row.get::<_, bool>(1).doing(doing)?);
            }
            add(&lengths, last);
            Ok(())
        })?;
        let lengths = lengths.into_inner().unwrap_or_else(PoisonError::into_inner);
        let one = format!(
            "SELECT {} FROM main.{} WHERE {} AND {length} IS ?1 LIMIT 1",
            quoted(&entry.vector),
            entry.table_name(),
            entry.belongs()
        );
        let mut one = connection.prepare(&one).doing(doing)?;
        let mut groups = Groups::default();
        for (length, (count, texts)) in lengths {
            let dimension =
                one.query_row([&length], |row| Ok(entry.encoding.dimension(row.get_ref(0)?))).doing(doing)?;
            groups.all += count;
            groups.texts += texts;
            match dimension {
                Some(dimension) => groups.dimensions.push((dimension, count, texts)),
                None => groups.strange += count,
            }
        }
        groups.dimensions.sort_unstable();
        Ok(groups)
    }
}

/// Adds so many rows and texts to those of a length.
fn add(lengths: &Mutex<Lengths>, (length, (rows, texts)): (Option<i64>, (u64, u64))) {
    if rows > 0 {
        let mut lengths = lengths.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = lengths.entry(length).or_default();
        *sum = (sum.0 + rows, sum.1 + texts);
    }
}

fn has_text(entry: &Entry) -> String {
    match &entry.text_column {
        Some(text) => format!("typeof({}) = 'text'", quoted(text)),
        None => "0".to_owned(),
    }
}
