//! How well an index finds what exact search finds, before and after, and which way to an index is taken.

use serde::{Deserialize, Serialize};

use super::delivery::{self, Delivered};
use super::exact::K;
use super::judge::{Answers, Judge};
use super::verification::{Family, Relation, VerificationReport};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::store::{IndexWay, Rewrite};

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

/// A sealed index, and what was found in it.
pub struct Sealed {
    /// What became of the index.
    pub report: IndexReport,
    /// What it answers.
    pub answers: Answers,
    /// Every record, read back.
    pub found: Delivered,
}

/// Seals `rewrite` by the cheapest way that serves: reads all back and asks each way's index.
///
/// `dimension`: that of the new vectors.
pub fn seal(
    rewrite: &mut dyn Rewrite,
    judge: &Judge,
    dimension: usize,
    context: &Context<'_>,
) -> Result<Sealed> {
    let recall_before = judge.before(&|queries, k| rewrite.search_before(queries, k))?;
    let ways = rewrite.ways();
    let mut rejected = Vec::new();
    let mut unseen = Some(judge);
    for (at, way) in ways.iter().enumerate() {
        let dearest = at + 1 == ways.len();
        // Without a measure nothing shows that a kept graph serves.
        if !dearest && recall_before.is_none() {
            continue;
        }
        rewrite.seal(*way, context)?;
        let found = delivery::read_back(rewrite, dimension, unseen.take(), context)?;
        let answers = judge.after(&|queries, k| rewrite.search(queries, k))?;
        let serves =
            recall_before.zip(answers.recall).is_some_and(|(before, after)| after >= before - TOLERANCE);
        if dearest || serves {
            let report = IndexReport { way: *way, recall_before, recall_after: answers.recall, rejected };
            return Ok(Sealed { report, answers, found });
        }
        rejected.push((*way, answers.recall));
    }
    Err(Error::new(Kind::Internal, "the store knows no way to an index"))
}

/// The sealed index must find what exact search finds.
pub fn check(report: &mut VerificationReport, index: &IndexReport) {
    if index.way == IndexWay::None {
        return;
    }
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
    use crate::migration::questions::Probes;
    use crate::projection::HeldOut;
    use crate::store::{Batch, Hit, Metric, Pass, Saved};
    use ndarray::{Array1, Array2, ArrayView2};

    /// Ten records on a line; each way to an index finds as many of them as it is told to.
    struct Scripted {
        ways: Vec<(IndexWay, usize)>,
        before: usize,
        sealed: Option<usize>,
    }

    fn hits(found: usize) -> Vec<Vec<Hit>> {
        vec![(0..found).map(|i| Hit { id: i.to_string(), distance: (i * i) as f32 }).collect()]
    }

    fn line() -> Batch {
        let ids = (0..10).map(|i| i.to_string()).collect();
        Batch { ids, vectors: Array2::from_shape_fn((10, 1), |(i, _)| i as f32), texts: Vec::new() }
    }

    impl Rewrite for Scripted {
        fn sweep_details(&self) -> serde_json::Value {
            serde_json::Value::Null
        }
        fn ways(&self) -> Vec<IndexWay> {
            self.ways.iter().map(|(way, _)| *way).collect()
        }
        fn texts(&self, _: &mut dyn FnMut(&str, &str)) -> Result<()> {
            Ok(())
        }

        fn transform(
            &mut self,
            _: &dyn Pass,
            _: &mut dyn FnMut(&str, &str),
            _: &Context<'_>,
        ) -> Result<Saved> {
            Err(Error::new(Kind::Internal, "not asked for here"))
        }
        fn search_before(&self, _: ArrayView2<f32>, _: usize) -> Result<Vec<Vec<Hit>>> {
            assert!(self.sealed.is_none(), "the index before is gone");
            Ok(hits(self.before))
        }
        fn seal(&mut self, way: IndexWay, _: &Context<'_>) -> Result<()> {
            self.sealed = self.ways.iter().find(|(w, _)| *w == way).map(|(_, found)| *found);
            Ok(())
        }
        fn read_back(&self, look: &(dyn Fn(&Batch) -> Result<()> + Sync)) -> Result<()> {
            look(&line())
        }
        fn search(&self, _: ArrayView2<f32>, _: usize) -> Result<Vec<Vec<Hit>>> {
            Ok(hits(self.sealed.unwrap()))
        }
        fn commit(self: Box<Self>) -> Result<()> {
            Err(Error::new(Kind::Internal, "not asked for here"))
        }
    }

    /// Asks by the one held-out pair 0 and 0, or by a probe at 0.
    fn judged(before: usize, ways: &[(IndexWay, usize)], with_pairs: bool) -> (IndexReport, Option<usize>) {
        let zero = || Array2::zeros((1, 1));
        let training_mean = Array1::zeros(1);
        let pairs =
            HeldOut { ids: vec!["0".into()], source: zero(), target: zero(), words: None, training_mean };
        let mut judge = Judge::new(Some(&pairs).filter(|_| with_pairs), Metric::L2, true);
        let probes = Probes { ids: vec!["0".into()], vectors: zero(), origin: String::new() };
        judge.ask(Some(&probes)).unwrap();
        judge.source.iter().for_each(|exact| exact.add(&line().ids, line().vectors.view()).unwrap());
        let mut rewrite = Scripted { ways: ways.to_vec(), before, sealed: None };
        let sealed = seal(&mut rewrite, &judge, 1, &context()).unwrap();
        assert_eq!((sealed.found.records, sealed.answers.own_first), (10, Some((1.0, String::new()))));
        (sealed.report, rewrite.sealed)
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
