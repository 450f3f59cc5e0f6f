//! Training from the demo database, as `embedport train --from` does it.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use embedport::context::{Cancel, Context, Silent};
use embedport::demo_assets;
use embedport::embed::{self, DeviceChoice, HubConfig};
use embedport::error::Kind;
use embedport::registry::Registry;
use embedport::training::{self, GENERIC_TEXTS_NOTE, Request, TextOrigin, TrainOptions};

fn context<'a>(cancel: &'a Cancel) -> Context<'a> {
    Context { seed: 7, progress: &Silent, cancel, now: &jiff::Timestamp::now, entropy: &|| [7; 16] }
}

fn request(texts: TextOrigin, samples: usize) -> Request {
    let hub = HubConfig::from_lookup(&|name| (name == "HF_HOME").then(|| "no/such/home".to_owned()));
    Request {
        source_model: None,
        source_provider: None,
        target_model: embed::BUNDLED_NAME.parse().unwrap(),
        target_provider: None,
        texts,
        models: embed::Options {
            device: DeviceChoice::Cpu,
            hub: HubConfig { offline: true, ..hub },
            threads: 0,
        },
        options: TrainOptions { samples, ..TrainOptions::default() },
    }
}

fn demo(folder: &Path, samples: usize) -> Request {
    demo_assets::unpack(folder).unwrap();
    let texts = TextOrigin::Collection {
        store: folder.to_str().unwrap().to_owned(),
        collection: demo_assets::COLLECTION.to_owned(),
        namespace: None,
    };
    request(texts, samples)
}

#[test]
fn the_demo_database_teaches_the_way_to_the_bundled_model() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    let request = demo(&folder.path().join("db"), 1000);
    let training = training::run(&request, &context(&cancel)).unwrap();
    let header = &training.projection.header;
    assert_eq!(header.source.model.to_lowercase(), "sentence-transformers/all-minilm-l6-v2");
    assert_eq!((header.source.dimension, header.source.normalised), (384, Some(true)));
    assert_eq!((header.target.dimension, training.pairs), (256, 1000));
    // Bounds well below what is measured (README), so that only a broken map falls below them.
    let cosine = header.report.figure("cosine_mean").unwrap();
    assert!(cosine.value.unwrap() > 0.8, "{cosine:?}");
    assert!(cosine.value > cosine.mean_vector && cosine.value > cosine.padded_source, "{cosine:?}");
    assert!(header.report.value("recall_at_1").unwrap() > 0.9);
    assert!(!training.notes.iter().any(|n| n == GENERIC_TEXTS_NOTE));

    let expected = header.expected_for(true).unwrap();
    assert_eq!((expected.records, expected.curve.len()), (2000, 3));
    assert!(
        expected.low < expected.value && expected.value < expected.high && expected.value > 0.2,
        "{expected:?}"
    );

    let mut registry = Registry::open_or_empty(folder.path().join("registry.json")).unwrap();
    let file = training::save(&training, &folder.path().join("projections"), Some(&mut registry)).unwrap();
    assert!(file.is_file());
    let again = training::run(&request, &context(&cancel)).unwrap();
    assert_eq!(again.projection.header.training_ids_sha256, header.training_ids_sha256);
    assert_eq!(again.projection.header.name, header.name);
}

#[test]
fn a_collection_without_texts_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    let mut request = demo(&folder.path().join("db"), 100);
    if let TextOrigin::Collection { collection, .. } = &mut request.texts {
        *collection = "colours".into();
    }
    request.source_model = Some("some/colours".parse().unwrap());
    let error = training::run(&request, &context(&cancel)).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error:?}");
    assert!(error.hints().iter().any(|h| h.contains("--texts")));
}

#[test]
fn another_source_model_than_the_configured_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    let mut request = demo(&folder.path().join("db"), 100);
    request.source_model = Some("someone/else".parse().unwrap());
    assert!(training::run(&request, &context(&cancel)).unwrap_err().is_mismatch());
}

#[test]
fn bundled_passages_are_said_to_keep_less() {
    let cancel = Cancel::new();
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(TextOrigin::Bundled, 60);
    let texts = embedport::texts::bundled().unwrap();
    let file = folder.path().join("vectors.jsonl");
    let lines: Vec<String> = (0..texts.len())
        .map(|i| {
            let vector: Vec<f32> = (0..8).map(|j| ((i * (j + 3)) as f32).sin()).collect();
            serde_json::json!({ "id": texts.ids[i], "vector": vector }).to_string()
        })
        .collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    request.source_model = Some(format!("made/up,path={}", file.display()).parse().unwrap());
    let training = training::run(&request, &context(&cancel)).unwrap();
    assert_eq!(training.pairs, 60);
    assert!(training.notes.iter().any(|n| n == GENERIC_TEXTS_NOTE));
}
