//! Meaning checks: a raw vector of the target model, asked of the rewritten index.
//!
//! A map applied in the wrong direction passes every delivery check and leaves recall@1 near zero;
//! only a question in the target space shows it.

use std::collections::{BinaryHeap, HashMap};

use ndarray::{Array2, ArrayView2, Axis};

use crate::context::Context;
use crate::embed::{Embedder, Role};
use crate::error::Result;
use crate::matrix;
use crate::measure::HeldOutReport;
use crate::projection::{Projection, text_key};
use crate::store::{Batch, Hit, Metric};

use super::verification::{Family, Relation, VerificationReport};

/// Neighbours compared between the store's index and exact search.
pub const K: usize = 10;
/// Queries asked at most.
const QUERIES: usize = 300;
/// Records whose text is embedded with the target model, where that model can run here.
const EMBEDDED_PROBES: usize = 100;
/// The store's own index must find at least this share of the exact neighbours.
const INDEX_RECALL_BOUND: f64 = 0.90;
/// Share of the held-out recall@1 that the whole collection must keep. A collection is harder than a
/// few hundred held-out rows, so this bound catches wrong maps, not weak ones: a reversed map is near 0.
const DIRECTION_SHARE: f64 = 0.25;
/// Lowest bound of the direction check.
const DIRECTION_FLOOR: f64 = 0.05;
/// How far the held-out cosine may fall below what the projection file says.
const COSINE_SLACK: f64 = 0.005;
/// Distances that differ by less are a tie.
const TIE: f32 = 1e-4;

/// Target-space vectors of records of this very collection.
#[derive(Debug)]
pub struct Probes {
    /// Record that each vector belongs to.
    pub ids: Vec<String>,
    /// One row each.
    pub vectors: Array2<f32>,
    /// Where they came from, in words.
    pub origin: String,
}

/// Collects probes while records stream by.
pub struct ProbeCollector<'a> {
    held_out: HashMap<&'a str, usize>,
    matched: Vec<(String, usize)>,
    texts: Vec<(String, String)>,
    stride: usize,
    seen: usize,
}

impl<'a> ProbeCollector<'a> {
    /// For a collection of `records` records.
    pub fn new(projection: &'a Projection, records: u64) -> Self {
        let held_out = projection.held_out.iter().flat_map(|h| h.ids.iter().enumerate());
        ProbeCollector {
            held_out: held_out.map(|(row, id)| (id.as_str(), row)).collect(),
            matched: Vec::new(),
            texts: Vec::new(),
            stride: (records as usize / EMBEDDED_PROBES).max(1),
            seen: 0,
        }
    }

    /// Looks at some records (with their texts).
    pub fn look(&mut self, batch: &Batch) {
        for (id, text) in batch.ids.iter().zip(&batch.texts) {
            self.seen += 1;
            let Some(text) = text.as_deref().filter(|t| !t.is_empty()) else { continue };
            if !self.held_out.is_empty()
                && self.matched.len() < QUERIES
                && let Some(row) = self.held_out.get(text_key(text).as_str())
            {
                self.matched.push((id.clone(), *row));
            }
            if self.seen.is_multiple_of(self.stride) && self.texts.len() < EMBEDDED_PROBES {
                self.texts.push((id.clone(), text.to_owned()));
            }
        }
    }

    /// The probes: true target vectors of held-out pairs if enough of their texts are here, else texts
    /// of the collection embedded now, else none.
    pub fn finish(
        self,
        projection: &Projection,
        target_model: Option<&dyn Embedder>,
        context: &Context<'_>,
    ) -> Result<Option<Probes>> {
        const ENOUGH: usize = 20;
        if self.matched.len() >= ENOUGH
            && let Some(held_out) = &projection.held_out
        {
            let rows: Vec<usize> = self.matched.iter().map(|(_, row)| *row).collect();
            return Ok(Some(Probes {
                vectors: held_out.target.select(Axis(0), &rows),
                origin: format!("{} held-out pairs whose texts are in the collection", rows.len()),
                ids: self.matched.into_iter().map(|(id, _)| id).collect(),
            }));
        }
        let Some(model) = target_model.filter(|_| !self.texts.is_empty()) else { return Ok(None) };
        let texts: Vec<&str> = self.texts.iter().map(|(_, text)| text.as_str()).collect();
        context.progress.start("embedding probes", Some(texts.len() as u64), "texts");
        let vectors = model.embed(&texts, Role::Document, context)?;
        context.progress.finish();
        Ok(Some(Probes {
            vectors,
            origin: format!("{} records, their texts embedded now with the target model", texts.len()),
            ids: self.texts.into_iter().map(|(id, _)| id).collect(),
        }))
    }
}

/// Exact nearest neighbours of a few queries over records that stream by.
pub struct ExactSearch {
    metric: Metric,
    queries: Array2<f32>,
    query_squares: Vec<f32>,
    best: Vec<BinaryHeap<Candidate>>,
    /// Queries that belong to a record, and how far from it they turned out to be.
    owners: HashMap<String, Vec<usize>>,
    own: Vec<Option<f32>>,
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
    /// `queries`: rows in the target space; the first of them are those of `probes`, if there are any.
    pub fn new(metric: Metric, queries: ArrayView2<f32>, probes: Option<&Probes>) -> Self {
        let mut queries = queries.to_owned();
        if metric == Metric::Cosine {
            matrix::normalise_rows(queries.view_mut());
        }
        let query_squares = queries.rows().into_iter().map(|q| q.dot(&q)).collect();
        let best = queries.rows().into_iter().map(|_| BinaryHeap::with_capacity(K + 1)).collect();
        let mut owners: HashMap<String, Vec<usize>> = HashMap::new();
        for (row, id) in probes.iter().flat_map(|p| p.ids.iter().take(queries.nrows()).enumerate()) {
            owners.entry(id.clone()).or_default().push(row);
        }
        let own = vec![None; queries.nrows()];
        ExactSearch { metric, queries, query_squares, best, owners, own }
    }

    /// The queries, as they are asked.
    pub fn queries(&self) -> ArrayView2<'_, f32> {
        self.queries.view()
    }

    /// Considers some records.
    pub fn add(&mut self, ids: &[String], vectors: ArrayView2<f32>) -> Result<()> {
        let mut products = Array2::zeros((self.queries.nrows(), vectors.nrows()));
        matrix::product_transposed(self.queries.view(), vectors, None, products.view_mut())?;
        let squares: Vec<f32> = vectors.rows().into_iter().map(|v| v.dot(&v)).collect();
        let metric = self.metric;
        let distance = |product: f32, square: f32, query_square: f32| match metric {
            Metric::Cosine => 1.0 - product / square.sqrt().max(f32::MIN_POSITIVE),
            Metric::Ip => 1.0 - product,
            Metric::L2 => query_square + square - 2.0 * product,
        };
        for (column, id) in ids.iter().enumerate() {
            for &row in self.owners.get(id).into_iter().flatten() {
                if let (Some(product), Some(square), Some(query_square), Some(own)) = (
                    products.get((row, column)),
                    squares.get(column),
                    self.query_squares.get(row),
                    self.own.get_mut(row),
                ) {
                    *own = Some(distance(*product, *square, *query_square));
                }
            }
        }
        for ((row, heap), query_square) in
            products.rows().into_iter().zip(&mut self.best).zip(&self.query_squares)
        {
            for ((product, square), id) in row.iter().zip(&squares).zip(ids) {
                let distance = distance(*product, *square, *query_square);
                if heap.len() < K || heap.peek().is_some_and(|worst| distance < worst.distance) {
                    heap.push(Candidate { distance, id: id.clone() });
                    if heap.len() > K {
                        heap.pop();
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
        let rows = self.own.iter().zip(hits).enumerate();
        rows.filter(|(row, (own, hits))| match (own, hits.first()) {
            (Some(own), Some(best)) => *own <= best.distance + self.tie(*row, best.distance),
            _ => false,
        })
        .count()
    }

    /// Share of the exact nearest [`K`] that `hits` contain; a tie counts as found.
    pub fn recall(&self, hits: &[Vec<Hit>]) -> f64 {
        let (mut found, mut wanted) = (0usize, 0usize);
        for (row, (heap, hits)) in self.best.iter().zip(hits).enumerate() {
            wanted += heap.len();
            let Some(worst) = heap.peek() else { continue };
            let bound = worst.distance + self.tie(row, worst.distance);
            found += hits.iter().take(K).filter(|h| h.distance <= bound).count().min(heap.len());
        }
        found as f64 / wanted.max(1) as f64
    }
}

/// Queries for the index check: the probes, else the held-out target rows, else nothing.
pub fn queries<'a>(probes: Option<&'a Probes>, projection: &'a Projection) -> Option<ArrayView2<'a, f32>> {
    let rows = match (probes, &projection.held_out) {
        (Some(probes), _) => probes.vectors.view(),
        (None, Some(held_out)) => held_out.target.view(),
        (None, None) => return None,
    };
    Some(rows.slice_move(ndarray::s![..rows.nrows().min(QUERIES), ..]))
}

/// The checks. `hits`: what the store's own index found for [`queries`].
pub fn check(
    report: &mut VerificationReport,
    projection: &Projection,
    probes: Option<&Probes>,
    exact: Option<&ExactSearch>,
    hits: &[Vec<Hit>],
) -> Result<()> {
    check_held_out(report, projection)?;
    match probes.zip(exact) {
        Some((probes, exact)) => {
            let asked = probes.ids.len().min(hits.len()).max(1);
            // By inner product a vector need not be its own best match unless all have one length.
            let comparable = exact.metric != Metric::Ip || projection.target().normalised == Some(true);
            let expected = projection.header.report.value("recall_at_1").filter(|_| comparable);
            report.check(
                Family::Meaning,
                format!("recall@1, target-model queries ({})", probes.origin),
                exact.own_first(hits) as f64 / asked as f64,
                Relation::AtLeast,
                (expected.unwrap_or(0.0) * DIRECTION_SHARE).max(DIRECTION_FLOOR),
            );
        }
        None => report.not_measured.push(
            "recall@1 of target-model queries on this collection: no held-out text is in it and the target \
             model cannot be run here"
                .into(),
        ),
    }
    match exact {
        Some(exact) => report.check(
            Family::Meaning,
            format!("recall@{K} of the store's index against exact search"),
            exact.recall(hits),
            Relation::AtLeast,
            INDEX_RECALL_BOUND,
        ),
        None => report.not_measured.push("recall of the store's index: no query in the target space".into()),
    }
    Ok(())
}

/// The loaded map must do on its held-out pairs what its file says.
fn check_held_out(report: &mut VerificationReport, projection: &Projection) -> Result<()> {
    let Some(held_out) = &projection.held_out else {
        report.not_measured.push("held-out pairs: the projection carries none".into());
        return Ok(());
    };
    let projected = projection.apply(held_out.source.view())?;
    let values = HeldOutReport::values(projected.view(), held_out.target.view(), projection.header.seed)?;
    let now = |name: &str| values.iter().find(|(n, _)| *n == name).and_then(|(_, value)| *value);
    for (figure, name) in [
        ("cosine_mean", "held-out mean cosine, projected now"),
        ("similarity_pearson", "held-out similarity preservation, projected now"),
    ] {
        let Some(promised) = projection.header.report.value(figure) else { continue };
        report.check(
            Family::Meaning,
            name,
            now(figure).unwrap_or(f64::NAN),
            Relation::AtLeast,
            promised - COSINE_SLACK,
        );
    }
    if let (Some(mse), Some(promised)) = (now("mse"), projection.header.report.value("mse")) {
        report.check(
            Family::Meaning,
            "held-out mean squared error, projected now",
            mse,
            Relation::AtMost,
            promised * 1.01 + 1e-9,
        );
    }
    Ok(())
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
        let mut search = ExactSearch::new(Metric::L2, array![[0.0, 0.0]].view(), None);
        search.add(&ids, vectors.view()).unwrap();
        let all = vec![vec![hit("a", 1.0), hit("b", 4.0), hit("c", 18.0)]];
        assert_eq!(search.recall(&all), 1.0);
        assert_eq!(search.recall(&[vec![hit("a", 1.0)]]), 1.0 / 3.0);
        assert_eq!(search.recall(&[vec![hit("z", 99.0)]]), 0.0);
    }

    fn asked(own: &str, ids: &[&str], vectors: Array2<f32>) -> ExactSearch {
        let query = array![[1.0, 0.0]];
        let probes = Probes { ids: vec![own.into()], vectors: query.clone(), origin: String::new() };
        let mut search = ExactSearch::new(Metric::Cosine, query.view(), Some(&probes));
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
