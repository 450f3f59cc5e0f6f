//! Stores that every contract is tried on: one entry of [`ALL`] each. Adding a store is adding lines here.

#![allow(dead_code)]

mod sqlite;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use embedport::demo_assets;

/// A store that can be made anew, and what is known of it.
pub struct Subject {
    pub name: &'static str,
    /// Makes it below a folder that is there and empty; the location.
    pub make: fn(&Path) -> String,
    /// Name of the collection that is worked on.
    pub collection: &'static str,
    /// Records with a vector, and those of them with a text.
    pub records: u64,
    pub texts: u64,
    pub dimension: usize,
    /// Adds three records, removes two, writes four again: with the store's own means.
    pub change: Option<fn(&Path)>,
    /// Everything that the store holds, embedport's state left out.
    pub contents: fn(&Path) -> Contents,
    /// How far a component may be from what was put.
    pub rounding: f32,
}

/// Whatever a store holds, by name.
pub type Contents = BTreeMap<String, Vec<u8>>;

/// Every subject.
pub fn all() -> Vec<Subject> {
    let mut all = vec![Subject {
        name: "chroma",
        make: |folder| {
            let database = folder.join("chroma");
            demo_assets::unpack(&database).expect("unpacked");
            database.to_str().expect("text").to_owned()
        },
        collection: demo_assets::COLLECTION,
        records: 2000,
        texts: 2000,
        dimension: 384,
        // Real chromadb makes the changes of its own tests.
        change: None,
        contents: |folder| {
            let database = folder.join("chroma");
            let mut contents = rows(&database.join("chroma.sqlite3"));
            files(&database, &database, &mut contents);
            contents
        },
        rounding: 1e-6,
    }];
    all.extend(sqlite::all());
    all
}

/// Every file below `folder` but SQLite's and embedport's.
fn files(folder: &Path, top: &Path, contents: &mut Contents) {
    for path in std::fs::read_dir(folder).expect("list").map(|entry| entry.expect("entry").path()) {
        let name = path.strip_prefix(top).expect("below").display().to_string();
        if path.is_dir() && name != ".embedport" {
            files(&path, top, contents);
        } else if path.is_file() && !name.starts_with("chroma.sqlite3") {
            contents.insert(name, std::fs::read(&path).expect("read"));
        }
    }
}

/// Every row of every table of a SQLite file, types included, and what the schema says.
pub fn rows(database: &Path) -> Contents {
    let connection = rusqlite::Connection::open(database).expect("open");
    let read = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns)
                .map(|at| row.get_ref(at).map(|value| format!("{value:?}")))
                .collect::<Result<Vec<_>, _>>()
        });
        let mut rows: Vec<String> = rows.expect("rows").map(|row| row.expect("row").join(" | ")).collect();
        rows.sort();
        rows
    };
    let schema = read("SELECT type, name, tbl_name, sql FROM sqlite_master");
    let mut contents = Contents::from([("schema".to_owned(), schema.join("\n").into_bytes())]);
    let mut names = connection
        .prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') AND name <> 'sqlite_schema'")
        .expect("tables");
    let names: Vec<String> =
        names.query_map([], |row| row.get(0)).expect("tables").map(|name| name.expect("name")).collect();
    for name in names {
        let rows = read(&format!("SELECT * FROM \"{}\"", name.replace('"', "\"\"")));
        contents.insert(format!("table {name}"), rows.join("\n").into_bytes());
    }
    contents
}

/// Where the one file of a SQLite subject lies.
pub fn file(folder: &Path) -> PathBuf {
    folder.join("store.db")
}
