//! What other ways than projecting every record give of the native top 10, told from what projecting is expected to give.
//!
//! Asked are, as for [`Retention`], records by their true vectors. Leaving the collection alone is measured among some
//! pairs; both sides are then true vectors, so that the share hardly moves with the size of the collection. What re-scoring and
//! re-embedding add depends, in the collections that were measured, on little but what projecting gives; see DESIGN.md for
//! the constants and their errors.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::overlap;
use super::retention::{K, NINETY, Retention, logit, rounded, share};
use super::{Estimate, bootstrap};
use crate::error::Result;

/// Lengths of the projected lists that are re-scored.
pub const HITS: [usize; 2] = [50, 100];
/// Parts of a collection that are embedded again.
pub const BUDGETS: [f64; 4] = [0.1, 0.2, 0.3, 0.5];

/// For each of [`HITS`]: what comes to the logit of the first 10, and how much of that logit besides.
const RESCORED: [(f64, f64); 2] = [(1.33, 0.06), (1.95, 0.11)];
/// Standard deviations, as logits, of what that leaves unexplained.
const RESCORED_UNEXPLAINED: [f64; 2] = [0.20, 0.29];
/// For each of [`BUDGETS`]: which part of what projecting lacks comes back if the most crowded records are embedded again.
const REEMBEDDED: [f64; 4] = [0.11, 0.21, 0.31, 0.517];
/// Standard deviation of that part.
const REEMBEDDED_UNEXPLAINED: f64 = 0.03;
/// Standard deviation, as a logit, of the change of what the source vectors give, for each e-fold of the records.
const ALONE_BY_SIZE: f64 = 0.10;

/// A share that was told, with the ends of its 90 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foretold {
    /// Expected share, 0 to 1.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Re-scoring: the first hits of a projected collection, ordered by true vectors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rescored {
    /// First hits that are re-scored.
    pub hits: usize,
    /// Share of the native top 10 among them.
    #[serde(flatten)]
    pub share: Foretold,
}

/// Re-embedding a part: true vectors for the most crowded records, projected ones for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reembedded {
    /// Part of the records that is embedded again, 0 to 1.
    pub part: f64,
    /// Share of the native top 10 that is then found.
    #[serde(flatten)]
    pub share: Foretold,
}

/// Two ways among the same pairs: like compared with like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AmongPairs {
    /// Pairs.
    pub pairs: usize,
    /// Share of the native top 10 among them that the source vectors give.
    pub alone: Estimate,
    /// Share that projected vectors give, each predicted by a map that did not see it.
    pub projected: Estimate,
    /// What projecting gives more, paired.
    pub gain: Estimate,
}

/// What is expected of each way in a collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ways {
    /// What was measured.
    pub among_pairs: AmongPairs,
    /// Leaving the collection alone, asked by the source model.
    pub alone: Foretold,
    /// Re-scoring, fewest hits first.
    pub rescored: Vec<Rescored>,
    /// Re-embedding a part, smallest first.
    pub reembedded: Vec<Reembedded>,
}

/// What each of some pairs finds of its ten native neighbours among them.
pub struct Near {
    alone: Vec<f64>,
    projected: Vec<f64>,
}

impl Near {
    /// Asks the pairs: source vectors (n x source dimension), what maps of others predict, and true vectors (both n x target
    /// dimension). None if there are too few for ten neighbours.
    ///
    /// # Errors
    /// [`Mismatch`](crate::error::Kind::Mismatch) if dimensions differ.
    pub fn measure(
        source: ArrayView2<'_, f32>,
        predicted: ArrayView2<'_, f32>,
        target: ArrayView2<'_, f32>,
    ) -> Result<Option<Self>> {
        let alone = overlap::neighbour_overlap(source, target, K)?;
        let projected = overlap::native_overlap(predicted, target, K)?;
        Ok(alone.zip(projected).map(|(alone, projected)| Near { alone, projected }))
    }

    /// The figures of these pairs.
    pub fn among_pairs(&self, seed: u64) -> AmongPairs {
        AmongPairs {
            pairs: self.alone.len(),
            alone: Estimate::mean(&self.alone, seed),
            projected: Estimate::mean(&self.projected, seed),
            gain: Estimate::difference(&self.projected, &self.alone, seed),
        }
    }
}

impl Ways {
    /// What the ways give in the collection of which projecting is `expected` to keep a share.
    pub fn expected(near: &Near, expected: &Retention, seed: u64) -> Self {
        let middle = logit(expected.value);
        let spread = (logit(expected.high) - logit(expected.low)) / (2.0 * NINETY);
        let rescored = HITS.iter().zip(RESCORED).zip(RESCORED_UNEXPLAINED);
        let reembedded = BUDGETS.iter().zip(REEMBEDDED);
        Ways {
            among_pairs: near.among_pairs(seed),
            alone: alone(&near.alone, expected.records, seed),
            rescored: rescored
                .map(|((hits, (more, slope)), unexplained)| Rescored {
                    hits: *hits,
                    share: Foretold::around(
                        middle + (more + slope * middle).max(0.0),
                        ((spread * (1.0 + slope)).powi(2) + unexplained.powi(2)).sqrt(),
                    ),
                })
                .collect(),
            reembedded: reembedded
                .map(|(part, back)| Reembedded { part: *part, share: partly(expected, back) })
                .collect(),
        }
    }

    /// What re-embedding this part is expected to give, if that was told.
    pub fn reembedding(&self, part: f64) -> Option<&Reembedded> {
        self.reembedded.iter().find(|told| (told.part - part).abs() < 1e-9)
    }

    /// What re-scoring so many hits is expected to give, if that was told.
    pub fn rescoring(&self, hits: usize) -> Option<&Rescored> {
        self.rescored.iter().find(|told| told.hits == hits)
    }
}

impl Foretold {
    /// The share of this logit, with the interval of its standard deviation.
    fn around(logit: f64, deviation: f64) -> Self {
        let at = |deviations: f64| rounded(share(logit + NINETY * deviations * deviation));
        Foretold { value: at(0.0), low: at(-1.0), high: at(1.0) }
    }
}

/// The share among the pairs, as it would be in so many records.
fn alone(shares: &[f64], records: u64, seed: u64) -> Foretold {
    let interval = bootstrap::interval_of(super::COVERAGE, shares.len(), seed, |counts| {
        bootstrap::means(shares, counts)
    });
    let value = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    let (low, high) = interval.unwrap_or((0.0, 1.0));
    let sampled = (logit(high) - logit(low)) / (2.0 * NINETY);
    let size = (records as f64 / shares.len().max(1) as f64).max(1.0).ln();
    Foretold::around(logit(value), sampled.hypot(ALONE_BY_SIZE * size))
}

/// What projecting gives, and `back` of what it lacks.
fn partly(expected: &Retention, back: f64) -> Foretold {
    let at = |share: f64| share + (1.0 - share) * back;
    let value = at(expected.value);
    let half = |end: f64| {
        let unexplained = NINETY * REEMBEDDED_UNEXPLAINED * (1.0 - expected.value);
        (at(end) - value).hypot(unexplained)
    };
    Foretold {
        value: rounded(value),
        low: rounded((value - half(expected.low)).max(0.0)),
        high: rounded((value + half(expected.high)).min(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn projecting(value: f64, half: f64) -> Retention {
        Retention { value, low: value - half, high: value + half, records: 10_000, curve: vec![] }
    }

    fn near(alone: f64, projected: f64) -> Near {
        Near { alone: vec![alone; 1000], projected: vec![projected; 1000] }
    }

    #[test]
    fn a_part_gives_back_a_part_of_what_is_lacking() {
        let told = Ways::expected(&near(0.3, 0.5), &projecting(0.4, 0.05), 1);
        for (told, back) in told.reembedded.iter().zip(REEMBEDDED) {
            let Foretold { value, low, high } = told.share;
            assert!((value - (0.4 + 0.6 * back)).abs() < 1e-4, "{told:?}");
            let half =
                ((0.05 * (1.0 - back)).powi(2) + (1.645 * 0.6 * REEMBEDDED_UNEXPLAINED).powi(2)).sqrt();
            assert!((high - value - half).abs() < 2e-4 && (value - low - half).abs() < 2e-4, "{told:?}");
        }
        assert_eq!(told.reembedding(0.3).unwrap(), &told.reembedded[2]);
        assert!(told.reembedding(0.4).is_none());
    }

    #[test]
    fn more_hits_hold_more_and_what_projects_worse_gains_less() {
        let told = Ways::expected(&near(0.3, 0.5), &projecting(0.5, 0.05), 1);
        assert!((told.rescored[0].share.value - share(RESCORED[0].0)).abs() < 1e-4);
        assert!(told.rescored[1].share.value > told.rescored[0].share.value);
        let bad = Ways::expected(&near(0.3, 0.5), &projecting(0.02, 0.01), 1);
        assert!(bad.rescored[1].share.high < 0.3, "{bad:?}");
        for told in told.rescored.iter().chain(&bad.rescored) {
            assert!(told.share.low < told.share.value && told.share.value < told.share.high, "{told:?}");
        }
    }

    #[test]
    fn left_alone_is_what_was_measured_and_less_certain_in_more_records() {
        let few = Ways::expected(&near(0.3, 0.5), &projecting(0.5, 0.05), 1);
        assert_eq!((few.alone.value, few.among_pairs.pairs), (0.3, 1000));
        assert!((few.among_pairs.gain.value.unwrap() - 0.2).abs() < 1e-9);
        // 1,000 pairs of 10,000 records, all alike: 0.1 ln 10 as a logit.
        let half = NINETY * ALONE_BY_SIZE * 10f64.ln();
        assert!((few.alone.high - share(logit(0.3) + half)).abs() < 1e-4, "{few:?}");
        let more = Retention { records: 10_000_000, ..projecting(0.5, 0.05) };
        let more = Ways::expected(&near(0.3, 0.5), &more, 1);
        assert!(more.alone.high - more.alone.low > few.alone.high - few.alone.low);
    }

    #[test]
    fn ends_stay_between_nothing_and_all() {
        for value in [0.0, 1.0] {
            let told = Ways::expected(&near(value, value), &projecting(value, 0.0), 1);
            let shares = told.rescored.iter().map(|r| r.share).chain(told.reembedded.iter().map(|r| r.share));
            for told in shares.chain([told.alone]) {
                assert!(0.0 <= told.low && told.low <= told.value, "{told:?}");
                assert!(told.value <= told.high && told.high <= 1.0, "{told:?}");
            }
        }
    }

    #[test]
    fn source_and_projected_vectors_are_asked_among_the_same_pairs() {
        let target = Array2::from_shape_fn((30, 2), |(i, j)| {
            let angle = (i as f32 * 3.0).to_radians();
            if j == 0 { angle.cos() } else { angle.sin() }
        });
        let same = Array2::ones((30, 5));
        let near = Near::measure(same.view(), target.view(), target.view()).unwrap().unwrap();
        let told = near.among_pairs(1);
        assert_eq!(told.projected.value, Some(1.0));
        assert!((told.alone.value.unwrap() - 10.0 / 29.0).abs() < 1e-3, "chance: {told:?}");
        let few = ndarray::s![..10, ..];
        let none = Near::measure(same.slice(few), target.slice(few), target.slice(few));
        assert!(none.unwrap().is_none());
    }
}
