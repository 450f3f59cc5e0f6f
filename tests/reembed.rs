//! Texts embedded anew: all of a collection, the worst served, and those that came after a migration.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use common::*;
use embedport::context::{Cancel, Context};
use embedport::embed::{Embedder, Role};
use embedport::error::{Kind, Result};
use embedport::migration::{self, PlanOptions, ReEmbedOptions, ReEmbedPlan};
use embedport::space::Space;
use embedport::store::{self, VectorStore};
use ndarray::Array2;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

const MODEL: &str = "embedport/static-256";
const TLDR: &str = "--store chroma --collection tldr";

/// What `embedport demo` makes: a database of real Chroma with 2,000 texts, and a projection to the bundled model.
static DEMO: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    run(folder.path(), "demo --keep demo").succeeds();
    std::fs::remove_dir_all(folder.path().join("demo/chroma/.embedport")).unwrap();
    folder
});

fn demo() -> TempDir {
    let folder = TempDir::new().unwrap();
    copy_folder(&DEMO.path().join("demo"), folder.path());
    folder
}

fn run(folder: &Path, line: &str) -> Outcome {
    embedport(folder, &line.split_whitespace().collect::<Vec<_>>())
}

/// Vectors and texts by id.
fn records(store: &Path, collection: &str) -> HashMap<String, (Vec<f32>, String)> {
    let store = store::open(store.to_str().unwrap()).unwrap();
    let description = store.describe().unwrap();
    let of = store::find_collection(&description, collection, None).unwrap();
    let mut found = HashMap::new();
    let mut records = store.records(of, true).unwrap();
    while let Some(batch) = records.next_batch(1000).unwrap() {
        for ((id, vector), text) in batch.ids.into_iter().zip(batch.vectors.rows()).zip(batch.texts) {
            found.insert(id, (vector.to_vec(), text.unwrap_or_default()));
        }
    }
    found
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

/// Ids of records that have the vector that the bundled model gives their text.
fn own(records: &HashMap<String, (Vec<f32>, String)>) -> Vec<String> {
    let model = static_model();
    let (ids, texts): (Vec<_>, Vec<_>) = records.iter().map(|(id, (_, text))| (id, text.as_str())).unzip();
    let true_vectors = model.embed(&texts, Role::Document, &context()).unwrap();
    let is_own =
        |(id, row): &(&&String, ndarray::ArrayView1<f32>)| near(&records[**id].0, row.as_slice().unwrap());
    let mut own: Vec<String> =
        ids.iter().zip(true_vectors.rows()).filter(is_own).map(|(id, _)| (*id).clone()).collect();
    own.sort();
    own
}

#[test]
fn every_text_is_embedded_and_everything_comes_back() {
    let folder = demo();
    let store = folder.path().join("chroma");
    let before = contents(&store);
    let done =
        run(folder.path(), &format!("re-embed {TLDR} --target-model {MODEL} --yes --json")).succeeds().json();
    assert_eq!((&done["re_embedded"], &done["plan"]["re_embeds"]["rest"]), (&2000.into(), &"none".into()));
    let after = records(&store, "tldr");
    assert_eq!((after.len(), own(&after).len()), (2000, 2000));
    assert!(
        !std::fs::read_dir(store.join(".embedport"))
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with("embedded-") })
    );
    python("1.5.9", "act.py", &["touch", store.to_str().unwrap(), "tldr"]).succeeds();
    run(folder.path(), &format!("verify {TLDR}")).succeeds();
    run(folder.path(), &format!("re-embed {TLDR} --target-model {MODEL} --yes"))
        .fails(4, "embedded with that model already");
    run(folder.path(), "rollback --store chroma").succeeds();
    let back: Vec<_> =
        contents(&store).into_iter().filter(|(path, _)| !path.starts_with(".embedport")).collect();
    let vectors = |all: &[(PathBuf, Vec<u8>)]| -> Vec<_> {
        all.iter().filter(|(path, _)| path.ends_with("data_level0.bin")).cloned().collect()
    };
    assert!(vectors(&back) == vectors(&before));
}

#[test]
fn the_most_crowded_go_first_and_none_goes_twice() {
    let folder = demo();
    let store = folder.path().join("chroma");
    let entry = std::fs::read_dir(folder.path().join("projections")).unwrap().next().unwrap().unwrap();
    let map = format!("--projection {}", entry.path().display());
    let re_embed = |more: &str| {
        run(folder.path(), &format!("re-embed {TLDR} --target-model {MODEL} --yes --json {more}"))
    };
    re_embed("--percent 30").fails(2, "has to be projected");
    let done = re_embed(&format!("--percent 30 {map}")).succeeds().json();
    assert_eq!(
        (&done["re_embedded"], &done["plan"]["re_embeds"]["rest"]),
        (&600.into(), &"projected".into())
    );
    let mixed = records(&store, "tldr");
    let first = own(&mixed);
    assert_eq!(first.len(), 600);

    let done = re_embed("--percent 20").succeeds().json();
    assert_eq!((&done["re_embedded"], &done["plan"]["re_embeds"]["rest"]), (&400.into(), &"kept".into()));
    let more = records(&store, "tldr");
    let second = own(&more);
    assert!(second.len() == 1000 && first.iter().all(|id| second.contains(id)));
    assert!(
        more.iter().all(|(id, (vector, _))| second.contains(id) || near(vector, &mixed[id].0)),
        "the rest stays"
    );

    assert_eq!(
        re_embed("--percent 5").succeeds().json()["re_embedded"],
        100,
        "by the projection of two migrations ago"
    );
    run(folder.path(), "rollback --store chroma").succeeds();
    assert_eq!(re_embed("").succeeds().json()["re_embedded"], 1000);
    assert_eq!(own(&records(&store, "tldr")).len(), 2000);
    re_embed("").fails(4, "embedded with that model already");
    for _ in 0..3 {
        run(folder.path(), "rollback --store chroma").succeeds();
    }
}

#[test]
fn records_written_since_are_embedded_on_the_way_back() {
    let folder = demo();
    let store = folder.path().join("chroma");
    let minilm = std::env::var("EMBEDPORT_MINILM")
        .map_or_else(|_| root().join(".venv/models/all-MiniLM-L6-v2"), PathBuf::from);
    let minilm = format!("sentence-transformers/all-MiniLM-L6-v2,path={}", minilm.display());
    let before = records(&store, "tldr");
    run(folder.path(), &format!("migrate-collection {TLDR} --projection all-minilm-l6-v2--static-256 --yes"))
        .succeeds();
    python("1.5.9", "add_records.py", &[store.to_str().unwrap(), "tldr", "3"]).succeeds();
    run(folder.path(), "rollback --store chroma").fails(8, "3 records were added");
    run(folder.path(), "rollback --store chroma --since keep")
        .fails(2, "asks how later records get a vector");
    let wrong = format!("rollback --store chroma --since keep --source-model {MODEL}");
    run(folder.path(), &wrong).fails(4, "the way back is to");
    let line = format!("rollback --store chroma --since keep --json --source-model {minilm}");
    let done = run(folder.path(), &line).succeeds().json();
    assert_eq!((&done["kept"], &done["re_embedded"], &done["records"]), (&3.into(), &3.into(), &2003.into()));

    let after = records(&store, "tldr");
    for (id, (vector, text)) in &before {
        assert!(near(vector, &after[id].0) && *text == after[id].1, "{id}");
    }
    let options = embedport::embed::Options {
        device: embedport::embed::DeviceChoice::Cpu,
        hub: embedport::embed::HubConfig::from_lookup(&|_| None),
        threads: 0,
    };
    let model = embedport::embed::open(&minilm.parse().unwrap(), None, &options, &context()).unwrap();
    for n in 0..3 {
        let (vector, text) = &after[&format!("added-{n}")];
        let wanted = model.embed(&[text.as_str()], Role::Document, &context()).unwrap();
        assert!(near(vector, wanted.as_slice().unwrap()), "added-{n}");
    }
    // That was a migration too: taken back, and then the first one.
    run(folder.path(), "rollback --store chroma").succeeds();
    run(folder.path(), "rollback --store chroma --since drop").succeeds();
    let back = records(&store, "tldr");
    assert!(back.len() == before.len() && before.iter().all(|(id, (vector, _))| *vector == back[id].0));
}

/// The bundled model; counts texts, and has something done before it embeds.
struct Watched<F>(Box<dyn Embedder>, AtomicUsize, F);

impl<F: Fn(usize) + Send + Sync> Embedder for Watched<F> {
    fn space(&self) -> &Space {
        self.0.space()
    }

    fn embed(&self, texts: &[&str], role: Role, context: &Context<'_>) -> Result<Array2<f32>> {
        (self.2)(self.1.fetch_add(texts.len(), Ordering::SeqCst));
        self.0.embed(texts, role, context)
    }
}

/// A SQLite file of `rows` texts with vectors of no model that is known.
fn file(folder: &Path, rows: usize) -> PathBuf {
    let path = folder.join("notes.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, embedding BLOB); BEGIN")
        .unwrap();
    for (row, vector) in Numbers(5).rows(rows, 24).iter().enumerate() {
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        let text = format!("note {row}: how to list the {} of a {}", row % 71, row % 13);
        connection.execute("INSERT INTO notes VALUES (?1, ?2, ?3)", (row as i64, text, bytes)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    path
}

fn plan(store: &dyn VectorStore, model: &dyn Embedder) -> ReEmbedPlan {
    let options = PlanOptions { collection: "notes".into(), ..PlanOptions::default() };
    let options = ReEmbedOptions { plan: options, percent: None };
    ReEmbedPlan::new(store, model.space(), None, &options, &context()).unwrap()
}

#[test]
fn a_run_that_is_stopped_is_not_paid_for_twice() {
    static CANCEL: Cancel = Cancel::new();
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 3000);
    let before = std::fs::read(&path).unwrap();
    let mut store = store::open(path.to_str().unwrap()).unwrap();
    let first = stop_after(1024, &CANCEL, store.as_mut());
    assert!(std::fs::read(&path).unwrap() == before, "nothing was written");

    let again = Watched(static_model(), AtomicUsize::new(0), |_| ());
    let planned = plan(store.as_ref(), &again);
    let report = migration::re_embed(planned, store.as_mut(), None, &again, &context()).unwrap();
    assert_eq!(report.re_embedded, Some(3000));
    // And 8 to see whether the model is the same, 100 to ask the result questions.
    let second = again.1.load(Ordering::SeqCst);
    assert!(second <= 3000 - 1024 + 108, "{first} and {second}");
    assert_eq!(own(&records(&path, "notes")).len(), 3000);
}

#[test]
fn texts_that_change_meanwhile_are_not_written_over() {
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 300);
    let mut store = store::open(path.to_str().unwrap()).unwrap();
    let other = Mutex::new(Connection::open(&path).unwrap());
    let edited = Watched(static_model(), AtomicUsize::new(0), |done| {
        if done == 0 {
            let sql = "UPDATE notes SET body = 'another text altogether' WHERE id = 7";
            other.lock().unwrap().execute(sql, []).unwrap();
        }
    });
    let planned = plan(store.as_ref(), &edited);
    let error = migration::re_embed(planned, store.as_mut(), None, &edited, &context()).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert_eq!(records(&path, "notes")["7"].0.len(), 24, "as it was");

    let planned = plan(store.as_ref(), &edited);
    migration::re_embed(planned, store.as_mut(), None, &edited, &context()).unwrap();
    let after = records(&path, "notes");
    assert_eq!((after["7"].1.as_str(), own(&after).len()), ("another text altogether", 300));
}

/// Runs until so many texts are embedded, and stops.
fn stop_after(texts: usize, cancel: &'static Cancel, store: &mut dyn VectorStore) -> usize {
    let stopped = Watched(static_model(), AtomicUsize::new(0), move |done| {
        if done >= texts {
            cancel.raise();
        }
    });
    let context = Context { cancel, ..context() };
    let planned = plan(store, &stopped);
    let error = migration::re_embed(planned, store, None, &stopped, &context).unwrap_err();
    assert!(
        error.is_interrupted() && error.hints().iter().any(|hint| hint.contains("goes on there")),
        "{error}"
    );
    stopped.1.load(Ordering::SeqCst)
}

/// The bundled model with its components the other way round: other weights of the same name.
struct Turned(Box<dyn Embedder>);

impl Embedder for Turned {
    fn space(&self) -> &Space {
        self.0.space()
    }

    fn embed(&self, texts: &[&str], role: Role, context: &Context<'_>) -> Result<Array2<f32>> {
        let mut vectors = self.0.embed(texts, role, context)?;
        vectors.invert_axis(ndarray::Axis(1));
        Ok(vectors.as_standard_layout().into_owned())
    }
}

/// Its model by the same name in capitals.
struct Shouted<'a>(Space, &'a dyn Embedder);

impl<'a> Shouted<'a> {
    fn new(model: &'a dyn Embedder) -> Self {
        let mut space = model.space().clone();
        space.model = space.model.to_uppercase();
        Shouted(space, model)
    }
}

impl Embedder for Shouted<'_> {
    fn space(&self) -> &Space {
        &self.0
    }

    fn embed(&self, texts: &[&str], role: Role, context: &Context<'_>) -> Result<Array2<f32>> {
        self.1.embed(texts, role, context)
    }
}

fn size(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|file| file.len())
}

#[test]
fn vectors_of_other_weights_are_not_mixed_in() {
    static CANCEL: Cancel = Cancel::new();
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 3000);
    let mut store = store::open(path.to_str().unwrap()).unwrap();
    stop_after(1024, &CANCEL, store.as_mut());
    let model = Turned(static_model());
    let planned = plan(store.as_ref(), &model);
    migration::re_embed(planned, store.as_mut(), None, &model, &context()).unwrap();
    let mut after = records(&path, "notes");
    after.values_mut().for_each(|(vector, _)| vector.reverse());
    assert_eq!(own(&after).len(), 3000);
}

#[test]
fn what_a_stopped_run_embedded_is_listed_and_goes_only_with_everything() {
    static CANCEL: Cancel = Cancel::new();
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 3000);
    let mut store = store::open(path.to_str().unwrap()).unwrap();
    stop_after(1024, &CANCEL, store.as_mut());
    let backups = |what: &str| run(folder.path(), &format!("backups {what} --store notes.db --json"));
    let kept = backups("list").succeeds().json();
    let [left] = kept["embedded"].as_array().unwrap().as_slice() else { panic!("{kept}") };
    assert_eq!(
        (&left["collection"], &left["model"], &left["texts"]),
        (&"notes".into(), &MODEL.into(), &1024.into())
    );
    let there = PathBuf::from(left["path"].as_str().unwrap());
    assert_eq!((left["bytes"].as_u64(), kept["bytes"].as_u64()), (size(&there), size(&there)));
    assert_eq!(backups("list --collection notes").succeeds().json()["embedded"], kept["embedded"]);

    for which in ["--keep-latest 0", "--collection notes"] {
        assert_eq!(
            backups(&format!("prune --yes {which}")).succeeds().json()["embedded"],
            json!([]),
            "{which}"
        );
    }
    backups("prune --all").fails(8, "needs a yes");
    assert_eq!(backups("prune --all --dry-run").succeeds().json()["embedded"], kept["embedded"]);
    assert!(there.exists());
    let report = backups("prune --all --yes").succeeds().json();
    assert_eq!((&report["embedded"], &report["bytes"]), (&kept["embedded"], &kept["bytes"]));
    assert!(!there.exists());
    assert_eq!(backups("list").succeeds().json()["embedded"], json!([]));
}

#[test]
fn what_the_collection_holds_is_not_kept_twice() {
    static CANCEL: Cancel = Cancel::new();
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 3000);
    let mut store = store::open(path.to_str().unwrap()).unwrap();
    stop_after(1024, &CANCEL, store.as_mut());
    let kept = run(folder.path(), "backups list --store notes.db --json").succeeds().json();
    let there = PathBuf::from(kept["embedded"][0]["path"].as_str().unwrap());
    let embedded = std::fs::read(&there).unwrap();
    let line = format!("re-embed --store notes.db --collection notes --target-model {MODEL} --yes");
    run(folder.path(), &line).succeeds();
    assert!(!there.exists());

    // As if it had died behind the commit; and what was embedded in another space of that model, for another day.
    std::fs::write(&there, &embedded).unwrap();
    let name = there.file_name().unwrap().to_str().unwrap();
    let space = name.split('-').nth(1).unwrap();
    let end = embedded.iter().position(|byte| *byte == b'\n').unwrap();
    let first = String::from_utf8(embedded[..end].to_vec()).unwrap().replace(space, "00000000");
    let other = there.with_file_name(name.replace(space, "00000000"));
    std::fs::write(&other, [first.as_bytes(), &embedded[end..]].concat()).unwrap();
    run(folder.path(), &format!("{line} --dry-run")).fails(4, "embedded with that model already");
    assert!(there.exists(), "who asks for a plan changes nothing");
    run(folder.path(), &line).fails(4, "embedded with that model already");
    assert!(!there.exists() && other.exists());
}

#[test]
fn texts_of_a_migration_that_was_followed_by_another_are_not_forgotten() {
    static CANCEL: Cancel = Cancel::new();
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 3000);
    let mut store = store::open(path.to_str().unwrap()).unwrap();
    let model = static_model();
    let planned = plan(store.as_ref(), model.as_ref());
    migration::re_embed(planned, store.as_mut(), None, model.as_ref(), &context()).unwrap();
    // Another program puts the vectors of before in their place.
    let other = TempDir::new().unwrap();
    std::fs::copy(file(other.path(), 3000), &path).unwrap();
    stop_after(1024, &CANCEL, store.as_mut());
    migration::recovery::finish(store.as_mut(), &context()).unwrap();
    let kept = run(folder.path(), "backups list --store notes.db --json").succeeds().json();
    assert_eq!(kept["embedded"][0]["texts"], 1024, "{kept}");
}

#[test]
fn another_spelling_of_the_model_goes_on_with_what_is_there() {
    static CANCEL: Cancel = Cancel::new();
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 3000);
    let mut store = store::open(path.to_str().unwrap()).unwrap();
    stop_after(1024, &CANCEL, store.as_mut());
    let model = Watched(static_model(), AtomicUsize::new(0), |_| ());
    let shouted = Shouted::new(&model);
    let planned = plan(store.as_ref(), &shouted);
    migration::re_embed(planned, store.as_mut(), None, &shouted, &context()).unwrap();
    let embedded = model.1.load(Ordering::SeqCst);
    // Those that were missing, and some to see whether the model still gives the same.
    assert!((3000 - 1024..2500).contains(&embedded), "{embedded} texts were embedded");
}

#[test]
fn a_plan_of_what_was_there_before_is_not_carried_out() {
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 200);
    let model = static_model();
    let mut store = store::open(path.to_str().unwrap()).unwrap();
    let planned = plan(store.as_ref(), model.as_ref());
    migration::re_embed(planned, store.as_mut(), None, model.as_ref(), &context()).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE notes SET body = 'other words' WHERE id = 3", [])
        .unwrap();
    let planned = plan(store.as_ref(), model.as_ref());
    run(folder.path(), "rollback --store notes.db --since drop").succeeds();
    let error = migration::re_embed(planned, store.as_mut(), None, model.as_ref(), &context()).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
}

#[test]
fn a_text_that_changed_is_embedded_again_and_no_other() {
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 200);
    let line = format!("re-embed --store notes.db --collection notes --target-model {MODEL} --yes --json");
    run(folder.path(), &line).succeeds();
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE notes SET body = 'other words' WHERE id = 3", [])
        .unwrap();
    assert_eq!(run(folder.path(), &line).succeeds().json()["re_embedded"], 1);
    assert_eq!(own(&records(&path, "notes")).len(), 200);
    run(folder.path(), &line).fails(4, "embedded with that model already");
}

#[test]
fn ids_that_are_written_alike_and_texts_that_say_nothing_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 60);
    let line = format!("re-embed --store notes.db --collection notes --target-model {MODEL} --yes");
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE notes SET body = '\u{1f44d}' WHERE id = 9", []).unwrap();
    run(folder.path(), &line).fails(8, "1 records have no text that the model can read: `9`");
    connection.execute("UPDATE notes SET body = '   ' WHERE id = 9", []).unwrap();
    run(folder.path(), &line).fails(8, "1 records have no text that the model can read: `9`");
    connection
        .execute_batch(
            "CREATE TABLE twins (id PRIMARY KEY, body TEXT, embedding BLOB);
             INSERT INTO twins SELECT id, body, embedding FROM notes WHERE id <> 9;
             INSERT INTO twins SELECT CAST(id AS TEXT), 'another: ' || body, embedding FROM notes WHERE id = 7",
        )
        .unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    run(folder.path(), &line.replace("--collection notes", "--collection twins")).fails(8, "are written `7`");
    assert!(std::fs::read(&path).unwrap() == before);
}

#[test]
fn what_cannot_be_embedded_is_said_before_anything_is_written() {
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), 60);
    let before = std::fs::read(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("UPDATE notes SET body = NULL WHERE id < 5").unwrap();
    drop(connection);
    let changed = std::fs::read(&path).unwrap();
    assert!(changed != before);
    let line = format!("re-embed --store notes.db --collection notes --target-model {MODEL} --yes");
    run(folder.path(), &line).fails(8, "5 of 60 records");
    run(folder.path(), &format!("{line} --percent 101")).fails_usage();
    run(folder.path(), &line.replace("--collection notes", "")).fails(2, "no collection is named");
    assert!(std::fs::read(&path).unwrap() == changed);
}

impl Outcome {
    fn fails_usage(&self) {
        assert_eq!(self.code, 2, "{}", self.stderr);
    }
}
