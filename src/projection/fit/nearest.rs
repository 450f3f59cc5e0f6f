//! Ridge, corrected by what it left at the training rows nearest to a vector.
//!
//! The correction is a weighted mean of errors that the rows have when ridge leaves them out (Nadaraya and Watson, 1964,
//! on residuals), times a share between 0 and 1. How many neighbours, at which temperature and what share: those of least
//! squared error by cross-fitting. If the errors do not fall by more than chance, ridge is taken as it is.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, Axis, s};

use super::remainder::{Crossed, Remainder};
use super::{FitOptions, Fitted};
use crate::context::Context;
use crate::error::Result;
use crate::measure::nearest::Neighbour;
use crate::projection::nearest::{Nearest, neighbours, weights};
use crate::projection::pairs::Pairs;
use crate::{matrix, random};

/// Neighbours that are tried.
const NEIGHBOURS: [usize; 6] = [5, 10, 20, 30, 50, 100];
/// Temperatures that are tried.
const TEMPERATURES: [f32; 4] = [0.03, 0.06, 0.1, 0.2];
/// The most of these.
const MOST_NEIGHBOURS: usize = 100;
/// Rows that choose among them, at most.
const MOST_CHOOSING: usize = 5000;
/// Rows that are remembered, at most: the time to apply grows with their number.
const MOST_ROWS: usize = 50_000;
/// Numbers that are remembered, at most: 256 MiB of a file, and of memory.
const MOST_NUMBERS: usize = 1 << 26;

pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let (source, target) = pairs.dimensions();
    let n = pairs.len();
    let most = n.min(MOST_ROWS).min(MOST_NUMBERS / (source + target)).max(1);
    // In random order, so that the first rows are as good as any.
    let pairs = pairs.select(&random::shuffled(n, context.seed ^ 0x6e65_6172_6573_7400));
    let mut remainder = Remainder::of(&pairs, options, context)?;
    let crossed = Crossed::of(&pairs, most.min(MOST_CHOOSING), remainder.lambda, options, context)?;
    let best = Choice::best(&crossed, context)?;
    let Some(best) = best.filter(|best| crossed.lowered_by(&best.predicted, context.seed)) else {
        return remainder.alone("what near rows have in common does not help");
    };
    if most < n {
        remainder.notes.push(format!("{most} of {n} pairs are remembered, more would be slow to apply"));
    }
    remainder.notes.push(format!(
        "{:.0} % of the mean error of {} nearest rows at a temperature of {} are taken off",
        100.0 * best.share,
        best.k,
        best.temperature,
    ));
    let (affine, map) = remainder.restored(&crossed, &best.predicted)?;
    let additions =
        matrix::times_transposed(remainder.errors.slice(s![..most, ..]), map.view())? * best.share;
    let directions = directions(&remainder.source).slice_move(s![..most, ..]);
    let nearest = Nearest::new(affine, directions, additions, best.k.min(most), best.temperature)?;
    Ok(remainder.with(nearest))
}

/// Centred rows, each of length 1 (zeros stay).
fn directions(centred: &Array2<f32>) -> Array2<f32> {
    matrix::normalised(centred.view())
}

/// What rows are corrected by.
struct Choice {
    k: usize,
    temperature: f32,
    /// What the mean is multiplied by.
    share: f32,
    /// Predicted errors of the crossed rows.
    predicted: Array2<f32>,
    /// Squared error that is left, less what there was.
    error: f64,
}

impl Choice {
    /// The one that leaves least; none if there are no rows to choose by.
    fn best(crossed: &Crossed, context: &Context<'_>) -> Result<Option<Choice>> {
        let mut near = Vec::new();
        for fold in &crossed.folds {
            context.check()?;
            let seen = directions(&fold.seen.source);
            near.push(neighbours(directions(&fold.source).view(), seen.view(), MOST_NEIGHBOURS)?);
        }
        let mut best: Option<Choice> = None;
        for k in NEIGHBOURS {
            for temperature in TEMPERATURES {
                context.check()?;
                let choice = Choice::of(crossed, &near, k, temperature);
                if best.as_ref().is_none_or(|best| choice.error < best.error) {
                    best = Some(choice);
                }
            }
        }
        Ok(best)
    }

    /// `near`: for each fold the neighbours of its rows, nearest first, of which `k` count.
    fn of(crossed: &Crossed, near: &[Vec<Vec<Neighbour>>], k: usize, temperature: f32) -> Choice {
        let mut predicted = Array2::zeros(crossed.errors.dim());
        for (fold, near) in crossed.folds.iter().zip(near) {
            let mut of_fold = Array2::zeros((fold.rows.len(), predicted.ncols()));
            of_fold.axis_iter_mut(Axis(0)).into_par_iter().zip(near).for_each(|(mut out, near)| {
                for (row, weight) in weights(near.get(..k).unwrap_or(near), temperature) {
                    out.scaled_add(weight, &fold.seen.errors.row(row));
                }
            });
            fold.scatter(&of_fold, &mut predicted);
        }
        let of = |a: &Array2<f32>| -> f64 {
            a.iter().zip(&predicted).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let (common, square) = (of(&crossed.errors), of(&predicted));
        let share = if square > 0.0 { (common / square).clamp(0.0, 1.0) } else { 0.0 };
        let error = share * share * square - 2.0 * share * common;
        predicted *= share as f32;
        Choice { k, temperature, share: share as f32, predicted, error }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{applied, noise, paired};
    use super::*;
    use crate::context::testing::context;

    /// Rows around 12 topics, each of which is moved on its own.
    fn topics(n: usize, moved: f32) -> (Array2<f32>, Array2<f32>) {
        let (centres, about) = (noise(12, 6, 1) * 4.0, noise(n, 6, 2));
        let x = Array2::from_shape_fn((n, 6), |(i, j)| centres[(i % 12, j)] + about[(i, j)] * 0.3);
        let (shift, blur) = (noise(12, 5, 3), noise(n, 5, 4));
        let mut y = x.dot(&noise(6, 5, 5));
        for ((i, j), y) in y.indexed_iter_mut() {
            *y += moved * shift[(i % 12, j)] + 0.1 * blur[(i, j)];
        }
        (x, y)
    }

    fn error(fitted: &Fitted, x: &Array2<f32>, y: &Array2<f32>) -> f32 {
        (applied(fitted, x) - y).mapv(|e| e * e).sum()
    }

    #[test]
    fn what_near_rows_have_in_common_is_taken_off() {
        let (x, y) = topics(800, 2.0);
        let half = |a: &Array2<f32>, rows: std::ops::Range<usize>| a.slice(s![rows, ..]).to_owned();
        let pairs = paired(half(&x, 0..400), half(&y, 0..400));
        let (x, y) = (half(&x, 400..800), half(&y, 400..800));
        let options = FitOptions::default();
        let ridge = super::super::ridge::fit(&pairs, &options, &context()).unwrap();
        let nearest = fit(&pairs, &options, &context()).unwrap();
        assert_eq!(nearest.kind.name(), "nearest");
        let (ridge, nearest) = (error(&ridge, &x, &y), error(&nearest, &x, &y));
        assert!(nearest < 0.3 * ridge, "{nearest} and {ridge}");
    }

    #[test]
    fn ridge_is_taken_as_it_is_where_near_rows_have_nothing_in_common() {
        let (x, y) = (noise(300, 6, 1), noise(300, 5, 2));
        let pairs = paired(x.clone(), x.dot(&noise(6, 5, 3)) + y);
        let options = FitOptions::default();
        let fitted = fit(&pairs, &options, &context()).unwrap();
        assert_eq!(fitted.kind.name(), "affine");
        let ridge = super::super::ridge::fit(&pairs, &options, &context()).unwrap();
        assert!((applied(&fitted, &x) - applied(&ridge, &x)).iter().all(|d| d.abs() < 1e-5));
        assert!(fitted.notes.iter().any(|n| n.ends_with("ridge alone was taken")), "{:?}", fitted.notes);
    }

    #[test]
    fn two_pairs_are_enough_to_get_ridge() {
        let fitted =
            fit(&paired(noise(2, 3, 1), noise(2, 2, 2)), &FitOptions::default(), &context()).unwrap();
        assert_eq!(fitted.kind.dimensions(), (3, 2));
    }
}
