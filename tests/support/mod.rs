//! Real Chroma databases for tests: made, asked and checked by the Python programs in `tests/python`.

#![allow(dead_code)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use embedport::context::{Cancel, Context, Silent};
use embedport::space::Space;
use embedport::store::{self, Backup, Collection, RewriteTarget, VectorStore};
use ndarray::Array2;
use serde_json::Value;

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

/// The interpreter with chromadb `release`.
///
/// # Panics
/// If it is not there: a test that needs real Chroma must not pass without it.
pub fn python(release: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("EMBEDPORT_VENV").map_or_else(|| root.join(".venv"), PathBuf::from);
    let python = folder.join(format!("chroma-{release}/bin/python"));
    assert!(python.exists(), "no {}: run tests/setup.sh", python.display());
    python
}

/// Runs a program of `tests/python` and returns its last line of output.
pub fn run(release: &str, program: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(program);
    let output = Command::new(python(release))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .args(arguments)
        .output()
        .expect("python runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}\n{errors}");
    text.lines().last().unwrap_or_default().to_owned()
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

    /// Checks `collection` against `vectors` and every other collection against its own truth.
    pub fn check(&self, collection: &str, vectors: Option<&Path>, more: &[&str]) {
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        let mut arguments = vec![text(&self.database()), text(&self.truth(collection))];
        if let Some(vectors) = vectors {
            arguments.extend(["--vectors".to_owned(), text(vectors)]);
        }
        for entry in fs::read_dir(self.truths()).expect("truths") {
            let path = entry.expect("entry").path();
            if path.extension().is_some_and(|e| e == "json") && path != self.truth(collection) {
                arguments.extend(["--also".to_owned(), text(&path)]);
            }
        }
        arguments.extend(more.iter().map(|m| (*m).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(self.release, "check_chroma.py", &arguments);
    }

    /// Ids of a truth in its order.
    pub fn ids(&self, collection: &str) -> Vec<String> {
        let truth: Value =
            serde_json::from_slice(&fs::read(self.truth(collection)).expect("truth")).expect("JSON");
        let ids = truth["ids"].as_array().expect("ids");
        ids.iter().map(|id| id.as_str().expect("text").to_owned()).collect()
    }
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
    }
}

/// New vectors by id, and the backup.
pub struct Rewritten {
    pub vectors: HashMap<String, Vec<f32>>,
    pub backup: Backup,
}

/// Sends a whole collection through `map`, checking what can be seen before the commit.
pub fn rewrite(store: &mut dyn VectorStore, name: &str, migration: &str, dimension: usize) -> Rewritten {
    let collection = collection(store, name);
    let target = target(&store.describe().expect("described").path, migration, dimension);
    let map = map(collection.dimension.expect("records"), dimension);
    let digest = store.content_digest(&collection).expect("digest");
    let mut rewrite = store.rewrite(&collection, &target).expect("free");
    let backup = rewrite.back_up().expect("backup");
    let mut vectors = HashMap::new();
    while let Some(batch) = rewrite.next_batch(97, false).expect("records") {
        let new = batch.vectors.dot(&map);
        rewrite.put(&batch.ids, new.view()).expect("put");
        vectors.extend(batch.ids.into_iter().zip(new.outer_iter().map(|row| row.to_vec())));
    }
    rewrite.seal(&context()).expect("sealed");
    let mut written = rewrite.written().expect("files");
    let mut count = 0;
    while let Some(batch) = written.next_batch(500).expect("readable") {
        for (id, found) in batch.ids.iter().zip(batch.vectors.outer_iter()) {
            let largest = vectors[id].iter().fold(0f32, |a, b| a.max(b.abs()));
            assert!(found.iter().zip(&vectors[id]).all(|(a, b)| (a - b).abs() <= 1e-6 * largest), "{id}");
            count += 1;
        }
    }
    drop(written);
    assert_eq!(count, vectors.len());
    assert_eq!(rewrite.content_digest().expect("digest"), digest);
    rewrite.commit().expect("committed");
    assert_eq!(store.content_digest(&collection).expect("digest"), digest);
    Rewritten { vectors, backup }
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
