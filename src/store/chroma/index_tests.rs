use super::*;
use crate::context::testing::context;
use crate::store::chroma::index_write::Elements;
use crate::store::chroma::pickle_write::Form;
use ndarray::Array2;
use proptest::prelude::*;

const COUNT: usize = 40;
const DIMENSION: usize = 6;

fn ids() -> Vec<String> {
    (0..COUNT).map(|i| format!("record {i}")).collect()
}

/// A small cosine index; returns the vectors before normalising.
fn written(folder: &Path) -> Array2<f32> {
    let vectors = Array2::from_shape_fn((COUNT, DIMENSION), |(i, j)| ((i * 7 + j * 3) % 11) as f32 - 4.5);
    let mut normalised = vectors.clone();
    let lengths: Vec<f32> = normalised
        .rows_mut()
        .into_iter()
        .map(|mut row| normalise(row.as_slice_mut().expect("contiguous")))
        .collect();
    let params = hnsw::Params { m: 4, ef_construction: 40, seed: 1, threads: 1 };
    let graph = hnsw::build(normalised.view(), Distance::InnerProduct, &params, &context()).expect("build");
    let elements = Elements::open(folder, vectors.nrows() as u64, DIMENSION, (4, 40)).expect("open");
    elements.put(0, normalised.view()).expect("put");
    elements.finish(&graph, &lengths, &ids(), Form::Dict).expect("write");
    vectors
}

#[test]
fn what_is_written_is_read_back_as_it_was_given() {
    let folder = tempfile::tempdir().expect("folder");
    let vectors = written(folder.path());
    let index =
        Index::open(folder.path(), Metric::Cosine, Some(DIMENSION)).expect("valid").expect("persisted");
    let (mut found, mut bytes) = (vec![0.0; DIMENSION], Vec::new());
    for (id, wanted) in ids().iter().zip(vectors.rows()) {
        assert!(index.vector(id, &mut found, &mut bytes).expect("read"));
        for (a, b) in found.iter().zip(wanted) {
            assert!((a - b).abs() <= 1e-6 * b.abs(), "{a} for {b}");
        }
    }
    assert!(!index.vector("nobody", &mut found, &mut bytes).expect("read"));
    let loaded = index.load().expect("load");
    let graph = loaded.graph().expect("graph");
    let mut query = vectors.row(3).to_vec();
    normalise(&mut query);
    let hits = hnsw::search(&graph, Distance::InnerProduct, &query, 1, 50).expect("search");
    assert!(hits[0].0.abs() < 1e-6);
}

#[test]
fn without_a_pickle_there_is_no_index() {
    let folder = tempfile::tempdir().expect("folder");
    written(folder.path());
    std::fs::remove_file(folder.path().join(METADATA)).expect("remove");
    assert!(Index::open(folder.path(), Metric::Cosine, Some(DIMENSION)).expect("fine").is_none());
}

#[test]
fn truncated_files_and_another_dimension_are_damage() {
    for name in FILES {
        let folder = tempfile::tempdir().expect("folder");
        written(folder.path());
        let path = folder.path().join(name);
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("write");
        let opened = Index::open(folder.path(), Metric::Cosine, Some(DIMENSION));
        let failed = opened.and_then(|index| index.expect("persisted").load()?.graph().map(drop));
        assert_eq!(failed.map_err(|e| e.kind()), Err(Kind::Damaged), "{name}");
    }
    let folder = tempfile::tempdir().expect("folder");
    written(folder.path());
    assert!(Index::open(folder.path(), Metric::Cosine, Some(DIMENSION + 1)).is_err());
    std::fs::remove_file(folder.path().join(LEVEL0)).expect("remove");
    assert!(Index::open(folder.path(), Metric::L2, None).is_err_and(|e| e.kind() == Kind::Damaged));
}

#[test]
fn a_zero_vector_stays_zero() {
    let mut vector = [0.0; 3];
    assert_eq!(normalise(&mut vector), 0.0);
    assert_eq!(vector, [0.0; 3]);
    let mut vector = [3.0, 4.0];
    assert_eq!(normalise(&mut vector), 5.0);
    assert_eq!(vector, [0.6, 0.8]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn wrong_bytes_never_panic(file in 0usize..5, at in 0usize..10_000, byte: u8) {
        let folder = tempfile::tempdir().expect("folder");
        written(folder.path());
        let path = folder.path().join(FILES[file]);
        let mut bytes = std::fs::read(&path).expect("read");
        let at = at % bytes.len();
        bytes[at] = byte;
        std::fs::write(&path, bytes).expect("write");
        if let Ok(Some(index)) = Index::open(folder.path(), Metric::Cosine, Some(DIMENSION)) {
            let (mut vector, mut buffer) = (vec![0.0; DIMENSION], Vec::new());
            for id in ids() {
                let _ = index.vector(&id, &mut vector, &mut buffer);
            }
            if let Ok(loaded) = index.load() && let Ok(graph) = loaded.graph() {
                let _ = hnsw::search(&graph, Distance::InnerProduct, &vector, 5, 50);
            }
        }
    }
}

#[test]
fn a_graph_over_few_directions_of_the_vectors_finds_them_by_all_components() {
    let (count, dimension, directions) = (4200, 128, 9);
    let mut random = crate::random::seeded(7);
    let mut noise = |n, d| Array2::from_shape_fn((n, d), |_| crate::random::unit(&mut random) as f32 - 0.5);
    let vectors = noise(count, directions).dot(&noise(directions, dimension));
    let folder = tempfile::tempdir().expect("folder");
    let elements = Elements::open(folder.path(), count as u64, dimension, (8, 60)).expect("open");
    elements.put(0, vectors.view()).expect("put");
    let codes = elements.codes().expect("read");
    assert_eq!(codes.dimension(), 16);
    let params = hnsw::Params { m: 8, ef_construction: 60, seed: 1, threads: 2 };
    let graph = hnsw::build_coded(&codes, Distance::L2, &params, &context()).expect("build");
    let view = hnsw::Indexed::new(&graph, vectors.as_slice().expect("row-major")).expect("fits");
    let found = (0..count).step_by(21).filter(|row| {
        let query = vectors.row(*row).to_vec();
        let hits = hnsw::search(&view, Distance::L2, &query, 1, 60).expect("search");
        hits.first().is_some_and(|hit| hit.1 as usize == *row)
    });
    assert!(found.count() >= 196, "of 200");
}
