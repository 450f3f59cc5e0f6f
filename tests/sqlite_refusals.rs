//! What a SQLite file can be that is not rewritten, and what is said about it; and who else may be at work on it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod subjects;
mod support;

use std::path::Path;

use embedport::error::{Error, Kind};
use embedport::space::Space;
use embedport::store::{self, BackupChoice, Since};
use rusqlite::Connection;
use support::target_of;

fn made(folder: &Path, more: &str) -> String {
    let plain = subjects::all().into_iter().find(|subject| subject.name == "sqlite").expect("a subject");
    let location = (plain.make)(folder);
    Connection::open(subjects::file(folder)).expect("open").execute_batch(more).expect("more");
    location
}

fn refused(location: &str) -> Error {
    match store::open(location).and_then(|store| store.describe()) {
        Ok(found) => panic!("{location}: {found:?}"),
        Err(e) => e,
    }
}

fn says(error: &Error, words: &str) -> bool {
    error.message().contains(words) || error.hints().iter().any(|hint| hint.contains(words))
}

#[test]
fn a_writer_keeps_the_rewrite_out_and_the_rewrite_keeps_writers_out() {
    for journal in ["delete", "wal"] {
        let folder = tempfile::tempdir().expect("folder");
        let location = made(folder.path(), &format!("PRAGMA journal_mode = {journal}"));
        let mut store = store::open(&location).expect("open");
        let docs = support::collection(store.as_ref(), "docs");
        let target = target_of(store.as_ref(), "m1", 8, BackupChoice::default());
        let other = Connection::open(subjects::file(folder.path())).expect("open");
        other.busy_timeout(std::time::Duration::ZERO).expect("set");
        other.execute_batch("BEGIN IMMEDIATE").expect("begun");
        let held = store.rewrite(&docs, &target).map(drop).expect_err("held");
        assert!(held.kind() == Kind::Locked && says(&held, "another program"), "{journal}: {held}");
        other.execute_batch("ROLLBACK").expect("ended");
        let rewrite = store.rewrite(&docs, &target).expect("free again");
        assert!(other.execute_batch("BEGIN IMMEDIATE").is_err(), "{journal}: two writers");
        let read = other.query_row("SELECT count(*) FROM docs", [], |row| row.get::<_, i64>(0));
        assert_eq!(read.is_ok(), journal == "wal", "{journal}: readers");
        drop(rewrite);
        other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").expect("free again");
    }
}

#[test]
fn settings_that_cannot_be_are_told_with_what_can() {
    let folder = tempfile::tempdir().expect("folder");
    let path = made(folder.path(), "");
    for (settings, words) in [
        ("table=nothing", "its tables are: docs"),
        ("table=docs&vector=nothing", "its columns are: id, name, body, embedding"),
        ("table=docs&text=nothing", "its columns are: id, name, body, embedding"),
        ("table=docs&where=id%20%3D%20nothing", "no SQL expression"),
        ("table=docs&where=1)%20OR%20(1", "no SQL expression"),
        ("table=docs&encoding=f8", "it can be: f32"),
        ("colour=blue", "its settings are: table"),
    ] {
        let error = refused(&format!("sqlite:{path}?{settings}"));
        assert!(says(&error, words), "{settings}: {error} {:?}", error.hints());
    }
    let error = refused(&format!("chroma:{}?table=docs", folder.path().display()));
    assert!(says(&error, "it has no settings"), "{error}");
}

#[test]
fn what_is_not_known_is_listed_and_not_guessed() {
    let folder = tempfile::tempdir().expect("folder");
    let path = made(
        folder.path(),
        "CREATE TABLE bytes (id INTEGER PRIMARY KEY, hash BLOB);
        INSERT INTO bytes SELECT id, randomblob(32) FROM docs",
    );
    let unknown = |settings: &str| -> String {
        let store = store::open(&format!("sqlite:{path}?{settings}")).expect("open");
        let all = store.describe().expect("described").collections;
        assert_eq!(all.len(), 1, "{settings}: {all:#?}");
        all[0].unsupported.clone().unwrap_or_default()
    };
    assert!(unknown("table=bytes&vector=hash").contains("--encoding"));
    assert!(unknown("table=docs&encoding=int8-scaled").contains("--scale-column"));
    assert!(unknown("table=docs&where=length(embedding)%20%3E%201").contains("which a rewrite changes"));
    assert_eq!(unknown("table=docs"), "");
    let names: Vec<String> = store::open(&path)
        .expect("open")
        .describe()
        .expect("described")
        .collections
        .into_iter()
        .map(|c| c.name)
        .collect();
    assert_eq!(names, ["docs"], "hashes are no vectors");
}

#[test]
fn other_files_are_refused_by_what_they_are() {
    let folder = tempfile::tempdir().expect("folder");
    let noise = folder.path().join("encrypted.db");
    let bytes: Vec<u8> = (0..8192u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&noise, bytes).expect("written");
    let error = refused(&format!("sqlite:{}", noise.display()));
    assert!(error.kind() == Kind::Unsupported && says(&error, "SQLCipher"), "{error}");
    assert_eq!(refused(noise.to_str().expect("text")).kind(), Kind::Unsupported);
    let chroma = folder.path().join("chroma");
    embedport::demo_assets::unpack(&chroma).expect("unpacked");
    let file = chroma.join("chroma.sqlite3");
    let error = refused(&format!("sqlite:{}", file.display()));
    assert!(says(&error, "give the folder"), "{error}");
    let found =
        store::open(file.to_str().expect("text")).expect("the file itself").describe().expect("described");
    assert_eq!(found.scheme, "chroma");
    assert_eq!(refused(&format!("sqlite:{}", folder.path().join("none").display())).kind(), Kind::NotFound);
}

#[test]
fn a_group_is_not_moved_into_the_dimension_of_another() {
    let folder = tempfile::tempdir().expect("folder");
    let path = made(
        folder.path(),
        "INSERT INTO docs SELECT id + 500, name, body, substr(embedding, 1, 40) FROM docs",
    );
    let store = store::open(&path).expect("open");
    let sixteen = support::collection(store.as_ref(), "docs[16]");
    let refused = store.check_target(&sixteen, &Space::named("test/target", 10)).expect_err("there are such");
    assert!(refused.kind() == Kind::Refused && says(&refused, "--where"), "{refused}");
    store.check_target(&sixteen, &Space::named("test/target", 12)).expect("there are none");
}

#[test]
fn a_file_that_was_renamed_with_its_folder_goes_back_and_leaves_its_namesake_alone() {
    for backup in [BackupChoice::Rows, BackupChoice::Full] {
        let folder = tempfile::tempdir().expect("folder");
        let location = made(folder.path(), "");
        let mut store = store::open(&location).expect("open");
        let docs = support::collection(store.as_ref(), "docs");
        let target = target_of(store.as_ref(), "m1", 8, backup);
        let before = subjects::rows(&subjects::file(folder.path()));
        let done = support::rewrite_as(store.as_mut(), &docs, &target, 1e-6);
        let after = subjects::rows(&subjects::file(folder.path()));
        let elsewhere = tempfile::tempdir().expect("folder");
        let other = elsewhere.path().join("other");
        support::copy_folder(folder.path(), &other);
        std::fs::rename(other.join("store.db"), other.join("notes.db")).expect("renamed");
        std::fs::rename(other.join("store.db.embedport"), other.join("notes.db.embedport")).expect("renamed");
        // Its namesake beside it, as after a copy within one folder.
        support::copy_folder(folder.path(), &other);
        let mut renamed = store::open(support::text(&other.join("notes.db"))).expect("open");
        assert!(renamed.missing_from(&done.backup).expect("looked").is_empty());
        renamed.restore(&done.backup, Since::Refuse).expect("restored");
        assert!(subjects::rows(&other.join("notes.db")) == before);
        assert!(subjects::rows(&other.join("store.db")) == after, "the namesake was touched");
        let mut namesake = store::open(support::text(&other.join("store.db"))).expect("open");
        namesake.restore(&done.backup, Since::Refuse).expect("restored");
        assert!(subjects::rows(&other.join("store.db")) == before);
    }
}

#[test]
fn a_file_that_cannot_be_opened_says_what_is_the_matter_with_it() {
    let folder = tempfile::tempdir().expect("folder");
    let path = made(folder.path(), "");
    let other = Connection::open(&path).expect("open");
    other.execute_batch("BEGIN EXCLUSIVE").expect("held");
    let error = refused(&path);
    assert!(error.kind() == Kind::Locked && error.message().ends_with("store.db` is in use"), "{error}");
    drop(other);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[100..200].fill(0xff);
    std::fs::write(&path, bytes).expect("written");
    let error = refused(&path);
    assert!(error.kind() == Kind::Damaged && error.message().contains("store.db` is damaged"), "{error}");
}
