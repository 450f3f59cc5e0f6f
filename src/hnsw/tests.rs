//! Promises of the whole: recall, invariants, degenerate inputs, determinism, hostile views, bytes and back.

use ndarray::Array2;
use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::context::testing::context;
use crate::context::{Cancel, Context};

const PARAMS: Params = Params { m: 16, ef_construction: 100, seed: 3, threads: 1 };

/// Roughly Gaussian rows around `clusters` centres.
fn clustered(n: usize, dimension: usize, clusters: usize, seed: u64) -> Array2<f32> {
    let mut centres = Xoshiro256PlusPlus::seed_from_u64(11);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let gauss = |rng: &mut Xoshiro256PlusPlus| {
        (0..4).map(|_| (rng.next_u64() >> 40) as f32 / (1 << 24) as f32 - 0.5).sum::<f32>()
    };
    let centres = Array2::from_shape_simple_fn((clusters, dimension), || gauss(&mut centres));
    Array2::from_shape_fn((n, dimension), |(i, j)| centres[[i % clusters, j]] + 0.7 * gauss(&mut rng))
}

fn exact(vectors: &Array2<f32>, kind: Distance, query: &[f32], k: usize) -> Vec<u32> {
    let mut all: Vec<(f32, u32)> = vectors
        .rows()
        .into_iter()
        .zip(0..)
        .map(|(v, i)| (distance(kind, query, v.to_slice().unwrap()), i))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.truncate(k);
    all.into_iter().map(|found| found.1).collect()
}

fn recall(
    view: &impl GraphView,
    vectors: &Array2<f32>,
    queries: &Array2<f32>,
    kind: Distance,
    ef: usize,
) -> f64 {
    let mut searcher = Searcher::new(view, kind).unwrap();
    let hits: usize = queries
        .rows()
        .into_iter()
        .map(|query| {
            let query = query.to_slice().unwrap();
            let truth = exact(vectors, kind, query, 10);
            searcher.search(query, 10, ef).unwrap().iter().filter(|found| truth.contains(&found.1)).count()
        })
        .sum();
    hits as f64 / (10 * queries.nrows()) as f64
}

/// Nodes that are found from the entry along links of level 0.
fn reachable(graph: &Graph) -> usize {
    let mut seen = vec![false; graph.len()];
    let mut stack = vec![graph.entry()];
    let mut count = 0;
    while let Some(node) = stack.pop() {
        if !std::mem::replace(&mut seen[node as usize], true) {
            count += 1;
            stack.extend(graph.links(node, 0));
        }
    }
    count
}

#[test]
fn recall_on_clustered_vectors_for_both_distances_and_any_number_of_threads() {
    let (vectors, queries) = (clustered(3000, 24, 30, 1), clustered(200, 24, 30, 2));
    for kind in [Distance::L2, Distance::InnerProduct] {
        for threads in [1, 3] {
            let graph = build(vectors.view(), kind, &Params { threads, ..PARAMS }, &context()).unwrap();
            graph.check().unwrap();
            let view = Indexed::new(&graph, vectors.as_slice().unwrap()).unwrap();
            let (narrow, wide) =
                (recall(&view, &vectors, &queries, kind, 10), recall(&view, &vectors, &queries, kind, 100));
            assert!(wide >= 0.97, "{kind:?} {threads} threads: {wide}");
            assert!(narrow < wide, "{kind:?}: a search that is exact at once tests nothing: {narrow}");
        }
    }
}

#[test]
fn every_node_is_reached_from_the_entry() {
    let vectors = clustered(2000, 16, 1, 5);
    for threads in [1, 2] {
        let graph = build(vectors.view(), Distance::L2, &Params { threads, ..PARAMS }, &context()).unwrap();
        assert!(graph.max_level() > 0);
        assert_eq!(reachable(&graph), 2000);
    }
}

#[test]
fn one_thread_and_one_seed_give_one_graph() {
    let vectors = clustered(500, 8, 5, 1);
    let graph = |seed| build(vectors.view(), Distance::L2, &Params { seed, ..PARAMS }, &context()).unwrap();
    assert_eq!(graph(1), graph(1));
    assert_ne!(graph(1), graph(2));
}

#[test]
fn columns_first_makes_no_difference() {
    let vectors = clustered(200, 8, 5, 1);
    let mut turned = Array2::zeros((8, 200));
    turned.assign(&vectors.t());
    let rows = build(vectors.view(), Distance::L2, &PARAMS, &context()).unwrap();
    assert_eq!(rows, build(turned.t(), Distance::L2, &PARAMS, &context()).unwrap());
}

#[test]
fn degenerate_inputs_are_searchable() {
    for n in [1usize, 2, 3, 40, 500] {
        for value in [0.0, 1.0] {
            for kind in [Distance::L2, Distance::InnerProduct] {
                for threads in [1, 2] {
                    let vectors = Array2::from_elem((n, 5), value);
                    let graph =
                        build(vectors.view(), kind, &Params { threads, ..PARAMS }, &context()).unwrap();
                    let view = Indexed::new(&graph, vectors.as_slice().unwrap()).unwrap();
                    let found = search(&view, kind, &[value; 5], 10, 10).unwrap();
                    assert_eq!(found.len(), n.min(10), "{n} {value} {kind:?} {threads}");
                }
            }
        }
    }
}

#[test]
fn no_rows_no_columns_and_non_finite_rows_do_no_harm() {
    let empty = build(Array2::zeros((0, 4)).view(), Distance::L2, &PARAMS, &context()).unwrap();
    let view = Indexed::new(&empty, &[]).unwrap();
    assert!(empty.is_empty() && search(&view, Distance::L2, &[], 3, 3).unwrap().is_empty());

    let flat = Array2::zeros((20, 0));
    assert_eq!(build(flat.view(), Distance::L2, &PARAMS, &context()).unwrap().len(), 20);

    let mut vectors = clustered(300, 4, 3, 1);
    vectors.row_mut(0).fill(f32::NAN);
    vectors.row_mut(7).fill(f32::INFINITY);
    build(vectors.view(), Distance::L2, &PARAMS, &context()).unwrap().check().unwrap();
}

#[test]
fn copies_of_a_vector_are_all_found() {
    let mut vectors = clustered(400, 8, 4, 1);
    let copy = vectors.row(0).to_owned();
    (100..120).for_each(|i| vectors.row_mut(i).assign(&copy));
    let graph = build(vectors.view(), Distance::L2, &PARAMS, &context()).unwrap();
    let view = Indexed::new(&graph, vectors.as_slice().unwrap()).unwrap();
    let found = search(&view, Distance::L2, copy.as_slice().unwrap(), 21, 50).unwrap();
    assert!(found.len() == 21 && found.iter().all(|found| found.0 == 0.0));
}

#[test]
fn out_of_range_parameters_and_cancellation_are_errors() {
    let vectors = clustered(300, 4, 3, 1);
    for m in [0, 1, 10_001] {
        let error = build(vectors.view(), Distance::L2, &Params { m, ..PARAMS }, &context()).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Usage);
    }
    let cancel = Cancel::new();
    cancel.raise();
    let stopped = Context { cancel: &cancel, ..context() };
    let params = Params { threads: 2, ..PARAMS };
    assert!(build(vectors.view(), Distance::L2, &params, &stopped).unwrap_err().is_interrupted());
    let graph = build(vectors.view(), Distance::L2, &PARAMS, &context()).unwrap();
    let view = Indexed::new(&graph, vectors.as_slice().unwrap()).unwrap();
    assert!(search(&view, Distance::L2, &[0.0; 3], 1, 1).unwrap_err().is_mismatch());
    assert!(Indexed::new(&graph, &[0.0; 301]).is_err());
}

/// Bytes of an index over `n` vectors, and its header.
fn bytes(vectors: &Array2<f32>) -> (Shape, Graph, Vec<u8>, Vec<u8>) {
    let graph = build(vectors.view(), Distance::L2, &Params { m: 4, ..PARAMS }, &context()).unwrap();
    let (level0, lists) = bytes_of(&graph, vectors, 1 << 40);
    (shape_of(&graph, vectors.ncols()), graph, level0, lists)
}

#[test]
fn records_read_back_what_was_written_wherever_they_lie() {
    let vectors = clustered(300, 6, 3, 1);
    let (shape, graph, level0, lists) = bytes(&vectors);
    assert_eq!(shape.record_size().unwrap(), 4 + 32 + 24 + 8);
    let direct = Indexed::new(&graph, vectors.as_slice().unwrap()).unwrap();
    for shift in 0..4 {
        let mut padded = vec![0; shift];
        padded.extend(&level0);
        let records = Records::open(&shape, &padded[shift..], &lists).unwrap();
        for node in 0..300 {
            assert_eq!(records.label(node), u64::from(node) + (1 << 40));
            assert_eq!(records.level(node), graph.level(node));
            for level in 0..=graph.level(node) + 1 {
                assert!(records.links(node, level).eq(graph.links(node, level).iter().copied()));
            }
        }
        let query = [0.1; 6];
        let found = search(&records, Distance::L2, &query, 10, 20).unwrap();
        assert_eq!(found, search(&direct, Distance::L2, &query, 10, 20).unwrap());
    }
}

#[test]
fn deleted_records_are_walked_through_and_not_returned() {
    let vectors = clustered(300, 6, 3, 1);
    let (shape, _, mut level0, lists) = bytes(&vectors);
    let size = shape.record_size().unwrap();
    (0..300).filter(|node| node % 5 != 0).for_each(|node| level0[node * size + 2] = 1);
    let records = Records::open(&shape, &level0, &lists).unwrap();
    let found = search(&records, Distance::L2, &[0.0; 6], 60, 60).unwrap();
    assert_eq!(found.len(), 60);
    assert!(found.iter().all(|found| found.1 % 5 == 0));
}

#[test]
fn records_that_are_too_short_are_refused() {
    let (shape, _, level0, lists) = bytes(&clustered(50, 6, 3, 1));
    assert!(Records::open(&shape, &level0[1..], &lists).is_err());
    assert!(Records::open(&shape, &level0, &lists[..lists.len() - 1]).is_err());
    for huge in [usize::MAX, usize::MAX / 4, 1 << 40] {
        assert!(Records::open(&Shape { count: huge, ..shape }, &level0, &lists).is_err());
        assert!(Records::open(&Shape { max_m0: huge, ..shape }, &level0, &lists).is_err());
        assert!(Records::open(&Shape { dimension: huge, ..shape }, &level0, &lists).is_err());
    }
    assert!(Records::open(&Shape { m: usize::MAX, ..shape }, &level0, &lists).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn hostile_records_neither_panic_nor_loop(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..400),
        in_lists in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        entry in any::<u32>(), near_entry in 0u32..70, max_level in any::<u8>(), keep in any::<bool>(),
    ) {
        let (shape, _, mut level0, mut lists) = bytes(&clustered(60, 3, 2, 1));
        damage.iter().for_each(|(at, byte)| { let i = at.index(level0.len()); level0[i] = *byte; });
        in_lists.iter().for_each(|(at, byte)| { let i = at.index(lists.len()); lists[i] = *byte; });
        let shape = Shape { entry: if keep { near_entry } else { entry }, max_level, ..shape };
        if let Ok(records) = Records::open(&shape, &level0, &lists) {
            for kind in [Distance::L2, Distance::InnerProduct] {
                let found = search(&records, kind, &[0.0; 3], 100, 10).unwrap();
                prop_assert!(found.len() <= 60 && found.iter().all(|found| found.1 < 60));
            }
        }
    }
}

/// The vectors, each moved somewhere near.
fn moved(vectors: &Array2<f32>) -> Array2<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(99);
    let mut moved = vectors.clone();
    moved.mapv_inplace(|x| x + 1.5 * ((rng.next_u64() >> 40) as f32 / (1 << 24) as f32 - 0.5));
    moved
}

/// The bytes of a graph with these vectors, labelled from `first_label` on.
fn bytes_of(graph: &Graph, vectors: &Array2<f32>, first_label: u64) -> (Vec<u8>, Vec<u8>) {
    let (mut level0, mut links) = (Vec::new(), Vec::new());
    for ((node, label), vector) in (0..).zip(first_label..).zip(vectors.outer_iter()) {
        let start = level0.len();
        level0.resize(start + 4 * (1 + graph.max_m0()), 0);
        put_links(graph, node, &mut level0[start..]);
        level0.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        level0.extend(label.to_le_bytes());
    }
    write_link_lists(graph, &mut links).unwrap();
    (level0, links)
}

fn shape_of(graph: &Graph, dimension: usize) -> Shape {
    Shape {
        count: graph.len(),
        dimension,
        m: graph.m(),
        max_m0: graph.max_m0(),
        entry: graph.entry(),
        max_level: graph.max_level(),
    }
}

#[test]
fn repair_finds_more_after_vectors_moved_and_breaks_no_rule() {
    let source = clustered(3000, 24, 30, 5);
    let graph = build(source.view(), Distance::L2, &PARAMS, &context()).unwrap();
    let target = moved(&source);
    let (mut level0, links) = bytes_of(&graph, &target, 0);
    let shape = shape_of(&graph, 24);
    let queries = moved(&clustered(100, 24, 30, 77));
    let found = |level0: &[u8]| {
        let view = Records::open(&shape, level0, &links).unwrap();
        recall(&view, &target, &queries, Distance::L2, 20)
    };
    let kept = found(&level0);
    let lists = {
        let view = Records::open(&shape, &level0, &links).unwrap();
        let lists = repair(&view, Distance::L2, PARAMS.m, &context()).unwrap();
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert!(alone.install(|| repair(&view, Distance::L2, PARAMS.m, &context()).unwrap()) == lists);
        lists
    };
    let stride = shape.record_size().unwrap();
    for (node, (list, record)) in
        lists.chunks_exact(1 + shape.max_m0).zip(level0.chunks_exact_mut(stride)).enumerate()
    {
        let count = list[0] as usize;
        assert!((1..=shape.max_m0).contains(&count));
        let mut ids = list[1..=count].to_vec();
        assert!(ids.iter().all(|id| *id as usize != node && (*id as usize) < shape.count));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "a link twice");
        for (word, place) in list.iter().zip(record.chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }
    let repaired = found(&level0);
    assert!(kept < 0.95 && repaired > kept + 0.02, "{kept} before, {repaired} after");
}

#[test]
fn repair_stops_on_request() {
    let vectors = clustered(600, 8, 5, 5);
    let graph = build(vectors.view(), Distance::L2, &PARAMS, &context()).unwrap();
    let (level0, links) = bytes_of(&graph, &vectors, 0);
    let view = Records::open(&shape_of(&graph, 8), &level0, &links).unwrap();
    let cancel = Cancel::new();
    cancel.raise();
    let context = Context { cancel: &cancel, ..context() };
    assert!(repair(&view, Distance::L2, 16, &context).is_err());
}
