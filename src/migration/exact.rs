//! Exact nearest neighbours of a few queries over records that stream by: what an index is measured against.

use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, ArrayView1, ArrayView2};
use pulp::Arch;

use crate::error::Result;
use crate::matrix;
use crate::simd;
use crate::store::{Hit, Metric};

/// Neighbours compared between the store's index and exact search.
pub const K: usize = 10;
/// Distances that differ by less are a tie.
const TIE: f32 = 1e-4;

/// Queries and how far something is from them.
pub struct Queries {
    metric: Metric,
    vectors: Array2<f32>,
    squares: Vec<f32>,
}

impl Queries {
    /// One row each.
    pub fn new(metric: Metric, vectors: ArrayView2<f32>) -> Queries {
        let mut vectors = vectors.to_owned();
        if metric == Metric::Cosine {
            matrix::normalise_rows(vectors.view_mut());
        }
        Queries { metric, squares: vectors.rows().into_iter().map(|q| q.dot(&q)).collect(), vectors }
    }

    /// As they are asked.
    pub fn view(&self) -> ArrayView2<'_, f32> {
        self.vectors.view()
    }

    /// How far a vector is from a query, by their inner product and the vector's squared length.
    pub fn distance(&self, product: f32, square: f32, query: usize) -> f32 {
        self.distance_of(product, self.part(square), query)
    }

    /// What a vector adds to its distances from any query, by its squared length.
    fn part(&self, square: f32) -> f32 {
        match self.metric {
            Metric::Cosine => 1.0 / square.sqrt().max(f32::MIN_POSITIVE),
            Metric::Ip => 0.0,
            Metric::L2 => square,
        }
    }

    #[inline(always)]
    fn distance_of(&self, product: f32, part: f32, query: usize) -> f32 {
        match self.metric {
            Metric::Cosine => 1.0 - product * part,
            Metric::Ip => 1.0 - product,
            Metric::L2 => self.squares.get(query).unwrap_or(&0.0) + part - 2.0 * product,
        }
    }

    /// Puts the distances of `query` to vectors with these parts into `out`; whether any is below `bound`.
    fn distances(
        &self,
        (products, parts): (&[f32], &[f32]),
        query: usize,
        bound: f32,
        out: &mut Vec<f32>,
    ) -> bool {
        out.clear();
        out.resize(products.len(), 0.0);
        Arch::new().dispatch(|| {
            let mut any = false;
            for ((out, product), part) in out.iter_mut().zip(products).zip(parts) {
                *out = self.distance_of(*product, *part, query);
                any |= *out < bound;
            }
            any
        })
    }

    /// Distances of a query that differ by less are a tie: rounding, relative to the lengths at play.
    pub fn tie(&self, query: usize, distance: f32) -> f32 {
        let scale = match self.metric {
            Metric::Cosine => 1.0,
            Metric::Ip | Metric::L2 => self.squares.get(query).copied().unwrap_or(1.0),
        };
        TIE * distance.abs().max(scale)
    }
}

/// Takes records from several threads at once, in any order.
pub struct ExactSearch {
    queries: Queries,
    best: Vec<Mutex<BinaryHeap<Candidate>>>,
    /// Bits of the distance that a record has to beat, by query.
    bound: Vec<AtomicU32>,
}

/// Ordered by distance, the farthest first.
#[derive(PartialEq)]
struct Candidate {
    distance: f32,
    id: String,
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then_with(|| self.id.cmp(&other.id))
    }
}

impl ExactSearch {
    /// Has seen no record yet.
    pub fn new(queries: Queries) -> Self {
        let rows = queries.view().nrows();
        ExactSearch {
            best: (0..rows).map(|_| Mutex::new(BinaryHeap::with_capacity(K + 1))).collect(),
            bound: (0..rows).map(|_| AtomicU32::new(f32::INFINITY.to_bits())).collect(),
            queries,
        }
    }

    /// The queries, as they are asked.
    pub fn queries(&self) -> ArrayView2<'_, f32> {
        self.queries.view()
    }

    /// Considers some records.
    pub fn add(&self, ids: &[String], vectors: ArrayView2<f32>) -> Result<()> {
        let mut products = Array2::zeros((self.queries().nrows(), vectors.nrows()));
        matrix::product_transposed(self.queries(), vectors, None, products.view_mut())?;
        let square = |v: ArrayView1<f32>| v.to_slice().map_or_else(|| v.dot(&v), simd::squares_f32);
        let parts: Vec<f32> = vectors.rows().into_iter().map(|v| self.queries.part(square(v))).collect();
        let mut distances = Vec::with_capacity(parts.len());
        let products = products.into_raw_vec_and_offset().0;
        for (query, row) in products.chunks_exact(parts.len().max(1)).enumerate() {
            let (Some(bound), Some(best)) = (self.bound.get(query), self.best.get(query)) else { continue };
            let mut to_beat = f32::from_bits(bound.load(Ordering::Relaxed));
            if !self.queries.distances((row, &parts), query, to_beat, &mut distances) {
                continue;
            }
            for (&distance, id) in distances.iter().zip(ids) {
                if distance < to_beat {
                    let mut heap = best.lock().unwrap_or_else(PoisonError::into_inner);
                    heap.push(Candidate { distance, id: id.clone() });
                    if heap.len() > K {
                        heap.pop();
                    }
                    if let Some(worst) = heap.peek().filter(|_| heap.len() == K) {
                        to_beat = worst.distance;
                        bound.store(to_beat.to_bits(), Ordering::Relaxed);
                    }
                }
            }
        }
        Ok(())
    }

    /// The nearest [`K`] of each query, nearest first: what a store without an index answers.
    pub fn hits(&self) -> Vec<Vec<Hit>> {
        let hits = |best: &Mutex<BinaryHeap<Candidate>>| {
            let mut best: Vec<Hit> = best
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .map(|c| Hit { id: c.id.clone(), distance: c.distance })
                .collect();
            best.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then_with(|| a.id.cmp(&b.id)));
            best
        };
        self.best.iter().map(hits).collect()
    }

    /// Share of the exact nearest [`K`] that `hits` contain; a tie counts as found.
    pub fn recall(&self, hits: &[Vec<Hit>]) -> f64 {
        let (mut found, mut wanted) = (0usize, 0usize);
        for (row, (best, hits)) in self.best.iter().zip(hits).enumerate() {
            let best = best.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(worst) = best.peek() else { continue };
            wanted += best.len();
            let bound = worst.distance + self.queries.tie(row, worst.distance);
            found += hits.iter().take(K).filter(|h| h.distance <= bound).count().min(best.len());
        }
        found as f64 / wanted.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn hit(id: &str, distance: f32) -> Hit {
        Hit { id: id.into(), distance }
    }

    #[test]
    fn exact_search_by_hand() {
        let ids: Vec<String> = ["a", "b", "c"].map(String::from).into();
        let vectors = array![[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]];
        let of = |queries: Array2<f32>| {
            let search = ExactSearch::new(Queries::new(Metric::L2, queries.view()));
            search.add(&ids, vectors.view()).unwrap();
            search
        };
        let all = vec![hit("a", 1.0), hit("b", 4.0), hit("c", 18.0)];
        let one = of(array![[0.0, 0.0]]);
        assert_eq!(one.hits(), std::slice::from_ref(&all));
        assert_eq!(one.recall(std::slice::from_ref(&all)), 1.0);
        assert_eq!(one.recall(&[vec![hit("a", 1.0)]]), 1.0 / 3.0);
        assert_eq!(one.recall(&[vec![hit("z", 99.0)]]), 0.0);
        let two = of(array![[0.0, 0.0], [9.0, 9.0]]);
        assert_eq!(two.recall(&[all, Vec::new()]), 0.5);
    }
}
