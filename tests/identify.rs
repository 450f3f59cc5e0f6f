//! `embedport identify` on a real Chroma database, with real models: all-MiniLM-L6-v2 and its 3-layer copy (both made by
//! `tests/setup.sh`), a static model of the same dimension made here, the bundled one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use common::*;
use embedport::context::{Cancel, Context, Silent};
use embedport::embed::{self, DeviceChoice, HubConfig, Options, Role};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

const RELEASE: &str = "1.5.9";
const RECORDS: usize = 100;
type Rows = Vec<Vec<f32>>;

/// One database for all tests, and what is in it.
struct Scene {
    folder: TempDir,
    ids: Vec<String>,
}

static SCENE: LazyLock<Scene> = LazyLock::new(Scene::new);

fn minilm(suffix: &str) -> PathBuf {
    let folder = std::env::var("EMBEDPORT_MINILM")
        .map_or_else(|_| root().join(".venv/models/all-MiniLM-L6-v2"), PathBuf::from);
    let folder = PathBuf::from(format!("{}{suffix}", folder.display()));
    assert!(folder.join("model.safetensors").is_file(), "no {}: run tests/setup.sh", folder.display());
    folder
}

/// A static model of 384 components: a random row for every remainder of a token's number.
fn make_static(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let assets = root().join("assets/models/static-256");
    std::fs::copy(assets.join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let config = r#"{"model_type": "model2vec", "normalize": true, "hidden_dim": 384}"#;
    std::fs::write(folder.join("config.json"), config).unwrap();
    let rows = 997;
    let values: Vec<u8> =
        Numbers(3).rows(1, rows * 384).concat().iter().flat_map(|x| x.to_le_bytes()).collect();
    let mapping: Vec<u8> = (0..40_000i32).flat_map(|i| (i % 997).to_le_bytes()).collect();
    let tensors = [
        ("embeddings", TensorView::new(Dtype::F32, vec![rows, 384], &values).unwrap()),
        ("mapping", TensorView::new(Dtype::I32, vec![40_000], &mapping).unwrap()),
    ];
    let bytes = safetensors::serialize(tensors, None).unwrap();
    std::fs::write(folder.join("model.safetensors"), bytes).unwrap();
}

/// What a model makes of the texts.
fn embedded(spec: &str, texts: &[String]) -> Rows {
    let cancel = Cancel::new();
    let context = Context {
        seed: 1,
        progress: &Silent,
        cancel: &cancel,
        now: &|| jiff::Timestamp::UNIX_EPOCH,
        entropy: &|| [7; 16],
    };
    let hub = HubConfig::from_lookup(&|name| (name == "HF_HUB_OFFLINE").then(|| "1".to_owned()));
    let options = Options { device: DeviceChoice::Cpu, hub, threads: 0 };
    let model = embed::open(&spec.parse().unwrap(), None, &options, &context).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let rows = model.embed(&texts, Role::Document, &context).unwrap();
    rows.rows().into_iter().map(|row| row.to_vec()).collect()
}

/// Rounded to the 11 significant bits of half precision.
fn halved(rows: &Rows) -> Rows {
    let half = |x: f32| f32::from_bits((x.to_bits() + 0x1000) & !0x1fff);
    rows.iter().map(|row| row.iter().map(|x| half(*x)).collect()).collect()
}

/// Rounded to `levels` steps on each side of zero, one scale for each vector.
fn quantised(rows: &Rows, levels: f32) -> Rows {
    let quantise = |row: &Vec<f32>| {
        let scale = row.iter().fold(0f32, |a, b| a.max(b.abs())) / levels;
        row.iter().map(|x| (x / scale).round() * scale).collect()
    };
    rows.iter().map(quantise).collect()
}

/// Rows whose vectors another model made.
fn minority() -> BTreeSet<usize> {
    (0..RECORDS).filter(|i| i % 10 == 7).collect()
}

fn mixed(one: &Rows, other: &Rows) -> Rows {
    let pick = |i: usize| if minority().contains(&i) { other[i].clone() } else { one[i].clone() };
    (0..RECORDS).map(pick).collect()
}

impl Scene {
    fn new() -> Scene {
        let folder = TempDir::new().unwrap();
        let here = folder.path();
        make_static(&here.join("static-384"));
        std::os::unix::fs::symlink(minilm(""), here.join("minilm")).unwrap();
        std::os::unix::fs::symlink(minilm("-3-layers"), here.join("three")).unwrap();
        // Eighty short texts and twenty that are longer; the longest of the fixture only cost time.
        let lines = std::fs::read_to_string(root().join("tests/fixtures/parity/texts.jsonl")).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let lines: Vec<&Value> = lines.iter().skip(20).take(RECORDS).collect();
        let texts: Vec<String> = lines.iter().map(|l| l["text"].as_str().unwrap().to_owned()).collect();
        let ids: Vec<String> = (0..RECORDS).map(|i| format!("record-{i}")).collect();

        let at = |name: &str, more: &str| format!("lab/{name},path={}{more}", here.join(name).display());
        let plain = embedded(&at("minilm", ""), &texts);
        let three_cls = embedded(&at("three", ",pooling=cls"), &texts);
        let collections = BTreeMap::from([
            ("minilm", plain.clone()),
            ("minilm-cls", embedded(&at("minilm", ",pooling=cls"), &texts)),
            ("minilm-query", embedded(&at("minilm", ",document_prompt=query: "), &texts)),
            ("minilm-raw", embedded(&at("minilm", ",normalised=false"), &texts)),
            ("three", embedded(&at("three", ""), &texts)),
            ("three-cls", three_cls.clone()),
            ("static-384", embedded(&at("static-384", ""), &texts)),
            ("half", halved(&plain)),
            ("eight-bits", quantised(&plain, 127.0)),
            ("four-bits", quantised(&plain, 7.0)),
            ("mixed", mixed(&plain, &three_cls)),
            ("bundled", embedded(embed::BUNDLED_NAME, &texts)),
            ("foreign", another_space(&plain, 384, &mut Numbers(9))),
        ]);
        let manifest: Vec<Value> = collections
            .iter()
            .map(|(name, rows)| {
                let file = here.join(format!("{name}.npy"));
                write_npy(&file, rows);
                serde_json::json!({ "name": name, "ids": ids, "texts": texts, "vectors": file })
            })
            .collect();
        std::fs::write(here.join("manifest.json"), Value::from(manifest).to_string()).unwrap();
        let path = |name: &str| here.join(name).display().to_string();
        python(RELEASE, "shelve.py", &[path("db"), path("manifest.json")]).succeeds();
        Scene { folder, ids }
    }

    /// Asks about a collection, with these candidates.
    fn identify(&self, collection: &str, candidates: &[&str], more: &[&str]) -> Outcome {
        let mut arguments =
            vec!["identify", "--store", "db", "--collection", collection, "--json", "--quiet"];
        candidates.iter().for_each(|candidate| arguments.extend(["--candidate", candidate]));
        arguments.extend(more);
        embedport(self.folder.path(), &arguments)
    }
}

const ALL: [&str; 4] = ["./minilm", "./three", "./static-384", "embedport/static-256"];

#[track_caller]
fn first(outcome: &Outcome) -> (String, Value) {
    let document = outcome.json();
    (document["parts"][0]["declaration"].as_str().unwrap().to_owned(), document)
}

#[test]
fn the_right_model_in_the_right_way_is_named_out_of_many() {
    for (collection, wanted) in [
        ("minilm", "minilm,path=./minilm"),
        ("minilm-cls", "minilm,path=./minilm,pooling=cls"),
        ("minilm-query", "minilm,path=./minilm,document_prompt=query: "),
        ("minilm-raw", "minilm,path=./minilm,normalised=false"),
        ("three", "three,path=./three"),
        ("three-cls", "three,path=./three,pooling=cls"),
        ("static-384", "static-384,path=./static-384"),
        ("half", "minilm,path=./minilm"),
        ("eight-bits", "minilm,path=./minilm"),
    ] {
        let outcome = SCENE.identify(collection, &ALL, &[]);
        assert_eq!(outcome.code, 0, "{collection}: {} {}", outcome.stdout, outcome.stderr);
        let (declaration, document) = first(&outcome);
        assert_eq!(declaration, wanted, "{collection}");
        assert_eq!(document["verdict"], "identified");
        assert_eq!(
            (&document["rows"], &document["parts"][0]["rows"]),
            (&50.into(), &50.into()),
            "{collection}"
        );
        let tried = document["tried"].as_array().unwrap();
        assert!(tried.len() >= 6, "{collection}: only {} ways", tried.len());
        let median = |i: usize| tried[i]["median_cosine"].as_f64().unwrap();
        println!("{collection}: {} ways, best {:.6}, next {:.4}", tried.len(), median(0), median(1));
        let left = &document["left_out"][0];
        assert!(left["reason"].as_str().unwrap().contains("256 components"), "{left}");
    }
}

/// Sampled rows by what made them.
fn rows_by_part(document: &Value) -> HashMap<String, BTreeSet<String>> {
    let part = |part: &Value| {
        let ids = part["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        (part["declaration"].as_str().unwrap().to_owned(), ids)
    };
    document["parts"].as_array().unwrap().iter().map(part).collect()
}

#[test]
fn a_tenth_made_by_another_model_is_found_row_by_row() {
    let foreign: BTreeSet<String> = minority().iter().map(|i| SCENE.ids[*i].clone()).collect();
    let all = SCENE.identify("mixed", &ALL, &["--samples", "100"]);
    assert_eq!(all.code, 27, "{}", all.stderr);
    let parts = rows_by_part(&all.json());
    assert_eq!(parts["three,path=./three,pooling=cls"], foreign);
    assert_eq!((parts["minilm,path=./minilm"].len(), parts.len()), (RECORDS - foreign.len(), 2));

    let some = SCENE.identify("mixed", &ALL, &[]);
    assert_eq!(some.code, 27);
    let document = some.json();
    let found = &rows_by_part(&document)["three,path=./three,pooling=cls"];
    assert!(!found.is_empty() && found.is_subset(&foreign), "{found:?}");
    let part = &document["parts"][1];
    assert!(part["low"].as_f64().unwrap() <= 0.1 && part["high"].as_f64().unwrap() >= 0.1, "{part}");

    let without = SCENE.identify("mixed", &["./minilm"], &["--samples", "100"]);
    assert_eq!(without.code, 27);
    assert_eq!(rows_by_part(&without.json())["unknown"], foreign);
}

#[test]
fn where_no_candidate_fits_none_is_named() {
    for (collection, candidates) in
        [("three-cls", &["./minilm", "./static-384"]), ("foreign", &["./minilm", "./three"])]
    {
        let outcome = SCENE.identify(collection, candidates, &[]);
        assert_eq!(outcome.code, 26, "{collection}: {}", outcome.stdout);
        let document = outcome.json();
        assert_eq!(
            (&document["verdict"], &document["parts"][0]["declaration"]),
            (&"none_fits".into(), &"unknown".into())
        );
        assert_eq!(document["near"], Value::Null, "{collection}");
    }
}

#[test]
fn coarse_storage_is_near_its_model_and_not_called_the_same() {
    let outcome = SCENE.identify("four-bits", &ALL, &[]);
    assert_eq!(outcome.code, 26, "{}", outcome.stdout);
    let document = outcome.json();
    assert_eq!((&document["tried"][0]["verdict"], &document["near"][0]), (&"near".into(), &0.into()));
    assert_eq!(document["tried"][0]["declaration"], "minilm,path=./minilm");
}

#[test]
fn the_bundled_model_is_found_unnamed_and_detect_uses_it() {
    let here = SCENE.folder.path();
    let (declaration, _) = first(&SCENE.identify("bundled", &[], &[]).succeeds());
    assert_eq!(declaration, embed::BUNDLED_NAME);
    let detect = |more: &[&str]| {
        embedport(
            here,
            &[&["detect", "--store", "db", "--collection", "bundled", "--expect-model"], more].concat(),
        )
    };
    let unasked = detect(&[embed::BUNDLED_NAME]);
    assert_eq!(unasked.code, 22);
    assert!(unasked.stdout.contains("--identify"), "{}", unasked.stdout);
    let found = detect(&[embed::BUNDLED_NAME, "--identify"]);
    assert!(found.stdout.contains("50 of 50 vectors"), "{}", found.stdout);
    assert_eq!(found.code, 0);
    assert_eq!(detect(&["some/other", "--identify"]).code, 21);
}

#[test]
fn train_says_which_way_of_the_declared_model_made_the_vectors() {
    let train = |source: &str| {
        let target = embed::BUNDLED_NAME;
        let arguments = [
            "train",
            "--from",
            "db",
            "--collection",
            "minilm-cls",
            "--target-model",
            target,
            "--samples",
            "60",
        ];
        embedport(SCENE.folder.path(), &[&arguments[..], &["--source-model", source]].concat())
    };
    let declared = train("./minilm").fails(4, "0 of 8 agree");
    assert!(
        declared.stderr.contains("--source-model 'minilm,path=./minilm,pooling=cls'"),
        "{}",
        declared.stderr
    );
    train("minilm,path=./minilm,pooling=cls").succeeds();
    let other = train("./three").fails(4, "0 of 8 agree");
    assert!(other.stderr.contains("embedport identify"), "{}", other.stderr);
}
