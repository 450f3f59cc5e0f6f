//! Tables of sqlite-vec, made through the extension that the program is built with. The judge has none: what a virtual
//! table holds lies in plain tables of its own, and those are compared byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::{Form, Subject, Words, sqlite};
use crate::common::{self, Numbers};
use crate::scene::{BEYOND, FROM};
use crate::shim::{Step, Stop};

const FILE: &str = "store.db";

pub const SUBJECT: Subject = Subject {
    name: "sqlite-vec",
    page: "crash-matrix-sqlite-vec",
    forms: &[Form {
        name: "vec0 table",
        page: "crash-matrix-sqlite-vec",
        suffix: "",
        options: &["--backup", "rows"],
        beyond: BEYOND,
        turns_to_wal: true,
        is_sampled: true,
        sample,
    }],
    make,
    wrong,
    words: Words {
        title: ": sqlite-vec",
        forms: "sqlite-vec",
        refuses: "\
The processes that judge are
replaced every few hundred folders; at first, in between and at the end each has to tell every state and to refuse four
databases: one with an altered text, one with an altered vector, one with the chunks of the state after under the
declaration of the one before, and one with the declaration of the state after.",
        ..sqlite::SUBJECT.words
    },
    ..sqlite::SUBJECT
};

fn sample(name: &str, step: &Step, how: Stop, last: usize) -> bool {
    ["migrate", "rollback"].contains(&name) && (how == Stop::Kill || step.number > last.saturating_sub(12))
}

fn make(_: &Form, folder: &Path) -> Vec<Vec<f32>> {
    // The library makes the extension known to this process.
    assert!(embedport::store::open("sqlite:no such file").is_err());
    fs::create_dir_all(folder).unwrap();
    let mut connection = Connection::open(folder.join(FILE)).unwrap();
    let all = connection.transaction().unwrap();
    all.execute_batch(&format!(
        "CREATE VIRTUAL TABLE docs USING vec0(name text, embedding float[{FROM}] distance_metric=cosine, +body text, \
         weight float, chunk_size=32);
         CREATE TABLE others (tag TEXT PRIMARY KEY, note)"
    ))
    .unwrap();
    let mut numbers = Numbers(5);
    let rows = numbers.rows(160, FROM);
    let bytes = |row: &[f32]| row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    for (id, row) in (1i64..).zip(&rows) {
        let body = (id % 10 != 0).then(|| format!("text {id} {}", "and more ".repeat(id as usize % 23)));
        let name = format!("document {id} {}", "with a long name ".repeat(id as usize % 3));
        all.execute(
            "INSERT INTO docs (rowid, name, embedding, body, weight) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id * 3, name, bytes(row), body, f64::from(numbers.next())],
        )
        .unwrap();
        all.execute("INSERT INTO others VALUES (?1, x'00ff')", [format!("tag {id}")]).unwrap();
    }
    all.execute_batch("DELETE FROM docs WHERE rowid IN (3, 21, 450)").unwrap();
    all.commit().unwrap();
    rows
}

fn wrong(source: &Path, target: &Path, into: &Path) -> Vec<PathBuf> {
    let made = |name: &str, from: &Path, statements: &str| {
        let folder = into.join(name);
        common::copy_folder(from, &folder);
        let connection = Connection::open(folder.join(FILE)).unwrap();
        connection.execute("ATTACH ?1 AS target", [target.join(FILE).to_str().unwrap()]).unwrap();
        connection.execute_batch(statements).unwrap();
        folder
    };
    let chunks = "UPDATE main.docs_vector_chunks00 SET vectors = (SELECT t.vectors FROM target.docs_vector_chunks00 AS t \
                  WHERE t._rowid_ = docs_vector_chunks00._rowid_)";
    let declaration = "PRAGMA writable_schema = ON; UPDATE main.sqlite_master SET sql = (SELECT t.sql FROM target.sqlite_master AS t \
                       WHERE t.name = 'docs') WHERE name = 'docs'; PRAGMA writable_schema = RESET";
    vec![
        made("text", source, "UPDATE docs_auxiliary SET value00 = 'other' WHERE rowid = 6"),
        made(
            "vector",
            source,
            "UPDATE docs_vector_chunks00 SET vectors = x'00000001' || substr(vectors, 5) WHERE _rowid_ = 1",
        ),
        made("chunks", source, chunks),
        made("declaration", source, declaration),
    ]
}
