//! Training with models and a store made for the purpose.

use ndarray::Array2;

use super::testing::{Letters, Shelf, shelf, texts};
use super::*;
use crate::context::testing::context;
use crate::embed::{Outline, Role};
use crate::identification::{Origin, Run};

fn source<'a>(shelf: &'a Shelf, declared: Declared<'a>) -> Source<'a> {
    Source::Collection { store: shelf, collection: &shelf.collection, declared }
}

fn declared(model: &dyn Embedder) -> Declared<'_> {
    Declared { model: Some(model), ..Declared::default() }
}

/// The ways to run a model of these letters.
fn ways(model: Letters) -> Candidate<'static> {
    Candidate {
        name: model.space().model.clone(),
        origin: Origin::Given,
        outline: Outline::of_space(model.space()),
        first: vec![Run { prompt: model.space().document_prompt.clone().unwrap(), max_tokens: None }],
        open: Box::new(|run, _| Ok(Box::new(old().prompted(&run.prompt, "")) as Box<dyn Embedder>)),
    }
}

fn options(samples: usize) -> TrainOptions {
    TrainOptions { samples, ..TrainOptions::default() }
}

fn old() -> Letters {
    Letters::new("lab/old", 24, 1)
}

fn new() -> Letters {
    Letters::new("lab/new", 16, 2)
}

#[test]
fn a_collection_is_its_own_training_set() {
    let (old, new) = (old(), new());
    let shelf = shelf(400, &old);
    let training =
        train(source(&shelf, declared(&old)), &Side::Model(&new), &options(300), &context()).unwrap();
    let header = &training.projection.header;
    assert_eq!(training.pairs, 300);
    assert_eq!(header.source, *old.space());
    assert_eq!(header.target, *new.space());
    assert_eq!(training.recheck.as_ref().map(|r| (r.rows, r.agrees())), Some((8, true)));
    assert!(header.report.value("cosine_mean").unwrap() > 0.9);
    let held_out = training.projection.held_out.as_ref().unwrap();
    assert_eq!(held_out.source.nrows(), header.held_out_pairs);
    assert!(training.timings.iter().any(|t| t.stage == "fitting and measuring"));
}

/// A text of 12 of 60 words, by its number.
fn wordy(number: usize) -> String {
    let mut state = number as u64 + 1;
    let words: Vec<String> = (0..12)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("word{}", (state >> 33) % 60)
        })
        .collect();
    words.join(" ")
}

#[test]
fn words_that_the_target_model_embeds_assist_the_projection() {
    let (old, new) = (Letters::new("lab/narrow", 2, 1), Letters::new("lab/new", 16, 2));
    let mut shelf = shelf(400, &old);
    let texts: Vec<String> = (0..400).map(wordy).collect();
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let rows = old.embed(&borrowed, Role::Document, &context()).unwrap();
    for ((record, text), row) in shelf.records.iter_mut().zip(&texts).zip(rows.outer_iter()) {
        (record.1, record.2) = (Some(text.clone()), row.to_vec());
    }
    let run = |options: TrainOptions| {
        train(source(&shelf, declared(&old)), &Side::Model(&new), &options, &context()).unwrap().projection
    };
    let projection = run(options(400));
    let assisted = projection.assisted.as_ref().unwrap();
    assert_eq!(assisted.words().words().len(), 60);
    let header = &projection.header;
    let (with, without) = (header.report_for(true), header.report_for(false));
    assert!(with.value("cosine_mean") > without.value("cosine_mean"), "{header:?}");
    assert!(header.notes.iter().any(|note| note.starts_with("with the words of the texts")), "{header:?}");

    // Nobody asks for words, or for fewer than say anything.
    assert!(run(TrainOptions { words: Some(0), ..options(400) }).assisted.is_none());
    assert!(run(TrainOptions { words: Some(20), ..options(400) }).assisted.is_none());
    assert!(run(TrainOptions { method: "ridge".into(), ..options(400) }).assisted.is_none());
    let asked = TrainOptions { method: "ridge".into(), words: Some(60), ..options(400) };
    assert!(run(asked).assisted.is_some(), "a method that was named is given what was asked for");

    // Finished vectors, and no model that could embed words.
    let ids = (0..400).map(|number| format!("id{number}")).collect();
    let vectors =
        PrecomputedVectors::new(ids, new.embed(&borrowed, Role::Document, &context()).unwrap()).unwrap();
    let target = Side::ById { space: new.space().clone(), vectors: &vectors };
    let training = train(source(&shelf, declared(&old)), &target, &options(400), &context()).unwrap();
    assert!(training.projection.assisted.is_none());
    assert!(
        training.notes.iter().any(|note| note.starts_with("the texts do not assist")),
        "{:?}",
        training.notes
    );
}

#[test]
fn the_source_model_need_not_exist() {
    let (old, new) = (old().of_length(3.0), new());
    let shelf = shelf(100, &old);
    let said = Declared { space: Some(Space::named("gone/model", 0)), ..Declared::default() };
    let training = train(source(&shelf, said), &Side::Model(&new), &options(2000), &context()).unwrap();
    let space = &training.projection.header.source;
    assert_eq!((space.model.as_str(), space.dimension, space.normalised), ("gone/model", 24, Some(false)));
    assert_eq!(space.pooling, None);
    assert!(training.notes.iter().any(|n| n.contains("was not checked")), "{:?}", training.notes);
    assert!(training.notes.iter().any(|n| n.contains("100 pairs were found")), "{:?}", training.notes);
}

#[test]
fn the_order_of_the_records_does_not_matter() {
    let (old, new) = (old(), new());
    let mut shelf = shelf(300, &old);
    let first = train(source(&shelf, declared(&old)), &Side::Model(&new), &options(100), &context()).unwrap();
    shelf.records.reverse();
    let second =
        train(source(&shelf, declared(&old)), &Side::Model(&new), &options(100), &context()).unwrap();
    assert_eq!(first.projection.header.training_ids_sha256, second.projection.header.training_ids_sha256);
    assert_eq!(first.projection.header.report, second.projection.header.report);
}

#[test]
fn vectors_of_another_model_are_found_out_before_anything_is_fitted() {
    let (old, new, other) = (old(), new(), Letters::new("lab/other", 24, 9));
    let shelf = shelf(100, &old);
    let error =
        train(source(&shelf, declared(&other)), &Side::Model(&new), &options(50), &context()).unwrap_err();
    assert!(error.is_mismatch());
    assert!(error.message().contains("0 of 8 agree"), "{error}");
    let accepted = TrainOptions { accept_mismatch: true, ..options(50) };
    let training =
        train(source(&shelf, declared(&other)), &Side::Model(&new), &accepted, &context()).unwrap();
    assert!(training.notes.iter().any(|n| n.starts_with("accepted: ")), "{:?}", training.notes);
    assert_eq!(
        training.projection.header.source.pooling, None,
        "nothing is known of a model that does not fit"
    );
}

#[test]
fn the_prompt_that_made_the_vectors_is_named() {
    let (prompted, new) = (old().prompted("passage: ", "query: "), new());
    let ways = ways(old().prompted("passage: ", "query: "));
    let hint = |made_with: &str| {
        let shelf = shelf(60, &old().prompted(made_with, ""));
        let said = Declared { ways: Some(&ways), ..declared(&prompted) };
        let error = train(source(&shelf, said), &Side::Model(&new), &options(50), &context()).unwrap_err();
        error.hints()[0].clone()
    };
    assert_eq!(
        hint("query: "),
        "they agree with it run another way (prompt `query: `: 8 of 8): \
         declare it with --source-model 'lab/old,document_prompt=query: '"
    );
    assert_eq!(
        hint(""),
        "they agree with it run another way (without a prompt: 8 of 8): \
         declare it with --source-model 'lab/old,document_prompt='"
    );
}

#[test]
fn another_length_is_found_out() {
    let (old, new) = (old(), new());
    let ways = ways(Letters::new("lab/old", 24, 1));
    let long = shelf(60, &Letters::new("lab/old", 24, 1).of_length(2.0));
    let said = Declared { ways: Some(&ways), ..declared(&old) };
    let error = train(source(&long, said), &Side::Model(&new), &options(50), &context()).unwrap_err();
    assert!(error.hints()[0].contains("not normalised"), "{error:?}");
    assert!(error.hints()[0].ends_with("'lab/old,normalised=false'"), "{error:?}");
}

#[test]
fn single_edited_texts_are_a_note_and_no_error() {
    let (old, new) = (old(), new());
    let mut shelf = shelf(24, &old);
    for record in shelf.records.iter_mut().step_by(4) {
        record.1 = record.1.as_ref().map(|t| format!("{t} and more that came later, zzzzz"));
    }
    let training =
        train(source(&shelf, declared(&old)), &Side::Model(&new), &options(24), &context()).unwrap();
    let recheck = training.recheck.unwrap();
    assert!(recheck.agrees() && recheck.variants[0].agreeing < 8, "{recheck:?}");
    assert!(training.notes.iter().any(|n| n.contains("edited")), "{:?}", training.notes);
}

#[test]
fn collections_that_cannot_teach_say_why() {
    let (old, new) = (old(), new());
    let refused = |shelf: &Shelf| {
        let error =
            train(source(shelf, declared(&old)), &Side::Model(&new), &options(50), &context()).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(!error.hints().is_empty());
        error.message().to_owned()
    };
    assert!(refused(&shelf(0, &old)).contains("is empty"));
    assert!(refused(&shelf(19, &old)).contains("too few"));
    let mut textless = shelf(50, &old);
    textless.records.iter_mut().for_each(|r| r.1 = None);
    assert!(refused(&textless).contains("keeps its text"));
    textless.collection.texts = 0;
    assert!(refused(&textless).contains("keeps its text"));
}

#[test]
fn a_stored_vector_that_is_not_finite_names_its_record() {
    let (old, new) = (old(), new());
    let mut shelf = shelf(50, &old);
    shelf.records[7].2[3] = f32::NAN;
    let error =
        train(source(&shelf, declared(&old)), &Side::Model(&new), &options(50), &context()).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.message().contains("`id7`"));
}

#[test]
fn declarations_that_contradict_the_store_are_refused() {
    let (old, new) = (old(), new());
    let mut shelf = shelf(50, &old);
    let run = |shelf: &Shelf, said: Declared<'_>| {
        train(
            Source::Collection { store: shelf, collection: &shelf.collection, declared: said },
            &Side::Model(&new),
            &options(50),
            &context(),
        )
    };
    assert_eq!(run(&shelf, Declared::default()).unwrap_err().kind(), Kind::Usage);
    let narrow = Letters::new("lab/old", 12, 1);
    assert!(run(&shelf, declared(&narrow)).unwrap_err().is_mismatch());
    shelf.collection.configured_model = Some("lab/someone".into());
    assert!(run(&shelf, declared(&old)).unwrap_err().is_mismatch());
    assert_eq!(run(&shelf, Declared::default()).unwrap().projection.header.source.model, "lab/someone");
    shelf.collection.stamped = Some(new.space().clone());
    assert!(run(&shelf, declared(&old)).unwrap_err().is_mismatch());
    shelf.collection.stamped = Some(old.space().clone());
    assert_eq!(run(&shelf, Declared::default()).unwrap().projection.header.source, *old.space());
}

#[test]
fn texts_are_embedded_on_both_sides() {
    let (old, new) = (old(), new());
    let set = |bundled| TextSet {
        ids: (0..80).map(|i| i.to_string()).collect(),
        texts: texts(80),
        origin: "a file".into(),
        bundled,
        ..TextSet::default()
    };
    let run = |bundled| {
        train(
            Source::Texts { texts: set(bundled), side: Side::Model(&old) },
            &Side::Model(&new),
            &options(60),
            &context(),
        )
        .unwrap()
    };
    let own = run(false);
    assert_eq!(own.pairs, 60);
    assert_eq!(own.projection.header.texts, "a file");
    assert!(!own.notes.iter().any(|n| n == GENERIC_TEXTS_NOTE));
    assert!(run(true).notes.iter().any(|n| n == GENERIC_TEXTS_NOTE));
}

#[test]
fn one_space_on_both_sides_is_refused() {
    let old = old();
    let set = TextSet { ids: vec!["a".into()], texts: vec!["a".into()], ..TextSet::default() };
    let error = train(
        Source::Texts { texts: set, side: Side::Model(&old) },
        &Side::Model(&old),
        &options(60),
        &context(),
    )
    .unwrap_err();
    assert!(error.message().contains("same space"));
}

#[test]
fn paired_vectors_need_no_text() {
    let rows = |d: usize, turn: usize| {
        Array2::from_shape_fn((90, d), |(i, j)| ((i * (j + 2) * 7 + i * i * turn) as f32).sin())
    };
    let run = |n: usize| {
        let target = Side::Rows {
            rows: rows(6, 1).slice(ndarray::s![..n, ..]).to_owned(),
            space: Space::named("t/t", 6),
        };
        train(
            Source::Rows { ids: None, rows: rows(8, 1), space: Space::named("s/s", 8) },
            &target,
            &options(2000),
            &context(),
        )
    };
    assert_eq!(run(90).unwrap().pairs, 90);
    assert!(run(89).unwrap_err().is_mismatch());
}

#[test]
fn only_records_with_a_target_vector_are_drawn() {
    let (old, new) = (old(), new());
    let shelf = shelf(60, &old);
    let all = texts(60);
    let some: Vec<&str> = all.iter().step_by(2).map(String::as_str).collect();
    let ids = (0..60).step_by(2).map(|i| format!("id{i}")).collect();
    let rows = new.embed(&some, Role::Document, &context()).unwrap();
    let vectors = PrecomputedVectors::new(ids, rows).unwrap();
    let target = Side::ById { space: new.space().clone(), vectors: &vectors };
    let training = train(source(&shelf, declared(&old)), &target, &options(60), &context()).unwrap();
    assert_eq!(training.pairs, 30);
    assert!(training.projection.header.report.value("cosine_mean").unwrap() > 0.9);
}

#[test]
fn an_unknown_method_is_named_before_anything_is_read() {
    let (old, new) = (old(), new());
    let shelf = Shelf { records: Vec::new(), ..shelf(50, &old) };
    let wrong = TrainOptions { method: "magic".into(), ..options(50) };
    let error = train(source(&shelf, declared(&old)), &Side::Model(&new), &wrong, &context()).unwrap_err();
    assert!(error.hints()[0].contains("ridge"));
}

#[test]
fn a_saved_projection_is_found_by_its_spaces() {
    let (old, new) = (old(), new());
    let shelf = shelf(60, &old);
    let training =
        train(source(&shelf, declared(&old)), &Side::Model(&new), &options(60), &context()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut registry = crate::registry::Registry::open_or_empty(folder.path().join("registry.json")).unwrap();
    let file = save(&training, &folder.path().join("projections"), Some(&mut registry)).unwrap();
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("old--new-"));
    let registry = crate::registry::Registry::open(folder.path().join("registry.json")).unwrap();
    let found = registry.find(old.space(), Some(new.space()));
    assert_eq!(found[0].name, training.projection.header.name);
    let loaded = registry.resolve(&found[0].name).unwrap().projection;
    assert_eq!(loaded.header.training_ids_sha256, training.projection.header.training_ids_sha256);
    assert!(registry.find(new.space(), Some(old.space())).is_empty());
    let again = save(&training, &folder.path().join("projections"), None).unwrap();
    assert_eq!(file, again);
}
