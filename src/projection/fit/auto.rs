//! Several methods, and the one that finds most of the target model's neighbours at rows that it did not see.
//!
//! Every row is predicted once by a map that was fitted without it (cross-fitting), so no row is wasted and none flatters.
//! The predictions of a method are judged together, as a collection is asked after a migration: the true vector of each row
//! looks for its nearest among them. Ridge is taken unless another beats it by more than the 50 % interval of their paired
//! difference.

use super::{FitOptions, Fitted, Method, crossed, method};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::measure::{bootstrap, overlap};
use crate::projection::pairs::Pairs;
use crate::random;

/// What every other method has to beat.
const BASE: &str = "ridge";
/// What it is compared with.
const RIVALS: [&str; 2] = ["contrast", "kernel"];
/// What it is compared with besides where rows are few: rotations need fewest, then come corrections by the nearest rows.
const RIVALS_OF_FEW: [&str; 3] = ["pulled", "procrustes", "nearest"];
/// How many nearest rows are compared: the mean over all of these, which is less noisy than one.
const NEAREST: &[usize] = &[5, 10, K];
/// The same where rows are few: the ten nearest of a collection lie closer than the five nearest of these.
const NEAREST_OF_FEW: &[usize] = &[1, 2, 3, 5, 10, K];
/// The most of these.
const K: usize = 20;
/// What an interval holds that has to lie above ridge. To choose is not to claim: a wider one keeps ridge in more cells
/// than it guards against a worse map.
const COVERAGE: f64 = 0.5;
/// Rows that are looked at, at most.
const MOST_ROWS: usize = 3000;
/// Rows that are few: up to here there are five parts; of more rows three tell enough.
const FEW_ROWS: usize = 1500;

/// A method, and the share of its native neighbours that each row finds.
struct Rung {
    method: &'static Method,
    shares: Vec<f64>,
}

impl Rung {
    fn mean(&self) -> f64 {
        mean(&self.shares)
    }
}

/// What rows find on average.
pub(super) fn mean(shares: &[f64]) -> f64 {
    shares.iter().sum::<f64>() / shares.len().max(1) as f64
}

/// Whether one method beats another by more than chance, by what the same rows find with each: by more than the interval
/// that holds 90 % of the difference.
pub(super) fn beats(shares: &[f64], base: &[f64], seed: u64) -> bool {
    beats_by(0.9, shares, base, seed)
}

/// The same by the interval that holds `coverage` of the difference.
fn beats_by(coverage: f64, shares: &[f64], base: &[f64], seed: u64) -> bool {
    let gains: Vec<f64> = shares.iter().zip(base).map(|(a, b)| a - b).collect();
    let interval =
        bootstrap::interval_of(coverage, gains.len(), seed, |counts| bootstrap::means(&gains, counts));
    interval.is_some_and(|(low, _)| low > 0.0)
}

pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let mut order = random::shuffled(pairs.len(), context.seed ^ 0x6175_746f);
    order.truncate(MOST_ROWS);
    let rows = pairs.select(&order);
    let base = method(BASE)?;
    if rows.len() < 2 * K {
        let mut fitted = (base.fit)(pairs, options, context)?;
        fitted.taken = Some(base.name);
        fitted.notes.push(format!("{} pairs are too few to compare methods, `{BASE}` was taken", rows.len()));
        return Ok(fitted);
    }
    let (more, nearest, parts) = match rows.len() {
        0..=FEW_ROWS => (RIVALS_OF_FEW.as_slice(), NEAREST_OF_FEW, 5),
        _ => (&[][..], NEAREST, 3),
    };
    // They are in random order: no other is needed.
    let order: Vec<usize> = (0..rows.len()).collect();
    let shares = |method: &Method| -> Result<Vec<f64>> {
        context.check()?;
        let predicted = crossed::predicted(method, &rows, &order, parts, options, context)?;
        let shares = overlap::native_overlaps(predicted.view(), rows.target().view(), nearest)?;
        shares.ok_or_else(|| Error::new(error::Kind::Internal, "too few rows have neighbours"))
    };
    let base = Rung { method: base, shares: shares(base)? };
    let mut rungs = Vec::new();
    for name in RIVALS.iter().chain(more) {
        let method = method(name)?;
        rungs.push(Rung { method, shares: shares(method)? });
    }
    let best = rungs
        .iter()
        .filter(|rung| beats_by(COVERAGE, &rung.shares, &base.shares, context.seed))
        .max_by(|a, b| a.mean().total_cmp(&b.mean()))
        .unwrap_or(&base);
    let mut fitted = (best.method.fit)(pairs, options, context)?;
    fitted.found = Some(best.shares.clone());
    fitted.taken = Some(best.method.name);
    let ladder: Vec<String> = std::iter::once(&base)
        .chain(&rungs)
        .map(|rung| format!("{} {:.3}", rung.method.name, rung.mean()))
        .collect();
    fitted.notes.insert(
        0,
        format!(
            "`{}` was taken; share of the native top {} found by {} rows among rows predicted without themselves: {}",
            best.method.name,
            nearest.iter().map(ToString::to_string).collect::<Vec<_>>().join("/"),
            rows.len(),
            ladder.join(", ")
        ),
    );
    Ok(fitted)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::super::testing::{noise, paired};
    use super::*;
    use crate::context::testing::context;

    /// What was taken for `y` of `x`, as its first note says.
    fn taken(x: Array2<f32>, y: Array2<f32>) -> String {
        fit(&paired(x, y), &FitOptions::default(), &context()).unwrap().notes.remove(0)
    }

    #[test]
    fn a_curved_relation_takes_the_kernel_and_a_straight_one_ridge() {
        let x = noise(600, 5, 1);
        let mut y = x.dot(&noise(5, 4, 2));
        for (mut y, x) in y.outer_iter_mut().zip(x.outer_iter()) {
            y[0] += 3.0 * x[0] * x[1];
            y[1] += 3.0 * (x[2] * x[3]).abs();
        }
        let note = taken(x.clone(), y);
        assert!(
            note.starts_with("`kernel` was taken; share of the native top 1/2/3/5/10/20 found by 600 rows"),
            "{note}"
        );
        let y = x.dot(&noise(5, 4, 2)) + noise(600, 4, 3) * 0.02;
        let note = taken(x, y);
        assert!(note.starts_with("`ridge` was taken"), "{note}");
    }

    #[test]
    fn few_pairs_take_ridge_and_say_so() {
        let note = taken(noise(39, 3, 1), noise(39, 2, 2));
        assert_eq!(note, "39 pairs are too few to compare methods, `ridge` was taken");
    }
}
