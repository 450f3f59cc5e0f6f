//! How much of the native top 10 a projected collection will give, told from the pairs it is fitted to.
//!
//! Asked are rows whose true vectors are known and which no map saw, by their true vectors. Among themselves (a
//! collection of a few hundred records) what they find is measured. In the whole collection it is less, because nearer
//! records compete; there no true vectors are known, but every map can project everything. So maps fitted to a quarter and
//! to half of the pairs stand in for the truth: by how much they agree less with the first in the whole collection than
//! among the asked rows tells by how much the truth will. Shares are added and extrapolated as logits, which keeps
//! them between 0 and 1. What constants there are was fitted to measured collections; see DESIGN.md for the errors.

use ndarray::{Array2, ArrayView2, s};
use serde::{Deserialize, Serialize};

use super::overlap;
use crate::error::Result;

/// Nearest records that are compared.
pub const K: usize = 10;
/// Rows that ask in the whole collection.
const ASKING: usize = 500;
/// Loss of the truth from a small collection to the whole, as a logit: this much of that of the stand-in fitted to a
/// quarter of the pairs, this much of that of the one fitted to half,
const LOSSES: [f64; 2] = [0.5, 0.6];
/// and this much where the collection is e times as large as the asked rows.
const LOSS_BY_SIZE: f64 = 0.045;
/// Standard deviation, as a logit, of what is left unexplained in a collection as large as the asked rows,
const UNEXPLAINED: f64 = 0.1;
/// and what comes to it with the square of the logarithm of how many times as large the collection is.
const UNEXPLAINED_BY_SIZE: f64 = 0.006;
/// What comes to the logit for a map that reads texts, divided by the root of its pairs.
const TEXTS: f64 = 6.0;
/// Standard deviations on each side of the middle that hold 90 %.
pub(super) const NINETY: f64 = 1.645;

/// The share of the native 10 nearest records that the projected collection gives, asked with true vectors of records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// Expected share, 0 to 1.
    pub value: f64,
    /// Lower end of the 90 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Records of the collection.
    pub records: u64,
    /// The same for maps fitted to fewer pairs, fewest first; the last is the map itself.
    pub curve: Vec<CurvePoint>,
}

/// What a number of pairs gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Pairs that a map is fitted to.
    pub pairs: usize,
    /// Expected share.
    pub value: f64,
}

/// What one map makes of rows that it did not see.
pub struct Made {
    /// Pairs that it was fitted to.
    pub pairs: usize,
    /// The asked rows, e x d.
    pub asked: Array2<f32>,
    /// Other records of the collection, m x d.
    pub rest: Array2<f32>,
}

/// What asked rows find with three maps that did not see them.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    asked: usize,
    rest: usize,
    pairs: [usize; 3],
    found: [Vec<f64>; 3],
    near: [Vec<f64>; 2],
    far: [Vec<f64>; 2],
}

impl Observed {
    /// Asks. `native` (e x d) are the true vectors of the asked rows; `made` by maps fitted to a quarter of the pairs,
    /// to half and to all (or nearly). None if there are too few rows for ten neighbours.
    ///
    /// # Errors
    /// [`Mismatch`](crate::error::Kind::Mismatch) if dimensions differ.
    pub fn new(native: ArrayView2<'_, f32>, made: &[Made; 3]) -> Result<Option<Self>> {
        let [quarter, half, full] = made;
        let mut found: [Vec<f64>; 3] = Default::default();
        for (found, made) in found.iter_mut().zip(made) {
            match overlap::native_overlap(made.asked.view(), native, K)? {
                Some(shares) => *found = shares,
                None => return Ok(None),
            }
        }
        let asking = full.asked.slice(s![..full.asked.nrows().min(ASKING), ..]);
        let (mut near, mut far): ([Vec<f64>; 2], [Vec<f64>; 2]) = Default::default();
        for ((near, far), other) in near.iter_mut().zip(&mut far).zip([quarter, half]) {
            let in_few = overlap::native_overlap(other.asked.view(), full.asked.view(), K)?;
            let in_all = overlap::agreement(asking, full.rest.view(), other.rest.view(), K)?;
            let (Some(in_few), Some(in_all)) = (in_few, in_all) else { return Ok(None) };
            (*near, *far) = (in_few, in_all);
            near.truncate(far.len());
        }
        let pairs = [0, 1, 2].map(|i: usize| made.get(i).map_or(0, |m| m.pairs));
        Ok(Some(Observed { asked: native.nrows(), rest: full.rest.nrows(), pairs, found, near, far }))
    }
}

impl Retention {
    /// What a map fitted to `pairs` pairs keeps in a collection of `records`, from one observation or several that
    /// asked different rows. None without observations.
    pub fn expected(observed: &[Observed], pairs: usize, records: u64) -> Option<Self> {
        let count = observed.len() as f64;
        let mean_of = |of: &dyn Fn(&Observed) -> f64| observed.iter().map(of).sum::<f64>() / count;
        let gathered = |of: &dyn Fn(&Observed) -> &Vec<f64>| {
            Share::of(&observed.iter().flat_map(|o| of(o).iter().copied()).collect::<Vec<f64>>())
        };
        let found = [gathered(&|o| &o.found[0])?, gathered(&|o| &o.found[1])?, gathered(&|o| &o.found[2])?];
        let near = [gathered(&|o| &o.near[0])?, gathered(&|o| &o.near[1])?];
        let far = [gathered(&|o| &o.far[0])?, gathered(&|o| &o.far[1])?];
        let (asked, rest) = (mean_of(&|o| o.asked as f64), mean_of(&|o| o.rest as f64));
        let seen = [0, 1, 2].map(|i: usize| mean_of(&|o| o.pairs.get(i).map_or(0.0, |p| *p as f64)));

        // No more than the rest was projected; beyond, the loss of the stand-ins goes on as the logarithm does.
        let size = (records as f64 / asked).max(1.0).ln();
        let beyond = if rest > asked { (size / (rest / asked).ln()).max(1.0) } else { 1.0 };
        let (mut loss, mut variance) = (-LOSS_BY_SIZE * size, found[2].variance);
        for ((near, far), part) in near.iter().zip(&far).zip(LOSSES) {
            loss += part * beyond * (far.logit - near.logit).min(0.0);
            // Both stand-ins are asked by the same rows: their errors add up, not their squares.
            variance += part * LOSSES.iter().sum::<f64>() * beyond.powi(2) * (near.variance + far.variance);
        }
        let gain = learning(&seen, &found, pairs as f64);
        let middle = found[2].logit + gain + loss;
        variance += UNEXPLAINED.powi(2) + (UNEXPLAINED_BY_SIZE * size.powi(2)).powi(2);
        let half = NINETY * variance.sqrt();
        let mut curve: Vec<CurvePoint> = seen
            .iter()
            .zip(&found)
            .take(2)
            .map(|(pairs, found)| CurvePoint {
                pairs: *pairs as usize,
                value: rounded(share(found.logit + loss)),
            })
            .collect();
        curve.push(CurvePoint { pairs, value: rounded(share(middle)) });
        Some(Retention {
            value: rounded(share(middle)),
            low: rounded(share(middle - half)),
            high: rounded(share(middle + half)),
            records,
            curve,
        })
    }
}

impl Retention {
    /// For a map that reads texts beside the vectors. What words say of a text needs no pairs: maps fitted to few pairs
    /// differ more from each other than from the truth, and stand in for it badly.
    #[must_use]
    pub fn with_texts(mut self) -> Self {
        let more =
            |value: f64, pairs: usize| rounded(share(logit(value) + TEXTS / (pairs.max(1) as f64).sqrt()));
        let Some(pairs) = self.curve.last().map(|point| point.pairs) else { return self };
        for value in [&mut self.value, &mut self.low, &mut self.high] {
            *value = more(*value, pairs);
        }
        for point in &mut self.curve {
            point.value = more(point.value, point.pairs);
        }
        self
    }
}

/// By how much (as a logit) a map fitted to `pairs` pairs finds more than that of the last level.
///
/// Errors of a fit fall with the root of its pairs; the line through the levels in that scale, of no negative slope,
/// the larger fits weighing more.
fn learning(seen: &[f64; 3], found: &[Share; 3], pairs: f64) -> f64 {
    const WEIGHTS: [f64; 3] = [0.5, 1.0, 2.0];
    let scale = |pairs: f64| pairs.max(1.0).sqrt().recip();
    let total: f64 = WEIGHTS.iter().sum();
    let mean = |values: [f64; 3]| values.iter().zip(WEIGHTS).map(|(v, w)| v * w).sum::<f64>() / total;
    let (x, y) = (seen.map(scale), [found[0].logit, found[1].logit, found[2].logit]);
    let (mean_x, mean_y) = (mean(x), mean(y));
    let squares = mean(x.map(|x| (x - mean_x).powi(2)));
    let products = mean([0, 1, 2].map(|i: usize| (x[i] - mean_x) * (y[i] - mean_y)));
    let slope = if squares > 0.0 { (-products / squares).max(0.0) } else { 0.0 };
    slope * (x[2] - scale(pairs)).max(0.0)
}

/// A mean share as a logit, and the variance of that logit over rows.
struct Share {
    logit: f64,
    variance: f64,
}

impl Share {
    fn of(shares: &[f64]) -> Option<Self> {
        if shares.is_empty() {
            return None;
        }
        let n = shares.len() as f64;
        let mean = shares.iter().sum::<f64>() / n;
        let spread = shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
        // No share that was measured on few rows is certain: kept away from 0 and 1 by half a found record.
        let edge = 0.5 / (n * K as f64);
        let kept = mean.clamp(edge, 1.0 - edge);
        Some(Share {
            logit: (kept / (1.0 - kept)).ln(),
            variance: spread / n / (kept * (1.0 - kept)).powi(2),
        })
    }
}

/// Of a share, which is kept away from 0 and 1.
pub(super) fn logit(share: f64) -> f64 {
    let share = share.clamp(1e-6, 1.0 - 1e-6);
    (share / (1.0 - share)).ln()
}

pub(super) fn share(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Four digits: more than is known.
pub(super) fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 asked rows and a rest of 1,000 records: shares found with a quarter, half and all of 400 pairs, and how far
    /// the first map agrees with the last near and far.
    fn observed(found: [f64; 3], near: f64, far: f64) -> Observed {
        let rows = |share: f64| vec![share; 100];
        let (found, near, far) = (found.map(rows), [near; 2].map(rows), [far; 2].map(rows));
        Observed { asked: 100, rest: 1000, pairs: [100, 200, 400], found, near, far }
    }

    fn expected(found: [f64; 3], near: f64, far: f64, pairs: usize, records: u64) -> Retention {
        Retention::expected(&[observed(found, near, far)], pairs, records).unwrap()
    }

    #[test]
    fn nothing_lost_and_nothing_learnt_leaves_what_was_found() {
        let told = expected([0.5; 3], 0.6, 0.6, 400, 100);
        assert_eq!((told.value, told.records), (0.5, 100));
        // All rows alike and no larger collection: only what is unexplained, 1.645 x 0.1 as a logit.
        let half = NINETY * UNEXPLAINED;
        assert!((told.high - share(half)).abs() < 1e-4 && (told.low - share(-half)).abs() < 1e-4, "{told:?}");
        let pairs: Vec<usize> = told.curve.iter().map(|p| p.pairs).collect();
        assert_eq!(pairs, [100, 200, 400]);
    }

    #[test]
    fn texts_give_back_what_the_stand_ins_lose_too_much_and_less_with_more_pairs() {
        let told = expected([0.5; 3], 0.6, 0.6, 400, 100).with_texts();
        assert!((told.value - share(0.3)).abs() < 1e-4, "6 / sqrt(400)");
        assert!((told.curve[0].value - share(0.6)).abs() < 1e-4, "6 / sqrt(100)");
        assert!(told.low < told.value && told.value < told.high && told.high < 1.0);
        let whole = expected([1.0; 3], 1.0, 1.0, 400, 100).with_texts();
        assert!(whole.value <= 1.0 && whole.value.is_finite(), "{whole:?}");
    }

    #[test]
    fn the_truth_loses_what_the_stand_in_loses() {
        // Logits: 0 near, -ln 3 far, twice; and the part that only the size tells.
        let loss = |times: f64, size: f64| share(-3f64.ln() * 1.1 * times - LOSS_BY_SIZE * size.ln());
        let told = expected([0.5; 3], 0.5, 0.25, 400, 1000);
        assert!((told.value - loss(1.0, 10.0)).abs() < 1e-4, "{told:?}");
        // Ten times as many records as were projected: as much again by the logarithm.
        let more = expected([0.5; 3], 0.5, 0.25, 400, 10_000);
        assert!((more.value - loss(2.0, 100.0)).abs() < 1e-4, "{more:?}");
        assert!(more.curve.iter().all(|point| (point.value - more.value).abs() < 1e-4), "{more:?}");
        let width = |r: &Retention| (r.high / (1.0 - r.high)).ln() - (r.low / (1.0 - r.low)).ln();
        assert!(width(&more) > width(&told), "further away is less certain");
        // Stand-ins that agree more in the whole collection do not make the truth agree more.
        assert!((expected([0.5; 3], 0.5, 0.7, 400, 1000).value - loss(0.0, 10.0)).abs() < 1e-4);
    }

    #[test]
    fn more_pairs_find_more_as_the_levels_show() {
        // 1 / sqrt(pairs) is 0.1, 0.0707 and 0.05; logits on a line of slope -10 in it.
        let at = |pairs: f64| share(1.0 - 10.0 / f64::sqrt(pairs));
        let told = expected([at(100.0), at(200.0), at(400.0)], 0.5, 0.5, 900, 100);
        assert!((told.value - at(900.0)).abs() < 1e-4, "{told:?}");
        assert!((told.curve[0].value - at(100.0)).abs() < 1e-4, "{told:?}");
        let falling = expected([0.6, 0.55, 0.5], 0.5, 0.5, 900, 100);
        assert_eq!(falling.value, 0.5, "more pairs are never expected to harm");
    }

    #[test]
    fn ends_stay_between_nothing_and_all() {
        for found in [0.0, 1.0] {
            let told = expected([found; 3], found, found, 400, 1_000_000_000);
            assert!(0.0 <= told.low && told.low <= told.value && told.value <= told.high && told.high <= 1.0);
        }
        assert_eq!(Retention::expected(&[], 100, 100), None);
        assert_eq!(Retention::expected(&[Observed::default()], 100, 100), None);
    }

    #[test]
    fn rows_that_have_no_ten_neighbours_observe_nothing() {
        let made =
            |rows: usize| Made { pairs: 9, asked: Array2::ones((rows, 2)), rest: Array2::ones((rows, 2)) };
        let native = Array2::ones((10, 2));
        assert!(Observed::new(native.view(), &[made(10), made(10), made(10)]).unwrap().is_none());
        let native = Array2::ones((12, 2));
        assert!(Observed::new(native.view(), &[made(12), made(12), made(12)]).unwrap().is_some());
    }
}
