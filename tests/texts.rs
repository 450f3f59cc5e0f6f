//! A projection that texts assist, on a real database: each record goes by its own text, one without a text by its vector.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::HashMap;
use std::path::Path;

use common::{context, static_model};
use embedport::demo_assets;
use embedport::migration::{self, MigrationPlan, PlanOptions, VerifyOptions};
use embedport::registry::{Registry, Resolved};
use embedport::store::{self, IndexChoice, VectorStore, find_collection};
use embedport::training::{self, Declared, Side, Source, TrainOptions};
use ndarray::{Array1, Array2, Axis};

const NAME: &str = demo_assets::COLLECTION;

/// Vector and text by id.
fn records(store: &dyn VectorStore) -> HashMap<String, (Array1<f32>, Option<String>)> {
    let description = store.describe().unwrap();
    let collection = find_collection(&description, NAME, None).unwrap();
    let all = store.records(collection, true).unwrap().next_batch(usize::MAX).unwrap().unwrap();
    let rows = all.vectors.axis_iter(Axis(0)).map(|row| row.to_owned());
    all.ids.into_iter().zip(rows.zip(all.texts)).collect()
}

/// Takes the texts of the first records away, as if they had been added without.
fn forget_texts(folder: &Path, records: usize) {
    let connection = rusqlite::Connection::open(folder.join("chroma.sqlite3")).unwrap();
    let sql = "DELETE FROM embedding_metadata WHERE key = 'chroma:document' AND id IN (SELECT m.id FROM \
               embedding_metadata m JOIN embeddings e ON e.id = m.id JOIN segments s ON s.id = e.segment_id JOIN \
               collections c ON c.id = s.collection WHERE m.key = 'chroma:document' AND c.name = ?1 ORDER BY m.id LIMIT ?2)";
    assert_eq!(connection.execute(sql, rusqlite::params![NAME, records as i64]).unwrap(), records);
}

fn trained(store: &dyn VectorStore, folder: &Path) -> Resolved {
    let model = static_model();
    let description = store.describe().unwrap();
    let collection = find_collection(&description, NAME, None).unwrap();
    let source = Source::Collection { store, collection, declared: Declared::default() };
    let options = TrainOptions { samples: 400, ..TrainOptions::default() };
    let training = training::train(source, &Side::Model(model.as_ref()), &options, &context()).unwrap();
    let mut registry = Registry::open_or_empty(folder.join("registry.json")).unwrap();
    training::save(&training, &folder.join("projections"), Some(&mut registry)).unwrap();
    registry.resolve(&training.projection.header.name).unwrap()
}

#[test]
fn each_record_goes_by_its_own_text() {
    for index in [IndexChoice::Keep, IndexChoice::Rebuild] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("db");
        demo_assets::unpack(&database).unwrap();
        let mut store = store::open(&database.display().to_string()).unwrap();
        let projection = trained(store.as_ref(), folder.path());
        forget_texts(&database, 5);
        let before = records(store.as_ref());
        let map = &projection.projection;
        let words = map.assisted.as_ref().unwrap().words();
        let header = &map.header;
        assert!(
            header.report_for(true).value("overlap_at_10") > header.report_for(false).value("overlap_at_10")
        );

        let scores = header.scores.as_ref().unwrap();
        let median = scores.points.iter().find(|point| point.quantile == 0.5).unwrap();
        assert_eq!(scores.translate(median.source), Some((median.projected, median.native)));

        let options = PlanOptions { collection: NAME.into(), index, ..PlanOptions::default() };
        let plan = MigrationPlan::new(store.as_ref(), &projection, &options, &context()).unwrap();
        assert!(plan.projection.with_texts);
        assert_eq!(plan.projection.held_out, *header.report_for(true));
        assert!(plan.warnings.iter().any(|w| w.starts_with("5 of") && w.contains("by their vectors alone")));
        let report = migration::execute(plan, store.as_mut(), &projection, None, &context()).unwrap();
        assert_eq!(report.with_texts, Some(before.len() as u64 - 5));

        let after = records(store.as_ref());
        assert_eq!(after.len(), before.len());
        for (id, (vector, text)) in &before {
            let x = vector.view().insert_axis(Axis(0));
            let expected: Array2<f32> = match text {
                Some(text) => map.apply_to_texts(x, &[&words.codes(text)]).unwrap(),
                None => map.apply(x).unwrap(),
            };
            let found = &after[id].0;
            assert!((found - &expected.row(0)).iter().all(|d| d.abs() < 1e-4), "record {id}, {text:?}");
        }
        let which = VerifyOptions { collection: Some(NAME.into()), ..VerifyOptions::default() };
        let verified = migration::verify(store.as_ref(), &which, None, &context()).unwrap();
        assert!(verified.verification.passed(), "{:?}", verified.verification);
    }
}
