//! Real Chroma databases for tests: made, asked and checked by the Python programs in `tests/python`.

#![allow(dead_code, unused_imports)]

mod python;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use embedport::context::{Cancel, Context, Silent};
use embedport::platform::fault;
use embedport::space::Space;
use embedport::store::{
    self, Backup, BackupChoice, Batch, Collection, IndexChoice, Pass, RewriteTarget, Rounding, VectorStore,
};
use ndarray::{Array2, ArrayView2};
use serde_json::Value;

pub use python::{python, run, try_run};

static CANCEL: Cancel = Cancel::new();

/// A silent context with a fixed clock.
pub fn context() -> Context<'static> {
    fn now() -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
    fn entropy() -> [u8; 16] {
        [7; 16]
    }
    Context { seed: 3, progress: &Silent, cancel: &CANCEL, now: &now, entropy: &entropy }
}

/// A made database with what must be in it.
pub struct Made {
    pub release: &'static str,
    pub folder: tempfile::TempDir,
}

impl Made {
    pub fn new(release: &'static str, arguments: &[&str]) -> Made {
        let folder = tempfile::tempdir().expect("folder");
        let out = folder.path().join("made");
        run(release, "make_chroma.py", &[&[out.to_str().expect("text")], arguments].concat());
        Made { release, folder }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("made/db")
    }

    pub fn truths(&self) -> PathBuf {
        self.folder.path().join("made/truth")
    }

    pub fn truth(&self, name: &str) -> PathBuf {
        self.truths().join(format!("{name}.json"))
    }

    pub fn open(&self) -> Box<dyn VectorStore> {
        store::open(self.database().to_str().expect("text")).expect("a Chroma database")
    }

    /// Everything that real Chroma says about the collections of the truth folder.
    pub fn dump(&self, name: &str) -> Value {
        let out = self.folder.path().join(name);
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        run(self.release, "act.py", &["dump", &text(&self.database()), &text(&self.truths()), &text(&out)]);
        serde_json::from_slice(&fs::read(out).expect("dump")).expect("JSON")
    }

    /// Checks the collection of a truth against `vectors` and every other collection against its own truth.
    pub fn check(&self, key: &str, vectors: Option<&Path>, more: &[&str]) {
        check(self.release, &self.database(), &self.truths(), key, vectors, more).expect("in order");
    }
    /// Rewrites `docs`, compares what was read with the truth, has `opener` check the result.
    pub fn moves(&self, opener: &str, dimension: usize, more: &[&str]) -> Backup {
        let mut store = self.open();
        let rewritten = rewrite(store.as_mut(), "docs", "m1", dimension);
        let ids = self.ids("docs");
        assert_eq!(ids.len(), rewritten.sources.len());
        for (id, vector) in ids.iter().zip(load_npy(&self.truths().join("docs.npy"))) {
            assert!(near(&rewritten.sources[id], &vector, 1e-6), "the vector of {id:?} was read wrongly");
        }
        let vectors = self.folder.path().join("new.npy");
        save_npy(&vectors, &ids, &rewritten.vectors);
        let options = [&["--bulk", "130", "--queries", "20", "--min-recall", "0.9"], more].concat();
        check(opener, &self.database(), &self.truths(), "docs", Some(&vectors), &options).expect("in order");
        rewritten.backup
    }

    /// Ids of a truth in its order.
    pub fn ids(&self, key: &str) -> Vec<String> {
        let truth: Value = serde_json::from_slice(&fs::read(self.truth(key)).expect("truth")).expect("JSON");
        let ids = truth["ids"].as_array().expect("ids");
        ids.iter().map(|id| id.as_str().expect("text").to_owned()).collect()
    }
}

pub fn sqlite(database: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(database.join("chroma.sqlite3")).expect("open")
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Lets real chromadb `release` check a copy of `database`: the collection of the truth `key` against
/// `vectors`, every other one against its own truth. See `check_chroma.py`.
pub fn check(
    release: &str,
    database: &Path,
    truths: &Path,
    key: &str,
    vectors: Option<&Path>,
    more: &[&str],
) -> Result<String, String> {
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let truth = truths.join(format!("{key}.json"));
    let mut arguments = vec![text(database), text(&truth)];
    if let Some(vectors) = vectors {
        arguments.extend(["--vectors".to_owned(), text(vectors)]);
    }
    for path in fs::read_dir(truths).expect("truths").map(|entry| entry.expect("entry").path()) {
        if path.extension().is_some_and(|e| e == "json") && path != truth {
            arguments.extend(["--also".to_owned(), text(&path)]);
        }
    }
    arguments.extend(more.iter().map(|m| (*m).to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Chroma upgrades an older database while it opens it, and a connection of its pool that was there before may not
    // see the new columns. What lacks a column for good does so every time.
    let run = || try_run(release, "check_chroma.py", &arguments);
    let blind =
        |outcome: &Result<String, String>| outcome.as_ref().is_err_and(|e| e.contains("ColumnNotFound"));
    let mut outcome = run();
    for _ in 0..2 {
        if blind(&outcome) {
            outcome = run();
        }
    }
    outcome
}

/// One collection by name.
pub fn collection(store: &dyn VectorStore, name: &str) -> Collection {
    let description = store.describe().expect("described");
    store::find_collection(&description, name, None).expect("there").clone()
}

/// A fixed, dense linear map that keeps neighbours about as they are.
pub fn map(from: usize, to: usize) -> Array2<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    Array2::from_shape_fn((from, to), |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    })
}

pub fn target(folder: &Path, migration: &str, dimension: usize) -> RewriteTarget {
    RewriteTarget {
        space: Space::named("test/target", dimension),
        migration: migration.to_owned(),
        folder: folder.join(".embedport").join(migration),
        index: IndexChoice::default(),
        backup: BackupChoice::default(),
    }
}

/// Where a rewrite of `store` leads to, in the folder that a migration of this name has.
pub fn target_of(
    store: &dyn VectorStore,
    migration: &str,
    dimension: usize,
    backup: BackupChoice,
) -> RewriteTarget {
    let folder = store.state_folder();
    RewriteTarget { folder: folder.join(migration), backup, ..target(&folder, migration, dimension) }
}

/// Old and new vectors by id, and the backup.
pub struct Rewritten {
    pub sources: HashMap<String, Vec<f32>>,
    pub vectors: HashMap<String, Vec<f32>>,
    pub backup: Backup,
}

/// Sends the one collection of this name through `map`, checking what can be seen before the commit.
pub fn rewrite(store: &mut dyn VectorStore, name: &str, migration: &str, dimension: usize) -> Rewritten {
    let collection = collection(store, name);
    let target = target(&store.describe().expect("described").path, migration, dimension);
    rewrite_as(store, &collection, &target, 1e-6)
}

/// As [`rewrite`], for any collection and target; by the dearest way to an index that the target leaves open.
/// `rounding`: see [`near`].
pub fn rewrite_as(
    store: &mut dyn VectorStore,
    collection: &Collection,
    target: &RewriteTarget,
    rounding: f32,
) -> Rewritten {
    let map = map(collection.dimension.expect("records"), target.space.dimension);
    let digest = store.content_digest(collection).expect("digest");
    let mut rewrite = store.rewrite(collection, target).expect("free");
    let mut texts = 0;
    let pass = Mapping::new(map);
    let saved = rewrite.transform(&pass, &mut |_, _| texts += 1, &context()).expect("transformed");
    assert_eq!((saved.content, texts), (digest.clone(), collection.texts));
    let Mapping { vectors, sources, .. } = pass;
    let (sources, vectors) = (sources.into_inner().expect("sources"), vectors.into_inner().expect("vectors"));
    let way = *rewrite.ways().last().expect("a way");
    rewrite.seal(way, &context()).expect("sealed");
    let count = AtomicUsize::new(0);
    rewrite
        .read_back(&|batch| {
            for (id, found) in batch.ids.iter().zip(batch.vectors.outer_iter()) {
                assert!(near(&found.to_vec(), &vectors[id], rounding), "{id}");
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
        .expect("readable");
    assert_eq!(count.into_inner(), vectors.len());
    rewrite.commit().expect("committed");
    assert_eq!(store.content_digest(collection).expect("digest"), digest);
    Rewritten { sources, vectors, backup: saved.backup }
}

/// Whether no component differs by more than `share` of the largest.
pub fn near(a: &[f32], b: &[f32], share: f32) -> bool {
    let largest = b.iter().fold(0f32, |a, b| a.max(b.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= share * largest)
}

/// Reads a float32 .npy of two axes.
pub fn load_npy(path: &Path) -> Vec<Vec<f32>> {
    let bytes = fs::read(path).expect("readable");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..start]);
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split(['(', ')']).nth(1).expect("shape");
    let dimension: usize = shape.split(", ").nth(1).expect("two axes").parse().expect("number");
    let (values, _) = bytes[start..].as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
    values.chunks_exact(dimension).map(<[f32]>::to_vec).collect()
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("list").map(|e| e.expect("entry")) {
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}

/// Multiplies by a matrix and remembers what came out.
pub struct Mapping {
    map: Array2<f32>,
    pub sources: Mutex<HashMap<String, Vec<f32>>>,
    pub vectors: Mutex<HashMap<String, Vec<f32>>>,
}

impl Mapping {
    pub fn new(map: Array2<f32>) -> Mapping {
        Mapping { map, sources: Mutex::default(), vectors: Mutex::default() }
    }
}

impl Pass for Mapping {
    fn vectors(&self, batch: &Batch, round: &Rounding<'_>) -> embedport::error::Result<Array2<f32>> {
        let mut new = batch.vectors.dot(&self.map);
        new.rows_mut().into_iter().filter_map(|row| row.into_slice()).for_each(round);
        let rows = batch.vectors.outer_iter().map(|row| row.to_vec());
        self.sources.lock().expect("sources").extend(batch.ids.iter().cloned().zip(rows));
        let mut vectors = self.vectors.lock().expect("vectors");
        for (id, row) in batch.ids.iter().zip(new.outer_iter()) {
            assert!(vectors.insert(id.clone(), row.to_vec()).is_none(), "{id} came twice");
        }
        Ok(new)
    }

    fn unowned(&self, vectors: ArrayView2<'_, f32>) -> embedport::error::Result<Array2<f32>> {
        Ok(vectors.dot(&self.map))
    }
}

/// Writes a float32 .npy, row i for `ids[i]`.
pub fn save_npy(path: &Path, ids: &[String], vectors: &HashMap<String, Vec<f32>>) {
    let dimension = vectors[&ids[0]].len();
    let shape =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {dimension}), }}", ids.len());
    let header = format!("{shape:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(header.as_bytes());
    assert_eq!(bytes.len(), 128);
    bytes.extend(ids.iter().flat_map(|id| vectors[id].iter().flat_map(|x| x.to_le_bytes())));
    fs::write(path, bytes).expect("written");
}

/// Every row of every table, and every file of every segment folder, state folder left out.
pub fn contents(database: &Path) -> (HashMap<String, Vec<String>>, HashMap<PathBuf, Vec<u8>>) {
    let connection = rusqlite::Connection::open(database.join("chroma.sqlite3")).expect("open");
    let mut tables =
        connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").expect("tables");
    let names: Vec<String> =
        tables.query_map([], |row| row.get(0)).expect("tables").collect::<Result<_, _>>().expect("names");
    let rows = |name: &String| {
        let mut statement = connection.prepare(&format!("SELECT * FROM \"{name}\"")).expect("select");
        let columns = statement.column_count();
        let mut rows: Vec<String> = statement
            .query_map([], |row| {
                (0..columns).map(|i| row.get_ref(i).map(|v| format!("{v:?}"))).collect::<Result<Vec<_>, _>>()
            })
            .expect("rows")
            .map(|row| row.expect("row").join("|"))
            .collect();
        rows.sort();
        (name.clone(), rows)
    };
    let tables = names.iter().map(rows).collect();
    let mut files = HashMap::new();
    for folder in fs::read_dir(database).expect("list").map(|entry| entry.expect("entry")) {
        if folder.path().is_dir() && folder.file_name() != ".embedport" {
            for file in fs::read_dir(folder.path()).expect("list").map(|entry| entry.expect("entry").path()) {
                files.insert(file.clone(), fs::read(file).expect("read"));
            }
        }
    }
    (tables, files)
}

/// Makes the step number `fail_at` of this thread fail for want of room; counts all.
pub fn count_and_fail(fail_at: usize) -> std::rc::Rc<std::cell::Cell<usize>> {
    let reached = std::rc::Rc::new(std::cell::Cell::new(0));
    let counter = reached.clone();
    fault::install(Some(Box::new(move |_| {
        counter.set(counter.get() + 1);
        match counter.get() == fail_at + 1 {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    })));
    reached
}
