//! The two walks of the algorithm: greedy descent on a level, and the search for `ef` nearest.

use super::graph::GraphView;
use super::pool::{Pool, Seen, order};

/// Puts the distances of some nodes from where a walk is to end into the vector.
pub(super) trait Measure: Fn(&[u32], &mut Vec<f32>) {}
impl<F: Fn(&[u32], &mut Vec<f32>)> Measure for F {}

/// What a walk sees of a graph, whatever its vectors are.
pub(super) trait Lists {
    fn len(&self) -> usize;
    fn links(&self, node: u32, level: u8) -> impl Iterator<Item = u32> + '_;
    fn is_deleted(&self, node: u32) -> bool;
}

impl<V: GraphView> Lists for V {
    fn len(&self) -> usize {
        GraphView::len(self)
    }

    #[inline]
    fn links(&self, node: u32, level: u8) -> impl Iterator<Item = u32> + '_ {
        GraphView::links(self, node, level)
    }

    #[inline]
    fn is_deleted(&self, node: u32) -> bool {
        GraphView::is_deleted(self, node)
    }
}

/// What walks need besides the graph; kept from walk to walk to save allocations.
#[derive(Default)]
pub(super) struct Scratch {
    pub seen: Seen,
    pub pool: Pool,
    pub batch: Vec<u32>,
    pub distances: Vec<f32>,
}

/// Moves from `start` to ever nearer nodes of `level` until none is nearer.
pub(super) fn descend(
    measure: &impl Measure,
    view: &impl Lists,
    start: (f32, u32),
    level: u8,
    scratch: &mut Scratch,
) -> (f32, u32) {
    let mut nearest = start;
    loop {
        let from = nearest.1;
        scratch.batch.clear();
        scratch.batch.extend(view.links(from, level).filter(|&id| (id as usize) < view.len()));
        measure(&scratch.batch, &mut scratch.distances);
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
pub(super) fn explore(
    measure: &impl Measure,
    view: &impl Lists,
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
        measure(batch, distances);
        for (&id, &distance) in batch.iter().zip(distances.iter()) {
            pool.offer(distance, id, view.is_deleted(id));
        }
    }
}
