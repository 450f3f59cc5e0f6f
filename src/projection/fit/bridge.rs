//! The way of a query into a collection of other vectors: what finds neighbours there, not what is near to the vectors there.
//!
//! A query m of one model asks records s of another by s · f(m). Least squares makes f(m) what s would be on average, which
//! shrinks what cannot be predicted, so that every query lies near the mean and finds the records there. The first Newton
//! step of the contrastive loss from f = 0 (InfoNCE, van den Oord et al. 2018: each m_i is to tell its s_i from all others)
//! asks for another map, and further steps or softer aims changed little where measured:
//!
//! `f(m) = g B (m - m̄) + c s̄`, `B = (YᵀY + κ tr(YᵀY)/d I)⁻¹ YᵀX (XᵀX + κ tr(XᵀX)/d I)⁻¹`
//!
//! for centred rows X of queries and Y of records of length 1: the likeness of both is weighed by how rare it is on either
//! side. g gives B (m - m̄) of rows left out the mean length of Y, and c s̄ prefers records near the mean by
//! `s · s̄ = const - |s - s̄|² / 2`, the part of the likelihood of Gaussian records that depends on the record alone. κ and c
//! were picked with the collections of docs/bridge.md in sight; `benches/bridge.py` measures what they give beside other maps.

use ndarray::{Array2, ArrayView2, Axis};

use super::ridge::affine;
use super::spectrum::{Centred, Spectrum};
use super::{FitOptions, Fitted};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::matrix;
use crate::projection::pairs::Pairs;

/// κ: share of the mean eigenvalue that is added to all of them, on both sides.
const PENALTY: f64 = 0.3;
/// c: share of the mean of the records that is added.
const MEAN: f64 = 0.3;

/// The map from queries (source side of `pairs`) to the space of records (target side).
pub(in crate::projection) fn fit(pairs: &Pairs, _: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let unit = matrix::normalised(pairs.target().view());
    let pairs = Pairs::new(pairs.ids().to_vec(), pairs.source().clone(), unit)?;
    let Centred { source, target, source_mean, target_mean } = Centred::of(&pairs);
    let penalty = |rows: &Array2<f64>| PENALTY * squares(rows.view()) / rows.ncols() as f64;
    let spectrum = Spectrum::new(source.view(), target.view())?;
    context.check()?;
    let lambda = penalty(&source);
    let rarity = rarity(target.view(), penalty(&target))?;
    let weight = matrix::times_transposed(rarity.view(), spectrum.weight(source.view(), lambda)?.t())?;

    let left_out = &target - &spectrum.left_out(target.view(), lambda)?.mapv(f64::from);
    let asking = matrix::times_transposed(left_out.view(), rarity.view())?;
    let gain = mean_length(target.view()) / mean_length(asking.view());
    if !(gain.is_finite() && gain > 0.0) {
        let found =
            format!("the {} training pairs have nothing in common that a query could follow", pairs.len());
        return Err(Error::new(error::Kind::Refused, found));
    }
    affine(weight * gain, source_mean, target_mean * MEAN, Some(lambda), Vec::new())
}

/// (YᵀY + λ I)⁻¹, symmetric.
fn rarity(y: ArrayView2<'_, f64>, lambda: f64) -> Result<Array2<f64>> {
    let (values, vectors) = matrix::symmetric_eigen(matrix::times_transposed(y.t(), y.t())?.view())?;
    let inverse = values.mapv(|v| 1.0 / (v.max(0.0) + lambda));
    if !inverse.iter().all(|v| v.is_finite()) {
        let found =
            format!("the {} vectors of the records are all equal, no query could tell them apart", y.nrows());
        return Err(Error::new(error::Kind::Refused, found));
    }
    matrix::times_transposed((&vectors * &inverse).view(), vectors.view())
}

fn squares(rows: ArrayView2<'_, f64>) -> f64 {
    rows.iter().map(|v| v * v).sum()
}

fn mean_length(rows: ArrayView2<'_, f64>) -> f64 {
    rows.axis_iter(Axis(0)).map(|row| row.dot(&row).sqrt()).sum::<f64>() / rows.nrows() as f64
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::testing::{applied, noise, paired};
    use super::*;
    use crate::context::testing::context;

    fn fitted(x: Array2<f32>, y: Array2<f32>) -> Result<Fitted> {
        fit(&paired(x, y), &FitOptions::default(), &context())
    }

    #[test]
    fn the_direction_is_that_of_the_formula() {
        // Rows of length 1 without a mean: X = Y = the four axes, XᵀX = YᵀY = 2 I, so that B is a multiple of I.
        let axes = array![[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]];
        let out = applied(&fitted(axes.clone(), axes.clone()).unwrap(), &array![[0.6, 0.8]]);
        assert!((out[(0, 0)] / out[(0, 1)] - 0.75).abs() < 1e-5, "{out}");
        // What varies four times as much in the queries is worth less of a query's component: from XᵀX = diag(8, 2),
        // YᵀX = diag(4, 2), κ tr / d = 1.5 and YᵀY + 0.6 a multiple of I: 4 / 9.5 against 2 / 3.5.
        let wide = array![[2.0, 0.0], [0.0, 1.0], [-2.0, 0.0], [0.0, -1.0]];
        let out = applied(&fitted(wide, axes).unwrap(), &array![[1.0, 1.0]]);
        assert!((out[(0, 0)] / out[(0, 1)] - (4.0 / 9.5) / (2.0 / 3.5)).abs() < 1e-5, "{out}");
    }

    #[test]
    fn a_query_without_content_is_a_share_of_the_mean() {
        let (x, y) = (noise(60, 4, 1), matrix::normalised((noise(60, 3, 2) + 0.5).view()));
        let (centre, mean) = (matrix::column_means(x.view()), matrix::column_means(y.view()));
        let out = applied(&fitted(x, y).unwrap(), &centre.mapv(|v| v as f32).insert_axis(Axis(0)));
        assert!(out.row(0).iter().zip(&mean).all(|(o, m)| (f64::from(*o) - MEAN * m).abs() < 1e-5), "{out}");
    }

    #[test]
    fn lengths_of_records_do_not_matter_and_fewer_pairs_than_components_suffice() {
        let (x, y) = (noise(12, 20, 1), noise(12, 30, 2));
        let long = &y * &ndarray::Array1::from_shape_fn(12, |i| 1.0 + i as f32).insert_axis(Axis(1));
        let (one, other) =
            (applied(&fitted(x.clone(), y).unwrap(), &x), applied(&fitted(x.clone(), long).unwrap(), &x));
        assert!((&one - &other).iter().all(|d| d.abs() < 1e-4));
        assert_eq!(one.dim(), (12, 30));
    }

    #[test]
    fn equal_rows_are_refused_on_either_side() {
        let equal = Array2::ones((9, 2));
        assert_eq!(fitted(noise(9, 2, 1), equal).unwrap_err().kind(), error::Kind::Refused);
        let x = Array2::from_shape_fn((9, 2), |(i, _)| 1.0 + i as f32 * 1e-30);
        assert!(fitted(x, noise(9, 2, 1)).is_err());
    }
}
