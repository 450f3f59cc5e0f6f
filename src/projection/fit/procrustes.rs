//! A rotation with one scale, and ridge regression that is pulled towards it instead of towards nothing.
//!
//! Schönemann (1966): of all semi-orthogonal R, U Vᵀ of the decomposition XᵀY = U S Vᵀ brings X nearest to Y; with it
//! the best scale is tr S / |X|². Both sides are centred. Where the dimensions differ, R keeps lengths in the smaller one.

use ndarray::{Array2, ArrayView2};

use super::ridge::{affine, penalty};
use super::spectrum::{Centred, Spectrum};
use super::{FitOptions, Fitted};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::matrix;
use crate::projection::pairs::Pairs;

/// The rotation, scaled.
pub(super) fn fit(pairs: &Pairs, _: &FitOptions, _: &Context<'_>) -> Result<Fitted> {
    let Centred { source, target, source_mean, target_mean } = Centred::of(pairs);
    let weight = rotation(source.view(), target.view())?;
    affine(weight, source_mean, target_mean, None, Vec::new())
}

/// `argmin |Y - X Wᵀ|² + λ |W - sR|²`: ridge on what the rotation leaves. λ → ∞ is the rotation, λ → 0 least squares.
pub(super) fn fit_pulled(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let Centred { source, target, source_mean, target_mean } = Centred::of(pairs);
    let rotation = rotation(source.view(), target.view())?;
    let left = target - matrix::times_transposed(source.view(), rotation.view())?;
    let spectrum = Spectrum::new(source.view(), left.view())?;
    let mut notes = Vec::new();
    let lambda = penalty(&spectrum, left.view(), options, context, &mut notes)?;
    let weight = rotation + spectrum.weight(source.view(), lambda)?;
    affine(weight, source_mean, target_mean, Some(lambda), notes)
}

/// sR, target x source, of centred rows.
fn rotation(x: ArrayView2<'_, f64>, y: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    let (u, values, v) = matrix::singular(matrix::times_transposed(y.t(), x.t())?.view())?;
    let scale = values.sum() / x.iter().map(|v| v * v).sum::<f64>();
    if !scale.is_finite() || scale <= 0.0 {
        let found =
            format!("the {} training pairs have nothing in common that a rotation could follow", x.nrows());
        return Err(Error::new(error::Kind::Refused, found));
    }
    Ok(matrix::times_transposed(u.view(), v.view())? * scale)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{applied, noise, paired};
    use super::*;
    use crate::context::testing::context;

    /// Rows of an orthogonal matrix, the first `rows`.
    fn orthogonal(rows: usize, d: usize) -> Array2<f32> {
        let (u, _, v) = matrix::singular(noise(d, d, 5).mapv(f64::from).view()).unwrap();
        u.dot(&v.t()).slice(ndarray::s![..rows, ..]).mapv(|x| x as f32)
    }

    #[test]
    fn a_scaled_rotation_between_any_dimensions_is_found_again() {
        // Up: 3 components turned in 5. Down: 5 of which 3 are seen.
        for rotation in [orthogonal(3, 5), orthogonal(3, 5).reversed_axes()] {
            let mut x = noise(200, rotation.nrows(), 1);
            if rotation.ncols() < rotation.nrows() {
                // What is not seen must not vary, or a semi-orthogonal map is not the best one.
                x = x.dot(&rotation).dot(&rotation.t());
            }
            let y = x.dot(&rotation) * 0.7 + 2.0;
            let pairs = paired(x.clone(), y.clone());
            for method in [fit, fit_pulled] {
                let fitted = method(&pairs, &FitOptions::default(), &context()).unwrap();
                assert!((applied(&fitted, &x) - &y).iter().all(|e| e.abs() < 1e-3));
            }
        }
    }

    #[test]
    fn a_strong_pull_gives_the_rotation_and_a_weak_one_least_squares() {
        let x = noise(60, 4, 1);
        let y = x.dot(&noise(4, 4, 2)) + noise(60, 4, 3) * 0.1;
        let pairs = paired(x.clone(), y);
        let pulled = |lambda| {
            let options = FitOptions { lambda: Some(lambda), ..FitOptions::default() };
            applied(&fit_pulled(&pairs, &options, &context()).unwrap(), &x)
        };
        let near = |a: &Array2<f32>, b: &Array2<f32>| (a - b).iter().all(|e| e.abs() < 1e-4);
        let rotation = applied(&fit(&pairs, &FitOptions::default(), &context()).unwrap(), &x);
        let options = FitOptions { lambda: Some(1e-9), ..FitOptions::default() };
        let squares = applied(&super::super::ridge::fit(&pairs, &options, &context()).unwrap(), &x);
        assert!(near(&pulled(1e9), &rotation));
        assert!(near(&pulled(1e-9), &squares));
        assert!(!near(&rotation, &squares));
    }

    #[test]
    fn equal_rows_have_no_rotation() {
        let x = Array2::from_shape_fn((9, 2), |(i, _)| i as f32);
        let pairs = paired(x, Array2::ones((9, 2)));
        let error = fit(&pairs, &FitOptions::default(), &context()).unwrap_err();
        assert_eq!(error.kind(), error::Kind::Refused);
    }
}
