//! Searching a graph, wherever it lies.

use super::distance::{Distance, Kernel, KernelOp};
use super::graph::GraphView;
use super::pool::MAX_NODES;
use super::walk::{Scratch, descend, explore};
use crate::error::{Error, Kind, Result};

/// The at most `k` nearest live nodes, as (distance, node), nearest first; see [`Searcher::search`].
///
/// # Errors
/// As [`Searcher::new`] and [`Searcher::search`].
pub fn search(
    view: &impl GraphView,
    distance: Distance,
    query: &[f32],
    k: usize,
    ef: usize,
) -> Result<Vec<(f32, u32)>> {
    Searcher::new(view, distance)?.search(query, k, ef)
}

/// Searches one graph many times and keeps its memory between searches.
pub struct Searcher<'v, V> {
    view: &'v V,
    distance: Distance,
    scratch: Scratch,
}

impl<'v, V: GraphView> Searcher<'v, V> {
    /// # Errors
    /// [`Kind::Unsupported`] from 2^31 nodes on.
    pub fn new(view: &'v V, distance: Distance) -> Result<Self> {
        if view.len() >= MAX_NODES {
            let n = view.len();
            return Err(Error::new(
                Kind::Unsupported,
                format!("graph of {n} nodes, at most 2^31 - 1 are read"),
            ));
        }
        Ok(Searcher { view, distance, scratch: Scratch::default() })
    }

    /// The at most `k` nearest live nodes, as (distance, node), nearest first. Keeps the `ef` (at least `k`)
    /// nearest while it walks.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if the query has another dimension than the graph.
    pub fn search(&mut self, query: &[f32], k: usize, ef: usize) -> Result<Vec<(f32, u32)>> {
        let (found, wanted) = (query.len(), self.view.dimension());
        if found != wanted {
            let message = format!("query of dimension {found} for a graph of dimension {wanted}");
            return Err(Error::new(Kind::Mismatch, message));
        }
        let ef = ef.max(k).min(self.view.len());
        let mut found = self.distance.run(Walk { view: self.view, query, ef, scratch: &mut self.scratch });
        found.truncate(k);
        Ok(found)
    }
}

struct Walk<'a, V> {
    view: &'a V,
    query: &'a [f32],
    ef: usize,
    scratch: &'a mut Scratch,
}

impl<V: GraphView> KernelOp for Walk<'_, V> {
    type Output = Vec<(f32, u32)>;

    fn run<K: Kernel>(self, kernel: K) -> Vec<(f32, u32)> {
        let Walk { view, query, ef, scratch } = self;
        let entry = view.entry();
        if ef == 0 || entry as usize >= view.len() {
            return Vec::new();
        }
        let measure = |ids: &[u32], out: &mut Vec<f32>| kernel.many(query, ids, |id| view.vector(id), out);
        let mut nearest = (kernel.one(query, view.vector(entry)), entry);
        for level in (1..=view.max_level()).rev() {
            nearest = descend(&measure, view, nearest, level, scratch);
        }
        explore(&measure, view, nearest, 0, ef, scratch);
        scratch.pool.found().collect()
    }
}
