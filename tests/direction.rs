//! The direction test: raw vectors of the target model, asked of the migrated store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::collections::HashMap;
use std::fs;

use common::{context, root, static_model};
use embedport::embed::Role;
use embedport::migration::{self, MigrationPlan, PlanOptions};
use embedport::registry::Registry;
use embedport::store::{self, Batch, VectorStore, find_collection};
use embedport::training::{self, Declared, Side, Source, TrainOptions};
use ndarray::{Array1, Array2};

fn all_records(store: &dyn VectorStore) -> Batch {
    let description = store.describe().unwrap();
    let collection = find_collection(&description, "tldr", None).unwrap();
    store.records(collection, true).unwrap().next_batch(usize::MAX).unwrap().unwrap()
}

/// Row of the record nearest to `query` by cosine; rows have length 1.
fn nearest(rows: &Array2<f32>, query: &Array1<f32>) -> usize {
    let scores = rows.dot(query);
    (0..rows.nrows()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap()
}

#[test]
fn the_target_model_finds_what_it_would_find_after_re_embedding() {
    let context = context();
    let folder = tempfile::tempdir().unwrap();
    common::copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
    let location = folder.path().join("db").display().to_string();
    let model = static_model();
    let mut store = store::open(&location).unwrap();
    let before = all_records(store.as_ref());
    let texts: Vec<&str> = before.texts.iter().map(|t| t.as_deref().unwrap_or_default()).collect();

    // Train, migrate.
    let training = {
        let description = store.describe().unwrap();
        let collection = find_collection(&description, "tldr", None).unwrap();
        let source = Source::Collection { store: store.as_ref(), collection, declared: Declared::default() };
        training::train(source, &Side::Model(model.as_ref()), &TrainOptions::default(), &context).unwrap()
    };
    let mut registry = Registry::open_or_empty(folder.path().join("registry.json")).unwrap();
    training::save(&training, &folder.path().join("projections"), Some(&mut registry)).unwrap();
    let projection = registry.resolve(&training.projection.header.name).unwrap();
    let options = PlanOptions { collection: "tldr".into(), ..PlanOptions::default() };
    let plan = MigrationPlan::new(store.as_ref(), &projection, &options, &context).unwrap();
    migration::execute(plan, store.as_mut(), &projection, None, &context).unwrap();

    // The target model's vector of a record's own text finds that record first.
    let native = model.embed(&texts, Role::Document, &context).unwrap();
    let description = store.describe().unwrap();
    let collection = find_collection(&description, "tldr", None).unwrap();
    let hits = store.search(collection, native.view(), 10).unwrap();
    let first = before.ids.iter().zip(&hits).filter(|(id, hits)| hits[0].id == **id).count();
    let recall = first as f64 / before.ids.len() as f64;
    println!("recall@1 of own texts: {recall:.4} ({first} of {})", before.ids.len());
    assert!(recall >= 0.95, "recall@1 is {recall}");

    // Of the known-item queries that the target model answers first, 9 in 10 stay in the top 10.
    let queries = fs::read_to_string(root().join("tests/fixtures/known_item/queries.jsonl")).unwrap();
    let queries: Vec<HashMap<String, String>> =
        queries.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let questions: Vec<&str> = queries.iter().map(|q| q["text"].as_str()).collect();
    let vectors = model.embed(&questions, Role::Query, &context).unwrap();
    let hits = store.search(collection, vectors.view(), 10).unwrap();
    let (mut answered, mut kept) = (0, 0);
    for ((query, vector), hits) in queries.iter().zip(vectors.rows()).zip(&hits) {
        if before.ids[nearest(&native, &vector.to_owned())] == query["id"] {
            answered += 1;
            kept += usize::from(hits.iter().any(|h| h.id == query["id"]));
        }
    }
    println!(
        "known-item queries: {kept} of {answered} that the target model answers first stay in the top 10"
    );
    assert!(answered >= 50, "only {answered} queries tell anything");
    assert!(kept * 10 >= answered * 9, "{kept} of {answered}");
}

#[test]
fn a_plan_that_is_no_longer_true_is_refused() {
    let context = context();
    let folder = tempfile::tempdir().unwrap();
    common::copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
    let mut store = store::open(&folder.path().join("db").display().to_string()).unwrap();
    let projection = Registry::bundled().unwrap().resolve("all-minilm-l6-v2--static-256").unwrap();
    let options = PlanOptions { collection: "tldr".into(), ..PlanOptions::default() };
    let plan = || MigrationPlan::new(store.as_ref(), &projection, &options, &context).unwrap();
    let (first, second) = (plan(), plan());
    migration::execute(second, store.as_mut(), &projection, None, &context).unwrap();
    let error = migration::execute(first, store.as_mut(), &projection, None, &context).unwrap_err();
    assert_eq!(error.kind(), embedport::error::Kind::Refused, "{error:?}");
    let which = migration::VerifyOptions { collection: Some("tldr".into()), ..Default::default() };
    let verified = migration::verify(store.as_ref(), &which, None, &context).unwrap();
    assert!(verified.verification.passed(), "{:?}", verified.verification);
}
