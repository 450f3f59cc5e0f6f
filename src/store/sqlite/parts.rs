//! Reading a table in parts, each thread its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::entry::{Entry, enclosed};
use super::holder::Cursor;
use crate::error::Result;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::quoted;

/// Numbers of rows in a part, at least.
const LEAST: u64 = 4096;

/// Further connections that see what the first one sees, if there can be any; without one, fewer threads read.
pub(super) type More<'a> = Option<&'a dyn Fn() -> Result<Connection>>;

/// Some records of a collection.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Reads like a collection of its own, but for its beginning.
    pub entry: Entry,
    /// The key that all of them lie behind.
    behind: Option<i64>,
}

impl Part {
    pub fn whole(entry: &Entry) -> Part {
        Part { entry: entry.clone(), behind: None }
    }

    /// Where reading begins.
    pub fn cursor(&self) -> Cursor {
        // Not a condition: SQLite would have two lower bounds, and start at either.
        Cursor(self.behind.into_iter().map(Value::Integer).collect())
    }

    /// [`Entry::belongs`] and [`Entry::belongs_or_empty`], in one statement.
    pub fn belongs(&self, or_empty: bool) -> String {
        let belongs = if or_empty { self.entry.belongs_or_empty() } else { self.entry.belongs() };
        let behind = self.behind.map(|key| format!(" AND {} > {key}", self.entry.key_columns()));
        belongs + &behind.unwrap_or_default()
    }
}

/// A plain table in parts, several for each thread; one if its keys are no numbers, or few.
pub(super) fn of(connection: &Connection, entry: &Entry) -> Result<Vec<Part>> {
    let parts = 4 * rayon::current_num_threads() as u64;
    let [key] = entry.key.as_slice() else { return Ok(vec![Part::whole(entry)]) };
    let key = quoted(key);
    // Asked for both at once, SQLite would read every row.
    let table = entry.table_name();
    let sql = format!("SELECT (SELECT min({key}) FROM main.{table}), (SELECT max({key}) FROM main.{table})");
    let ends = connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (Value::Integer(first), Value::Integer(last)) = ends.doing("look at the keys")? else {
        return Ok(vec![Part::whole(entry)]);
    };
    let width = last.abs_diff(first) / parts;
    if width < LEAST {
        return Ok(vec![Part::whole(entry)]);
    }
    let bounds = (1..parts).map(|part| first.wrapping_add_unsigned(part * width));
    let starts = std::iter::once(None).chain(bounds.clone().map(Some));
    let ends = bounds.map(Some).chain([None]);
    let part = |(behind, end): (Option<i64>, Option<i64>)| {
        let own = entry.condition.as_deref().map(enclosed);
        let all: Vec<String> = own.into_iter().chain(end.map(|end| format!("{key} <= {end}"))).collect();
        let condition = (!all.is_empty()).then(|| all.join(" AND "));
        Part { entry: Entry { condition, ..entry.clone() }, behind }
    };
    Ok(starts.zip(ends).map(part).collect())
}

/// Lets `read` have every part: some by this thread through `first`, the others by other threads through connections of
/// their own.
pub(super) fn each(
    parts: &[Part],
    first: &Connection,
    more: More<'_>,
    read: &(dyn Fn(&Connection, &Part) -> Result<()> + Sync),
) -> Result<()> {
    let threads = rayon::current_num_threads().min(parts.len());
    let others: Vec<Connection> = (1..threads).map_while(|_| more?().ok()).collect();
    let next = AtomicUsize::new(0);
    let work = |connection: &Connection| -> Result<()> {
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(e) = read(connection, part) {
                next.store(parts.len(), Ordering::Relaxed);
                return Err(e);
            }
        }
        Ok(())
    };
    let work = &work;
    thread::scope(|scope| {
        let others: Vec<_> =
            others.into_iter().map(|connection| scope.spawn(move || work(&connection))).collect();
        // All are waited for, whatever became of the first.
        let own = work(first);
        let done = others.into_iter().map(|one| one.join().unwrap_or_else(|e| std::panic::resume_unwind(e)));
        done.fold(own, Result::and)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::find::{self, Depth};
    use super::super::settings::Wishes;
    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn parts_hold_every_row_once_and_a_failure_ends_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);
                 WITH RECURSIVE n(i) AS (SELECT -300000 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
                 INSERT INTO t SELECT i, x'0000803f000000bf0000003f0000803e' FROM n WHERE i % 7",
            )
            .unwrap();
        let found = find::all(&connection, &Wishes::default(), &[], Depth::Count(None)).unwrap();
        let entry = &found[0].entry;
        let parts = of(&connection, entry).unwrap();
        assert!(parts.len() > 1 && found[0].count == 514_286, "{}", found[0].count);
        let more = || Ok(Connection::open(&path).unwrap());
        let counted = Mutex::new((0i64, 0i64));
        each(&parts, &connection, Some(&more), &|connection, part| {
            let sql = format!("SELECT count(*), sum(id) FROM t WHERE {}", part.belongs(true));
            let (rows, sum): (i64, i64) =
                connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let mut counted = counted.lock().unwrap();
            *counted = (counted.0 + rows, counted.1 + sum);
            Ok(())
        })
        .unwrap();
        let all =
            connection.query_row("SELECT count(*), sum(id) FROM t", [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(*counted.lock().unwrap(), all.unwrap());
        let failed = each(&parts, &connection, None, &|_, _| Err(Error::new(Kind::Refused, "no")));
        assert_eq!(failed.unwrap_err().message(), "no");
    }
}
