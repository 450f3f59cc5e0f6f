//! Tables of every form in a SQLite file.

use std::path::Path;

use half::f16;
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::{Subject, file, rows};

const RECORDS: i64 = 120;
pub const DIMENSION: usize = 16;
/// Each of them has the columns id, name, body and embedding, in a table `docs`.
const INSERT: &str = "INSERT INTO docs (id, name, body, embedding) VALUES (?1, ?2, ?3, ?4)";

/// Unit vectors that are near to one another in the order of their numbers.
pub fn vector(n: i64) -> Vec<f32> {
    let angle = n as f32 * 0.05;
    let raw: Vec<f32> =
        (0..DIMENSION).map(|at| (angle * (1.0 + at as f32 * 0.3) + at as f32).sin()).collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
    raw.iter().map(|x| x / length).collect()
}

fn f32s(vector: &[f32]) -> Value {
    Value::Blob(vector.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// Makes a file by some statements, then fills the table.
fn made(folder: &Path, statements: &str, insert: &str, value: impl Fn(&[f32]) -> Value) -> Connection {
    let connection = Connection::open(file(folder)).expect("open");
    connection.execute_batch(statements).unwrap_or_else(|e| panic!("{statements}: {e}"));
    for n in 1..=RECORDS {
        let name = format!("n° {} '\"{}", n, char::from_u32(0x1f600 + n as u32).expect("character"));
        let body = (n % 10 != 0).then(|| format!("text {n}\n{}", "long ".repeat(n as usize % 40)));
        connection.execute(insert, params![n, name, body, value(&vector(n))]).expect("inserted");
    }
    connection
}

fn located(folder: &Path, settings: &str) -> String {
    let path = file(folder).to_str().expect("text").to_owned();
    if settings.is_empty() { path } else { format!("sqlite:{path}?{settings}") }
}

fn plain(folder: &Path) -> String {
    made(
        folder,
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, body TEXT, embedding BLOB)",
        INSERT,
        f32s,
    );
    located(folder, "")
}

/// Three rows more, two less, four others.
fn change(folder: &Path) {
    Connection::open(file(folder))
        .expect("open")
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO docs (id, name, body, embedding) SELECT id + 1000, name || 'x', body, embedding FROM docs WHERE id <= 3;
             DELETE FROM docs WHERE id IN (14, 15);
             UPDATE docs SET body = 'other' WHERE id IN (26, 27);
             UPDATE docs SET embedding = (SELECT embedding FROM docs WHERE id = 50) WHERE id IN (48, 52)",
        )
        .expect("changed");
}

fn subject(name: &'static str, make: fn(&Path) -> String) -> Subject {
    Subject {
        name,
        make,
        collection: "docs",
        records: RECORDS as u64,
        texts: RECORDS as u64 * 9 / 10,
        dimension: DIMENSION,
        change: Some(change),
        contents: |folder| rows(&file(folder)),
        rounding: 1e-6,
    }
}

pub fn all() -> Vec<Subject> {
    vec![
        subject("sqlite", plain),
        subject("sqlite, text key", |folder| {
            let table =
                "CREATE TABLE docs (name TEXT PRIMARY KEY, id INTEGER, body TEXT, embedding BLOB NOT NULL)";
            made(folder, table, INSERT, f32s);
            located(folder, "")
        }),
        subject("sqlite, no key, rowid taken", |folder| {
            let table = "CREATE TABLE docs (id INTEGER, name TEXT, rowid TEXT, embedding, body TEXT)";
            made(folder, table, INSERT, f32s);
            located(folder, "table=docs&id=id")
        }),
        subject("sqlite, without rowid", |folder| {
            let table = "CREATE TABLE docs (body TEXT, embedding BLOB, name TEXT COLLATE NOCASE, id INTEGER, \
                         PRIMARY KEY (name, id DESC)) WITHOUT ROWID";
            made(folder, table, INSERT, f32s);
            located(folder, "")
        }),
        subject("sqlite, strict", |folder| {
            let table = "CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, body TEXT, embedding BLOB, x ANY) STRICT";
            made(folder, table, INSERT, f32s);
            located(folder, "")
        }),
        subject("sqlite, write-ahead log", |folder| {
            let table = "PRAGMA journal_mode = WAL; \
                         CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, body TEXT, embedding BLOB)";
            made(folder, table, INSERT, f32s);
            located(folder, "")
        }),
        subject("sqlite, small pages", |folder| {
            let table = "PRAGMA page_size = 512; \
                         CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, body TEXT, embedding BLOB)";
            made(folder, table, INSERT, f32s);
            located(folder, "")
        }),
        subject("sqlite, everything around the table", |folder| {
            let around = "
                CREATE TABLE \"docs\" (id INTEGER PRIMARY KEY, name TEXT UNIQUE, body TEXT, embedding BLOB \
                    CHECK (typeof(embedding) = 'blob' AND length(embedding) % 4 = 0), \
                    bytes INTEGER GENERATED ALWAYS AS (length(embedding)) VIRTUAL, \
                    kept INTEGER AS (length(embedding) / 4) STORED);
                CREATE INDEX by_vector ON docs (length(embedding), substr(embedding, 1, 4));
                CREATE VIEW shown AS SELECT id, bytes FROM docs;
                CREATE TABLE votes (doc INTEGER NOT NULL REFERENCES docs (id) ON DELETE CASCADE, vote INTEGER);
                CREATE VIRTUAL TABLE words USING fts5 (body, content = 'docs', content_rowid = 'id');
                CREATE TRIGGER added AFTER INSERT ON docs BEGIN
                    INSERT INTO words (rowid, body) VALUES (new.id, new.body); END;
                CREATE TRIGGER gone AFTER DELETE ON docs BEGIN
                    INSERT INTO words (words, rowid, body) VALUES ('delete', old.id, old.body); END;
                CREATE TRIGGER other AFTER UPDATE OF body ON docs BEGIN
                    INSERT INTO words (words, rowid, body) VALUES ('delete', old.id, old.body);
                    INSERT INTO words (rowid, body) VALUES (new.id, new.body); END;";
            let connection = made(folder, around, INSERT, f32s);
            connection.execute_batch("INSERT INTO votes SELECT id, id % 3 FROM docs").expect("filled");
            located(folder, "")
        }),
        Subject {
            texts: RECORDS as u64 / 2 * 8 / 10,
            records: RECORDS as u64 / 2,
            collection: "docs[id % 2 = 0]",
            change: None,
            ..subject("sqlite, some of the rows", |folder| {
                plain(folder);
                located(folder, "table=docs&where=id%20%25%202%20%3D%200")
            })
        },
        Subject {
            collection: "docs[16]",
            change: None,
            ..subject("sqlite, vectors of two dimensions and none", |folder| {
                plain(folder);
                Connection::open(file(folder))
                    .expect("open")
                    .execute_batch(
                        "INSERT INTO docs SELECT id + 500, name, body, substr(embedding, 1, 40) FROM docs;
                         INSERT INTO docs (id, embedding) VALUES (7000, NULL), (7001, x'00'), (7002, 'words')",
                    )
                    .expect("mixed");
                located(folder, "")
            })
        },
        Subject {
            collection: "docs.embedding",
            ..subject("sqlite, two columns", |folder| {
                plain(folder);
                Connection::open(file(folder))
                    .expect("open")
                    .execute_batch(
                        "ALTER TABLE docs ADD COLUMN title BLOB; UPDATE docs SET title = embedding",
                    )
                    .expect("second column");
                located(folder, "")
            })
        },
        subject("sqlite, f64", |folder| {
            let table = "CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, body TEXT, embedding BLOB)";
            made(folder, table, INSERT, |v| {
                Value::Blob(v.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect())
            });
            located(folder, "")
        }),
        Subject {
            rounding: 1e-3,
            ..subject("sqlite, f16", |folder| {
                let table =
                    "CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, body TEXT, embedding BLOB)";
                let half =
                    |v: &[f32]| Value::Blob(v.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect());
                made(folder, table, INSERT, half);
                located(folder, "")
            })
        },
        subject("sqlite, json", |folder| {
            let table = "CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, body TEXT, embedding JSON)";
            made(folder, table, INSERT, |v| Value::Text(format!("{v:?}")));
            located(folder, "")
        }),
        subject("sqlite, numpy files", |folder| {
            let table = "CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, body TEXT, embedding BLOB)";
            made(folder, table, INSERT, |v| {
                let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", v.len());
                let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
                bytes.extend(format!("{head:<117}\n").as_bytes());
                bytes.extend(v.iter().flat_map(|x| x.to_le_bytes()));
                Value::Blob(bytes)
            });
            located(folder, "")
        }),
        Subject {
            rounding: 1e-2,
            change: None,
            ..subject("sqlite, int8 and a factor", |folder| {
                let table = "CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, body TEXT, embedding BLOB, factor REAL)";
                let insert = "INSERT INTO docs VALUES (?1, ?2, ?3, ?4, 1 / 127.0)";
                made(folder, table, insert, |v| {
                    Value::Blob(v.iter().map(|x| (x * 127.0).round() as i8 as u8).collect())
                });
                located(folder, "table=docs&encoding=int8-scaled&scale=factor")
            })
        },
        Subject {
            change: Some(change_virtual),
            ..subject("sqlite-vec", |folder| {
                let table = "CREATE VIRTUAL TABLE docs USING vec0(embedding float[16] distance_metric=cosine, \
                             name text, +body text, chunk_size=8)";
                virtual_table(
                    folder,
                    table,
                    "INSERT INTO docs (rowid, name, body, embedding) VALUES (?1, ?2, ?3, ?4)",
                    f32s,
                )
            })
        },
        Subject {
            texts: RECORDS as u64,
            collection: "docs.embedding",
            change: None,
            ..subject("sqlite-vec, everything that a table can have", |folder| {
                let table = "CREATE VIRTUAL TABLE docs USING vec0(\n  id text primary key, -- the key\n  name text partition key,
                             body text, n integer, x float, yes boolean, +more blob, embedding float[16], other float[8])";
                let insert = "INSERT INTO docs (id, name, body, n, x, yes, more, embedding, other) VALUES \
                              ('k' || ?1, 'p' || (?1 % 3), ?2 || coalesce(?3, ''), ?1, ?1 / 2.0, ?1 % 2, x'00ff', ?4, zeroblob(32))";
                let more = format!(
                    "{table}; INSERT INTO docs (id, name, body, n, x, yes, embedding, other) VALUES \
                                    ('gone', 'p1', '', 0, 0.0, 0, zeroblob(64), zeroblob(32)); DELETE FROM docs WHERE id = 'gone'"
                );
                virtual_table(folder, &more, insert, f32s)
            })
        },
        Subject {
            change: None,
            ..subject("sqlite-vec, int8", |folder| {
                let table = "CREATE VIRTUAL TABLE docs USING vec0(embedding int8[16], name text, +body text)";
                let insert = "INSERT INTO docs (rowid, name, body, embedding) VALUES (?1, ?2, ?3, vec_quantize_int8(?4, 'unit'))";
                virtual_table(folder, table, insert, f32s)
            })
        },
        Subject {
            change: None,
            ..subject("sqlite-vec, bits", |folder| {
                let table = "CREATE VIRTUAL TABLE docs USING vec0(embedding bit[16], name text, +body text)";
                let insert = "INSERT INTO docs (rowid, name, body, embedding) VALUES (?1, ?2, ?3, vec_quantize_binary(?4))";
                virtual_table(folder, table, insert, f32s)
            })
        },
        Subject {
            change: Some(change_twin),
            ..subject("sqlite-vec, filled by a trigger", |folder| {
                let tables = "CREATE TABLE docs (rowid INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, text TEXT, embedding BLOB);
                    CREATE VIRTUAL TABLE docs_vec USING vec0(rowid INTEGER PRIMARY KEY, embedding float[16], chunk_size=16);
                    CREATE TRIGGER docs_embed AFTER INSERT ON docs BEGIN
                        INSERT INTO docs_vec (rowid, embedding) VALUES (new.rowid, new.embedding); END;";
                let insert = "INSERT INTO docs (rowid, name, text, embedding) VALUES (?1, ?2, ?3, ?4)";
                virtual_table(folder, tables, insert, f32s)
            })
        },
    ]
}

/// A table of sqlite-vec; the library knows the extension, and makes it known.
fn virtual_table(folder: &Path, table: &str, insert: &str, value: impl Fn(&[f32]) -> Value) -> String {
    assert!(embedport::store::open("sqlite:no such file").is_err());
    made(folder, table, insert, value);
    located(folder, "")
}

fn change_virtual(folder: &Path) {
    Connection::open(file(folder))
        .expect("open")
        .execute_batch(
            "INSERT INTO docs (rowid, name, body, embedding) SELECT rowid + 1000, name, body, embedding FROM docs WHERE rowid <= 3;
             DELETE FROM docs WHERE rowid IN (14, 15);
             UPDATE docs SET name = 'another name than before' WHERE rowid IN (26, 27);
             UPDATE docs SET embedding = (SELECT embedding FROM docs WHERE rowid = 50) WHERE rowid IN (48, 52)",
        )
        .expect("changed");
}

fn change_twin(folder: &Path) {
    Connection::open(file(folder))
        .expect("open")
        .execute_batch(
            "INSERT INTO docs (rowid, name, text, embedding) SELECT rowid + 1000, name, text, embedding FROM docs WHERE rowid <= 3;
             DELETE FROM docs WHERE rowid IN (14, 15);
             DELETE FROM docs_vec WHERE rowid IN (14, 15);
             UPDATE docs SET name = 'another' WHERE rowid IN (26, 27);
             UPDATE docs SET embedding = (SELECT embedding FROM docs WHERE rowid = 50) WHERE rowid IN (48, 52);
             UPDATE docs_vec SET embedding = (SELECT embedding FROM docs WHERE rowid = 50) WHERE rowid IN (48, 52)",
        )
        .expect("changed");
}
