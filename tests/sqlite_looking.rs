//! Looking at a SQLite file changes nothing in it, and says what is in the way before anything is tried.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;
use std::process::Command;

use common::*;
use rusqlite::Connection;
use tempfile::TempDir;

const PROJECTION: &str = "all-minilm-l6-v2--static-256";

/// `x.db` with 64 vectors of 384 components, the last of them in its write-ahead log if it has one, as a program leaves it
/// that was killed.
fn made(wal: bool) -> TempDir {
    let folder = TempDir::new().unwrap();
    let first = folder.path().join("first.db");
    let connection = Connection::open(&first).unwrap();
    connection
        .execute_batch("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT, embedding BLOB)")
        .unwrap();
    let rows = Numbers(5).rows(64, 384);
    let put = |rows: &[Vec<f32>]| {
        for row in rows {
            let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
            connection
                .execute("INSERT INTO docs (body, embedding) VALUES ('some text', ?1)", [bytes])
                .unwrap();
        }
    };
    put(&rows[..60]);
    if wal {
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
    }
    put(&rows[60..]);
    for suffix in ["", "-wal"] {
        let from = folder.path().join(format!("first.db{suffix}"));
        if from.exists() {
            std::fs::copy(from, folder.path().join(format!("x.db{suffix}"))).unwrap();
        }
    }
    drop(connection);
    std::fs::remove_file(first).unwrap();
    folder
}

fn bytes(folder: &Path) -> [Option<Vec<u8>>; 2] {
    ["x.db", "x.db-wal"].map(|name| std::fs::read(folder.join(name)).ok())
}

fn migrate(more: &str) -> Vec<String> {
    let line = format!("migrate-collection --store x.db --collection docs --projection {PROJECTION} {more}");
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_only_looks_leaves_the_file_and_its_log_as_they_are() {
    let folder = made(true);
    let before = bytes(folder.path());
    assert!(before[1].as_ref().is_some_and(|log| log.len() > 4096));
    for (line, code) in [
        ("inspect --store x.db", Some(0)),
        ("inspect --store x.db --deep", Some(0)),
        ("detect --store x.db --collection docs", None),
        ("backups list --store x.db", Some(0)),
        ("verify --store x.db --collection docs", None),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let run = embedport(folder.path(), &arguments);
        assert!(code.is_none_or(|code| code == run.code), "{line}: {run:?}");
        assert!(bytes(folder.path()) == before, "{line}");
    }
    let run = embedport(folder.path(), &migrate("--dry-run --accept-unrecognised-vectors")).succeeds();
    assert!(bytes(folder.path()) == before, "{}", run.stdout);
}

#[test]
fn a_run_that_finds_a_writer_leaves_nothing_that_could_not_be_removed() {
    let folder = made(false);
    let writer = Connection::open(folder.path().join("x.db")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let run = embedport(folder.path(), &migrate("--yes --accept-unrecognised-vectors"))
        .fails(6, "lock the database");
    assert!(run.stderr.contains("as it was") && !run.stderr.contains("remains"), "{}", run.stderr);
    let left: Vec<_> =
        contents(&folder.path().join("x.db.embedport")).into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, [Path::new("lock")]);
    writer.execute_batch("ROLLBACK; BEGIN EXCLUSIVE").unwrap();
    embedport(folder.path(), &["inspect", "--store", "x.db"]).fails(6, "x.db` is in use");
}

#[test]
fn a_dry_run_says_that_nothing_could_be_written() {
    for what in ["x.db", "."] {
        let folder = made(false);
        let binary = folder.path().join("embedport");
        std::fs::copy(env!("CARGO_BIN_EXE_embedport"), &binary).unwrap();
        let shell = |script: &str| {
            Command::new("bash").args(["-c", script]).current_dir(folder.path()).output().unwrap()
        };
        assert!(shell(&format!("chmod a+rwX . && chmod a+rw x.db && chmod a-w {what}")).status.success());
        let is_root = shell("id -u").stdout == b"0\n";
        // Root may write anywhere: another user must not.
        let mut command = match is_root {
            true => {
                let mut setpriv = Command::new("setpriv");
                setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
                setpriv
            }
            false => Command::new(&binary),
        };
        command.args(migrate("--dry-run --accept-unrecognised-vectors")).current_dir(folder.path());
        let run = outcome(command.env("HF_HUB_OFFLINE", "1"));
        assert!(shell("chmod u+w .").status.success());
        run.fails(9, "cannot be written");
    }
}

#[test]
fn without_a_collection_columns_are_named_that_may_hold_vectors() {
    let folder = TempDir::new().unwrap();
    let connection = Connection::open(folder.path().join("x.db")).unwrap();
    connection.execute_batch("CREATE TABLE t (v BLOB); INSERT INTO t VALUES (randomblob(384))").unwrap();
    let words = "column `v` of table `t` (1 of 1 values are blobs of 384 bytes)";
    let line = format!("migrate-collection --store x.db --projection {PROJECTION}");
    let arguments: Vec<&str> = line.split(' ').collect();
    embedport(folder.path(), &arguments).fails(2, words);
    embedport(folder.path(), &migrate("")).fails(3, words);
    let found = embedport(folder.path(), &["inspect", "--store", "x.db"]).succeeds();
    assert!(found.stdout.contains(words), "{}", found.stdout);
}
