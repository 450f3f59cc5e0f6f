//! One decomposition of the training rows, from which every penalty and every leave-one-out error follows.
//!
//! Leave-one-out in closed form: Allen's PRESS (1974), e_i = r_i / (1 - h_ii).
//! The intercept is not penalised, so both sides are centred and the hat matrix gains 1/n.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};

use super::contrast;
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::matrix;
use crate::projection::pairs::Pairs;

/// Penalties that are tried: 13 steps of half a decade around a tenth of the mean eigenvalue of the Gram matrix.
const GRID: std::ops::RangeInclusive<i32> = -6..=6;

/// Both sides of the pairs in f64, each with its mean taken off.
pub(super) struct Centred {
    /// n x source.
    pub source: Array2<f64>,
    /// n x target.
    pub target: Array2<f64>,
    pub source_mean: Array1<f64>,
    pub target_mean: Array1<f64>,
}

impl Centred {
    pub(super) fn of(pairs: &Pairs) -> Centred {
        let (x, y) = (pairs.source().view(), pairs.target().view());
        let (source_mean, target_mean) = (matrix::column_means(x), matrix::column_means(y));
        Centred {
            source: matrix::centred(x, source_mean.view()),
            target: matrix::centred(y, target_mean.view()),
            source_mean,
            target_mean,
        }
    }
}

/// One decomposition that serves every penalty: X = U S^(1/2) Vᵀ of the centred source rows, from the
/// eigenvectors of whichever Gram matrix is smaller.
pub(super) struct Spectrum {
    /// Eigenvalues s of the Gram matrix, none negative.
    pub(super) values: Array1<f64>,
    /// V (d x d) if the rows are no fewer than the components, else U (n x n).
    vectors: Array2<f64>,
    primal: bool,
    /// Z = X V = U S^(1/2), n x r.
    scores: Array2<f64>,
    /// Zᵀ Y, r x target.
    pub(super) products: Array2<f64>,
    mean_value: f64,
}

impl Spectrum {
    pub(super) fn new(x: ArrayView2<'_, f64>, y: ArrayView2<'_, f64>) -> Result<Self> {
        let (n, d) = x.dim();
        let primal = n >= d;
        let side = if primal { x.reversed_axes() } else { x };
        let gram = matrix::times_transposed(side, side)?;
        let (mut values, vectors) = matrix::symmetric_eigen(gram.view())?;
        values.mapv_inplace(|v| v.max(0.0));
        let mean_value = values.mean().unwrap_or(0.0);
        if !(mean_value.is_finite() && mean_value > 0.0) {
            return Err(Error::new(
                error::Kind::Refused,
                format!(
                    "the {n} source vectors of the training pairs are all equal, nothing can be learnt from them"
                ),
            ));
        }
        let scores = if primal {
            matrix::times_transposed(x, vectors.t())?
        } else {
            &vectors * &values.mapv(f64::sqrt)
        };
        let products = matrix::times_transposed(scores.t(), y.t())?;
        Ok(Spectrum { values, vectors, primal, scores, products, mean_value })
    }

    /// The penalty of least leave-one-out error: the grid, then two points around its best.
    /// Also whether the best lies at the edge of the grid.
    pub(super) fn best_penalty(&self, y: ArrayView2<'_, f64>, context: &Context<'_>) -> Result<(f64, bool)> {
        let penalty = |step: f64| 0.1 * self.mean_value * 10f64.powf(step / 2.0);
        let mut best = (f64::INFINITY, 0.0);
        let try_step = |step: f64, best: &mut (f64, f64)| -> Result<()> {
            context.check()?;
            let error = self.leave_one_out(y, penalty(step))?;
            if error < best.0 {
                *best = (error, step);
            }
            Ok(())
        };
        for step in GRID {
            try_step(f64::from(step), &mut best)?;
        }
        let coarse = best.1;
        let at_edge = coarse == f64::from(*GRID.start()) || coarse == f64::from(*GRID.end());
        for step in [coarse - 0.5, coarse + 0.5] {
            try_step(step, &mut best)?;
        }
        Ok((penalty(best.1), at_edge))
    }

    /// Sum over rows and target components of the squared error that each row would have if it had been left
    /// out: r_i / (1 - h_ii) with h_ii = 1/n + Σ_k Z_ik² / (s_k + λ).
    ///
    /// The predictions are multiplied in f32: both factors are scaled by (s + λ)^(-1/2), so that no term
    /// is larger than its row of `y`. Everything before and after is f64.
    pub(super) fn leave_one_out(&self, y: ArrayView2<'_, f64>, lambda: f64) -> Result<f64> {
        let (predicted, leverage) = self.predictions(lambda)?;
        let errors = Zip::from(predicted.rows()).and(y.rows()).and(&leverage).map_collect(|p, y, h| {
            let squared: f64 = p.iter().zip(y).map(|(p, y)| (y - f64::from(*p)).powi(2)).sum();
            squared / (1.0 - h).max(1e-9).powi(2)
        });
        Ok(errors.sum())
    }

    /// What would be predicted of each row of `y` if it had been left out, n x target.
    pub(super) fn left_out(&self, y: ArrayView2<'_, f64>, lambda: f64) -> Result<Array2<f32>> {
        let (mut predicted, leverage) = self.predictions(lambda)?;
        Zip::from(predicted.rows_mut()).and(y.rows()).and(&leverage).for_each(|mut p, y, h| {
            let rest = (1.0 - h).max(1e-9);
            p.zip_mut_with(&y, |p, y| *p = (y - (y - f64::from(*p)) / rest) as f32);
        });
        Ok(predicted)
    }

    /// Predictions of the rows by all of them, and the h_ii.
    fn predictions(&self, lambda: f64) -> Result<(Array2<f32>, Array1<f64>)> {
        let n = self.scores.nrows();
        let scale = self.values.mapv(|s| (s + lambda).sqrt().recip());
        let left = &self.scores * &scale;
        let right = &self.products.t() * &scale;
        let leverage = left.map_axis(Axis(1), |row| 1.0 / n as f64 + row.dot(&row));
        let predicted =
            matrix::times_transposed(left.mapv(|v| v as f32).view(), right.mapv(|v| v as f32).view())?;
        Ok((predicted, leverage))
    }

    /// Share of the variance of `y` that leave-one-out explains, 0 to 1.
    pub(super) fn explained(&self, y: ArrayView2<'_, f64>, lambda: f64) -> Result<f64> {
        let square = y.iter().map(|v| v * v).sum();
        Ok(contrast::explained(self.leave_one_out(y, lambda)?, square, y.nrows()))
    }

    /// W, target x source: (V (S + λ)⁻¹ Zᵀ Y)ᵀ, or (Xᵀ U S^(-1/2) (S + λ)⁻¹ Zᵀ Y)ᵀ if the rows are fewer.
    pub(super) fn weight(&self, x: ArrayView2<'_, f64>, lambda: f64) -> Result<Array2<f64>> {
        let floor = self.mean_value * 1e-12;
        let shrink = self.values.mapv(|s| match self.primal {
            true => 1.0 / (s + lambda),
            false if s > floor => 1.0 / (s.sqrt() * (s + lambda)),
            false => 0.0,
        });
        let right = &self.products.t() * &shrink;
        let inner = matrix::times_transposed(right.view(), self.vectors.view())?;
        if self.primal { Ok(inner) } else { matrix::times_transposed(inner.view(), x.t()) }
    }
}

#[cfg(test)]
mod tests {
    use faer::linalg::solvers::Solve;

    use super::super::testing::{noise, pairs};
    use super::*;
    use crate::context::testing::context;

    /// Ridge with an intercept straight from the normal equations, one row predicted from all others.
    fn left_out(pairs: &Pairs, i: usize, lambda: f64) -> Array1<f64> {
        let keep: Vec<usize> = (0..pairs.len()).filter(|&j| j != i).collect();
        let rest = pairs.select(&keep);
        let (mx, my) =
            (matrix::column_means(rest.source().view()), matrix::column_means(rest.target().view()));
        let x = matrix::centred(rest.source().view(), mx.view());
        let y = matrix::centred(rest.target().view(), my.view());
        let gram = x.t().dot(&x) + Array2::<f64>::eye(x.ncols()) * lambda;
        let solution =
            matrix::to_faer(gram.view()).partial_piv_lu().solve(matrix::to_faer(x.t().dot(&y).view()));
        let row = pairs.source().row(i).mapv(f64::from) - mx;
        row.dot(&matrix::from_faer(solution.as_ref())) + my
    }

    fn spectrum(pairs: &Pairs) -> (Spectrum, Array2<f64>, Array2<f64>) {
        let x = matrix::centred(pairs.source().view(), matrix::column_means(pairs.source().view()).view());
        let y = matrix::centred(pairs.target().view(), matrix::column_means(pairs.target().view()).view());
        (Spectrum::new(x.view(), y.view()).unwrap(), x, y)
    }

    #[test]
    fn leave_one_out_equals_leaving_each_row_out() {
        let mut most = 0.0f64;
        for (n, d) in [(12, 5), (6, 10)] {
            let pairs = pairs(n, d, 3);
            let (spectrum, _, y) = spectrum(&pairs);
            for lambda in [0.01, 0.3, 20.0] {
                let brute: f64 = (0..n)
                    .map(|i| {
                        let error = pairs.target().row(i).mapv(f64::from) - left_out(&pairs, i, lambda);
                        error.dot(&error)
                    })
                    .sum();
                let found = spectrum.leave_one_out(y.view(), lambda).unwrap();
                assert!(
                    (found / brute - 1.0).abs() < 1e-4,
                    "n {n} d {d} lambda {lambda}: {found} for {brute}"
                );
                let others = |i: usize| (0..n).filter(move |&j| j != i);
                let apart: f64 = (0..n)
                    .map(|i| {
                        let sum = others(i).fold(Array1::<f64>::zeros(3), |sum, j| sum + y.row(j));
                        (&y.row(i) - sum / (n - 1) as f64).mapv(|v| v * v).sum()
                    })
                    .sum();
                let share = (1.0 - brute / apart).clamp(0.0, 1.0);
                assert!((spectrum.explained(y.view(), lambda).unwrap() - share).abs() < 1e-4);
                most = most.max(share);
            }
        }
        assert!(most > 0.1, "the share is tested where it is not cut off at 0");
    }

    #[test]
    fn weights_solve_the_normal_equations_for_many_and_for_few_rows() {
        for (n, d) in [(40, 5), (7, 10)] {
            let (spectrum, x, y) = spectrum(&pairs(n, d, 4));
            let weight = spectrum.weight(x.view(), 0.7).unwrap();
            let left = (x.t().dot(&x) + Array2::<f64>::eye(d) * 0.7).dot(&weight.t());
            let difference = (left - x.t().dot(&y)).mapv(f64::abs);
            assert!(difference.iter().all(|v| *v < 1e-9), "n {n} d {d}");
        }
    }

    #[test]
    fn the_chosen_penalty_is_no_worse_than_any_of_the_grid() {
        let pairs = pairs(60, 8, 3);
        let (spectrum, _, y) = spectrum(&pairs);
        let (best, _) = spectrum.best_penalty(y.view(), &context()).unwrap();
        let least = spectrum.leave_one_out(y.view(), best).unwrap();
        for step in GRID {
            let other = 0.1 * spectrum.mean_value * 10f64.powf(f64::from(step) / 2.0);
            assert!(least <= spectrum.leave_one_out(y.view(), other).unwrap());
        }
    }

    #[test]
    fn nothing_is_learnt_from_equal_rows() {
        let (x, y) = (Array2::from_elem((5, 3), 0.5f32), noise(5, 2, 1));
        let (centred, means) = (x.mapv(|v| f64::from(v) - 0.5), y.mapv(f64::from));
        let Err(error) = Spectrum::new(centred.view(), means.view()) else { panic!("equal rows") };
        assert_eq!(error.kind(), error::Kind::Refused);
    }
}
