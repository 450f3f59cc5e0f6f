//! Exact nearest neighbours of a few queries over records that stream by: what an index is measured against.

use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, ArrayView1, ArrayView2};
use pulp::Arch;

use super::questions::Probes;
use crate::error::Result;
use crate::matrix::{self, rows};
use crate::store::{Hit, Metric};

/// Neighbours compared between the store's index and exact search.
pub const K: usize = 10;
/// Distances that differ by less are a tie.
const TIE: f32 = 1e-4;

/// Takes records from several threads at once, in any order.
pub struct ExactSearch {
    metric: Metric,
    queries: Array2<f32>,
    query_squares: Vec<f32>,
    best: Vec<Mutex<BinaryHeap<Candidate>>>,
    /// Bits of the distance that a record has to beat, by query.
    bound: Vec<AtomicU32>,
    /// Queries that belong to a record, and how far from it they turned out to be.
    owners: HashMap<String, Vec<usize>>,
    own: Mutex<Vec<Option<f32>>>,
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
    /// `queries`: one row each; the first of them are those of `probes`, if there are any.
    pub fn new(metric: Metric, queries: ArrayView2<f32>, probes: Option<&Probes>) -> Self {
        let mut queries = queries.to_owned();
        if metric == Metric::Cosine {
            matrix::normalise_rows(queries.view_mut());
        }
        let mut owners: HashMap<String, Vec<usize>> = HashMap::new();
        for (row, id) in probes.iter().flat_map(|p| p.ids.iter().take(queries.nrows()).enumerate()) {
            owners.entry(id.clone()).or_default().push(row);
        }
        let rows = queries.nrows();
        ExactSearch {
            metric,
            query_squares: queries.rows().into_iter().map(|q| q.dot(&q)).collect(),
            best: (0..rows).map(|_| Mutex::new(BinaryHeap::with_capacity(K + 1))).collect(),
            bound: (0..rows).map(|_| AtomicU32::new(f32::INFINITY.to_bits())).collect(),
            owners,
            own: Mutex::new(vec![None; rows]),
            queries,
        }
    }

    /// The queries, as they are asked.
    pub fn queries(&self) -> ArrayView2<'_, f32> {
        self.queries.view()
    }

    /// The metric of the search.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    #[inline(always)]
    fn distance(&self, product: f32, square: f32, query: usize) -> f32 {
        match self.metric {
            Metric::Cosine => 1.0 - product / square.sqrt().max(f32::MIN_POSITIVE),
            Metric::Ip => 1.0 - product,
            Metric::L2 => self.query_squares.get(query).unwrap_or(&0.0) + square - 2.0 * product,
        }
    }

    /// Puts the distance of `query` to each record into `out`.
    fn distances(&self, products: ArrayView1<f32>, squares: &[f32], query: usize, out: &mut Vec<f32>) {
        out.clear();
        Arch::new().dispatch(|| match products.to_slice() {
            Some(products) => {
                out.extend(products.iter().zip(squares).map(|(p, s)| self.distance(*p, *s, query)));
            }
            None => out.extend(products.iter().zip(squares).map(|(p, s)| self.distance(*p, *s, query))),
        });
    }

    /// Considers some records.
    pub fn add(&self, ids: &[String], vectors: ArrayView2<f32>) -> Result<()> {
        let mut products = Array2::zeros((self.queries.nrows(), vectors.nrows()));
        matrix::product_transposed(self.queries.view(), vectors, None, products.view_mut())?;
        let square = |v: ArrayView1<f32>| v.to_slice().map_or_else(|| v.dot(&v), rows::squares_f32);
        let squares: Vec<f32> = vectors.rows().into_iter().map(square).collect();
        if !self.owners.is_empty() {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            for ((column, id), square) in ids.iter().enumerate().zip(&squares) {
                for &row in self.owners.get(id).into_iter().flatten() {
                    if let (Some(product), Some(own)) = (products.get((row, column)), own.get_mut(row)) {
                        *own = Some(self.distance(*product, *square, row));
                    }
                }
            }
        }
        let mut distances = Vec::with_capacity(squares.len());
        for (query, row) in products.rows().into_iter().enumerate() {
            let (Some(bound), Some(best)) = (self.bound.get(query), self.best.get(query)) else { continue };
            let mut to_beat = f32::from_bits(bound.load(Ordering::Relaxed));
            self.distances(row, &squares, query, &mut distances);
            if !rows::any_below(&distances, to_beat) {
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

    /// Distances of a query that differ by less are a tie: rounding, relative to the lengths at play.
    fn tie(&self, row: usize, distance: f32) -> f32 {
        let scale = match self.metric {
            Metric::Cosine => 1.0,
            Metric::Ip | Metric::L2 => self.query_squares.get(row).copied().unwrap_or(1.0),
        };
        TIE * distance.abs().max(scale)
    }

    /// How many of the probes find their own record first: no other record that the store found is nearer. With many
    /// copies of one vector the record itself need not be among the hits.
    pub fn own_first(&self, hits: &[Vec<Hit>]) -> usize {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = own.iter().zip(hits).enumerate();
        rows.filter(|(row, (own, hits))| match (own, hits.first()) {
            (Some(own), Some(best)) => *own <= best.distance + self.tie(*row, best.distance),
            _ => false,
        })
        .count()
    }

    /// Share of the exact nearest [`K`] that `hits` contain, over the queries in `rows`; a tie counts as found.
    pub fn recall(&self, hits: &[Vec<Hit>], rows: Range<usize>) -> f64 {
        let (mut found, mut wanted) = (0usize, 0usize);
        for (row, (best, hits)) in self.best.iter().zip(hits).enumerate() {
            let best = best.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(worst) = best.peek().filter(|_| rows.contains(&row)) else { continue };
            wanted += best.len();
            let bound = worst.distance + self.tie(row, worst.distance);
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
        let search = ExactSearch::new(Metric::L2, array![[0.0, 0.0], [9.0, 9.0]].view(), None);
        search.add(&ids, vectors.view()).unwrap();
        let all = vec![vec![hit("a", 1.0), hit("b", 4.0), hit("c", 18.0)], Vec::new()];
        assert_eq!(search.recall(&all, 0..1), 1.0);
        assert_eq!(search.recall(&all, 0..2), 0.5);
        assert_eq!(search.recall(&[vec![hit("a", 1.0)]], 0..1), 1.0 / 3.0);
        assert_eq!(search.recall(&[vec![hit("z", 99.0)]], 0..1), 0.0);
    }

    fn asked(own: &str, ids: &[&str], vectors: Array2<f32>) -> ExactSearch {
        let query = array![[1.0, 0.0]];
        let probes =
            Probes { ids: vec![own.into()], vectors: query.clone(), rows: None, origin: String::new() };
        let search = ExactSearch::new(Metric::Cosine, query.view(), Some(&probes));
        let ids: Vec<String> = ids.iter().map(|id| (*id).into()).collect();
        search.add(&ids, vectors.view()).unwrap();
        search
    }

    #[test]
    fn copies_of_a_record_do_not_hide_it() {
        let search = asked("b", &["a", "b"], array![[2.0, 0.1], [2.0, 0.1]]);
        let of_the_copy = 1.0 - 2.0 / 4.01f32.sqrt();
        assert_eq!(search.own_first(&[vec![hit("a", of_the_copy)]]), 1);
    }

    #[test]
    fn a_nearer_record_of_another_text_counts_against() {
        let search = asked("b", &["a", "b"], array![[1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(search.own_first(&[vec![hit("a", 0.0), hit("b", 1.0)]]), 0);
        assert_eq!(search.own_first(&[Vec::new()]), 0);
    }
}
