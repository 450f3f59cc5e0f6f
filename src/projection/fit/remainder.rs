//! Ridge, and what it leaves of the targets at rows that were left out: what maps that are not affine learn.

use ndarray::{Array1, Array2, s};

use super::contrast::{self, Restored};
use super::ridge::penalty;
use super::spectrum::{Centred, Spectrum};
use super::{FitOptions, Fitted, rung};
use crate::context::Context;
use crate::error::Result;
use crate::matrix;
use crate::measure::pairs::squared_errors;
use crate::projection::affine::Affine;
use crate::projection::kind::Kind;
use crate::projection::pairs::Pairs;

/// Rows up to which there are five folds; of more rows three tell enough.
const FEW_ROWS: usize = 1500;

/// A ridge map and its errors.
pub(super) struct Remainder {
    /// W, target x source.
    weight: Array2<f32>,
    source_mean: Array1<f32>,
    target_mean: Array1<f32>,
    /// Source rows without their mean, n x source.
    pub source: Array2<f32>,
    /// Targets without their mean, n x target.
    pub target: Array2<f32>,
    /// Errors of the rows, each predicted by the ridge map of all others, n x target.
    pub errors: Array2<f32>,
    /// Penalty of ridge.
    pub lambda: f64,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

impl Remainder {
    pub(super) fn of(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Remainder> {
        let Centred { source, target, source_mean, target_mean } = Centred::of(pairs);
        let spectrum = Spectrum::new(source.view(), target.view())?;
        context.check()?;
        let mut notes = Vec::new();
        let lambda = penalty(&spectrum, target.view(), options, context, &mut notes)?;
        let weight = spectrum.weight(source.view(), lambda)?;
        let errors = spectrum.left_out(target.view(), lambda)?;
        let narrow = |a: Array1<f64>| a.mapv(|v| v as f32);
        Ok(Remainder {
            weight: weight.mapv(|v| v as f32),
            source_mean: narrow(source_mean),
            target_mean: narrow(target_mean),
            source: source.mapv(|v| v as f32),
            target: target.mapv(|v| v as f32),
            errors,
            lambda,
            notes,
        })
    }

    /// The affine map and what the prediction of an error is to be multiplied by (target x target), with the contrast of
    /// both together restored as for ridge, by what `crossed` rows would have got.
    pub(super) fn restored(
        &mut self,
        crossed: &Crossed,
        predicted: &Array2<f32>,
    ) -> Result<(Affine, Array2<f32>)> {
        let left_out = &self.target.slice(s![..predicted.nrows(), ..]) - &crossed.errors + predicted;
        self.restored_by(left_out)
    }

    /// As [`Remainder::restored`] by what rows would have got of ridge alone.
    pub(super) fn restored_alone(&mut self) -> Result<(Affine, Array2<f32>)> {
        let left_out = &self.target - &self.errors;
        self.restored_by(left_out)
    }

    /// By predictions of the first rows, made without the rows themselves.
    fn restored_by(&mut self, left_out: Array2<f32>) -> Result<(Affine, Array2<f32>)> {
        let restored = Restored::of(left_out.view(), self.target.slice(s![..left_out.nrows(), ..]))?;
        self.notes.push(contrast::note(restored.explained));
        let weight = matrix::times_transposed(restored.map.view(), self.weight.t())?;
        let target_mean = &self.target_mean + &restored.shift;
        Ok((Affine::new(weight, self.source_mean.clone(), target_mean)?, restored.map))
    }

    /// Ridge as it is, because the rest does not help.
    pub(super) fn alone(mut self, why: &str) -> Result<Fitted> {
        self.notes.push(format!("{why}: ridge alone was taken"));
        let (lambda, notes) = (Some(self.lambda), std::mem::take(&mut self.notes));
        let kind = Box::new(self.affine()?);
        Ok(Fitted { lambda, notes, ..Fitted::of(kind) })
    }

    /// Ridge.
    pub(super) fn affine(&self) -> Result<Affine> {
        Affine::new(self.weight.clone(), self.source_mean.clone(), self.target_mean.clone())
    }

    /// The outcome, with `kind` as the map.
    pub(super) fn with(self, kind: impl Kind + 'static) -> Fitted {
        let (lambda, notes) = (Some(self.lambda), self.notes);
        Fitted { lambda, notes, ..Fitted::of(Box::new(kind)) }
    }
}

/// What takes rows to a mean squared component of 1; not finite where all are zero.
pub(super) fn unit_scale(rows: &Array2<f32>) -> f32 {
    (rows.len() as f64 / rows.outer_iter().map(matrix::squared_norm).sum::<f64>()).sqrt() as f32
}

/// Every other value and the rest: what chooses among many must not say as well whether the chosen one helps.
pub(super) fn halves(values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let every_other = |from| values.iter().skip(from).step_by(2).copied().collect();
    (every_other(0), every_other(1))
}

/// Cross-fitting: each of some rows with the error of a ridge map that was fitted without it, and with what that map left
/// at the rows that it was fitted to.
///
/// Errors that leave out one row alone will not do here: they still hold the target of every other row, with the wrong
/// sign, so what is learnt from them looks worse at these rows than it is.
pub(super) struct Crossed {
    pub folds: Vec<Fold>,
    /// Errors of all of them, rows x target.
    pub errors: Array2<f32>,
}

/// Some rows, and ridge without them.
pub(super) struct Fold {
    /// Fitted to the others.
    pub seen: Remainder,
    /// Which rows these are.
    pub rows: Vec<usize>,
    /// Their source rows as the fitted map sees them, without the mean of the others.
    pub source: Array2<f32>,
}

impl Crossed {
    /// Of the first rows of `pairs`, at most `most`, which are in random order; `lambda` is the penalty.
    pub(super) fn of(
        pairs: &Pairs,
        most: usize,
        lambda: f64,
        options: &FitOptions,
        context: &Context<'_>,
    ) -> Result<Crossed> {
        let n = pairs.len().min(most);
        let parts = if n > FEW_ROWS { 3 } else { 5 };
        let options = FitOptions { lambda: Some(lambda), ..options.clone() };
        let mut errors = Array2::zeros((n, pairs.dimensions().1));
        let mut folds = Vec::new();
        for part in 0..parts {
            context.check()?;
            let (rows, others): (Vec<usize>, Vec<usize>) = (0..n).partition(|row| row % parts == part);
            if others.len() < 2 || rows.is_empty() {
                continue;
            }
            let seen = Remainder::of(&pairs.select(&others), &options, context)?;
            let fold = Fold::of(seen, rows, pairs, &mut errors)?;
            folds.push(fold);
        }
        Ok(Crossed { folds, errors })
    }

    /// One fold only: the first rows of `pairs`, which are in random order, are set apart.
    pub(super) fn apart(
        pairs: &Pairs,
        rows: usize,
        lambda: f64,
        options: &FitOptions,
        context: &Context<'_>,
    ) -> Result<Crossed> {
        let options = FitOptions { lambda: Some(lambda), ..options.clone() };
        let others: Vec<usize> = (rows..pairs.len()).collect();
        let seen = Remainder::of(&pairs.select(&others), &options, context)?;
        let mut errors = Array2::zeros((rows, pairs.dimensions().1));
        let fold = Fold::of(seen, (0..rows).collect(), pairs, &mut errors)?;
        Ok(Crossed { folds: vec![fold], errors })
    }

    /// Whether predictions of the errors lower their squares by more than chance would.
    pub(super) fn lowered_by(&self, predicted: &Array2<f32>, seed: u64) -> bool {
        let none = Array2::zeros(predicted.dim());
        let before = squared_errors(none.view(), self.errors.view());
        let after = squared_errors(predicted.view(), self.errors.view());
        rung::beats(&before, &after, seed)
    }
}

impl Fold {
    /// The `rows` of `pairs`, of which `seen` saw none; their errors go to `errors`.
    pub(super) fn of(
        seen: Remainder,
        rows: Vec<usize>,
        pairs: &Pairs,
        errors: &mut Array2<f32>,
    ) -> Result<Fold> {
        let some = pairs.select(&rows);
        let predicted = seen.affine()?.applied(some.source().view())?;
        for ((row, predicted), y) in rows.iter().zip(predicted.outer_iter()).zip(some.target().outer_iter()) {
            errors.row_mut(*row).assign(&(&y - &predicted));
        }
        let source = some.source() - &seen.source_mean;
        Ok(Fold { seen, rows, source })
    }

    /// Puts what was predicted for the rows of the fold where they belong.
    pub(super) fn scatter(&self, predicted: &Array2<f32>, all: &mut Array2<f32>) {
        for (row, predicted) in self.rows.iter().zip(predicted.outer_iter()) {
            all.row_mut(*row).assign(&predicted);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Axis;

    use super::super::testing::{applied, noise, pairs};
    use super::*;
    use crate::context::testing::context;

    /// 200 pairs, ridge of them, and the cross-fitted errors of the first 150.
    fn crossed() -> (Pairs, Remainder, Crossed) {
        let all = pairs(200, 4, 3);
        let options = FitOptions::default();
        let remainder = Remainder::of(&all, &options, &context()).unwrap();
        let crossed = Crossed::of(&all, 150, remainder.lambda, &options, &context()).unwrap();
        (all, remainder, crossed)
    }

    #[test]
    fn errors_are_those_of_rows_that_were_left_out() {
        let all = pairs(30, 4, 3);
        let options = FitOptions { lambda: Some(0.5), ..FitOptions::default() };
        let remainder = Remainder::of(&all, &options, &context()).unwrap();
        let others = all.select(&(1..30).collect::<Vec<_>>());
        let ridge = super::super::ridge::fit(&others, &options, &context()).unwrap();
        let first = all.source().slice(s![..1, ..]).to_owned();
        let error = all.target().slice(s![..1, ..]).to_owned() - applied(&ridge, &first);
        assert!((&error.row(0) - &remainder.errors.row(0)).iter().all(|d| d.abs() < 1e-4));
    }

    #[test]
    fn crossed_rows_are_predicted_by_a_map_that_saw_none_of_their_fold() {
        let (all, _, crossed) = crossed();
        assert_eq!(crossed.errors.dim(), (150, 3));
        let mut met: Vec<usize> = crossed.folds.iter().flat_map(|fold| fold.rows.clone()).collect();
        met.sort_unstable();
        assert!(met.into_iter().eq(0..150));
        let fold = &crossed.folds[1];
        assert_eq!((fold.rows[0], fold.seen.errors.nrows()), (1, 120));
        let mut out = Array2::zeros((1, 3));
        let first = s![1..2, ..];
        fold.seen.affine().unwrap().apply_into(all.source().slice(first), out.view_mut()).unwrap();
        let error = &all.target().slice(first) - &out;
        assert!((&error - &crossed.errors.slice(first)).iter().all(|d| d.abs() < 1e-5));
    }

    #[test]
    fn predictions_help_where_they_are_right_and_not_where_they_are_noise() {
        let (_, _, crossed) = crossed();
        assert!(crossed.lowered_by(&(&crossed.errors * 0.3), 1));
        assert!(!crossed.lowered_by(&(noise(150, 3, 8) * 0.2), 1));
        assert!(!crossed.lowered_by(&Array2::zeros((150, 3)), 1));
    }

    #[test]
    fn contrast_is_restored_to_both_parts_alike() {
        let (all, mut remainder, crossed) = crossed();
        let plain = remainder.affine().unwrap();
        let (affine, map) = remainder.restored(&crossed, &(&crossed.errors * 0.5)).unwrap();
        let of = |kind: &Affine| {
            let mut out = Array2::zeros((200, 3));
            kind.apply_into(all.source().view(), out.view_mut()).unwrap();
            out
        };
        // What is added is the same for every row: the shift.
        let difference = of(&affine) - (of(&plain) - &remainder.target_mean).dot(&map.t());
        let first = difference.row(0).to_owned();
        assert!((&difference - &first.insert_axis(Axis(0))).iter().all(|d| d.abs() < 1e-4));
    }
}
