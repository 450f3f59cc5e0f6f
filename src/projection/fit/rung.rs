//! How methods are compared: by what they find at rows that they did not see.
//!
//! Every row is predicted once by a map that was fitted without it (cross-fitting), so no row is wasted and none flatters.
//! The predictions of a method are judged together, as a collection is asked after a migration: the true vector of each row
//! looks for its nearest among them.

use ndarray::{Array2, ArrayView2};

use super::{FitOptions, Method, crossed, method};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::measure::{bootstrap, overlap};
use crate::projection::pairs::Pairs;
use crate::random;

/// How many nearest rows are compared: the mean over all of these, which is less noisy than one.
const NEAREST: &[usize] = &[5, 10, K];
/// The same where rows are few: the ten nearest of a collection lie closer than the five nearest of these.
const NEAREST_OF_FEW: &[usize] = &[1, 2, 3, 5, 10, K];
/// The most of these.
const K: usize = 20;
/// Rows that are looked at, at most.
const MOST_ROWS: usize = 3000;
/// Rows that are few: up to here there are five parts; of more rows three tell enough.
const FEW_ROWS: usize = 1500;

/// A method, and what it does at rows that it did not see.
pub(super) struct Rung {
    pub method: &'static Method,
    /// What was predicted, one row each.
    pub predicted: Array2<f32>,
    /// The share of its native neighbours that each row finds.
    pub shares: Vec<f64>,
}

impl Rung {
    pub fn mean(&self) -> f64 {
        mean(&self.shares)
    }
}

/// Rows that methods are compared by.
pub(super) struct Comparison<'a> {
    rows: Pairs,
    options: &'a FitOptions,
    context: &'a Context<'a>,
}

impl<'a> Comparison<'a> {
    /// Draws the rows; none if there are too few.
    pub fn of(pairs: &Pairs, options: &'a FitOptions, context: &'a Context<'a>) -> Option<Self> {
        // In random order: every so many of them are as good as any.
        let mut order = random::shuffled(pairs.len(), context.seed ^ 0x6175_746f);
        order.truncate(MOST_ROWS);
        (order.len() >= 2 * K).then(|| Comparison { rows: pairs.select(&order), options, context })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether rows are so few that one cannot tell well which method is best.
    pub fn is_of_few(&self) -> bool {
        self.len() <= FEW_ROWS
    }

    /// How many nearest rows are compared.
    pub fn nearest(&self) -> &'static [usize] {
        if self.is_of_few() { NEAREST_OF_FEW } else { NEAREST }
    }

    /// What the method called `name` finds.
    ///
    /// # Errors
    /// Those of the method.
    pub fn rung(&self, name: &str) -> Result<Rung> {
        self.context.check()?;
        let method = method(name)?;
        let order: Vec<usize> = (0..self.len()).collect();
        let parts = if self.is_of_few() { 5 } else { 3 };
        let predicted = crossed::predicted(method, &self.rows, &order, parts, self.options, self.context)?;
        let shares = self.shares(predicted.view())?;
        Ok(Rung { method, predicted, shares })
    }

    /// What each row finds among these predictions.
    pub fn shares(&self, predicted: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
        let shares = overlap::native_overlaps(predicted, self.rows.target().view(), self.nearest())?;
        shares.ok_or_else(|| Error::new(error::Kind::Internal, "too few rows have neighbours"))
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
pub(super) fn beats_by(coverage: f64, shares: &[f64], base: &[f64], seed: u64) -> bool {
    let gains: Vec<f64> = shares.iter().zip(base).map(|(a, b)| a - b).collect();
    let interval =
        bootstrap::interval_of(coverage, gains.len(), seed, |counts| bootstrap::means(&gains, counts));
    interval.is_some_and(|(low, _)| low > 0.0)
}
