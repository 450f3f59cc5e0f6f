//! SQLite files with tables of vectors in every encoding, made here.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params};

use super::super::rooms::space::Space;
use super::{Kind, exercise};

const FILE: &str = "store.db";

pub const KIND: Kind = Kind {
    databases: |_, folder| ENCODINGS.iter().map(|encoding| make(encoding, folder)).collect(),
    file: FILE,
    locations,
    exercise: exercise::there_and_back,
};

pub const TABLES: [&str; 3] = ["docs", "others", "embedport_spaces"];

/// Names of encodings; of numpy files the numbers are told apart by their headers. One file has texts for keys, one was
/// migrated before.
const ENCODINGS: [&str; 12] = [
    "f32",
    "f64",
    "f16",
    "int8",
    "int8-scaled",
    "bit",
    "json",
    "npy <f2",
    "npy <f4",
    "npy <f8",
    "f32 keyed",
    "f32 stamped",
];

/// Twice: with what is to be known said, and to be found by looking.
fn locations(folder: &Path) -> Vec<String> {
    let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
    let encoding = name.split(' ').next().unwrap_or_default();
    let scale = if encoding == "int8-scaled" { "&scale=factor" } else { "" };
    let path = folder.join(FILE).to_str().expect("text").to_owned();
    vec![format!("sqlite:{path}?table=docs&vector=embedding&encoding={encoding}{scale}"), path]
}

fn make(encoding: &str, folder: &Path) -> PathBuf {
    let folder = folder.join(encoding);
    fs::create_dir_all(&folder).expect("a folder");
    let connection = Connection::open(folder.join(FILE)).expect("a database");
    let (key, end) = match encoding {
        "f32 keyed" => ("TEXT PRIMARY KEY", " WITHOUT ROWID"),
        _ => ("INTEGER PRIMARY KEY", ""),
    };
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = 512;
             CREATE TABLE docs (id {key}, body TEXT, embedding, factor){end};
             CREATE TABLE others (tag TEXT, vector TEXT);
             CREATE INDEX docs_by_body ON docs (body);
             INSERT INTO others VALUES ('a', '[0.5,1,-2]'), ('b', '[0.25,-1,0]');"
        ))
        .expect("tables");
    for id in 1..=5i64 {
        let vector: Vec<f32> = (0..8).map(|at| ((id * 5 + at * 3) % 11) as f32 / 8.0 - 0.6).collect();
        connection
            .execute(
                "INSERT INTO docs VALUES (?1, ?2, ?3, ?4)",
                params![id, format!("text {id}"), written(encoding, &vector), 0.01],
            )
            .expect("a row");
    }
    connection.execute_batch("INSERT INTO docs (id, body) VALUES (6, 'none')").expect("a row");
    if encoding == "f32 stamped" {
        let space = serde_json::to_string(&Space::named("fuzz/before", 8)).expect("JSON");
        let stamp = "CREATE TABLE embedport_spaces (collection TEXT PRIMARY KEY, space TEXT NOT NULL, migration TEXT \
                     NOT NULL, settings TEXT NOT NULL)";
        connection.execute_batch(stamp).expect("a table");
        connection
            .execute(
                "INSERT INTO embedport_spaces VALUES ('table=docs&vector=embedding', ?1, 'before', \
                 'table=docs&vector=embedding&encoding=f32&metric=l2&text=body')",
                [space],
            )
            .expect("a row");
    }
    folder
}

fn written(encoding: &str, vector: &[f32]) -> Value {
    let halves = || vector.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes());
    let singles = || vector.iter().flat_map(|x| x.to_le_bytes());
    let doubles = || vector.iter().flat_map(|x| f64::from(*x).to_le_bytes());
    let npy = |number: &str| {
        let header =
            format!("{{'descr': '{number}', 'fortran_order': False, 'shape': ({},), }}", vector.len());
        [&b"\x93NUMPY\x01\x00\x76\x00"[..], format!("{header:117}\n").as_bytes()].concat()
    };
    Value::Blob(match encoding {
        "f64" => doubles().collect(),
        "f16" => halves().collect(),
        "int8" | "int8-scaled" => vector.iter().map(|x| ((x * 100.0) as i8).cast_unsigned()).collect(),
        "bit" => vec![vector.iter().enumerate().fold(0, |byte, (at, x)| byte | u8::from(*x > 0.0) << at)],
        "json" => return Value::Text(format!("{vector:?}")),
        "npy <f2" => npy("<f2").into_iter().chain(halves()).collect(),
        "npy <f4" => npy("<f4").into_iter().chain(singles()).collect(),
        "npy <f8" => npy("<f8").into_iter().chain(doubles()).collect(),
        _ => singles().collect(),
    })
}

/// The vector that is replaced, as an input.
pub fn vector(file: &Path) -> Vec<u8> {
    let connection = Connection::open(file).expect("a database");
    let value = connection.query_row("SELECT embedding FROM docs WHERE id = 2", [], |row| row.get(0));
    match value.expect("a vector") {
        Value::Text(text) => [&[1], text.as_bytes()].concat(),
        Value::Blob(blob) => [&[0], &blob[..]].concat(),
        other => panic!("{other:?} is no vector"),
    }
}

/// Replaces it.
pub fn put_vector(file: &Path, input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    let connection = Connection::open(file).expect("a database");
    connection.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF").expect("set up");
    let new = if kind % 2 == 1 { "CAST(?1 AS TEXT)" } else { "?1" };
    connection.execute(&format!("UPDATE docs SET embedding = {new} WHERE id = 2"), [bytes]).expect("a row");
}

fn quietly(file: &Path) -> Option<Connection> {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()
}

/// Whether SQLite finds nothing wrong with the file.
pub fn is_sound(file: &Path) -> bool {
    let sound = |connection: Connection| {
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)).ok()
    };
    quietly(file).and_then(sound).is_some_and(|found| found == "ok")
}

/// Every row of every table, with its types; none if not all can be read. A table of embedport's own without a row is as
/// good as none.
pub fn dump(file: &Path) -> Option<Vec<String>> {
    let connection = quietly(file)?;
    let stamps = read(&connection, "SELECT 1 FROM embedport_spaces").unwrap_or_default();
    let hidden = if stamps.is_empty() { "embedport_spaces" } else { "" };
    let schema =
        format!("SELECT type, name, sql FROM sqlite_schema WHERE tbl_name <> '{hidden}' ORDER BY type, name");
    let mut all = read(&connection, &schema)?;
    let mut statement =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").ok()?;
    let tables = statement.query_map([], |row| row.get::<_, String>(0)).ok()?;
    for table in tables {
        let table = table.ok()?.replace('"', "\"\"");
        all.extend(read(&connection, &format!("SELECT * FROM \"{table}\""))?);
    }
    Some(all)
}

fn read(connection: &Connection, sql: &str) -> Option<Vec<String>> {
    let mut statement = connection.prepare(sql).ok()?;
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        (0..columns).map(|at| row.get_ref(at).map(|v| format!("{v:?}"))).collect::<Result<Vec<_>, _>>()
    };
    let rows = statement.query_map([], row).ok()?;
    rows.map(|row| row.ok().map(|row| row.join("|"))).collect()
}
