//! Several collections at once, and the choices about index and backup, through the program on a real database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod support;

use std::sync::OnceLock;

use common::*;
use embedport::context::{Cancel, Context, Progress};
use embedport::migration::{PlanOfAll, PlanOptions};
use embedport::registry::Registry;
use embedport::store::{BackupChoice, RewriteTarget};
use serde_json::Value;
use support::Made;

/// A projection from 24 to 40 components, fitted to pairs of a fixed dense map.
fn projection(folder: &std::path::Path) -> String {
    let source = Numbers(3).rows(400, 24);
    let map = support::map(24, 40);
    let target: Vec<Vec<f32>> = source
        .iter()
        .map(|row| ndarray::ArrayView1::from(row).dot(&map))
        .map(|row| (&row / row.dot(&row).sqrt()).to_vec())
        .collect();
    write_npy(&folder.join("source.npy"), &source);
    write_npy(&folder.join("target.npy"), &target);
    let line = "train --source-vectors source.npy --target-vectors target.npy --source-model test/a \
                --target-model test/b --json";
    let arguments: Vec<&str> = line.split_whitespace().collect();
    embedport(folder, &arguments).succeeds().json()["name"].as_str().unwrap().to_owned()
}

struct Scratch {
    made: Made,
    projection: String,
}

impl Scratch {
    /// `docs` and others of other spaces and dimensions in one file.
    fn new() -> Scratch {
        let more = ["--n", "260", "--dim", "24", "--sync-threshold", "100", "--extra", "3", "--empty"];
        let made = Made::new("1.5.9", &more);
        let projection = projection(made.folder.path());
        Scratch { made, projection }
    }

    fn run(&self, line: &str) -> Outcome {
        let database = self.made.database();
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        arguments.extend(["--store", database.to_str().unwrap()]);
        embedport(self.made.folder.path(), &arguments)
    }

    fn migrate(&self, line: &str) -> Outcome {
        let projection = &self.projection;
        self.run(&format!(
            "migrate-collection --projection {projection} --source-model test/a --accept-unrecognised-vectors {line}"
        ))
    }
}

#[test]
fn all_that_fit_are_migrated_and_the_others_named() {
    let s = Scratch::new();
    let before = s.run("inspect --json").succeeds().json();
    let fitting: Vec<&Value> =
        before["collections"].as_array().unwrap().iter().filter(|c| c["dimension"] == 24).collect();
    let total = before["collections"].as_array().unwrap().len();
    assert!(!fitting.is_empty() && fitting.len() < total);
    let plan = s.migrate("--all --dry-run --json").succeeds().json();
    assert_eq!(plan["plans"].as_array().unwrap().len(), fitting.len());
    assert_eq!(plan["skipped"].as_array().unwrap().len(), total - fitting.len());
    assert!(plan["skipped"].as_array().unwrap().iter().all(|c| !c["reason"].as_str().unwrap().is_empty()));
    let report = s.migrate("--all --yes --json").succeeds().json();
    assert_eq!(report["done"].as_array().unwrap().len(), fitting.len());
    let after = s.run("inspect --json").succeeds().json();
    for (then, now) in
        before["collections"].as_array().unwrap().iter().zip(after["collections"].as_array().unwrap())
    {
        let wanted = if then["dimension"] == 24 { &Value::from(40) } else { &then["dimension"] };
        assert_eq!(&now["dimension"], wanted, "{}", then["name"]);
        assert_eq!(now["count"], then["count"]);
    }
    s.migrate("--all --yes").fails(4, "fits none of the");
}

/// Asks to stop as soon as its first stage begins a second time: with the second collection.
#[derive(Default)]
struct Impatient {
    first: OnceLock<String>,
    cancel: Cancel,
}

impl Progress for Impatient {
    fn start(&self, stage: &str, _: Option<u64>, _: &'static str) {
        if self.first.get().is_some_and(|first| first == stage) {
            self.cancel.raise();
        }
        self.first.get_or_init(|| stage.to_owned());
    }
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
    fn note(&self, _: &str) {}
}

#[test]
fn a_stop_between_collections_is_reported_as_one() {
    let s = Scratch::new();
    let registry = Registry::open(s.made.folder.path().join("registry.json")).unwrap();
    let projection = registry.resolve(&s.projection).unwrap();
    let mut store = s.made.open();
    let options = PlanOptions {
        source_model: Some("test/a".into()),
        accept_unrecognised_vectors: true,
        ..PlanOptions::default()
    };
    let progress = Impatient::default();
    let entropy = || *uuid::Uuid::new_v4().as_bytes();
    let context =
        Context { progress: &progress, cancel: &progress.cancel, entropy: &entropy, ..support::context() };
    let plan = PlanOfAll::new(store.as_ref(), &projection, &options, &context).unwrap();
    let planned = plan.plans.len();
    let report = plan.execute(store.as_mut(), &projection, None, &context).unwrap();
    assert!(report.stopped && planned > 1, "{planned}");
    assert_eq!(report.done.len(), 1, "what was done stays done");
}

#[test]
fn a_part_of_a_collection_is_refused_with_the_reason() {
    let s = Scratch::new();
    s.migrate("--collection docs --filter tag=x --yes").fails(2, "all of its vectors share one space");
}

#[test]
fn a_full_backup_is_a_database_of_its_own() {
    let s = Scratch::new();
    let report = s.migrate("--collection docs --yes --json --backup full --index rebuild").succeeds().json();
    assert_eq!(report["index"]["way"], "rebuilt");
    let migration = report["migration"].as_str().unwrap();
    let folder = s.made.database().join(".embedport").join(migration).join("backup");
    let copy = rusqlite::Connection::open(folder.join("chroma.sqlite3")).unwrap();
    let dimension: i64 = copy
        .query_row("SELECT dimension FROM collections WHERE name = 'docs'", [], |row| row.get(0))
        .unwrap();
    let sound: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!((dimension, sound.as_str()), (24, "ok"));
    drop(copy);
    s.run("rollback --collection docs").succeeds();
}

#[test]
fn a_full_backup_does_not_let_go_of_the_lock() {
    let s = Scratch::new();
    let database = s.made.database();
    let mut store = s.made.open();
    let docs = support::collection(store.as_ref(), "docs");
    let target = RewriteTarget { backup: BackupChoice::Full, ..support::target(&database, "m", 40) };
    let mut rewrite = store.rewrite(&docs, &target).unwrap();
    let writes = || {
        let script =
            "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0.1).execute('BEGIN IMMEDIATE')";
        let mut other = std::process::Command::new(support::python("1.5.9"));
        other.args(["-c", script]).arg(database.join("chroma.sqlite3")).output().unwrap()
    };
    assert!(!writes().status.success());
    let map = support::Mapping::new(support::map(docs.dimension.unwrap(), 40));
    rewrite.transform(&map, &mut |_, _| {}, &support::context()).unwrap();
    let other = writes();
    assert!(String::from_utf8_lossy(&other.stderr).contains("locked"), "{other:?}");
    drop(rewrite);
    assert!(writes().status.success());
}

#[test]
fn a_kept_graph_is_reported_with_both_recalls() {
    let s = Scratch::new();
    let report = s.migrate("--collection docs --yes --json --index keep").succeeds().json();
    let index = &report["index"];
    assert!(index["way"] == "kept" || index["way"] == "repaired", "{index}");
    assert!(index["recall_before"].as_f64().unwrap() > 0.9 && index["recall_after"].as_f64().unwrap() > 0.8);
    s.run("verify --collection docs").succeeds();
}
