//! Several collections of one table, and what happened to a table since its migration, through the program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::PathBuf;

use common::*;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

const ROWS: i64 = 600;
const ARGUMENTS: &str = "--source-model test/a --accept-unrecognised-vectors --yes --json";

/// A file, and a projection between two spaces of 24 components.
struct Scratch(TempDir);

impl Scratch {
    /// `table` is created, and filled by `insert` with a number, a vector, another vector.
    fn new(table: &str, insert: &str) -> Scratch {
        let folder = TempDir::new().unwrap();
        let mut numbers = Numbers(3);
        let source = numbers.rows(ROWS as usize, 24);
        let target = another_space(&source, 24, &mut numbers);
        write_npy(&folder.path().join("source.npy"), &source);
        write_npy(&folder.path().join("target.npy"), &target);
        let scratch = Scratch(folder);
        scratch.run(
            "train --source-vectors source.npy --target-vectors target.npy --source-model test/a --target-model test/b --name map",
        )
        .succeeds();
        let connection = scratch.open();
        connection.execute_batch(table).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        let others = numbers.rows(ROWS as usize, 24);
        for (number, (one, other)) in (1i64..).zip(source.iter().zip(&others)) {
            connection.execute(insert, (number, bytes(one), bytes(other))).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
        scratch
    }

    fn plain() -> Scratch {
        Scratch::new(
            "CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT, tenant TEXT, embedding BLOB)",
            "INSERT INTO docs VALUES (?1, 'text ' || ?1, CASE WHEN ?1 % 10 THEN 'b' ELSE 'a' END, CASE WHEN 1 THEN ?2 ELSE ?3 END)",
        )
    }

    fn db(&self) -> PathBuf {
        self.0.path().join("docs.db")
    }

    fn open(&self) -> Connection {
        Connection::open(self.db()).unwrap()
    }

    #[track_caller]
    fn sql(&self, sql: &str) {
        self.open().execute_batch(sql).unwrap();
    }

    /// Every value of every row of a table.
    fn rows(&self, table: &str) -> Vec<Vec<rusqlite::types::Value>> {
        let connection = self.open();
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[track_caller]
    fn run(&self, line: &str) -> Outcome {
        embedport(self.0.path(), &line.split(' ').collect::<Vec<_>>())
    }

    #[track_caller]
    fn store(&self, line: &str) -> Outcome {
        self.run(&format!("{line} --store docs.db"))
    }

    /// The identifier.
    #[track_caller]
    fn migrate(&self, collection: &str) -> String {
        let line = format!("migrate-collection --projection map {ARGUMENTS} --collection {collection}");
        let report = self.store(&line).succeeds().json();
        report["migration"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn changes(&self, collection: &str) -> [Value; 3] {
        let report = self.store(&format!("verify --collection {collection} --json")).succeeds().json();
        ["added", "removed", "updated"].map(|what| report["changes"][what].clone())
    }
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

const NONE: [i64; 3] = [0, 0, 0];

#[test]
fn a_column_whose_name_begins_with_anothers_has_its_own_stamp() {
    let s = Scratch::new(
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, embedding BLOB, embedding_title BLOB)",
        "INSERT INTO docs VALUES (?1, ?2, ?3)",
    );
    let before = s.rows("docs");
    s.migrate("docs.embedding_title");
    let found = s.store("inspect --json").succeeds().json();
    let stamped: Vec<bool> =
        found["collections"].as_array().unwrap().iter().map(|c| !c["stamped"].is_null()).collect();
    assert_eq!(stamped, [false, true], "{found}");
    s.migrate("docs.embedding");
    assert!(s.rows("docs").iter().zip(&before).all(|(now, then)| now[1] != then[1] && now[2] != then[2]));
}

#[test]
fn columns_of_one_table_go_back_in_the_order_in_which_they_came() {
    for table in [
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, embedding BLOB, title BLOB)",
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, embedding BLOB, title BLOB); PRAGMA journal_mode = wal",
    ] {
        let s = Scratch::new(table, "INSERT INTO docs VALUES (?1, ?2, ?3)");
        let before = s.rows("docs");
        s.migrate("docs.embedding");
        let between = s.rows("docs");
        let second = s.migrate("docs.title");
        let after = s.rows("docs");
        s.store("rollback --collection docs.embedding").fails(8, &format!("was migrated later, by {second}"));
        s.store("rollback --collection docs.embedding --since drop")
            .fails(8, "roll that migration back first");
        assert!(s.rows("docs") == after, "nothing was changed");
        s.store("rollback --collection docs.title").succeeds();
        assert!(s.rows("docs") == between);
        s.store("rollback --collection docs.embedding").succeeds();
        assert!(s.rows("docs") == before);
    }
}

#[test]
fn columns_of_a_virtual_table_with_records_that_came_later_go_back_in_that_order_too() {
    // Whoever opened a file has the extension.
    let plain = Scratch::plain();
    embedport::store::open(plain.db().to_str().unwrap()).unwrap();
    let s = Scratch::new(
        "CREATE VIRTUAL TABLE docs USING vec0(embedding float[24], title float[24])",
        "INSERT INTO docs (rowid, embedding, title) VALUES (?1, ?2, ?3)",
    );
    let before = s.rows("docs");
    s.migrate("docs.embedding");
    s.migrate("docs.title");
    s.sql("INSERT INTO docs (rowid, embedding, title) VALUES (9000, zeroblob(96), zeroblob(96))");
    let after = s.rows("docs");
    s.store("rollback --collection docs.embedding --since drop").fails(8, "roll that migration back first");
    assert!(s.rows("docs") == after, "nothing was changed");
    s.store("rollback --collection docs.title --since drop").succeeds();
    s.store("rollback --collection docs.embedding").succeeds();
    assert!(s.rows("docs") == before);
}

#[test]
fn one_of_several_dimensions_goes_by_its_name_of_before_too() {
    let s = Scratch::plain();
    let (source, mut numbers) = (read_npy(&s.0.path().join("source.npy")), Numbers(4));
    write_npy(&s.0.path().join("target.npy"), &another_space(&source, 40, &mut numbers));
    s.run("train --source-vectors source.npy --target-vectors target.npy --source-model test/a --target-model test/c --name wider")
        .succeeds();
    s.sql("INSERT INTO docs VALUES (10001, 'of another model', 'b', zeroblob(32))");
    let before = s.rows("docs");
    s.store(&format!("migrate-collection --projection wider --collection docs[24] {ARGUMENTS}")).succeeds();
    assert_eq!(s.changes("docs[24]"), NONE);
    assert_eq!(s.changes("docs[40]"), NONE);
    s.store("rollback --collection docs[24]").succeeds();
    assert!(s.rows("docs") == before);
}

#[test]
fn records_that_were_migrated_by_a_condition_are_not_migrated_again_with_the_rest() {
    let s = Scratch::plain();
    let part = ["--table", "docs", "--where", "tenant = 'a'"];
    let migrate = |more: &[&str]| {
        let mut line: Vec<&str> = "migrate-collection --store docs.db --projection map"
            .split(' ')
            .chain(ARGUMENTS.split(' '))
            .collect();
        line.extend(more);
        embedport(s.0.path(), &line)
    };
    migrate(&[&part[..], &["--collection", "docs[tenant = 'a']"]].concat()).succeeds();
    let between = s.rows("docs");
    migrate(&["--collection", "docs"]).fails(8, "60 records of collection `docs` were migrated already");
    migrate(&["--all"]).fails(4, "fits none of the");
    assert!(s.rows("docs") == between, "nothing was changed");
    let rest = ["--table", "docs", "--where", "tenant = 'b'", "--collection", "docs[tenant = 'b']"];
    migrate(&rest).succeeds();
    let again = ["--table", "docs", "--where", "id < 30", "--collection", "docs[id < 30]"];
    migrate(&again).fails(8, "were migrated already, with those where tenant = 'a'");
}

#[test]
fn what_a_trigger_wrote_is_no_change_and_goes_back_too() {
    for backup in ["rows", "full"] {
        let s = Scratch::new(
            "CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT, seen TEXT, embedding BLOB);
             CREATE TABLE heard (id);
             CREATE TRIGGER look AFTER UPDATE OF embedding ON docs
             BEGIN UPDATE docs SET seen = 'now' WHERE id = new.id; INSERT INTO heard VALUES (new.id); END",
            "INSERT INTO docs VALUES (?1, 'text ' || ?1, '2020', coalesce(?2, ?3))",
        );
        let before = s.rows("docs");
        s.migrate(&format!("docs --fire-triggers --backup {backup}"));
        assert!(s.rows("docs").iter().all(|row| row[2] == "now".to_owned().into()));
        assert_eq!(s.changes("docs"), NONE, "{backup}");
        s.store("rollback").succeeds();
        assert!(s.rows("docs") == before, "{backup}");
    }
}

#[test]
fn a_row_of_the_program_of_before_came_later() {
    let s = Scratch::plain();
    let before = s.rows("docs");
    s.migrate("docs");
    s.sql("INSERT INTO docs VALUES (10001, 'of before', 'b', zeroblob(64))");
    assert_eq!(s.changes("docs"), [1, 0, 0]);
    s.store("rollback").fails(8, "1 records were added");
    s.store("rollback --since drop").succeeds();
    assert!(s.rows("docs") == before);
}

#[test]
fn a_column_that_came_later_is_no_change() {
    let s = Scratch::plain();
    s.migrate("docs");
    s.sql("ALTER TABLE docs ADD COLUMN note TEXT DEFAULT 'x'");
    assert_eq!(s.changes("docs"), NONE);
}

#[test]
fn a_migration_that_the_store_no_longer_shows_keeps_its_backup() {
    for gone in ["DROP TABLE embedport_spaces", "DROP TABLE docs; DROP TABLE embedport_spaces"] {
        let s = Scratch::plain();
        let migration = s.migrate("docs");
        let folder = s.0.path().join("docs.db.embedport").join(&migration).join("backup");
        let kept = contents(&folder);
        s.sql(gone);
        for _ in 0..2 {
            let list = s.store("backups list --json").succeeds().json();
            assert_eq!(list["migrations"][0]["state"], "committed", "{gone}");
            assert!(
                list["migrations"][0]["reason"].as_str().unwrap().contains("no longer shows it"),
                "{list}"
            );
            s.store("rollback").fails(3, "the store no longer shows migration");
        }
        let report = s.store("backups prune --keep-latest 1 --yes --json").succeeds().json();
        assert_eq!(report["pruned"], serde_json::json!([]), "{gone}");
        assert!(!kept.is_empty() && contents(&folder) == kept, "{gone}");
    }
}

#[test]
fn a_folder_of_a_migration_that_is_missing_is_asked_for() {
    let s = Scratch::plain();
    s.migrate("docs");
    let state = s.0.path().join("docs.db.embedport");
    let aside = s.0.path().join("aside");
    std::fs::rename(&state, &aside).unwrap();
    std::fs::create_dir(&state).unwrap();
    s.store("rollback").fails(3, "put that folder back");
    s.store("verify").fails(3, "put that folder back");
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::rename(&aside, &state).unwrap();
    s.store("rollback").succeeds();
}

#[test]
fn without_a_stamp_the_way_back_outlives_the_oldest_rows() {
    let s = Scratch::plain();
    let before = s.rows("docs");
    s.migrate("docs --no-stamp --backup rows");
    s.sql("DELETE FROM docs WHERE id <= 500");
    s.store("rollback").fails(8, "500 removed");
    s.store("rollback --since drop").succeeds();
    assert!(s.rows("docs") == before);
}

#[test]
fn a_constraint_that_stands_in_the_way_back_is_named_and_nothing_is_lost() {
    let s = Scratch::new(
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, embedding BLOB)",
        "INSERT INTO docs VALUES (?1, 's' || ?1, coalesce(?2, ?3))",
    );
    s.migrate("docs --backup rows");
    s.sql("UPDATE docs SET slug = 'new' WHERE id = 1; UPDATE docs SET slug = 's1' WHERE id = 2");
    let after = s.rows("docs");
    s.store("rollback --since drop").fails(8, "a constraint of the table stands in the way");
    assert!(s.rows("docs") == after);
}
