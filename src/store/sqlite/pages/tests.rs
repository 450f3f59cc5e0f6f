//! What is written past SQLite has to be, byte for byte, what SQLite writes.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use super::super::details::{BACKUP, Details};
use super::super::find::{self, Depth, Found};
use super::super::holder::{Holder, Sides};
use super::super::settings::Wishes;
use super::super::sink::Contents;
use super::super::table::Table;
use super::*;
use crate::context::testing::context;
use crate::store::Settings;
use crate::store::sql::rows_file::Writer;

/// Table definition with `v` as the vector; columns of a row behind its number; what is done afterwards.
struct Shape {
    name: &'static str,
    table: &'static str,
    row: &'static str,
    after: &'static str,
    settings: &'static str,
}

const PLAIN: Shape = Shape {
    name: "plain",
    table: "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, v BLOB)",
    row: "?1, 'text ' || ?1, ?2",
    after: "",
    settings: "",
};

const SHAPES: [Shape; 8] = [
    PLAIN,
    Shape {
        name: "vector first, long texts behind it",
        table: "CREATE TABLE t (v BLOB, body TEXT)",
        row: "?2, printf('%*c', (?1 * 37) % 3000, 'x')",
        ..PLAIN
    },
    Shape {
        name: "long texts before the vector",
        table: "CREATE TABLE t (key TEXT PRIMARY KEY, body TEXT, v BLOB, more REAL)",
        row: "'k' || (?1 * 7919 % 1000), printf('%*c', (?1 * 37) % 9000, 'x'), ?2, ?1",
        ..PLAIN
    },
    Shape {
        name: "gaps and numbers below zero",
        after: "DELETE FROM t WHERE id % 3 = 0; UPDATE t SET id = -id WHERE id % 2",
        ..PLAIN
    },
    Shape {
        name: "columns that came later, and rows without a vector",
        after: "ALTER TABLE t ADD COLUMN late TEXT DEFAULT 'd'; UPDATE t SET v = NULL WHERE id % 5 = 0; \
                UPDATE t SET late = 'x' WHERE id % 4 = 0",
        ..PLAIN
    },
    Shape { name: "some rows", settings: "table=t&where=id%253!=1", ..PLAIN },
    Shape {
        name: "another table between its rows, and free pages",
        after: "CREATE TABLE u (x); INSERT INTO u SELECT randomblob(3000) FROM t; DELETE FROM u WHERE rowid % 2; \
                INSERT INTO t (body, v) SELECT body, v FROM t; DELETE FROM u",
        ..PLAIN
    },
    Shape {
        name: "UTF-16",
        table: "PRAGMA encoding = 'UTF-16'; CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, v BLOB)",
        ..PLAIN
    },
];

fn made(path: &Path, shape: &Shape, pragmas: &str, dimension: usize) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(&format!("{pragmas}; {}; BEGIN", shape.table)).unwrap();
    let mut insert = connection.prepare(&format!("INSERT INTO t VALUES ({})", shape.row)).unwrap();
    for id in 1..=700usize {
        let vector: Vec<u8> =
            (0..dimension).flat_map(|at| (((id * 31 + at * 17) % 101) as f32 - 50.0).to_le_bytes()).collect();
        insert.execute((id as i64, vector)).unwrap();
    }
    drop(insert);
    connection.execute_batch(&format!("COMMIT; {}", shape.after)).unwrap();
}

fn found(connection: &Connection, shape: &Shape) -> Found {
    let wishes = Wishes::read(&Settings::parse(shape.settings).unwrap()).unwrap();
    let mut all = find::all(connection, &wishes, &[], Depth::Count(None)).unwrap();
    assert_eq!(all.len(), 1, "{}", shape.name);
    all.pop().unwrap()
}

/// Lets `write` rewrite with a sink; returns the digest of the contents and what each record was left as.
fn through(write: &mut dyn FnMut(&Send<'_>, &mut Sink<'_, '_>, &Context<'_>)) -> (String, Vec<u8>) {
    let (mut nowhere, mut written) = (std::io::sink(), Vec::new());
    let mut ignore = |_: &str, _: &str| {};
    let mut sink = Sink {
        rows: &mut Writer::new(&mut nowhere).unwrap(),
        written: &mut Writer::new(&mut written).unwrap(),
        contents: Contents::new(&mut ignore),
    };
    write(&|batch| Ok(-2.0 * &batch.vectors + 1.0), &mut sink, &context());
    let digest = sink.contents.finish();
    (digest, written)
}

/// Rewrites the file by pages; returns what [`through`] does. The copy is left as `rewritten.db` beside it.
fn by_pages(file: &Path, shape: &Shape) -> (String, Vec<u8>) {
    let base = file.parent().unwrap();
    fs::create_dir_all(base.join("own").join(BACKUP)).unwrap();
    let mut connection = Connection::open(file).unwrap();
    let found = found(&connection, shape);
    let dimension = found.entry.dimension.unwrap();
    let details = Details {
        collection: found.entry.id.clone(),
        migration: "m".into(),
        folder: "own".into(),
        fire_triggers: false,
        exchanged: true,
        unstamped: None,
        others: None,
        grouped: None,
        before: None,
    };
    let mut exchange = Exchange::begin(file, base, &details, &mut Vec::new()).unwrap().expect("links");
    let vectors = find(&connection, &exchange, &found.entry, dimension).unwrap();
    let mut vectors = Some(vectors.unwrap_or_else(|| panic!("{}", shape.name)));
    let done = through(&mut |send, sink, context| {
        let vectors = vectors.take().expect("once");
        run(vectors, &mut connection, &mut exchange, &found.entry, send, sink, context).unwrap();
    });
    exchange.seal().unwrap();
    done
}

/// As [`by_pages`], by SQLite and in the file itself.
fn by_sqlite(file: &Path, shape: &Shape) -> (String, Vec<u8>) {
    let connection = Connection::open(file).unwrap();
    connection.execute_batch("BEGIN; PRAGMA user_version = 0").unwrap();
    let found = found(&connection, shape);
    let done = through(&mut |send, sink, context| {
        let mut sides = Sides::Same(&connection);
        Table
            .transform(&mut sides, &found.entry, found.entry.dimension.unwrap(), send, sink, context)
            .unwrap();
    });
    connection.execute_batch("COMMIT").unwrap();
    done
}

#[test]
fn a_file_is_what_sqlite_would_have_made_of_it() {
    for shape in &SHAPES {
        for (pragmas, dimension) in [
            ("PRAGMA page_size = 512", 16),
            ("PRAGMA page_size = 1024; PRAGMA auto_vacuum = FULL", 300),
            ("PRAGMA page_size = 4096", 1024),
            ("PRAGMA page_size = 65536", 100),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            made(&path("pages.db"), shape, pragmas, dimension);
            fs::copy(path("pages.db"), path("sqlite.db")).unwrap();
            let before = fs::read(path("pages.db")).unwrap();
            let case = format!("{}, {pragmas}", shape.name);
            assert_eq!(by_pages(&path("pages.db"), shape), by_sqlite(&path("sqlite.db"), shape), "{case}");
            let (copy, wanted) =
                (fs::read(path("own/rewritten.db")).unwrap(), fs::read(path("sqlite.db")).unwrap());
            assert_eq!(copy.len(), wanted.len(), "{case}");
            let differs: Vec<usize> = (0..copy.len()).filter(|at| copy[*at] != wanted[*at]).take(9).collect();
            assert_eq!(differs, [0usize; 0], "{case}");
            assert_ne!(copy, before, "{case}");
            assert_eq!(fs::read(path("pages.db")).unwrap(), before, "{case}: the file of before");
        }
    }
}

#[test]
fn a_tree_that_leads_in_circles_or_out_of_the_file_ends_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    made(&path("whole.db"), &PLAIN, "PRAGMA page_size = 1024", 300);
    let whole = fs::read(path("whole.db")).unwrap();
    let layout = Layout::of(&whole, whole.len() as u64).unwrap();
    let connection = Connection::open(path("whole.db")).unwrap();
    let root: u32 = connection.query_row("SELECT rootpage FROM sqlite_master", [], |row| row.get(0)).unwrap();
    let wanted = Wanted { root, field: 2, length: 1200 };
    let all = |bytes: &[u8]| {
        fs::write(path("torn.db"), bytes).unwrap();
        let file = File::open(path("torn.db")).unwrap();
        let mut walk = Walk::new(&file, "t", layout, wanted);
        let mut rows = 0;
        while let Some(pages) = walk.next(4096)? {
            rows += pages.rows.len();
        }
        Ok::<usize, Error>(rows)
    };
    assert_eq!(all(&whole).unwrap(), 700);
    let at = layout.offset(root) as usize;
    for target in [root, 0, u32::MAX, layout.count + 1, 1] {
        let mut torn = whole.clone();
        torn[at + 8..at + 12].copy_from_slice(&target.to_be_bytes());
        assert_eq!(all(&torn).map_err(|e| e.kind()), Err(Kind::Damaged), "to page {target}");
    }
    // Whatever a byte becomes, the walk ends.
    for place in (at..whole.len()).step_by(2003) {
        for byte in [0, 5, 13, 0x80, 0xff] {
            let mut torn = whole.clone();
            torn[place] = byte;
            let _ = all(&torn);
        }
    }
}
