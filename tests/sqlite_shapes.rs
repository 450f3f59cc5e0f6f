//! Tables that are unlike most: what is written over in pages elsewhere goes another way here, and comes out the same.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod subjects;
mod support;

use std::path::Path;

use embedport::space::Space;
use embedport::store::{self, BackupChoice, Since, VectorStore};
use rusqlite::Connection;
use support::{rewrite_as, target_of};

fn made(sql: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    Connection::open(subjects::file(folder.path())).expect("open").execute_batch(sql).expect("made");
    folder
}

fn open(folder: &Path, settings: &str) -> Box<dyn VectorStore> {
    store::open(&format!("sqlite:{}{settings}", subjects::file(folder).display())).expect("a SQLite file")
}

/// There, looked at by another opener, and back, by both ways; the vectors keep their length. The way back is not told `said`.
fn there_and_back(folder: &Path, name: &str, said: &str) {
    let before = subjects::rows(&subjects::file(folder));
    for (migration, backup) in [("m1", BackupChoice::Rows), ("m2", BackupChoice::Full)] {
        let mut store = open(folder, said);
        let found = support::collection(store.as_ref(), name);
        let target = target_of(store.as_ref(), migration, found.dimension.expect("vectors"), backup);
        let rewritten = rewrite_as(store.as_mut(), &found, &target, 1e-3);
        assert_eq!(rewritten.vectors.len() as u64, found.count);
        let mut store = open(folder, "");
        assert_eq!(store.collection(&found.id, None).expect("there").migration.as_deref(), Some(migration));
        store.restore(&rewritten.backup, Since::Refuse).expect("restored");
        let back = store.collection(&found.id, None).expect("known, though its stamp is gone");
        assert_eq!((back.migration, back.count), (None, found.count));
        assert_eq!(subjects::rows(&subjects::file(folder)), before, "{backup:?}");
    }
}

const ROWS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO t";

#[test]
fn what_was_said_for_a_migration_is_known_until_after_its_way_back() {
    let folder = made(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, tenant TEXT, v BLOB);
         {ROWS} SELECT i, char(97 + i % 2), unhex(printf('cdcccc3d9a9999be%02x%02x993f9a99193e', i % 251, i % 241)) FROM n"
    ));
    there_and_back(folder.path(), "t[tenant='a']", "?table=t&encoding=f32&where=tenant%3D'a'");
}

#[test]
fn rows_may_lack_a_column_whose_default_is_a_vector() {
    let folder = made(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT);
         {ROWS} SELECT i, 'text ' || i FROM n;
         ALTER TABLE t ADD COLUMN v BLOB DEFAULT x'cdcccc3d9a9999be9a99993f9a99193e';
         UPDATE t SET v = unhex(printf('cdcccc3d9a9999be%02x%02x993f9a99193e', id % 251, id % 241)) WHERE id % 3 = 1"
    ));
    there_and_back(folder.path(), "t", "?table=t&encoding=f32");
}

/// Those of numpy before 1.14 end at multiples of 16 bytes, not of 64.
#[test]
fn headers_of_numpy_may_have_other_lengths_than_todays() {
    let text = format!("{:<69}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }");
    let header = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let header: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = made(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);
         {ROWS} SELECT i, unhex('{header}' || printf('cdcccc3d9a9999be%02x%02x993f9a99193e', i % 251, i % 241)) FROM n"
    ));
    there_and_back(folder.path(), "t", "");
}

/// A primary key that is not the number of the row may be NULL.
#[test]
fn identifiers_that_do_not_name_every_row_are_refused_and_the_number_of_the_row_does() {
    let vectors = format!(
        "{ROWS} SELECT nullif(i % 300, 7), 'tag ' || (i % 290), unhex(printf('cdcccc3d9a9999be%02x%02x993f9a99193e', i % 251, i % 241)) FROM n"
    );
    let folder = made(&format!("CREATE TABLE t (id TEXT PRIMARY KEY, tag TEXT, v BLOB); {vectors}"));
    for (said, words) in [
        ("?table=t&encoding=f32", "column `id` of `t` does not identify every row: NULL in 1"),
        (
            "?table=t&encoding=f32&id=tag",
            "column `tag` of `t` does not identify every row: what another row holds in 10",
        ),
    ] {
        let store = open(folder.path(), said);
        let docs = support::collection(store.as_ref(), "t");
        let refused = store.check_target(&docs, &Space::named("test/target", 4)).expect_err("not told apart");
        assert_eq!(refused.message(), words);
        assert!(refused.hints().iter().any(|hint| hint.contains("--id-column rowid")), "{refused}");
        let found = store.examine(Some(&docs), &support::context()).expect("looked").findings;
        assert!(
            found.iter().any(|finding| finding.check == "identifiers" && finding.found == words),
            "{found:?}"
        );
    }
    there_and_back(folder.path(), "t", "?table=t&encoding=f32&id=rowid");
    let folder = made(&format!("CREATE TABLE t (a TEXT, b TEXT, v BLOB, PRIMARY KEY (a, b)); {vectors}"));
    let store = open(folder.path(), "?table=t&encoding=f32");
    let docs = support::collection(store.as_ref(), "t");
    store.check_target(&docs, &Space::named("test/target", 4)).expect("a NULL of one alone");
    let twice = Connection::open(subjects::file(folder.path())).expect("open");
    twice.execute_batch("INSERT INTO t SELECT * FROM t WHERE a IS NULL").expect("put");
    let refused = store.check_target(&docs, &Space::named("test/target", 4)).expect_err("twice");
    assert!(refused.message().contains("columns `a`, `b` of `t` do not identify"), "{refused}");
}

#[test]
fn a_table_that_hides_the_number_of_its_rows_is_not_rewritten() {
    let folder = made(&format!(
        "CREATE TABLE t (rowid TEXT, oid TEXT, _rowid_ TEXT, v BLOB);
         {ROWS} SELECT 'a', 'b', 'c', unhex(printf('cdcccc3d9a9999be%02x%02x993f9a99193e', i % 251, i % 241)) FROM n"
    ));
    let store = open(folder.path(), "");
    let why = support::collection(store.as_ref(), "t").unsupported.expect("a reason");
    assert!(why.contains("RENAME COLUMN"), "{why}");
}

#[test]
fn what_may_hold_vectors_and_is_not_recognised_is_named() {
    let folder = made(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, small BLOB, spaced TEXT, bad TEXT);
         {ROWS} SELECT i, 'text ' || i, unhex(printf('%.*c', 192, '7')), NULL, iif(i = 3, 'none', '[0.5, 0.25, ' || i || ']') FROM n"
    ));
    let store = open(folder.path(), "");
    let description = store.describe().expect("described");
    assert_eq!(
        description.unrecognised,
        [
            "column `small` of table `t` (24 of 24 values are blobs of 96 bytes)",
            "column `bad` of table `t` (23 of 24 values are JSON arrays of numbers)"
        ]
    );
    let missing = store::find_collection(&description, "t", None).expect_err("none");
    assert!(
        missing.hints().iter().any(|hint| hint.contains("`small`") && hint.contains("--encoding")),
        "{missing}"
    );
    let found = store.examine(None, &support::context()).expect("looked").findings;
    assert_eq!(found.iter().filter(|finding| finding.check == "unrecognised").count(), 2, "{found:?}");
    let spaced = Connection::open(subjects::file(folder.path())).expect("open");
    spaced.execute_batch("UPDATE t SET spaced = ' [0.5, -0.25, ' || id || ']'").expect("put");
    drop(store);
    let store = open(folder.path(), "");
    assert_eq!(support::collection(store.as_ref(), "t").dimension, Some(3));
}

#[test]
fn room_is_asked_for_by_what_a_component_takes() {
    let folder = made(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB);
         {ROWS} SELECT i, unhex(printf('9a9999999999b93f333333333333%02x3f9a9999999999c9bf', 208 + i % 8)) FROM n"
    ));
    let store = open(folder.path(), "?table=t&encoding=f64");
    let docs = support::collection(store.as_ref(), "t");
    assert_eq!(docs.dimension, Some(3));
    assert!(store.rewrite_bytes(&docs, 1003) - store.rewrite_bytes(&docs, 3) == 300 * 1000 * 8);
}
