//! Changes, crashes, failures and locks around the rewriting of collections that real chromadb made; real
//! chromadb says what is in them. That every release in every state is rewritten well is for the matrix.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use embedport::error::Kind;
use embedport::platform::fault;
use embedport::store::{Changes, IndexWay, Since, VectorStore};
use support::{Made, collection, contents, copy_folder, count_and_fail, rewrite, run};

#[test]
fn changes_after_a_migration_are_counted_refused_and_dropped() {
    for release in ["0.4.24", "0.5.23", "0.6.3", "1.0.20", "1.5.9"] {
        let lists: &[&str] = if release == "1.5.9" { &["--lists"] } else { &[] };
        let state = ["--n", "260", "--sync-threshold", "100", "--tail", "20", "--space", "cosine"];
        let made = Made::new(release, &[&state, lists].concat());
        let before = made.dump("before.json");
        let mut store = made.open();
        let rewritten = rewrite(store.as_mut(), "docs", "m1", 40);
        let digest = store.content_digest(&collection(store.as_ref(), "docs")).expect("digest");
        run(release, "act.py", &["change", made.database().to_str().expect("text"), "docs"]);
        let changes = store.changes_since(&rewritten.backup).expect("known");
        assert_eq!(changes, Changes { added: 3, removed: 2, updated: 4 });

        let refused = store.restore(&rewritten.backup, Since::Refuse).expect_err("changed");
        assert_eq!(refused.kind(), Kind::Refused);
        assert!(refused.message().contains("3 records added, 2 removed, 4 updated"), "{refused}");
        assert!(store.is_current(&collection(store.as_ref(), "docs").id, "m1").expect("known"));

        store.restore(&rewritten.backup, Since::Drop).expect("restored");
        assert_eq!(store.content_digest(&collection(store.as_ref(), "docs")).expect("digest"), digest);
        assert!(made.dump("after.json") == before, "Chroma does not give what it gave before");
        made.check("docs", None, &["--bulk", "300"]);
    }
}

#[test]
fn two_migrations_are_rolled_back_in_their_order() {
    let made = Made::new("1.5.9", &["--n", "200", "--sync-threshold", "50"]);
    let before = contents(&made.database());
    let mut store = made.open();
    let first = rewrite(store.as_mut(), "docs", "m1", 40);
    let second = rewrite(store.as_mut(), "docs", "m2", 20);
    let refused = store.restore(&first.backup, Since::Refuse).expect_err("m2 lies above");
    assert_eq!(refused.kind(), Kind::Refused);
    store.restore(&second.backup, Since::Refuse).expect("restored");
    let now = collection(store.as_ref(), "docs");
    assert_eq!((now.dimension, now.migration.as_deref()), (Some(40), Some("m1")));
    store.restore(&first.backup, Since::Refuse).expect("restored");
    assert!(contents(&made.database()) == before);
}

#[test]
fn a_live_chroma_process_keeps_everybody_out() {
    for release in ["0.4.24", "1.5.9"] {
        held_by(release);
    }
}

fn held_by(release: &'static str) {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let made = Made::new(release, &["--n", "50"]);
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/act.py");
    let mut holder = Command::new(support::python(release))
        .stderr(Stdio::null())
        .arg(script)
        .args(["hold", made.database().to_str().expect("text"), "docs"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("ready");
    assert_eq!(line.trim(), "ready");
    let before = contents(&made.database());
    let mut store = made.open();
    let docs = collection(store.as_ref(), "docs");
    let target = support::target(&made.database(), "m1", 8);
    let refused = store.rewrite(&docs, &target).map(drop).expect_err("held");
    drop(holder.stdin.take());
    holder.wait().expect("ends");
    assert_eq!(refused.kind(), Kind::Locked);
    assert!(refused.message().contains(&format!("python act.py (process {})", holder.id())), "{refused}");
    assert!(contents(&made.database()) == before);
    store.rewrite(&docs, &target).map(drop).expect("free again");
    assert!(contents(&made.database()) == before, "a dropped rewrite changes nothing");
}

#[test]
fn a_write_that_fails_at_any_step_changes_nothing() {
    let made = Made::new("1.5.9", &["--n", "120", "--sync-threshold", "50", "--tail", "7"]);
    let before = contents(&made.database());
    for fail_at in 0.. {
        let mut store = made.open();
        let reached = count_and_fail(fail_at);
        let outcome = try_rewrite(store.as_mut());
        fault::install(None);
        let done = reached.get() <= fail_at;
        let committed = store.is_current(&collection(store.as_ref(), "docs").id, "m1").expect("known");
        if done {
            assert!(outcome.is_ok() && committed, "{outcome:?}");
            assert!(fail_at > 6, "only {fail_at} steps can fail");
            break;
        }
        // Steps after the commit are tidying: their failure is not the rewrite's.
        assert_eq!(outcome.is_ok(), committed, "step {fail_at}");
        if let Err(error) = outcome {
            assert!(matches!(error.kind(), Kind::CannotWrite | Kind::Io), "step {fail_at}: {error:?}");
            assert!(contents(&made.database()) == before, "step {fail_at}");
        } else {
            let backup =
                serde_json::from_slice(&std::fs::read(backup_file(&made)).expect("kept")).expect("JSON");
            store.restore(&backup, Since::Refuse).expect("restored");
            assert!(contents(&made.database()) == before, "step {fail_at}");
        }
        let _ = std::fs::remove_dir_all(made.database().join(".embedport"));
    }
}

fn backup_file(made: &Made) -> std::path::PathBuf {
    made.folder.path().join("backup.json")
}

/// A rewrite that gives errors back; the backup's description goes beside the database.
fn try_rewrite(store: &mut dyn VectorStore) -> embedport::error::Result<()> {
    let description = store.describe()?;
    let docs = collection(store, "docs");
    let target = support::target(&description.path, "m1", 24);
    let map = support::map(docs.dimension.expect("records"), 24);
    let mut rewrite = store.rewrite(&docs, &target)?;
    let saved = rewrite.transform(&support::Mapping::new(map), &mut |_, _| {}, &support::context())?;
    let file = description.path.join("../../backup.json");
    std::fs::write(file, serde_json::to_vec(&saved.backup).expect("JSON")).expect("written");
    rewrite.seal(IndexWay::Rebuilt, &support::context())?;
    rewrite.commit()
}

/// The same test in a child process ends itself at a given step.
const CRASH_AT: &str = "EMBEDPORT_TEST_CRASH_AT";
const CRASH_IN: &str = "EMBEDPORT_TEST_CRASH_IN";

#[test]
fn a_process_killed_at_any_step_leaves_old_or_new() {
    if let (Ok(at), Some(database)) = (std::env::var(CRASH_AT), std::env::var_os(CRASH_IN)) {
        crash_at(at.parse().expect("number"), std::path::Path::new(&database));
        return;
    }
    for (release, journal) in [("1.5.9", "delete"), ("0.4.24", "wal")] {
        killed_at_any_step(release, journal);
    }
}

fn killed_at_any_step(release: &'static str, journal: &str) {
    let state = ["--n", "150", "--sync-threshold", "60", "--tail", "9", "--deletes", "4"];
    let made = Made::new(release, &[&state, &["--journal", journal][..]].concat());
    let before = contents(&made.database());
    let details = {
        let mut store = made.open();
        let docs = collection(store.as_ref(), "docs");
        let rewrite = store.rewrite(&docs, &support::target(&made.database(), "m1", 24)).expect("free");
        rewrite.sweep_details()
    };
    let (mut old, mut new) = (0, 0);
    for step in 0.. {
        let child = std::process::Command::new(std::env::current_exe().expect("known"))
            .args(["--exact", "a_process_killed_at_any_step_leaves_old_or_new"])
            .env(CRASH_AT, step.to_string())
            .env(CRASH_IN, made.database())
            .output()
            .expect("runs");
        // Asked before anything opens the database and rolls it back or forward.
        let log = |name: &&str| made.database().join(format!("chroma.sqlite3-{name}")).exists();
        let hot = ["journal", "wal"].iter().any(log);
        let mut store = made.open();
        let docs = collection(store.as_ref(), "docs");
        if child.status.success() {
            assert!(old > 6 && new > 0, "{old} steps before the commit, {new} after");
            break;
        }
        if !store.is_current(&docs.id, "m1").expect("known") {
            old += 1;
            let after = contents(&made.database());
            assert!(after.0 == before.0, "step {step}: rows, journal left: {hot}");
            assert!(
                before.1.iter().all(|(path, bytes)| after.1.get(path) == Some(bytes)),
                "step {step}: files"
            );
            if hot || step % 5 == 0 {
                made.check("docs", None, &["--read-only-checks"]);
            }
            store.sweep("m1", &details).expect("swept");
            assert!(contents(&made.database()) == before, "step {step}: something is left");
        } else {
            new += 1;
            let backup: embedport::store::Backup =
                serde_json::from_slice(&std::fs::read(backup_file(&made)).expect("kept")).expect("JSON");
            if new % 2 == 0 {
                store.sweep("m1", &backup.details).expect("tidied");
            }
            let dimension = collection(store.as_ref(), "docs").dimension;
            assert_eq!(dimension, Some(24));
            store.restore(&backup, Since::Refuse).expect("restored");
            assert!(contents(&made.database()) == before, "step {step}");
            made.check("docs", None, &["--read-only-checks"]);
        }
        let _ = std::fs::remove_dir_all(made.database().join(".embedport"));
    }
}

fn crash_at(step: usize, database: &std::path::Path) {
    let mut store = embedport::store::open(database.to_str().expect("text")).expect("open");
    let mut reached = 0;
    fault::install(Some(Box::new(move |_| {
        reached += 1;
        if reached > step {
            std::process::abort();
        }
        Ok(())
    })));
    try_rewrite(store.as_mut()).expect("not stopped");
}

#[test]
fn the_embedding_function_follows_the_model() {
    for release in ["1.0.20", "1.5.9"] {
        let folder = tempfile::tempdir().expect("folder");
        let database = folder.path().join("db");
        let path = database.to_str().expect("text");
        run(release, "act.py", &["functions", path]);
        let mut store = embedport::store::open(path).expect("open");
        let model = |store: &dyn VectorStore, name| collection(store, name).configured_model;
        assert_eq!(
            model(store.as_ref(), "default").as_deref(),
            Some("sentence-transformers/all-MiniLM-L6-v2")
        );
        assert_eq!(
            model(store.as_ref(), "library").as_deref(),
            Some("sentence-transformers/paraphrase-MiniLM-L3-v2")
        );
        assert_eq!(model(store.as_ref(), "none"), None);
        let before = contents(&database);
        let move_to = |store: &mut dyn VectorStore, name: &str, model: &str, dimension: usize| {
            let docs = collection(store, name);
            let mut target = support::target(&database, &format!("{name}-{dimension}"), dimension);
            target.space.model = model.to_owned();
            let mut rewrite = store.rewrite(&docs, &target).expect("free");
            let mut look = |_: &str, text: &str| assert!(text.starts_with("text "));
            let map = support::Mapping::new(support::map(8, dimension));
            let saved = rewrite.transform(&map, &mut look, &support::context()).expect("done");
            rewrite.seal(IndexWay::Rebuilt, &support::context()).expect("sealed");
            rewrite.commit().expect("committed");
            saved.backup
        };
        let get = |name: &str| -> serde_json::Value {
            let copy = folder.path().join(format!("copy-{name}"));
            let _ = std::fs::remove_dir_all(&copy);
            copy_folder(&database, &copy);
            serde_json::from_str(&run(release, "act.py", &["get", copy.to_str().expect("text"), name]))
                .expect("JSON")
        };
        let backups = [
            move_to(store.as_mut(), "library", "sentence-transformers/all-MiniLM-L6-v2", 384),
            move_to(store.as_mut(), "default", "acme/unheard-of", 12),
            move_to(store.as_mut(), "none", "sentence-transformers/all-MiniLM-L6-v2", 384),
        ];
        assert_eq!(get("library")["function"]["name"], "default");
        assert_eq!(get("library")["count"], 30);
        assert!(get("default")["function"]["name"] != "sentence_transformer", "{}", get("default"));
        assert_eq!(model(store.as_ref(), "default"), None);
        assert_eq!(model(store.as_ref(), "none"), None);
        for backup in backups.iter().rev() {
            store.restore(backup, Since::Refuse).expect("restored");
        }
        assert!(contents(&database) == before, "some row or file is not as it was");
        move_to(store.as_mut(), "default", "openai/text-embedding-3-small", 12);
        move_to(store.as_mut(), "library", "sentence-transformers/all-mpnet-base-v2", 16);
        // Real Chroma accepts the entries as far as the packages behind them go.
        let error = get("library").to_string();
        assert!(
            error.contains("sentence_transformers python package is not installed")
                || error.contains("mpnet"),
            "{error}"
        );
        let error = get("default").to_string();
        assert!(error.contains("openai"), "{error}");
    }
}

/// So many that what was read is kept in memory: nobody may be shown what is no longer there.
#[test]
fn a_large_collection_is_read_again_once_somebody_wrote_to_it() {
    let made = Made::new("1.5.9", &["--n", "100100", "--dim", "4", "--batch-size", "5000"]);
    let store = made.open();
    let read = |store: &dyn VectorStore| {
        let of = collection(store, "docs");
        let all = std::sync::Mutex::new(Vec::new());
        let look = |batch: &embedport::store::Batch| {
            let rows = batch.ids.iter().zip(batch.vectors.rows());
            all.lock().expect("lock").extend(rows.map(|(id, vector)| (id.clone(), format!("{vector}"))));
            Ok(())
        };
        store.each(&of, &look).expect("read");
        let mut all = all.into_inner().expect("lock");
        all.sort();
        all
    };
    let before = read(store.as_ref());
    assert!(before.len() >= 100_000, "{}", before.len());
    assert!(read(store.as_ref()) == before, "read twice, nothing written");
    run("1.5.9", "act.py", &["change", made.database().to_str().expect("text"), "docs"]);
    let after = read(store.as_ref());
    assert!(after != before && after == read(made.open().as_ref()), "what was read before is shown again");

    let mut store = store;
    let rewritten = rewrite(store.as_mut(), "docs", "m1", 6);
    assert_eq!(rewritten.sources.len(), after.len());
    let migrated = read(store.as_ref());
    assert!(migrated == read(made.open().as_ref()));
    store.restore(&rewritten.backup, Since::Refuse).expect("restored");
    assert!(read(store.as_ref()) == after && migrated != after);
}
