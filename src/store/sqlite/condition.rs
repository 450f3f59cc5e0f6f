//! The condition that a user puts on the rows of a collection.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::entry::{Entry, enclosed};
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;
use crate::store::sql::rows_file::quoted;

const DOING: &str = "read the condition";

/// Whether the condition looks at the vectors: it would not mean the same rows afterwards.
pub(super) fn reads_vector(connection: &Connection, entry: &Entry) -> Result<Option<String>> {
    let Some(condition) = &entry.condition else { return Ok(None) };
    let wrong = |e: rusqlite::Error| {
        Error::new(
            Kind::Usage,
            format!("the condition on the rows of `{}` is no SQL expression", entry.table),
        )
        .because(e)
        .hint(
            "give --where what may follow WHERE in SQL, such as \"tenant = 'a'\"; what it opens, a comment too, it has to \
             close",
        )
    };
    // Alone first: it must not end the expression that it is put into.
    let table = entry.table_name();
    connection.prepare(&format!("SELECT {condition}\n FROM main.{table}")).map_err(wrong)?;
    let sql = format!("SELECT 1 FROM main.{table} WHERE {}", enclosed(condition));
    if connection.prepare(&sql).map_err(wrong)?.parameter_count() > 0 {
        return Err(Error::new(
            Kind::Usage,
            "the condition on the rows has places for values, and there are none",
        ));
    }
    let mut empty = emptied(connection)?;
    let read = columns_read(&mut empty, &sql, &entry.table)?;
    let changed = changed_with(&empty, entry)?;
    for column in read {
        if !changed.is_disjoint(&places(&empty, entry, &column)?) {
            return Ok(Some(format!(
                "its condition looks at `{column}`, which a rewrite changes: it would mean other rows afterwards"
            )));
        }
    }
    Ok(None)
}

/// The tables and views of the file without their rows, in memory: there one may listen to what a statement reads.
fn emptied(connection: &Connection) -> Result<Connection> {
    let empty = Connection::open_in_memory().doing(DOING)?;
    let mut statement = connection
        .prepare("SELECT sql FROM main.sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
        .doing(DOING)?;
    let mut rows = statement.query([]).doing(DOING)?;
    while let Some(row) = rows.next().doing(DOING)? {
        // A virtual table has made some of the others already. What is missing, the condition does not find.
        let _ = empty.execute_batch(&row.get::<_, String>(0).doing(DOING)?);
    }
    Ok(empty)
}

/// Columns of `table` that a statement reads, wherever it names them.
fn columns_read(empty: &mut Connection, sql: &str, table: &str) -> Result<BTreeSet<String>> {
    let read = Arc::new(Mutex::new(BTreeSet::new()));
    let (heard, wanted) = (Arc::clone(&read), table.to_owned());
    let listen = move |context: AuthContext<'_>| {
        if let AuthAction::Read { table_name, column_name } = context.action
            && table_name == wanted
        {
            heard.lock().unwrap_or_else(PoisonError::into_inner).insert(column_name.to_owned());
        }
        Authorization::Allow
    };
    empty.authorizer(Some(listen)).doing(DOING)?;
    let prepared = empty.prepare(sql).map(drop);
    empty.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).doing(DOING)?;
    prepared.doing(DOING)?;
    let read = read.lock().unwrap_or_else(PoisonError::into_inner);
    // Nothing of a row is read to count it.
    Ok(read.iter().filter(|column| !column.is_empty()).cloned().collect())
}

/// Where in a row lies what a rewrite changes: the vector, and every stored value that SQLite may compute from it.
fn changed_with(empty: &Connection, entry: &Entry) -> Result<BTreeSet<i64>> {
    let mut changed = BTreeSet::new();
    for column in entry.vector_columns() {
        changed.extend(places(empty, entry, &column)?);
    }
    let mut stored =
        empty.prepare("SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 3").doing(DOING)?;
    let stored = stored.query_map([&entry.table], |row| row.get::<_, String>(0)).doing(DOING)?;
    for column in stored {
        changed.extend(places(empty, entry, &column.doing(DOING)?)?);
    }
    Ok(changed)
}

/// Where in a row lies what a column holds, or is computed from when it is read.
fn places(empty: &Connection, entry: &Entry, column: &str) -> Result<BTreeSet<i64>> {
    let sql = format!("EXPLAIN SELECT {} FROM main.{} NOT INDEXED", quoted(column), entry.table_name());
    let mut statement = empty.prepare(&sql).doing(DOING)?;
    let mut rows = statement.query([]).doing(DOING)?;
    let mut places = BTreeSet::new();
    while let Some(row) = rows.next().doing(DOING)? {
        if row.get::<_, String>("opcode").doing(DOING)? == "Column" {
            places.insert(row.get("p2").doing(DOING)?);
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Metric;
    use crate::store::sqlite::encoding::Encoding;

    fn looks(definition: &str, condition: &str) -> Result<bool> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(definition).unwrap();
        let entry = Entry {
            id: String::new(),
            name: String::new(),
            table: "t".to_owned(),
            key: vec!["id".to_owned()],
            ids: Vec::new(),
            text_column: None,
            vector: "v".to_owned(),
            scale: None,
            others: Vec::new(),
            encoding: Encoding::F32,
            dimension: None,
            metric: Metric::Cosine,
            condition: Some(condition.to_owned()),
            grouped: false,
            fire_triggers: false,
            unsupported: None,
        };
        reads_vector(&connection, &entry).map(|why| why.is_some())
    }

    #[test]
    fn only_a_condition_on_the_vector_looks_at_it() {
        let plain =
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, v BLOB); CREATE INDEX i ON t (length(v));
            CREATE TABLE u (id, v)";
        let turned = "CREATE TABLE t (v BLOB, id TEXT PRIMARY KEY) WITHOUT ROWID";
        let computed =
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, a TEXT, n AS (length(v)), b AS (upper(a)),
            s AS (length(v)) STORED, c AS (s + 1)); CREATE VIEW w AS SELECT id, v FROM t";
        for (definition, condition, wanted) in [
            (plain, "a = 'x'", false),
            (plain, "length(v) = 16", true),
            (plain, "id IN (SELECT id FROM u WHERE v > 1)", false),
            (plain, "id IN (SELECT x.id FROM t x WHERE x.\"V\" > 1)", true),
            (plain, "(SELECT count(*) FROM t) > 3", false),
            (plain, "a = 'v' -- v", false),
            (plain, "rowid > 3 /* v */", false),
            (turned, "id LIKE 'a%'", false),
            (turned, "length(v) = 1536", true),
            (computed, "n = 16", true),
            (computed, "b = 'A'", false),
            (computed, "s = 16", true),
            (computed, "c = 17", true),
            (computed, "id IN (SELECT id FROM w WHERE length(v) = 16)", true),
        ] {
            assert_eq!(looks(definition, condition).unwrap(), wanted, "{condition}");
        }
        for wrong in ["a = 'x') OR (1", "a = 'x' /*", "a = ?", "nothing = 1", "a = 'x'; --"] {
            assert_eq!(looks(plain, wrong).unwrap_err().kind(), Kind::Usage, "{wrong}");
        }
    }
}
