//! What an evaluation found: every figure that is shown anywhere is one of these.

use serde::Serialize;

use crate::measure::Estimate;

/// A finished evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// How closeness was measured: `cosine`, `l2` or `ip`.
    pub metric: &'static str,
    /// Lengths at which rankings were cut; the first is the one that pictures and the worst queries are of.
    pub k: Vec<usize>,
    /// Share of the bootstrap over queries (or documents) that each interval holds.
    pub coverage: f64,
    /// Resamples behind each interval.
    pub resamples: usize,
    /// Seed of resamples and samples.
    pub seed: u64,
    /// The questions.
    pub queries: Asked,
    /// What was judged; none if no judgements were given.
    pub judgements: Option<Judged>,
    /// The corpus first, then (where native vectors lack some records) the corpus on the common ones, native, baselines.
    pub systems: Vec<System>,
    /// The corpus against native vectors.
    pub native: Option<Native>,
    /// The queries with the lowest nDCG, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_queries: Option<Vec<WorstQuery>>,
    /// What the reader of the figures should know, lower case.
    pub notes: Vec<String>,
    /// What plots need beyond the figures.
    #[serde(skip)]
    pub pictures: Pictures,
}

/// The questions of an evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// In words.
    pub origin: String,
    /// Queries that were given.
    pub given: usize,
    /// Queries that were asked: with judgements, those that have a relevant record.
    pub asked: usize,
}

/// The judgements of an evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// In words.
    pub origin: String,
    /// Judged queries that were not given.
    pub without_query: usize,
    /// Relevant records of the queries that were asked, counted once for each query.
    pub relevant: usize,
    /// Those of them that the corpus lacks: they count as not found.
    pub absent: usize,
}

/// What a system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What is evaluated.
    Corpus,
    /// The records of it that there are native vectors for.
    CorpusCommon,
    /// True vectors of the target model.
    Native,
    /// Something else to compare with.
    Baseline,
}

/// One set of vectors with the queries that ask it.
#[derive(Clone, Debug, Serialize)]
pub struct System {
    /// `corpus`, `native`, or the name that the user gave.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Where it came from, in words.
    pub origin: String,
    /// Records.
    pub records: usize,
    /// Components.
    pub dimension: usize,
    /// Means over queries.
    pub figures: Vec<Figure>,
    /// Corpus minus this, on the same queries; empty for the corpus itself. Native vectors that lack records are compared
    /// with the corpus on the common ones.
    pub differences: Vec<Difference>,
    /// Closeness of what was found.
    pub scores: Scores,
}

/// A named figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// `ndcg@K`, `recall@K`, `mrr@K`, or `native_top@K`: the share of the exact native top K that is found.
    pub name: String,
    /// Its mean.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// A figure of the corpus minus that of another system, query by query.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// As [`Figure::name`].
    pub name: String,
    /// Mean of the differences.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Queries on which the corpus is better.
    pub better: usize,
    /// Queries on which it is worse.
    pub worse: usize,
    /// All others.
    pub equal: usize,
}

/// Quantiles of the closeness of hits.
#[derive(Clone, Debug, Serialize)]
pub struct Scores {
    /// `cosine`, `inner product` or `squared distance`.
    pub kind: &'static str,
    /// Of the best hit of each query.
    pub first: Quantiles,
    /// Of the first K hits of each query, K the first of [`Evaluation::k`].
    pub top: Quantiles,
}

/// Five quantiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Quantiles {
    pub p5: Option<f64>,
    pub p25: Option<f64>,
    pub p50: Option<f64>,
    pub p75: Option<f64>,
    pub p95: Option<f64>,
}

/// The corpus against native vectors, on the records that both have.
#[derive(Clone, Debug, Serialize)]
pub struct Native {
    /// Records that both have.
    pub common: usize,
    /// Records of the corpus without a native vector.
    pub without_native: usize,
    /// Figures of the corpus divided by those of native vectors: what is retained. Empty without judgements.
    pub retention: Vec<Figure>,
    /// `native_neighbours@K`: share of the K nearest other documents of a document, by native vectors, that
    /// are so by those of the corpus.
    pub neighbours: Vec<Figure>,
    /// Documents that were asked for that, drawn by the seed.
    pub documents: usize,
    /// Correlations of the cosines between documents in both spaces (at most 500 documents).
    pub similarity_pearson: Option<f64>,
    /// By rank.
    pub similarity_spearman: Option<f64>,
}

/// A query that found little.
#[derive(Clone, Debug, Serialize)]
pub struct WorstQuery {
    /// Its id.
    pub id: String,
    /// Its text, if queries came as texts.
    pub text: Option<String>,
    /// nDCG at the first K.
    pub ndcg: f64,
    /// Rank of the first relevant record, if it is among the largest K.
    pub first_relevant: Option<usize>,
    /// Ids of the best three hits.
    pub found: Vec<String>,
    /// Ids of at most three relevant records, best first.
    pub wanted: Vec<String>,
}

/// What plots need: numbers without ids.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// For each system compared: its name and the differences of nDCG at the first K, ascending.
    pub differences: Vec<(String, Vec<f64>)>,
    /// For each system: its name and the scores of its first K hits, as counts over equal bins.
    pub scores: Vec<(String, Histogram)>,
    /// Share of the native top K that each query finds.
    pub native_top: Option<Histogram>,
    /// Share of the native neighbours that each document keeps.
    pub neighbours: Option<Histogram>,
    /// Cosines of random pairs of documents: native, corpus.
    pub similarities: Vec<[f64; 2]>,
    /// Documents on the two main directions of native vectors: native, corpus.
    pub map: [Vec<[f64; 2]>; 2],
}

/// Counts over equal bins.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Begin of the first bin.
    pub low: f64,
    /// End of the last.
    pub high: f64,
    /// Values in each.
    pub counts: Vec<usize>,
}

impl Histogram {
    /// Sorts values into `bins` bins from `low` to `high`; those outside go into the outer ones.
    pub fn of(values: impl Iterator<Item = f64>, low: f64, high: f64, bins: usize) -> Self {
        let mut counts = vec![0; bins.max(1)];
        let width = (high - low) / counts.len() as f64;
        for value in values {
            let bin = if width > 0.0 { ((value - low) / width).max(0.0) as usize } else { 0 };
            let bin = bin.min(counts.len() - 1);
            if let Some(count) = counts.get_mut(bin) {
                *count += 1;
            }
        }
        Histogram { low, high, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_bins() {
        let values = [-1.0, 0.0, 0.24, 0.25, 0.99, 1.0, 7.0];
        let histogram = Histogram::of(values.into_iter(), 0.0, 1.0, 4);
        assert_eq!(histogram.counts, [3, 1, 0, 3]);
        assert_eq!(Histogram::of(values.into_iter(), 2.0, 2.0, 3).counts, [7, 0, 0]);
    }
}
