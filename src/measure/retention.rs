//! How much of the native top 10 a projected collection will give, told from the pairs it is fitted to.
//!
//! Asked are rows whose true vectors are known and which no map saw, by their true vectors. Among themselves (a
//! collection of a few hundred records) what they find is measured. In the whole collection it is less, because nearer
//! records compete; there no true vectors are known, but every map can project everything. So a second map, fitted to a
//! quarter of the pairs, stands in for the truth: by how much it agrees less with the first in the whole collection
//! than among the asked rows tells by how much the truth will. Shares are added and extrapolated as logits, which keeps
//! them between 0 and 1. What constants there are was fitted to measured collections; see DESIGN.md for the errors.

use ndarray::{Array2, ArrayView2, s};
use serde::{Deserialize, Serialize};

use super::overlap;
use crate::error::Result;

/// Nearest records that are compared.
pub const K: usize = 10;
/// Rows that ask in the whole collection.
const ASKING: usize = 250;
/// The truth loses this many times what the stand-in loses from a small collection to the whole.
const LOSS: f64 = 1.1;
/// Standard deviation, as a logit, of what is left unexplained in a collection as large as the sample.
const UNEXPLAINED: f64 = 0.08;
/// What it grows by where the collection is e times as large as the asked rows.
const UNEXPLAINED_BY_SIZE: f64 = 0.03;
/// Standard deviations on each side of the middle that hold 90 %.
const NINETY: f64 = 1.645;

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
    /// Other records of the collection, m x d; not needed of the second of three maps.
    pub rest: Array2<f32>,
}

/// What asked rows find with three maps that did not see them.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    asked: usize,
    rest: usize,
    pairs: [usize; 3],
    found: [Vec<f64>; 3],
    near: Vec<f64>,
    far: Vec<f64>,
}

impl Observed {
    /// Asks. `native` (e x d) are the true vectors of the asked rows; `made` by maps fitted to a quarter of the pairs,
    /// to half and to all (or nearly). None if there are too few rows for ten neighbours.
    ///
    /// # Errors
    /// [`Mismatch`](crate::error::Kind::Mismatch) if dimensions differ.
    pub fn new(native: ArrayView2<'_, f32>, made: &[Made; 3]) -> Result<Option<Self>> {
        let [quarter, _, full] = made;
        let mut found: [Vec<f64>; 3] = Default::default();
        for (found, made) in found.iter_mut().zip(made) {
            match overlap::native_overlap(made.asked.view(), native, K)? {
                Some(shares) => *found = shares,
                None => return Ok(None),
            }
        }
        let asking = full.asked.slice(s![..full.asked.nrows().min(ASKING), ..]);
        let near = overlap::native_overlap(quarter.asked.view(), full.asked.view(), K)?;
        let far = overlap::agreement(asking, full.rest.view(), quarter.rest.view(), K)?;
        let (Some(mut near), Some(far)) = (near, far) else { return Ok(None) };
        near.truncate(far.len());
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
        let found = [
            gathered(&|o| &o.found[0])?,
            gathered(&|o| &o.found[1])?,
            gathered(&|o| &o.found[2])?,
        ];
        let (near, far) = (gathered(&|o| &o.near)?, gathered(&|o| &o.far)?);
        let (asked, rest) = (mean_of(&|o| o.asked as f64), mean_of(&|o| o.rest as f64));
        let seen = [0, 1, 2].map(|i: usize| mean_of(&|o| o.pairs.get(i).map_or(0.0, |p| *p as f64)));

        // The stand-in saw no more than the rest that was projected; beyond, its loss goes on as the logarithm does.
        let size = (records as f64 / asked).max(1.0).ln();
        let beyond = if rest > asked { (size / (rest / asked).ln()).max(1.0) } else { 1.0 };
        let loss = LOSS * beyond * (far.logit - near.logit).min(0.0);
        let gain = learning(&seen, &found, pairs as f64);
        let middle = found[2].logit + gain + loss;
        let variance = found[2].variance
            + (LOSS * beyond).powi(2) * (near.variance + far.variance)
            + UNEXPLAINED.powi(2)
            + (UNEXPLAINED_BY_SIZE * size).powi(2);
        let half = NINETY * variance.sqrt();
        let mut curve: Vec<CurvePoint> = seen
            .iter()
            .zip(&found)
            .take(2)
            .map(|(pairs, found)| CurvePoint { pairs: *pairs as usize, value: rounded(share(found.logit + loss)) })
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
        Some(Share { logit: (kept / (1.0 - kept)).ln(), variance: spread / n / (kept * (1.0 - kept)).powi(2) })
    }
}

fn share(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Four digits: more than is known.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}
