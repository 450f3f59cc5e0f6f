//! What every store has to do, tried on every store: see `subjects`.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod subjects;
mod support;

use std::collections::HashMap;
use std::path::Path;

use embedport::error::Kind;
use embedport::platform::fault;
use embedport::platform::lease::Lease;
use embedport::space::Space;
use embedport::store::{self, Backup, BackupChoice, Changes, Collection, RewriteTarget, Since, VectorStore};
use ndarray::{Array2, s};
use subjects::Subject;
use support::{Rewritten, collection, count_and_fail, near, rewrite_as};

/// A subject made in a folder of its own.
struct Made {
    subject: Subject,
    location: String,
    folder: tempfile::TempDir,
    backup: BackupChoice,
}

impl Made {
    fn open(&self) -> Box<dyn VectorStore> {
        store::open(&self.location).unwrap_or_else(|e| panic!("{}: {e}", self.subject.name))
    }

    fn contents(&self) -> subjects::Contents {
        (self.subject.contents)(self.folder.path())
    }

    fn collection(&self, store: &dyn VectorStore) -> Collection {
        collection(store, self.subject.collection)
    }

    fn target(&self, store: &dyn VectorStore, migration: &str, dimension: usize) -> RewriteTarget {
        support::target_of(store, migration, dimension, self.backup)
    }

    fn rewrite(&self, store: &mut dyn VectorStore, id: &str, migration: &str, dimension: usize) -> Rewritten {
        let collection = store.collection(id, None).expect("there");
        let target = self.target(store, migration, dimension);
        rewrite_as(store, &collection, &target, self.subject.rounding)
    }
}

fn each_subject(check: impl Fn(&Made)) {
    for backup in [BackupChoice::Rows, BackupChoice::Full] {
        for subject in subjects::all() {
            eprintln!("on {}, {backup:?}", subject.name);
            let folder = tempfile::tempdir().expect("folder");
            let location = (subject.make)(folder.path());
            check(&Made { subject, location, folder, backup });
        }
    }
}

/// Ids and vectors as [`VectorStore::records`] gives them.
fn all_records(store: &dyn VectorStore, collection: &Collection) -> HashMap<String, Vec<f32>> {
    let mut records = store.records(collection, true).expect("readable");
    let mut all = HashMap::new();
    let mut texts = 0;
    while let Some(batch) = records.next_batch(37).expect("readable") {
        assert_eq!((batch.texts.len(), batch.vectors.nrows()), (batch.ids.len(), batch.ids.len()));
        texts += batch.texts.iter().flatten().count() as u64;
        for (id, row) in batch.ids.into_iter().zip(batch.vectors.outer_iter()) {
            assert!(all.insert(id, row.to_vec()).is_none(), "a record came twice");
        }
    }
    assert_eq!(texts, collection.texts);
    all
}

#[test]
fn a_collection_is_described_as_it_is_and_read_alike_in_every_way() {
    each_subject(|made| {
        let before = made.contents();
        let store = made.open();
        let found = made.collection(store.as_ref());
        let Subject { records, texts, dimension, .. } = made.subject;
        assert_eq!((found.count, found.texts, found.dimension), (records, texts, Some(dimension)));
        assert_eq!((found.unsupported.clone(), found.stamped.is_none()), (None, true));
        let again = store.collection(&found.id, None).expect("there");
        assert_eq!((again.name, again.count), (found.name.clone(), found.count));
        let all = all_records(store.as_ref(), &found);
        assert_eq!(all.len() as u64, records);
        let each = std::sync::Mutex::new(HashMap::new());
        store
            .each(&found, &|batch| {
                let rows = batch.vectors.outer_iter().map(|row| row.to_vec());
                each.lock().unwrap().extend(batch.ids.iter().cloned().zip(rows));
                Ok(())
            })
            .expect("readable");
        assert!(each.into_inner().unwrap() == all);
        let (id, vector) = all.iter().next().expect("a record");
        let query = Array2::from_shape_vec((1, dimension), vector.clone()).expect("shape");
        let hits = store.search(&found, query.slice(s![.., ..]), 5).expect("searched");
        assert!(hits[0].len() == 5 && hits[0].windows(2).all(|pair| pair[0].distance <= pair[1].distance));
        assert!(near(&all[&hits[0][0].id], vector, 1e-5), "{id} is not the nearest to itself");
        assert!(
            store
                .examine(None, &support::context())
                .expect("looked")
                .findings
                .iter()
                .all(|f| !f.check.is_empty())
        );
        assert!(made.contents() == before, "looking has changed something");
    });
}

#[test]
fn vectors_of_any_dimension_are_put_in_the_place_of_others_and_back() {
    each_subject(|made| {
        let before = made.contents();
        let mut store = made.open();
        let found = made.collection(store.as_ref());
        let digest = store.content_digest(&found).expect("digest");
        let old = all_records(store.as_ref(), &found);
        for (number, dimension) in
            [2 * made.subject.dimension, 8, made.subject.dimension].into_iter().enumerate()
        {
            let migration = format!("m{number}");
            store.check_target(&found, &Space::named("test/target", dimension)).expect("free");
            let done = made.rewrite(store.as_mut(), &found.id, &migration, dimension);
            assert!(done.sources == old, "the vectors were read otherwise");
            // Another process finds what this one wrote, without being told how to read it.
            let plain = made.location.split('?').next().expect("a path");
            let other = store::open(plain).expect("open");
            let now = other.collection(&found.id, None).expect("there");
            assert_eq!((now.dimension, now.count), (Some(dimension), found.count));
            assert_eq!(now.stamped.as_ref().map(|space| space.dimension), Some(dimension));
            assert_eq!(now.migration.as_deref(), Some(migration.as_str()));
            // Whether or not each record is looked at for it, the answer is one.
            let seen = store.collection(&found.id, None).expect("there");
            for records in [found.count, found.count + 1] {
                let written = store.written(&found.id, records, found.texts).expect("there");
                assert_eq!(format!("{written:?}"), format!("{seen:?}"));
            }
            let new = all_records(other.as_ref(), &now);
            assert!(
                new.len() == old.len()
                    && new.iter().all(|(id, v)| near(v, &done.vectors[id], made.subject.rounding))
            );
            assert_eq!(other.content_digest(&now).expect("digest"), digest);
            assert!(other.is_current(&found.id, &migration).expect("known"));
            assert!(other.missing_from(&done.backup).expect("looked").is_empty());
            let mut saved = HashMap::new();
            let mut records = other.backup_records(&done.backup).expect("readable");
            while let Some(batch) = records.next_batch(50).expect("readable") {
                saved.extend(batch.ids.into_iter().zip(batch.vectors.outer_iter().map(|row| row.to_vec())));
            }
            assert!(saved == old, "the backup holds other vectors");
            drop(records);
            assert_eq!(store.changes_since(&done.backup).expect("known"), Changes::default());
            store.restore(&done.backup, Since::Refuse).expect("restored");
            assert!(!store.is_current(&found.id, &migration).expect("known"));
            assert!(made.contents() == before, "to {dimension} and back: something is not as it was");
            store.restore(&done.backup, Since::Refuse).expect("restoring twice is restoring once");
        }
    });
}

#[test]
fn changes_after_a_migration_are_counted_refused_and_dropped() {
    let mut tried = 0;
    each_subject(|made| {
        let Some(change) = made.subject.change else { return };
        let before = made.contents();
        let mut store = made.open();
        let id = made.collection(store.as_ref()).id;
        let done = made.rewrite(store.as_mut(), &id, "m1", 24);
        change(made.folder.path());
        let changed = made.contents();
        let changes = store.changes_since(&done.backup).expect("known");
        assert_eq!(changes, Changes { added: 3, removed: 2, updated: 4 });
        let refused = store.restore(&done.backup, Since::Refuse).expect_err("changed");
        assert_eq!(refused.kind(), Kind::Refused);
        assert!(made.contents() == changed, "a refusal has changed something");
        store.restore(&done.backup, Since::Drop).expect("restored");
        let after = made.contents();
        for (name, rows) in &before {
            // A full-text index may lie otherwise and say the same; row numbers that were given out stay given out.
            assert!(
                name.contains("words_") || name.ends_with("sqlite_sequence") || after.get(name) == Some(rows),
                "{name} is not as it was"
            );
        }
    });
    tried += subjects::all().iter().filter(|subject| subject.change.is_some()).count();
    assert!(tried > 5, "only {tried} subjects were changed");
}

#[test]
fn migrations_are_rolled_back_in_their_order() {
    each_subject(|made| {
        let before = made.contents();
        let mut store = made.open();
        let id = made.collection(store.as_ref()).id;
        let first = made.rewrite(store.as_mut(), &id, "m1", 24);
        let second = made.rewrite(store.as_mut(), &id, "m2", 8);
        let refused = store.restore(&first.backup, Since::Refuse).expect_err("m2 lies above");
        assert_eq!(refused.kind(), Kind::Refused);
        store.restore(&second.backup, Since::Refuse).expect("restored");
        let now = store.collection(&id, None).expect("there");
        assert_eq!((now.dimension, now.migration.as_deref()), (Some(24), Some("m1")));
        store.restore(&first.backup, Since::Refuse).expect("restored");
        assert!(made.contents() == before);
    });
}

#[test]
fn damaged_backups_are_not_used() {
    each_subject(|made| {
        let mut store = made.open();
        let id = made.collection(store.as_ref()).id;
        let done = made.rewrite(store.as_mut(), &id, "m1", 24);
        let committed = made.contents();
        let state = store.state_folder();
        let folder = state.parent().expect("a folder");
        for file in &done.backup.files {
            let path = [folder.join(&file.path), Path::new(&made.location).join(&file.path)];
            let Some(path) = path.iter().find(|path| path.is_file()) else { continue };
            let bytes = std::fs::read(path).expect("read");
            let mut other = bytes.clone();
            other[bytes.len() / 2] ^= 1;
            std::fs::write(path, other).expect("written");
            assert!(store.restore(&done.backup, Since::Drop).is_err_and(|e| e.kind() == Kind::Damaged));
            assert!(store.backup_records(&done.backup).is_err());
            std::fs::write(path, bytes).expect("written");
        }
        let mut elsewhere = done.backup.clone();
        elsewhere.files[0].path = "../../../etc/passwd".into();
        assert!(store.restore(&elsewhere, Since::Drop).is_err());
        assert!(made.contents() == committed);
    });
}

/// A rewrite that gives errors back; the backup's description goes to `kept`.
fn try_rewrite(made: &Made, store: &mut dyn VectorStore, kept: &Path) -> embedport::error::Result<()> {
    let docs = made.collection(store);
    let target = made.target(store, "m1", 24);
    let map = support::map(docs.dimension.expect("records"), 24);
    let mut rewrite = store.rewrite(&docs, &target)?;
    let saved = rewrite.transform(&support::Mapping::new(map), &mut |_, _| {}, &support::context())?;
    std::fs::write(kept, serde_json::to_vec(&saved.backup).expect("JSON")).expect("written");
    let way = *rewrite.ways().last().expect("a way");
    rewrite.seal(way, &support::context())?;
    rewrite.commit()
}

fn read_backup(kept: &Path) -> Backup {
    serde_json::from_slice(&std::fs::read(kept).expect("kept")).expect("JSON")
}

#[test]
fn a_write_that_fails_at_any_step_changes_nothing() {
    each_subject(|made| {
        let before = made.contents();
        let kept = made.folder.path().join("backup.json");
        for fail_at in 0.. {
            let mut store = made.open();
            let id = made.collection(store.as_ref()).id;
            let reached = count_and_fail(fail_at);
            let outcome = try_rewrite(made, store.as_mut(), &kept);
            fault::install(None);
            let committed = store.is_current(&id, "m1").expect("known");
            if reached.get() <= fail_at {
                assert!(outcome.is_ok() && committed, "{outcome:?}");
                assert!(fail_at > 5, "only {fail_at} steps can fail");
                break;
            }
            assert_eq!(outcome.is_ok(), committed, "step {fail_at}");
            match outcome {
                Err(error) => {
                    assert!(matches!(error.kind(), Kind::CannotWrite | Kind::Io), "step {fail_at}: {error:?}")
                }
                Ok(()) => store.restore(&read_backup(&kept), Since::Refuse).expect("restored"),
            }
            assert!(made.contents() == before, "step {fail_at}");
            let _ = std::fs::remove_dir_all(store.state_folder());
        }
    });
}

/// Where nobody else has a file open, the file of before becomes the backup as it is and comes back as it was: the very
/// same one. Where more than the collection has changed since, rows go back one by one, and the rest stays.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_nobody_has_open_is_exchanged_and_comes_back_itself() {
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| std::fs::metadata(path).expect("there").ino();
    let exchanged = std::cell::Cell::new(0);
    let probe = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
    let alone = Lease::take(&probe).expect("opened").is_some();
    each_subject(|made| {
        let path = subjects::file(made.folder.path());
        if made.backup != BackupChoice::Full || !path.is_file() {
            return;
        }
        let (before, number) = (made.contents(), inode(&path));
        let mut store = made.open();
        let id = made.collection(store.as_ref()).id;
        let done = made.rewrite(store.as_mut(), &id, "m1", 24);
        let is_exchanged = done.backup.details["exchanged"] == true;
        assert_eq!(is_exchanged, inode(&path) != number);
        store.restore(&done.backup, Since::Refuse).expect("restored");
        assert_eq!(inode(&path), number);
        let _ = std::fs::remove_dir_all(store.state_folder());

        let done = made.rewrite(store.as_mut(), &id, "m2", 24);
        let rewritten = inode(&path);
        let other = rusqlite::Connection::open(&path).expect("open");
        other.execute_batch("CREATE TABLE another (x); INSERT INTO another VALUES (1)").expect("written");
        assert_eq!(store.changes_since(&done.backup).expect("known"), Changes::default());
        store.restore(&done.backup, Since::Refuse).expect("restored");
        assert_eq!(inode(&path), rewritten, "a program has it open");
        other.execute_batch("DROP TABLE another").expect("written");
        assert!(made.contents() == before);
        drop(other);
        let _ = std::fs::remove_dir_all(store.state_folder());

        // One that is open elsewhere is rewritten itself.
        let other = rusqlite::Connection::open(&path).expect("open");
        other.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())).expect("read");
        let done = made.rewrite(store.as_mut(), &id, "m3", 24);
        assert_eq!((done.backup.details["exchanged"] == true, inode(&path)), (false, rewritten));
        exchanged.set(exchanged.get() + usize::from(is_exchanged));
    });
    // Where the file system gives no leases, nothing is.
    assert_eq!(exchanged.get() > 15, alone, "{} files were exchanged", exchanged.get());
}
