//! One set of vectors that is asked: its rankings, and how good they are.

use ndarray::ArrayView2;

use super::result::{Difference, Figure, Quantiles, Scores};
use super::vectors::{Vectors, search};
use crate::context::Context;
use crate::error::Result;
use crate::measure::Estimate;
use crate::measure::bootstrap::quantile;
use crate::measure::nearest::{Metric, Neighbour};
use crate::measure::ranking::{self, Relevant};
use crate::texts::Judgements;

/// A figure query by query.
pub(super) struct Scored {
    pub name: String,
    pub values: Vec<f64>,
}

/// What each query found, best first.
pub(super) struct Rankings {
    pub rows: Vec<Vec<usize>>,
    /// Closeness of each hit: larger is nearer, but for squared distances.
    pub scores: Vec<Vec<f32>>,
    metric: Metric,
}

impl Rankings {
    /// Asks prepared vectors.
    pub fn of(
        queries: ArrayView2<'_, f32>,
        vectors: &Vectors,
        k: usize,
        metric: Metric,
        context: &Context<'_>,
    ) -> Result<Self> {
        let found = search(queries, vectors.rows.view(), k, metric, context)?;
        let score = |hit: &Neighbour| if metric == Metric::L2 { hit.distance } else { 1.0 - hit.distance };
        Ok(Rankings {
            rows: found.iter().map(|hits| hits.iter().map(|hit| hit.row).collect()).collect(),
            scores: found.iter().map(|hits| hits.iter().map(score).collect()).collect(),
            metric,
        })
    }

    /// Quantiles over the best hits, and over the first `k`.
    pub fn quantiles(&self, k: usize) -> Scores {
        let of = |k: usize| quantiles(self.first(k).collect());
        let kind = match self.metric {
            Metric::L2 => "squared distance",
            Metric::Cosine => "cosine",
            Metric::InnerProduct => "inner product",
        };
        Scores { kind, first: of(1), top: of(k) }
    }

    /// Scores of the first `k` hits of every query.
    pub fn first(&self, k: usize) -> impl Iterator<Item = f64> {
        self.scores.iter().flat_map(move |scores| scores.iter().take(k).copied().map(f64::from))
    }
}

pub(super) fn quantiles(mut values: Vec<f64>) -> Quantiles {
    values.sort_by(f64::total_cmp);
    let of = |q| quantile(&values, q);
    Quantiles { p5: of(0.05), p25: of(0.25), p50: of(0.5), p75: of(0.75), p95: of(0.95) }
}

/// What is relevant to each query, by rows of these vectors.
pub(super) fn relevant(queries: &[String], judgements: &Judgements, vectors: &Vectors) -> Vec<Relevant> {
    let of = |query: &String| {
        let mut relevant = Relevant::default();
        for (id, grade) in judgements.relevant(query) {
            match vectors.row_of(id) {
                Some(row) => {
                    relevant.grades.insert(row, grade);
                }
                None => relevant.absent.push(grade),
            }
        }
        relevant
    };
    queries.iter().map(of).collect()
}

/// nDCG, recall and MRR at each `k`, query by query.
pub(super) fn judge(rankings: &Rankings, relevant: &[Relevant], k: &[usize]) -> Vec<Scored> {
    type Metric = fn(&[usize], &Relevant, usize) -> f64;
    let metrics: [(&str, Metric); 3] =
        [("ndcg", ranking::ndcg), ("recall", ranking::recall), ("mrr", ranking::reciprocal_rank)];
    let of = |(name, metric): &(&str, Metric), k: usize| Scored {
        name: format!("{name}@{k}"),
        values: rankings
            .rows
            .iter()
            .zip(relevant)
            .map(|(rows, relevant)| metric(rows, relevant, k))
            .collect(),
    };
    metrics.iter().flat_map(|metric| k.iter().map(|k| of(metric, *k))).collect()
}

/// Means over queries.
pub(super) fn figures(scored: &[Scored], seed: u64) -> Vec<Figure> {
    let of = |s: &Scored| Figure { name: s.name.clone(), estimate: Estimate::mean(&s.values, seed) };
    scored.iter().map(of).collect()
}

/// `ours` minus `theirs` for each figure that both have.
pub(super) fn differences(ours: &[Scored], theirs: &[Scored], seed: u64) -> Vec<Difference> {
    let of = |(a, b): (&Scored, &Scored)| {
        let pairs = || a.values.iter().zip(&b.values);
        let (better, worse) =
            (pairs().filter(|(a, b)| a > b).count(), pairs().filter(|(a, b)| a < b).count());
        Difference {
            name: a.name.clone(),
            estimate: Estimate::difference(&a.values, &b.values, seed),
            better,
            worse,
            equal: a.values.len().min(b.values.len()) - better - worse,
        }
    };
    both(ours, theirs).map(of).collect()
}

/// Figures that both have.
pub(super) fn both<'a>(
    ours: &'a [Scored],
    theirs: &'a [Scored],
) -> impl Iterator<Item = (&'a Scored, &'a Scored)> {
    ours.iter().filter_map(|a| Some((a, theirs.iter().find(|b| b.name == a.name)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_count_queries_and_leave_out_what_only_one_has() {
        let scored = |name: &str, values: &[f64]| Scored { name: name.into(), values: values.to_vec() };
        let ours = [scored("ndcg@10", &[1.0, 0.5, 0.0, 0.5]), scored("mrr@10", &[1.0; 4])];
        let theirs = [scored("ndcg@10", &[0.5, 0.5, 0.5, 0.0])];
        let found = differences(&ours, &theirs, 1);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].better, found[0].worse, found[0].equal), (2, 1, 1));
        assert_eq!(found[0].estimate.value, Some(0.125));
    }
}
