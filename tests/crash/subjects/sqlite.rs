//! Tables in a SQLite file, made by the SQLite that the program is built with and judged by another one, that of Python.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::{Form, Subject, Words};
use crate::common::{self, Numbers};
use crate::matrix;
use crate::scene::{BEYOND, FROM, TO};
use crate::shim::{Step, Stop};

const FILE: &str = "store.db";

const PLAIN: Form = Form {
    name: "plain table",
    page: "crash-matrix-sqlite",
    suffix: "",
    options: &["--backup", "rows"],
    beyond: BEYOND,
    turns_to_wal: true,
    is_sampled: true,
    sample,
};

pub const SUBJECT: Subject = Subject {
    name: "SQLite",
    page: "crash-matrix-sqlite",
    store: FILE,
    file: FILE,
    state: "store.db.embedport",
    forms: &[
        PLAIN,
        Form { name: WAL, options: WHOLE, turns_to_wal: false, sample: sparsely, ..PLAIN },
        // The second migration goes by pages.
        Form { name: "plain table, exchanged", options: WHOLE, turns_to_wal: false, beyond: TO, ..PLAIN },
    ],
    make,
    // Any Python: what is asked is the SQLite that came with it.
    judge: |_| common::chroma_program("1.5.9", "judge_sqlite.py"),
    wrong: wrong_folders,
    is_same: |one, other| dump(&one.join(FILE)) == dump(&other.join(FILE)),
    kind: |path| matrix::named(path, |_| None),
    words: Words {
        title: ": SQLite",
        forms: "SQLite",
        sees: "\
another SQLite than the program's own (that of Python) opens a copy, finds it sound (`PRAGMA integrity_check`) and holds
   exactly the state before or exactly the state after: the same schema, rows, keys, types and values, vectors bit for
   bit, in every table, and embedport's own table where the state has it and nowhere else. The cell names the state;
   `done` says that the program reported success all the same (what failed was tidying)",
        holds: "it holds the state after",
        nothing_left: "no temporary file, no journal, no half backup",
        refuses: "\
The processes that judge are
replaced every few hundred folders; at first, in between and at the end each has to tell every state and to refuse six
databases: one with an altered text, one with an altered vector, one with half of the vectors of the state after, one
with the table of embedport of the state after, one without it, one with a damaged index.",
    },
};

const WAL: &str = "plain table with a write-ahead log, copied whole before";
const WHOLE: &[&str] = &["--backup", "full"];

fn sample(name: &str, step: &Step, how: Stop, last: usize) -> bool {
    let n = step.number;
    match (name, how) {
        ("migrate" | "rollback", Stop::Kill) => true,
        ("migrate" | "rollback", _) => n % 5 == 2 || n > last.saturating_sub(12),
        ("prune the way back", _) => n.is_multiple_of(2),
        (_, Stop::Kill) => n.is_multiple_of(7) || n > last.saturating_sub(6),
        _ => false,
    }
}

fn sparsely(name: &str, step: &Step, how: Stop, last: usize) -> bool {
    ["migrate", "rollback"].contains(&name)
        && how == Stop::Kill
        && (step.number.is_multiple_of(5) || step.number > last.saturating_sub(15))
}

/// Tables with all that a rewrite has to leave alone: texts, rows without a vector, a key elsewhere, an index, a view,
/// a trigger, and another collection.
const SCHEMA: &str = "
    CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, body TEXT, weight REAL,
        embedding BLOB CHECK (length(embedding) % 4 = 0));
    CREATE TABLE notes (doc INTEGER REFERENCES docs (id) ON DELETE CASCADE, note, PRIMARY KEY (doc, note))
        WITHOUT ROWID;
    CREATE TABLE others (tag TEXT PRIMARY KEY, vector TEXT);
    CREATE INDEX docs_by_weight ON docs (weight, name);
    CREATE VIEW heavy AS SELECT name FROM docs WHERE weight > 0.5;
    CREATE TRIGGER written AFTER UPDATE OF body ON docs BEGIN INSERT INTO notes VALUES (new.id, 'written'); END;
    PRAGMA user_version = 41; PRAGMA application_id = 7;";

fn make(form: &Form, folder: &Path) -> Vec<Vec<f32>> {
    fs::create_dir_all(folder).unwrap();
    let mut connection = Connection::open(folder.join(FILE)).unwrap();
    if form.name == WAL {
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
    }
    let all = connection.transaction().unwrap();
    let check = " CHECK (length(embedding) % 4 = 0)";
    assert!(SCHEMA.contains(check));
    // A condition on the vectors would leave their pages to SQLite.
    let schema = if form.beyond == TO { SCHEMA.replace(check, "") } else { SCHEMA.to_owned() };
    all.execute_batch(&schema).unwrap();
    let mut numbers = Numbers(5);
    let rows = numbers.rows(160, FROM);
    for (id, row) in (1i64..).zip(&rows) {
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        let body = (id % 10 != 0).then(|| format!("text {id} {}", "and more ".repeat(id as usize % 23)));
        let embedding = (id % 40 != 0).then_some(bytes);
        let weight = f64::from(numbers.next());
        all.execute(
            "INSERT INTO docs VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id * 3, format!("document {id}"), body, weight, embedding],
        )
        .unwrap();
        all.execute("INSERT INTO notes VALUES (?1, x'00ff'), (?1, 2.5)", [id * 3]).unwrap();
    }
    for (tag, row) in numbers.rows(12, 8).iter().enumerate() {
        let vector = format!("{row:?}");
        all.execute("INSERT INTO others VALUES (?1, ?2)", params![format!("tag {tag}"), vector]).unwrap();
    }
    all.execute_batch("DELETE FROM docs WHERE id % 7 = 0").unwrap();
    all.commit().unwrap();
    rows
}

/// Every row of every table with its types, and what makes the schema.
fn dump(file: &Path) -> Vec<String> {
    let connection = Connection::open(file).unwrap();
    let read = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..columns).map(|at| row.get_ref(at).map(|v| format!("{v:?}"))).collect::<Result<Vec<_>, _>>()
        };
        statement.query_map([], row).unwrap().map(|row| row.unwrap().join("|")).collect()
    };
    let mut all = read("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name");
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    all.extend(tables.iter().flat_map(|table| read(&format!("SELECT * FROM \"{table}\" ORDER BY 1, 2"))));
    all
}

fn wrong_folders(source: &Path, target: &Path, into: &Path) -> Vec<PathBuf> {
    let made = |name: &str, from: &Path, statements: &str| {
        let folder = into.join(name);
        common::copy_folder(from, &folder);
        let connection = Connection::open(folder.join(FILE)).unwrap();
        connection.execute("ATTACH ?1 AS target", [target.join(FILE).to_str().unwrap()]).unwrap();
        connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {statements}")).unwrap();
        folder
    };
    let one_vector = "UPDATE docs SET embedding = zeroblob(4) || substr(embedding, 5) WHERE id = 3";
    let half = "UPDATE docs SET embedding = (SELECT t.embedding FROM target.docs AS t WHERE t.id = docs.id) \
                WHERE id > 240 AND embedding IS NOT NULL";
    let table = "CREATE TABLE main.embedport_spaces (collection TEXT PRIMARY KEY, space TEXT NOT NULL, \
                 migration TEXT NOT NULL, settings TEXT NOT NULL); \
                 INSERT INTO main.embedport_spaces SELECT * FROM target.embedport_spaces";
    let damaged = made("damaged", source, "");
    damage(&damaged.join(FILE), "docs_by_weight");
    vec![
        made("text", source, "UPDATE notes SET note = 2.25 WHERE doc = 3 AND note = 2.5"),
        made("vector", source, one_vector),
        made("half", source, half),
        made("stamped", source, table),
        made("unstamped", target, "DROP TABLE main.embedport_spaces"),
        damaged,
    ]
}

/// Changes the last byte of an index's first page: of the number of a row.
fn damage(file: &Path, index: &str) {
    let connection = Connection::open(file).unwrap();
    let number =
        |sql: String| connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs();
    let page = number(format!("SELECT rootpage FROM sqlite_master WHERE name = '{index}'"));
    let size = number("SELECT page_size FROM pragma_page_size".to_owned());
    drop(connection);
    let file = fs::File::options().read(true).write(true).open(file).unwrap();
    let mut last = [0];
    file.read_exact_at(&mut last, page * size - 1).unwrap();
    file.write_all_at(&[last[0] ^ 1], page * size - 1).unwrap();
}
