//! The two walks of the algorithm: greedy descent on a level, and the search for `ef` nearest.

use super::distance::Kernel;
use super::graph::GraphView;
use super::pool::{Pool, Seen, order};

/// What walks need besides the graph; kept from walk to walk to save allocations.
#[derive(Default)]
pub(super) struct Scratch {
    pub seen: Seen,
    pub pool: Pool,
    pub batch: Vec<u32>,
    pub distances: Vec<f32>,
}

/// Moves from `start` to ever nearer nodes of `level` until none is nearer.
pub(super) fn descend<K: Kernel>(
    kernel: K,
    view: &impl GraphView,
    query: &[f32],
    start: (f32, u32),
    level: u8,
    scratch: &mut Scratch,
) -> (f32, u32) {
    let mut nearest = start;
    loop {
        let from = nearest.1;
        scratch.batch.clear();
        scratch.batch.extend(view.links(from, level).filter(|&id| (id as usize) < view.len()));
        kernel.many(query, &scratch.batch, |id| view.vector(id), &mut scratch.distances);
        for (&id, &distance) in scratch.batch.iter().zip(&scratch.distances) {
            if order(distance) < order(nearest.0) {
                nearest = (distance, id);
            }
        }
        if nearest.1 == from {
            return nearest;
        }
    }
}

/// Leaves in `scratch.pool` the `ef` nearest nodes of `level` that a best-first walk from `start` meets.
pub(super) fn explore<K: Kernel>(
    kernel: K,
    view: &impl GraphView,
    query: &[f32],
    start: (f32, u32),
    level: u8,
    ef: usize,
    scratch: &mut Scratch,
) {
    let Scratch { seen, pool, batch, distances } = scratch;
    seen.begin(view.len());
    pool.begin(ef);
    if seen.insert(start.1) {
        pool.offer(start.0, start.1, view.is_deleted(start.1));
    }
    while let Some(node) = pool.next() {
        batch.clear();
        batch.extend(view.links(node, level).filter(|&id| seen.insert(id)));
        kernel.many(query, batch, |id| view.vector(id), distances);
        for (&id, &distance) in batch.iter().zip(distances.iter()) {
            pool.offer(distance, id, view.is_deleted(id));
        }
    }
}
