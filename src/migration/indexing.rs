//! How well an index finds what exact search finds, before and after, and which way to an index is taken.

use serde::{Deserialize, Serialize};

use super::exact::{ExactSearch, K};
use super::questions::Questions;
use super::verification::{Family, Relation, VerificationReport};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::store::{Hit, IndexWay, Metric, Rewrite};

/// How much recall a kept graph may lose against the one before.
const TOLERANCE: f64 = 0.01;
/// The index must find at least this share of the exact neighbours ...
const BOUND: f64 = 0.90;
/// ... or, where the one before did worse, not less than this below it.
const SLACK: f64 = 0.10;

/// What became of the index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IndexReport {
    /// The way that was taken.
    pub way: IndexWay,
    /// Recall@10 against exact search before: held-out vectors of the source model, at the collection's own
    /// search width. `None`: not measured.
    pub recall_before: Option<f64>,
    /// Recall@10 against exact search after: the same texts' vectors of the target model.
    pub recall_after: Option<f64>,
    /// Ways that were tried and not taken, with their recall.
    pub rejected: Vec<(IndexWay, Option<f64>)>,
}

/// Exact neighbours of the questions on both sides.
pub struct Judge {
    /// What is asked.
    pub questions: Option<Questions>,
    /// Neighbours of the source queries among the source vectors; `None` without such queries.
    pub source: Option<ExactSearch>,
    /// Neighbours of the target queries among the new vectors; `None` without such queries.
    pub target: Option<ExactSearch>,
}

impl Judge {
    /// For a collection that is searched by `metric`.
    pub fn new(questions: Option<Questions>, metric: Metric) -> Judge {
        let source = questions
            .as_ref()
            .filter(|q| q.source.nrows() > 0)
            .map(|q| ExactSearch::new(metric, q.source.view(), None));
        let target = questions.as_ref().map(|q| ExactSearch::new(metric, q.target.view(), q.probes.as_ref()));
        Judge { questions, source, target }
    }

    fn recall_after(&self, hits: &[Vec<Hit>]) -> Option<f64> {
        let paired = self.questions.as_ref().map_or(0, |q| q.paired);
        let target = self.target.as_ref()?;
        let rows = if self.source.is_some() { paired..hits.len() } else { 0..hits.len() };
        Some(target.recall(hits, rows))
    }

    /// Seals `rewrite` by the cheapest way that serves; returns what the sealed index found.
    pub fn seal(
        &self,
        rewrite: &mut dyn Rewrite,
        context: &Context<'_>,
    ) -> Result<(IndexReport, Vec<Vec<Hit>>)> {
        let recall_before = match &self.source {
            Some(source) => {
                let hits = rewrite.search_before(source.queries(), K)?;
                Some(source.recall(&hits, 0..hits.len()))
            }
            None => None,
        };
        let ways = rewrite.ways();
        let mut rejected = Vec::new();
        for (at, way) in ways.iter().enumerate() {
            let dearest = at + 1 == ways.len();
            // Without a measure nothing shows that a kept graph serves.
            if !dearest && recall_before.is_none() {
                continue;
            }
            rewrite.seal(*way, context)?;
            let hits = match &self.target {
                Some(target) => rewrite.search(target.queries(), K)?,
                None => Vec::new(),
            };
            let recall_after = self.recall_after(&hits);
            let serves =
                recall_before.zip(recall_after).is_some_and(|(before, after)| after >= before - TOLERANCE);
            if dearest || serves {
                return Ok((IndexReport { way: *way, recall_before, recall_after, rejected }, hits));
            }
            rejected.push((*way, recall_after));
        }
        Err(Error::new(Kind::Internal, "the store knows no way to an index"))
    }
}

/// The sealed index must find what exact search finds.
pub fn check(report: &mut VerificationReport, index: &IndexReport) {
    match index.recall_after {
        Some(recall) => report.check(
            Family::Meaning,
            format!("recall@{K} of the store's index against exact search"),
            recall,
            Relation::AtLeast,
            index.recall_before.map_or(BOUND, |before| BOUND.min(before - SLACK)),
        ),
        None => report.not_measured.push("recall of the store's index: no query in the target space".into()),
    }
    if index.recall_before.is_none() {
        report
            .not_measured
            .push("recall of the index before: the projection carries no held-out pairs".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::context;
    use crate::store::{Backup, Batch, Pass};
    use ndarray::{Array2, ArrayView2, array};

    /// Ten records on a line; each way to an index finds as many of them as it is told to.
    struct Scripted {
        ways: Vec<(IndexWay, usize)>,
        before: usize,
        sealed: Option<usize>,
    }

    fn hits(found: usize) -> Vec<Vec<Hit>> {
        vec![(0..found).map(|i| Hit { id: i.to_string(), distance: (i * i) as f32 }).collect()]
    }

    fn unused<T>() -> Result<T> {
        Err(Error::new(Kind::Internal, "not asked for here"))
    }

    impl Rewrite for Scripted {
        fn sweep_details(&self) -> serde_json::Value {
            serde_json::Value::Null
        }
        fn back_up(&mut self, _: &mut dyn FnMut(&str, &str)) -> Result<(Backup, String)> {
            unused()
        }
        fn ways(&self) -> Vec<IndexWay> {
            self.ways.iter().map(|(way, _)| *way).collect()
        }
        fn transform(&mut self, _: &dyn Pass, _: &Context<'_>) -> Result<()> {
            unused()
        }
        fn search_before(&self, _: ArrayView2<f32>, _: usize) -> Result<Vec<Vec<Hit>>> {
            assert!(self.sealed.is_none(), "the index before is gone");
            Ok(hits(self.before))
        }
        fn seal(&mut self, way: IndexWay, _: &Context<'_>) -> Result<()> {
            self.sealed = self.ways.iter().find(|(w, _)| *w == way).map(|(_, found)| *found);
            Ok(())
        }
        fn read_back(&self, _: &(dyn Fn(&Batch) -> Result<()> + Sync)) -> Result<String> {
            unused()
        }
        fn search(&self, _: ArrayView2<f32>, _: usize) -> Result<Vec<Vec<Hit>>> {
            Ok(hits(self.sealed.unwrap()))
        }
        fn commit(self: Box<Self>) -> Result<()> {
            unused()
        }
    }

    fn judged(before: usize, ways: &[(IndexWay, usize)], with_pairs: bool) -> (IndexReport, Option<usize>) {
        let source = Array2::zeros((usize::from(with_pairs), 1));
        let questions = Questions { target: array![[0.0]], source, paired: 0, probes: None };
        let judge = Judge::new(Some(questions), Metric::L2);
        let ids: Vec<String> = (0..10).map(|i| i.to_string()).collect();
        let line = Array2::from_shape_fn((10, 1), |(i, _)| i as f32);
        for exact in judge.source.iter().chain(&judge.target) {
            exact.add(&ids, line.view()).unwrap();
        }
        let mut rewrite = Scripted { ways: ways.to_vec(), before, sealed: None };
        let (report, _) = judge.seal(&mut rewrite, &context()).unwrap();
        (report, rewrite.sealed)
    }

    use IndexWay::{Kept, Rebuilt, Repaired};

    #[test]
    fn the_cheapest_way_that_finds_as_much_as_before_is_taken() {
        let (report, sealed) = judged(9, &[(Kept, 9), (Repaired, 10), (Rebuilt, 10)], true);
        assert_eq!((report.way, sealed, report.rejected.len()), (Kept, Some(9), 0));
        assert_eq!((report.recall_before, report.recall_after), (Some(0.9), Some(0.9)));
        let (report, _) = judged(9, &[(Kept, 8), (Repaired, 9), (Rebuilt, 10)], true);
        assert_eq!((report.way, report.rejected), (Repaired, vec![(Kept, Some(0.8))]));
        let (report, sealed) = judged(10, &[(Kept, 8), (Repaired, 9), (Rebuilt, 9)], true);
        assert_eq!((report.way, sealed, report.rejected.len()), (Rebuilt, Some(9), 2));
    }

    #[test]
    fn what_cannot_be_measured_is_not_kept() {
        let (report, _) = judged(10, &[(Kept, 10), (Repaired, 10), (Rebuilt, 10)], false);
        assert_eq!((report.way, report.recall_before, report.rejected.len()), (Rebuilt, None, 0));
    }

    #[test]
    fn the_bound_follows_the_index_before() {
        let checked = |before: f64, after: f64| {
            let mut report = VerificationReport::default();
            let index = IndexReport {
                way: Rebuilt,
                recall_before: Some(before),
                recall_after: Some(after),
                rejected: Vec::new(),
            };
            check(&mut report, &index);
            report.passed()
        };
        assert!(checked(1.0, 0.91) && !checked(1.0, 0.89));
        assert!(checked(0.7, 0.61) && !checked(0.7, 0.59));
    }
}
