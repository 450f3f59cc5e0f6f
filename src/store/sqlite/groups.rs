//! How many vectors of which dimension a column holds.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::encoding::Encoding;
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
        // What is no JSON has no length, as what is not there.
        let or_empty = entry.encoding != Encoding::Json && entry.condition.is_none();
        let lengths = Mutex::new(BTreeMap::new());
        parts::each(&parts::of(connection, entry)?, connection, more, &|connection, part| {
            // Counted here: SQLite would sort all rows first.
            let sql = format!(
                "SELECT {length}, {} FROM main.{} WHERE {}",
                has_text(entry),
                entry.table_name(),
                part.belongs(or_empty)
            );
            let mut statement = connection.prepare(&sql).doing(doing)?;
            let mut rows = statement.query([]).doing(doing)?;
            let mut last = (None, (0, 0));
            while let Some(row) = rows.next().doing(doing)? {
                let length: Option<i64> = row.get(0).doing(doing)?;
                if or_empty && length.is_none() {
                    continue;
                }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::find::{self, Depth};
    use super::super::holder::Cursor;
    use super::super::settings::Wishes;
    use super::*;
    use crate::store::Settings;

    #[test]
    fn rows_without_a_vector_are_neither_counted_nor_read() {
        let connection = Connection::open_in_memory().unwrap();
        for (encoding, value) in
            [("f32", "x'0000803f000000bf0000003f0000803e'"), ("json", "'[1, -0.5, 0.5, 0.25]'")]
        {
            // Names that mean something to SQLite, and a text that is no JSON.
            connection
                .execute_batch(&format!(
                    "DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, v, \"true\" INTEGER);
                     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                     INSERT INTO t SELECT i, 'text', NULL, 0 FROM n;
                     UPDATE t SET body = '{{\"a\": 1}}', v = {value} WHERE id % 2000 = 1507"
                ))
                .unwrap();
            for condition in ["", "&where=json_extract(body, '$.a')%3D1"] {
                let settings = format!("table=t&vector=v&encoding={encoding}{condition}");
                let wishes = Wishes::read(&Settings::parse(&settings).unwrap()).unwrap();
                let mut all = find::all(&connection, &wishes, &[], Depth::Count(None)).unwrap();
                let found = all.pop().unwrap();
                assert_eq!((found.count, found.texts, found.entry.dimension), (2, 2, Some(4)), "{settings}");
                assert!(!found.entry.grouped && all.is_empty());
                let mut cursor = Cursor::default();
                let batch =
                    found.holder.next_batch(&connection, &found.entry, &mut cursor, 9, false).unwrap();
                assert_eq!(batch.unwrap().ids, ["1507", "3507"], "{settings}");
            }
        }
    }
}
