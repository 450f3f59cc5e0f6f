//! The whole job through the program, on databases made and opened by real Chroma releases.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::*;
use serde_json::Value;
use tempfile::TempDir;

/// A database of one release, with the truth about it.
struct Database {
    folder: TempDir,
    release: &'static str,
    dimension: usize,
}

impl Database {
    fn new(release: &'static str, space: &str, dimension: usize, more: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let out = folder.path().join("made").display().to_string();
        let d = dimension.to_string();
        let mut arguments = vec![out.as_str(), "--n", "1300", "--dim", &d, "--space", space];
        arguments.extend([
            "--updates",
            "7",
            "--upserts",
            "7",
            "--deletes",
            "9",
            "--tail",
            "40",
            "--tail-ops",
        ]);
        arguments.extend(more);
        python(release, "make_chroma.py", &arguments).succeeds();
        Database { folder, release, dimension }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn truth(&self, name: &str) -> PathBuf {
        self.path().join("made/truth").join(name)
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        embedport(self.path(), arguments)
    }

    /// Trains a projection to a made-up model of `target` dimensions from paired vectors.
    fn train(&self, target: usize) {
        let source = read_npy(&self.truth("docs.npy"));
        assert_eq!(source[0].len(), self.dimension);
        write_npy(&self.path().join("target.npy"), &another_space(&source, target, &mut Numbers(11)));
        self.run(&[
            "train",
            "--source-model",
            "test/source",
            "--target-model",
            "test/target",
            "--source-vectors",
            "made/truth/docs.npy",
            "--target-vectors",
            "target.npy",
        ])
        .succeeds();
    }

    fn projection(&self) -> String {
        let registry: Value =
            serde_json::from_slice(&fs::read(self.path().join("registry.json")).unwrap()).unwrap();
        let entries = registry["projections"].as_array().unwrap();
        entries[0]["name"].as_str().unwrap().to_owned()
    }

    fn migrate(&self) -> Outcome {
        let projection = self.projection();
        self.run(&[
            "migrate-collection",
            "--store",
            "made/db",
            "--collection",
            "docs",
            "--projection",
            &projection,
            "--source-model",
            "test/source",
            "--yes",
            "--json",
        ])
    }

    /// Real Chroma opens the database: every vector, document, metadata, search, life.
    #[track_caller]
    fn check(&self, truth: &str, more: &[&str]) {
        let truth = self.truth(truth).display().to_string();
        let db = self.path().join("made/db").display().to_string();
        let mut arguments = vec![db.as_str(), truth.as_str()];
        arguments.extend(more);
        python(self.release, "check_chroma.py", &arguments).succeeds();
    }
}

fn there_and_back(release: &'static str, space: &str, from: usize, to: usize, more: &[&str]) {
    let db = Database::new(release, space, from, more);
    db.train(to);
    let report = db.migrate().succeeds().json();
    assert_eq!(report["plan"]["target"]["dimension"], to);

    // What must be there now, computed by another path: the vector file through `apply`.
    let projection = db.projection();
    db.run(&[
        "apply",
        "--projection",
        &projection,
        "--input",
        "made/truth/docs.npy",
        "--output",
        "expected.npy",
    ])
    .succeeds();
    let expected = db.path().join("expected.npy").display().to_string();
    db.check("docs.json", &["--vectors", &expected]);
    for neighbour in ["extra0.json", "extra1.json", "other.json"] {
        db.check(neighbour, &["--read-only-checks"]);
    }

    let verified = db.run(&["verify", "--store", "made/db", "--collection", "docs", "--json"]).succeeds();
    assert_eq!(verified.json()["changes"]["added"], 0);

    let migration = report["migration"].as_str().unwrap();
    let back = db.run(&["rollback", "--store", "made/db", "--migration", migration, "--json"]).succeeds();
    assert_eq!(back.json()["dimension"], from);
    db.check("docs.json", &["--tol", "2e-7"]);
}

const NEIGHBOURS: [&str; 4] = ["--extra", "2", "--tenant-db", "--interleave"];

#[test]
fn there_and_back_1_0_20_up() {
    there_and_back("1.0.20", "cosine", 24, 40, &NEIGHBOURS);
}

#[test]
fn there_and_back_1_0_20_down() {
    there_and_back("1.0.20", "l2", 40, 16, &NEIGHBOURS);
}

#[test]
fn there_and_back_1_5_9_up() {
    there_and_back("1.5.9", "ip", 24, 64, &NEIGHBOURS);
}

#[test]
fn there_and_back_1_5_9_down() {
    there_and_back("1.5.9", "cosine", 48, 24, &NEIGHBOURS);
}

/// Rows that Chroma itself answers a few fixed queries with.
fn answers(db: &Path) -> String {
    python("1.5.9", "answers.py", &[db.as_os_str(), "tldr".as_ref()]).succeeds().stdout
}

/// The demo database, migrated with the projection that ships.
fn migrated_demo() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
    let args = [
        "migrate-collection",
        "--store",
        "db",
        "--collection",
        "tldr",
        "--projection",
        "all-minilm-l6-v2--static-256",
        "--yes",
        "--json",
    ];
    let report = embedport(folder.path(), &args).succeeds().json();
    let migration = report["migration"].as_str().unwrap().to_owned();
    (folder, migration)
}

#[test]
fn rollback_gives_back_the_same_vectors_and_answers() {
    let folder = TempDir::new().unwrap();
    copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
    let before = answers(&folder.path().join("db"));
    let (folder, migration) = migrated_demo();
    let between = answers(&folder.path().join("db"));
    assert_ne!(before, between);
    embedport(folder.path(), &["rollback", "--store", "db", "--migration", &migration]).succeeds();
    assert_eq!(before, answers(&folder.path().join("db")));
}

#[test]
fn records_that_came_since_are_not_lost_silently() {
    let (folder, migration) = migrated_demo();
    let db = folder.path().join("db");
    python("1.5.9", "add_records.py", &[db.as_os_str(), "tldr".as_ref(), "5".as_ref()]).succeeds();
    let rollback = ["rollback", "--store", "db", "--migration", &migration];
    embedport(folder.path(), &rollback).fails(8, "5 records were added");
    let verified = embedport(folder.path(), &["verify", "--store", "db", "--collection", "tldr", "--json"]);
    assert_eq!(verified.succeeds().json()["changes"]["added"], 5);

    let mut keep = rollback.to_vec();
    keep.extend(["--since", "keep", "--reverse-projection", "static-256--all-minilm-l6-v2", "--json"]);
    let kept = embedport(folder.path(), &keep).succeeds().json();
    assert_eq!(kept["kept"], 5);
    assert_eq!(kept["dimension"], 384);
    let found = python("1.5.9", "answers.py", &[db.as_os_str(), "tldr".as_ref()]).succeeds().stdout;
    assert!(found.contains("\"added\": 5"), "{found}");
}

#[test]
fn dropping_later_records_restores_exactly() {
    let original = TempDir::new().unwrap();
    copy_folder(&root().join("assets/demo/chroma"), &original.path().join("db"));
    let before = answers(&original.path().join("db"));
    let (folder, migration) = migrated_demo();
    let db = folder.path().join("db");
    python("1.5.9", "add_records.py", &[db.as_os_str(), "tldr".as_ref(), "5".as_ref()]).succeeds();
    let drop = ["rollback", "--store", "db", "--migration", &migration, "--since", "drop"];
    embedport(folder.path(), &drop).succeeds();
    assert_eq!(before, answers(&db));
}

/// A map in the wrong direction between spaces of one dimension, forced past every check of the source.
#[test]
fn a_reversed_projection_is_refused_and_if_forced_found_out() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let out = at("made").display().to_string();
    // Records and training pairs share texts: the held-out ones are the questions.
    python("1.5.9", "two_models.py", &[out.as_str()]).succeeds();
    let run = |args: &[&str]| embedport(folder.path(), args);
    let pair = |source: &str, target: &str| {
        let s = format!("test/{source},path=made/{source}.jsonl");
        let t = format!("test/{target},path=made/{target}.jsonl");
        run(&[
            "train",
            "--source-model",
            &s,
            "--target-model",
            &t,
            "--source-provider",
            "precomputed",
            "--target-provider",
            "precomputed",
            "--texts",
            "made/texts.jsonl",
            "--json",
        ])
        .succeeds()
        .json()["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let forward = pair("alpha", "beta");
    let reversed = pair("beta", "alpha");
    let migrate = |projection: &str, more: &[&str]| {
        let mut args = vec![
            "migrate-collection",
            "--store",
            "made/db",
            "--collection",
            "docs",
            "--projection",
            projection,
            "--yes",
            "--json",
        ];
        args.extend(more);
        run(&args)
    };
    let before = contents(&at("made/db"));
    migrate(&reversed, &["--source-model", "test/alpha"]).fails(4, "reverse direction");
    migrate(&reversed, &[]).fails(4, "do not look like");
    migrate(&reversed, &["--accept-unrecognised-vectors"]).fails(7, "recall@1");
    let untouched = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<_> {
        files.into_iter().filter(|(p, _)| !p.starts_with(".embedport")).collect()
    };
    assert!(untouched(before) == untouched(contents(&at("made/db"))), "the database was changed");

    let report = migrate(&forward, &[]).succeeds().json();
    let checks = report["verification"]["checks"].as_array().unwrap();
    let direction = checks.iter().find(|c| c["name"].as_str().unwrap().starts_with("recall@1")).unwrap();
    assert!(direction["measured"].as_f64().unwrap() >= 0.95, "{direction}");
}
