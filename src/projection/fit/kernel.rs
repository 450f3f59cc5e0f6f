//! Kernel ridge regression: a linear kernel, and one that only near rows have in common.
//!
//! `K = a X Xᵀ + |x_i| |x_j| φ(cos(x_i, x_j))` over centred rows of mean squared length 1, with φ of
//! [`super::super::centres`]; `A = (K + λ)⁻¹ Y` (Saunders, Gammerman and Vovk, 1998). The linear part folds into one matrix,
//! so what is applied is an affine map and the coefficients of near rows. A row left out is predicted with the error
//! `A_i / (K + λ)⁻¹_ii`. What is taken from the contrast of the predictions is given back as for ridge, see
//! [`super::contrast`].
//!
//! a, λ and the threshold are empirical choices: they were picked at 5,000, 1,000 and 250 pairs of five pairs of spaces;
//! results are flat around them.

use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, Zip, s};
use pulp::Simd;

use super::contrast::{self, Restored};
use super::{FitOptions, Fitted};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::projection::affine::Affine;
use crate::projection::centres::{Centres, Near};
use crate::projection::kernel::{Kernel, units};
use crate::projection::pairs::Pairs;
use crate::{matrix, random};

/// a, the part of the linear kernel.
const LINEAR: f32 = 2.0;
/// λ.
const PENALTY: f32 = 0.15;
/// Cosine above which rows have something in common, if these are few enough.
const THRESHOLD: f32 = 0.2;
/// Share of the rows that a row has something in common with, at most.
const NEAR: f64 = 0.06;
/// Leading directions by which rows are compared at first.
const DIRECTIONS: usize = 96;
/// Rows that are centres at most: the time to fit grows with the cube, the time to apply with their number.
const MOST_CENTRES: usize = 6000;

pub(super) fn fit(pairs: &Pairs, _: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let mut notes = Vec::new();
    let n = pairs.len();
    let few;
    let pairs = if n > MOST_CENTRES {
        let drawn = random::shuffled(n, context.seed ^ 0x6b65_726e_656c);
        few = pairs.select(drawn.get(..MOST_CENTRES).unwrap_or_default());
        notes.push(format!("fitted to {MOST_CENTRES} of {n} pairs, more would be slow to apply"));
        &few
    } else {
        pairs
    };
    let narrow = |mean: Array1<f64>| mean.mapv(|v| v as f32);
    let source_mean = narrow(matrix::column_means(pairs.source().view()));
    let target_mean = narrow(matrix::column_means(pairs.target().view()));
    let y = pairs.target() - &target_mean;
    let (units, lengths) = units(pairs.source().view(), source_mean.view());
    let mean_square = lengths.iter().map(|l| f64::from(*l).powi(2)).sum::<f64>() / lengths.len() as f64;
    if mean_square.is_nan() || mean_square <= 0.0 {
        let found =
            format!("the {n} source vectors of the training pairs are all equal, nothing can be learnt");
        return Err(Error::new(error::Kind::Refused, found));
    }
    let scale = mean_square.sqrt().recip() as f32;
    let lengths = lengths * scale;
    let centres = centres(&units)?;
    context.check()?;
    let gram = gram(&units, &lengths, &centres)?;
    let (solved, diagonal) = solve(gram, y.view(), &mut notes)?;
    context.check()?;
    let left_out = Zip::from(y.rows()).and(solved.rows()).and(&diagonal);
    let mut predicted = y.clone();
    left_out.and(predicted.rows_mut()).for_each(|_, a, d, mut p| p.zip_mut_with(&a, |p, a| *p -= a / d));
    let restored = Restored::of(predicted.view(), y.view())?;
    notes.push(contrast::note(restored.explained));

    let rows = &units * &lengths.view().insert_axis(Axis(1));
    let linear = matrix::times_transposed(solved.t(), rows.t())? * (LINEAR * scale);
    let weight = matrix::times_transposed(restored.map.view(), linear.t())?;
    let coefficients = &solved * &(lengths * scale).insert_axis(Axis(1));
    let coefficients = matrix::times_transposed(coefficients.view(), restored.map.view())?;
    let affine = Affine::new(weight, source_mean, target_mean + restored.shift)?;
    let kernel = Kernel::new(affine, centres, coefficients)?;
    Ok(Fitted { lambda: Some(f64::from(PENALTY)), notes, ..Fitted::of(Box::new(kernel)) })
}

/// The rows as centres: leading directions, and a threshold that leaves few near ones.
fn centres(units: &Array2<f32>) -> Result<Centres> {
    let (_, directions) = matrix::principal(units.mapv(f64::from).view())?;
    let kept = directions.ncols().min(DIRECTIONS);
    let directions = directions.slice(s![.., ..kept]).t().mapv(|v| v as f32);
    let most = units.nrows().min(1000);
    let (first, last) = (units.slice(s![..most, ..]), units.slice(s![units.nrows() - most.., ..]));
    let mut cosines = matrix::times_transposed(first, last)?.into_raw_vec_and_offset().0;
    let at = ((1.0 - NEAR) * (cosines.len() - 1) as f64) as usize;
    let (_, quantile, _) = cosines.select_nth_unstable_by(at, f32::total_cmp);
    Centres::new(units.clone(), directions, quantile.clamp(THRESHOLD, 0.99))
}

/// K, n x n. `lengths` are those of the scaled rows.
fn gram(units: &Array2<f32>, lengths: &Array1<f32>, centres: &Centres) -> Result<Array2<f32>> {
    const ROWS: usize = 128;
    let n = units.nrows();
    let mut gram = Array2::zeros((n, n));
    let chunks = gram.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter();
    let chunks = chunks.zip(units.axis_chunks_iter(Axis(0), ROWS).into_par_iter());
    chunks.zip(lengths.axis_chunks_iter(Axis(0), ROWS).into_par_iter()).try_for_each(
        |((mut gram, of_chunk), of_rows)| {
            matrix::product_transposed(of_chunk, units.view(), None, gram.view_mut())?;
            gram *= LINEAR;
            centres.visit(of_chunk, &mut Entries(gram.view_mut()))?;
            for (mut row, length) in gram.outer_iter_mut().zip(of_rows) {
                row.zip_mut_with(lengths, |value, other| *value *= length * other);
            }
            Ok(())
        },
    )?;
    Ok(gram)
}

/// Entries of a matrix, to be added to.
struct Entries<'a>(ArrayViewMut2<'a, f32>);

impl Near for Entries<'_> {
    #[inline(always)]
    fn near<S: Simd>(&mut self, _: S, row: usize, centres: &[usize], phis: &[f32]) {
        for (centre, phi) in centres.iter().zip(phis) {
            if let Some(place) = self.0.get_mut((row, *centre)) {
                *place += phi;
            }
        }
    }
}

/// `(K + λ)⁻¹ Y` and the diagonal of the inverse. What was taken as nothing may make K indefinite: λ grows until it is not.
fn solve(
    mut gram: Array2<f32>,
    y: ArrayView2<'_, f32>,
    notes: &mut Vec<String>,
) -> Result<(Array2<f32>, Array1<f32>)> {
    let (mut more, mut penalty) = (PENALTY, PENALTY);
    for _ in 0..12 {
        gram.diag_mut().iter_mut().for_each(|value| *value += more);
        if let Some(factors) = matrix::Cholesky::of(gram.view()) {
            if penalty > PENALTY {
                notes.push(format!(
                    "near rows have too much in common for a penalty of {PENALTY}, {penalty} was taken"
                ));
            }
            return Ok((factors.solve(y), factors.inverse_diagonal()));
        }
        more = 3.0 * penalty;
        penalty += more;
    }
    Err(Error::new(error::Kind::Refused, "the training pairs do not determine a kernel map")
        .hint("use the method `contrast`"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{applied, noise, paired};
    use super::*;
    use crate::context::testing::context;

    /// Sum of squared errors on rows that were not trained on, of the sum with the mean of all.
    fn error(
        method: fn(&Pairs, &FitOptions, &Context<'_>) -> Result<Fitted>,
        x: &Array2<f32>,
        y: &Array2<f32>,
    ) -> f32 {
        let half = x.nrows() / 2;
        let part = |a: &Array2<f32>| a.slice(s![..half, ..]).to_owned();
        let pairs = paired(part(x), part(y));
        let fitted = method(&pairs, &FitOptions::default(), &context()).unwrap();
        let rest = y.slice(s![half.., ..]);
        let errors = applied(&fitted, &x.slice(s![half.., ..]).to_owned()) - rest;
        let mean = y.mean_axis(Axis(0)).unwrap();
        errors.mapv(|v| v * v).sum() / (&rest - &mean).mapv(|v| v * v).sum()
    }

    #[test]
    fn curved_relations_are_learnt_that_no_affine_map_follows() {
        let x = noise(1200, 5, 1);
        let mut y = x.dot(&noise(5, 4, 2));
        for (mut y, x) in y.outer_iter_mut().zip(x.outer_iter()) {
            y[0] += 2.0 * x[0] * x[1];
            y[1] += 2.0 * (x[2] * x[3]).abs();
        }
        let (affine, kernel) = (error(super::super::ridge::fit, &x, &y), error(fit, &x, &y));
        assert!(kernel < 0.6 * affine, "{kernel} and {affine}");
    }

    #[test]
    fn the_equations_are_those_of_kernel_ridge_regression() {
        let (x, y) = (noise(30, 6, 1), noise(30, 3, 2));
        let mean = x.mean_axis(Axis(0)).unwrap();
        let (units, lengths) = units(x.view(), mean.view());
        let centres = centres(&units).unwrap();
        let gram = gram(&units, &lengths, &centres).unwrap();
        let rows = &x - &mean;
        let cosines = units.dot(&units.t());
        for ((i, j), value) in gram.indexed_iter() {
            let linear = LINEAR * rows.row(i).dot(&rows.row(j));
            let near = value - linear;
            let most = lengths[i] * lengths[j];
            assert!(near.abs() < 1e-5 || cosines[(i, j)] >= THRESHOLD && near < 1.001 * most, "{i} {j}");
            assert!((value - gram[(j, i)]).abs() < 1e-5);
        }
        let (solved, diagonal) = solve(gram.clone(), y.view(), &mut Vec::new()).unwrap();
        let penalised = gram + Array2::<f32>::eye(30) * PENALTY;
        assert!((penalised.dot(&solved) - &y).iter().all(|e| e.abs() < 1e-4));
        let unit = |i| Array2::from_shape_fn((30, 1), |(row, _)| if row == i { 1.0f32 } else { 0.0 });
        let column = matrix::Cholesky::of(penalised.view()).unwrap().solve(unit(7).view());
        assert!((column[(7, 0)] - diagonal[7]).abs() < 1e-4 * diagonal[7]);
    }

    #[test]
    fn equal_rows_are_refused() {
        // The same text twice would be one pair; zeros of both signs are told apart.
        let x = Array2::from_shape_fn((2, 1), |(i, _)| [0.0, -0.0][i]);
        let pairs = paired(x, noise(2, 2, 1));
        let error = fit(&pairs, &FitOptions::default(), &context()).unwrap_err();
        assert_eq!(error.kind(), error::Kind::Refused);
    }
}
