//! Files that are to hold no table of embedport's: what is known without it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod subjects;
mod support;

use std::path::Path;

use embedport::error::{Kind, Result};
use embedport::space::Space;
use embedport::store::{self, Backup, BackupChoice, Collection, IndexWay, Since, VectorStore};
use rusqlite::Connection;
use support::{Mapping, context, rewrite_as, target_of};

const CHOICES: [BackupChoice; 2] = [BackupChoice::Rows, BackupChoice::Full];

/// Two hundred rows with vectors of 16 components in `docs`; `more` is run behind.
fn made(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let connection = Connection::open(subjects::file(folder.path())).expect("open");
    connection
        .execute_batch("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT, embedding BLOB)")
        .expect("made");
    let map = support::map(200, 16);
    for (id, row) in (1i64..).zip(map.outer_iter()) {
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        let body = format!("text {id}");
        connection.execute("INSERT INTO docs VALUES (?1, ?2, ?3)", (id, body, bytes)).expect("added");
    }
    connection.execute_batch(more).expect("made");
    folder
}

fn open(folder: &Path, settings: &str) -> Box<dyn VectorStore> {
    store::open(&format!("sqlite:{}?{settings}", subjects::file(folder).display())).expect("a SQLite file")
}

fn docs(store: &dyn VectorStore) -> Collection {
    support::collection(store, "docs")
}

fn has_stamps(folder: &Path) -> bool {
    subjects::rows(&subjects::file(folder)).contains_key("table embedport_spaces")
}

/// Rewrites `docs` and goes no further than to the commit.
fn stopped(store: &mut dyn VectorStore, migration: &str, backup: BackupChoice) -> Result<()> {
    let (found, target) = (docs(store), target_of(store, migration, 16, backup));
    let mut rewrite = store.rewrite(&found, &target)?;
    rewrite.transform(&Mapping::new(2.0 * support::map(16, 16)), &mut |_, _| (), &context())?;
    rewrite.seal(IndexWay::None, &context())
}

#[test]
fn a_migration_without_a_stamp_is_known_by_its_vectors_and_goes_back() {
    for (backup, dimension) in CHOICES.into_iter().flat_map(|backup| [(backup, 16), (backup, 24)]) {
        let folder = made("");
        let before = subjects::rows(&subjects::file(folder.path()));
        let mut store = open(folder.path(), "stamp=no");
        let found = docs(store.as_ref());
        stopped(store.as_mut(), "m0", backup).expect("written");
        assert!(!store.is_current(&found.id, "m0").expect("known"), "it was never committed");
        let target = target_of(store.as_ref(), "m1", dimension, backup);
        let done = rewrite_as(store.as_mut(), &found, &target, 1e-6);
        assert!(!has_stamps(folder.path()));
        // Another opener knows as well, by what lies beside the file.
        let mut other = open(folder.path(), "");
        let now = other.collection(&found.id, None).expect("there");
        let known = now.stamped.map(|space| space.model);
        assert_eq!((now.dimension, known.as_deref()), (Some(dimension), Some("test/target")));
        assert_eq!(now.migration.as_deref(), Some("m1"));
        assert!(other.is_current(&found.id, "m1").expect("known"));
        assert!(!other.is_current(&found.id, "m0").expect("known"));
        // Some rows may be written again, and the backup may go.
        let connection = Connection::open(subjects::file(folder.path())).expect("open");
        let copied = "UPDATE docs SET embedding = (SELECT embedding FROM docs WHERE id = 150) WHERE id < 100";
        connection.execute_batch(copied).expect("written");
        connection.execute_batch("ALTER TABLE docs ADD COLUMN mine DEFAULT 'kept'").expect("added");
        drop(connection);
        assert!(other.is_current(&found.id, "m1").expect("known"));
        assert_eq!(other.changes_since(&done.backup).expect("known").updated, 99);
        other.restore(&done.backup, Since::Drop).expect("restored");
        assert!(!other.is_current(&found.id, "m1").expect("known"));
        let connection = Connection::open(subjects::file(folder.path())).expect("open");
        let kept: i64 = connection
            .query_row("SELECT count(*) FROM docs WHERE mine = 'kept'", [], |row| row.get(0))
            .expect("counted");
        assert_eq!(kept, 200, "a column that came since is nobody's but its owner's");
        connection.execute_batch("ALTER TABLE docs DROP COLUMN mine").expect("dropped");
        drop(connection);
        assert!(subjects::rows(&subjects::file(folder.path()))["table docs"] == before["table docs"]);
        assert!(!has_stamps(folder.path()));
        other.restore(&done.backup, Since::Refuse).expect("restoring twice is restoring once");
        assert!(other.is_current(&found.id, "../m1").is_err(), "a name that leads elsewhere");
    }
}

#[test]
fn a_stamp_of_before_goes_and_comes_back() {
    for backup in CHOICES {
        let folder = made("");
        let mut store = open(folder.path(), "");
        let found = docs(store.as_ref());
        let first: Backup = {
            let target = target_of(store.as_ref(), "m1", 24, backup);
            rewrite_as(store.as_mut(), &found, &target, 1e-6).backup
        };
        assert!(has_stamps(folder.path()));
        let mut store = open(folder.path(), "stamp=no");
        let now = docs(store.as_ref());
        let target = target_of(store.as_ref(), "m2", 24, backup);
        let second = rewrite_as(store.as_mut(), &now, &target, 1e-6).backup;
        assert!(!has_stamps(folder.path()), "it would be of another space");
        assert!(!store.is_current(&found.id, "m1").expect("known"));
        store.restore(&second, Since::Refuse).expect("restored");
        assert!(store.is_current(&found.id, "m1").expect("known") && has_stamps(folder.path()));
        store.restore(&first, Since::Refuse).expect("restored");
        assert!(!has_stamps(folder.path()));
    }
}

#[test]
fn vectors_of_several_dimensions_need_the_stamp() {
    let folder = made("UPDATE docs SET embedding = substr(embedding, 1, 32) WHERE id > 150");
    let store = open(folder.path(), "stamp=no");
    let all = store.describe().expect("described").collections;
    assert_eq!(all.len(), 2);
    let refused = store.check_target(&all[0], &Space::named("test/target", 24)).expect_err("refused");
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.hints().iter().any(|hint| hint.contains("--no-stamp")), "{:?}", refused.hints());
}
