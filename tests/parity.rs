//! The vectors are those of the reference implementations, on 300 real texts of three lengths.
//!
//! Needs the weights of all-MiniLM-L6-v2 and its 3-layer copy: `tests/python/fetch_minilm.sh DEST` makes
//! them, `EMBEDPORT_MINILM` names another DEST than `.venv/models/all-MiniLM-L6-v2`.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::{Path, PathBuf};

use embedport::context::{Cancel, Context, Silent};
use embedport::embed::{self, DeviceChoice, Embedder, HubConfig, ModelSpec, Options, Role};
use embedport::vector_file::NpyReader;
use ndarray::{Array2, Axis, s};

static CANCEL: Cancel = Cancel::new();

fn now() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

fn entropy() -> [u8; 16] {
    [7; 16]
}

fn context() -> Context<'static> {
    Context { seed: 1, progress: &Silent, cancel: &CANCEL, now: &now, entropy: &entropy }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn minilm(suffix: &str) -> PathBuf {
    let folder = std::env::var("EMBEDPORT_MINILM")
        .map_or_else(|_| root().join(".venv/models/all-MiniLM-L6-v2"), PathBuf::from);
    let folder = PathBuf::from(format!("{}{suffix}", folder.display()));
    assert!(
        folder.join("model.safetensors").is_file(),
        "no weights in `{}`: run `tests/python/fetch_minilm.sh .venv/models/all-MiniLM-L6-v2`, or set \
         EMBEDPORT_MINILM to the folder that it made elsewhere",
        folder.display()
    );
    folder
}

fn open(spec: &ModelSpec) -> Box<dyn Embedder> {
    let hub = HubConfig::from_lookup(&|name| (name == "HF_HUB_OFFLINE").then(|| "1".to_owned()));
    let options = Options { device: DeviceChoice::Cpu, hub, threads: 0 };
    embed::open(spec, None, &options, &context()).unwrap()
}

fn open_folder(folder: &Path) -> Box<dyn Embedder> {
    open(&ModelSpec { name: "test/model".into(), path: Some(folder.to_owned()), ..ModelSpec::default() })
}

fn texts() -> Vec<String> {
    let lines = std::fs::read_to_string(root().join("tests/fixtures/parity/texts.jsonl")).unwrap();
    let text = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["text"].as_str().unwrap().to_owned()
    };
    lines.lines().map(text).collect()
}

fn reference(name: &str) -> Array2<f32> {
    NpyReader::open(&root().join("tests/fixtures/parity").join(name)).unwrap().read_all().unwrap()
}

fn embed_all(model: &dyn Embedder, texts: &[String]) -> Array2<f32> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    model.embed(&texts, Role::Document, &context()).unwrap()
}

fn minimum_cosine(a: &Array2<f32>, b: &Array2<f32>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let pairs = a.axis_iter(Axis(0)).zip(b.axis_iter(Axis(0)));
    pairs
        .map(|(x, y)| {
            let (x, y) = (x.to_vec(), y.to_vec());
            dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt()
        })
        .fold(f64::INFINITY, f64::min)
}

fn assert_parity(found: &Array2<f32>, name: &str, bound: f64) {
    let wanted = reference(name);
    for (length, rows) in [("short", 0..100), ("middle", 100..200), ("long", 200..300)] {
        let found = found.slice(s![rows.clone(), ..]).to_owned();
        let cosine = minimum_cosine(&found, &wanted.slice(s![rows, ..]).to_owned());
        println!("{name} {length}: minimum cosine {cosine:.8}");
        assert!(cosine >= bound, "{name}, {length} texts: minimum cosine {cosine} is below {bound}");
    }
    let norms = found.map_axis(Axis(1), |row| row.dot(&row).sqrt());
    assert!(norms.iter().all(|n| (n - 1.0).abs() < 1e-5));
}

#[test]
fn minilm_is_that_of_sentence_transformers() {
    let model = open_folder(&minilm(""));
    let space = model.space();
    assert_eq!((space.dimension, space.max_tokens, space.normalised), (384, Some(256), Some(true)));
    assert_eq!(space.pooling.as_deref(), Some("mean"));
    assert_eq!(space.document_prompt.as_deref(), Some(""));
    assert_parity(&embed_all(model.as_ref(), &texts()), "minilm.npy", 0.9999);
}

#[test]
fn its_three_layer_copy_is_that_of_sentence_transformers() {
    let model = open_folder(&minilm("-3-layers"));
    assert_parity(&embed_all(model.as_ref(), &texts()), "minilm-3-layers.npy", 0.9999);
}

#[test]
fn the_bundled_model_is_the_formula() {
    let model = open(&"embedport/static-256".parse().unwrap());
    assert_parity(&embed_all(model.as_ref(), &texts()), "static-256.npy", 0.99999);
}

/// The layout of model2vec without `mapping` and `weights`, float16, as most models have it.
#[test]
fn a_static_model_in_a_folder_is_the_formula() {
    let assets = root().join("assets/models/static-256");
    let folder = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "modules.json", "config.json"] {
        std::fs::copy(assets.join(name), folder.path().join(name)).unwrap();
    }
    let bytes = std::fs::read(assets.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let data = |name: &str| file.tensor(name).unwrap().data().to_vec();
    let (rows, mapping, weights) = (data("embeddings"), data("mapping"), data("weights"));
    let mut wide = Vec::new();
    for (row, weight) in mapping.as_chunks::<4>().0.iter().zip(weights.as_chunks::<4>().0) {
        let (row, weight) = (i32::from_le_bytes(*row) as usize, f32::from_le_bytes(*weight));
        for value in &rows[row * 256..(row + 1) * 256] {
            wide.extend_from_slice(&half::f16::from_f32(f32::from(*value as i8) * weight).to_le_bytes());
        }
    }
    let shape = vec![mapping.len() / 4, 256];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F16, shape, &wide).unwrap();
    let bytes = safetensors::serialize([("embeddings", view)], None).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    let model = open_folder(folder.path());
    assert_parity(&embed_all(model.as_ref(), &texts()), "static-256.npy", 0.99999);
}

#[test]
fn the_order_and_company_of_texts_change_nothing() {
    let model = open_folder(&minilm("-3-layers"));
    let mut texts: Vec<String> = texts().into_iter().step_by(10).collect();
    texts.push(String::new());
    let there = embed_all(model.as_ref(), &texts);
    texts.reverse();
    let mut back = embed_all(model.as_ref(), &texts);
    back.invert_axis(Axis(0));
    assert!(minimum_cosine(&there, &back.as_standard_layout().to_owned()) > 0.999_999);
    let alone = embed_all(model.as_ref(), &texts[..1]);
    assert!(minimum_cosine(&there.slice(s![30.., ..]).to_owned(), &alone) > 0.999_999);
}

#[test]
fn a_prompt_is_put_before_the_text_by_role() {
    let folder = minilm("-3-layers");
    let plain = open_folder(&folder);
    let mut spec = ModelSpec { name: "test/model".into(), path: Some(folder), ..ModelSpec::default() };
    spec.query_prompt = Some("query: ".into());
    spec.document_prompt = Some("passage: ".into());
    let prompted = open(&spec);
    assert!(!prompted.space().compare(plain.space()).is_compatible());
    let one = |model: &dyn Embedder, text: &str, role| model.embed(&[text], role, &context()).unwrap();
    for (role, text) in [(Role::Query, "query: list files"), (Role::Document, "passage: list files")] {
        let found = one(prompted.as_ref(), "list files", role);
        assert!(minimum_cosine(&found, &one(plain.as_ref(), text, role)) > 0.999_999);
        assert!(minimum_cosine(&found, &one(plain.as_ref(), "list files", role)) < 0.999);
    }
}

#[test]
fn damaged_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"] {
        let target = folder.path().join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(minilm("").join(name), target).unwrap();
    }
    let weights = std::fs::read(minilm("").join("model.safetensors")).unwrap();
    let options = Options { device: DeviceChoice::Cpu, hub: HubConfig::from_lookup(&|_| None), threads: 1 };
    let spec = ModelSpec { name: "t/m".into(), path: Some(folder.path().to_owned()), ..ModelSpec::default() };
    for cut in [0, 7, 1000, weights.len() / 2, weights.len() - 1] {
        std::fs::write(folder.path().join("model.safetensors"), &weights[..cut]).unwrap();
        let error = embed::open(&spec, None, &options, &context()).err().expect("cut weights");
        assert_eq!(error.kind(), embedport::error::Kind::Damaged, "{error:?}");
    }
}
