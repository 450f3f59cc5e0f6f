//! A small language of changes to rows.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

/// Per change: table, column, row, kind; then what the kind needs.
const HEAD: usize = 4;

/// Changes the rows of `tables` that `bytes` name, as far as SQLite lets them be changed.
pub fn change(database: &Path, tables: &[&str], mut bytes: &[u8]) {
    let connection = Connection::open(database).expect("a database");
    let set_up = "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; \
                  PRAGMA ignore_check_constraints = ON; BEGIN";
    connection.execute_batch(set_up).expect("set up");
    while let Some((head, rest)) = bytes.split_at_checked(HEAD) {
        bytes = one(&connection, tables, head, rest);
    }
    connection.execute_batch("COMMIT").expect("committed");
}

/// One change; gives back the bytes behind it.
fn one<'a>(connection: &Connection, tables: &[&str], head: &[u8], rest: &'a [u8]) -> &'a [u8] {
    let [table, column, row, kind] = *head else { return &[] };
    let table = tables[usize::from(table) % tables.len()];
    let columns = columns(connection, table);
    let Some(column) = columns.get(usize::from(column) % columns.len().max(1)) else { return rest };
    let target = format!("rowid = (SELECT rowid FROM {table} LIMIT 1 OFFSET {})", row % 32);
    let (value, text, rest) = match kind % 8 {
        0 => (Value::Null, false, rest),
        1 => match rest.split_first() {
            Some((byte, rest)) => (Value::Integer(i64::from(byte.cast_signed())), false, rest),
            None => return &[],
        },
        2 => match rest.split_first_chunk::<8>() {
            Some((bytes, rest)) => (Value::Integer(i64::from_le_bytes(*bytes)), false, rest),
            None => return &[],
        },
        3 => match rest.split_first_chunk::<8>() {
            Some((bytes, rest)) => (Value::Real(f64::from_le_bytes(*bytes)), false, rest),
            None => return &[],
        },
        kind @ (4 | 5) => match rest.split_first() {
            Some((length, rest)) => {
                let (value, rest) = rest.split_at(rest.len().min(usize::from(*length)));
                (Value::Blob(value.to_vec()), kind == 4, rest)
            }
            None => return &[],
        },
        6 => {
            let _ = connection.execute(&format!("DELETE FROM {table} WHERE {target}"), []);
            return rest;
        }
        _ => {
            let names = columns.join(", ");
            let sql =
                format!("INSERT OR IGNORE INTO {table} ({names}) SELECT {names} FROM {table} WHERE {target}");
            let _ = connection.execute(&sql, []);
            return rest;
        }
    };
    let new = if text { "CAST(?1 AS TEXT)" } else { "?1" };
    let _ =
        connection.execute(&format!("UPDATE OR IGNORE {table} SET {column} = {new} WHERE {target}"), [value]);
    rest
}

fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let mut statement = connection.prepare_cached("SELECT name FROM pragma_table_info(?1)").expect("a table");
    let names = statement.query_map([table], |row| row.get(0)).expect("columns");
    names.collect::<Result<_, _>>().expect("names")
}

/// A change of each kind, harmless ones first.
pub fn one_of_each_kind() -> Vec<u8> {
    let mut bytes = vec![10, 9, 0, 1, 5];
    bytes.extend([0, 2, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([3, 5, 0, 5, 4, 0, 0, 128, 63, 2, 3, 1, 4, 1, b'x']);
    bytes.extend([4, 1, 0, 3, 0, 0, 0, 0, 0, 0, 240, 63, 5, 2, 3, 0, 2, 1, 4, 6, 3, 1, 2, 7]);
    bytes
}
