//! Ridge regression (Hoerl and Kennard, 1970) in closed form, penalty chosen by exact leave-one-out.

use ndarray::{Array1, Array2, ArrayView2};

use super::contrast::{self, RELIEF, Shrunk};
use super::spectrum::{Centred, Spectrum};
use super::{FitOptions, Fitted};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::projection::affine::Affine;
use crate::projection::pairs::Pairs;

/// The map of least squared error.
pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    solve(pairs, options, context, false)
}

/// The same map with the contrast of its predictions restored, see [`super::contrast`].
pub(super) fn fit_with_contrast(
    pairs: &Pairs,
    options: &FitOptions,
    context: &Context<'_>,
) -> Result<Fitted> {
    solve(pairs, options, context, true)
}

fn solve(pairs: &Pairs, options: &FitOptions, context: &Context<'_>, restore: bool) -> Result<Fitted> {
    let Centred { source, target, source_mean, target_mean } = Centred::of(pairs);
    let spectrum = Spectrum::new(source.view(), target.view())?;
    context.check()?;
    let mut notes = Vec::new();
    let mut lambda = penalty(&spectrum, target.view(), options, context, &mut notes)?;
    if restore && options.lambda.is_none() {
        lambda *= RELIEF;
    }
    let mut weight = spectrum.weight(source.view(), lambda)?;
    if restore {
        let explained = spectrum.explained(target.view(), lambda)?;
        let (values, products) = (spectrum.values.view(), spectrum.products.view());
        weight = Shrunk { values, products, lambda, explained }.restore(weight)?;
        notes.push(contrast::note(explained));
    }
    affine(weight, source_mean, target_mean, Some(lambda), notes)
}

/// The penalty that the user names, or that of least leave-one-out error.
pub(super) fn penalty(
    spectrum: &Spectrum,
    target: ArrayView2<'_, f64>,
    options: &FitOptions,
    context: &Context<'_>,
    notes: &mut Vec<String>,
) -> Result<f64> {
    match options.lambda {
        Some(lambda) if lambda.is_finite() && lambda > 0.0 => Ok(lambda),
        Some(lambda) => Err(Error::new(
            error::Kind::Usage,
            format!("a ridge penalty of {lambda} makes no sense, a number above 0 is wanted"),
        )),
        None => {
            let (lambda, at_edge) = spectrum.best_penalty(target, context)?;
            if at_edge {
                notes.push("the best ridge penalty is at the edge of the grid".to_owned());
            }
            Ok(lambda)
        }
    }
}

/// The affine map of `weight` (target x source) between the means.
pub(super) fn affine(
    weight: Array2<f64>,
    source_mean: Array1<f64>,
    target_mean: Array1<f64>,
    lambda: Option<f64>,
    notes: Vec<String>,
) -> Result<Fitted> {
    let narrow = |a: Array1<f64>| a.mapv(|v| v as f32);
    let affine = Affine::new(weight.mapv(|v| v as f32), narrow(source_mean), narrow(target_mean))?;
    Ok(Fitted { lambda, notes, ..Fitted::of(Box::new(affine)) })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{applied, noise, paired, pairs};
    use super::*;
    use crate::context::testing::context;

    #[test]
    fn an_exact_affine_relation_is_found_again_with_and_without_contrast() {
        let x = noise(50, 4, 1);
        let y = x.dot(&noise(4, 3, 2)) + 2.0;
        let pairs = paired(x, y);
        let options = FitOptions { lambda: Some(1e-9), ..FitOptions::default() };
        for method in [fit, fit_with_contrast] {
            let fitted = method(&pairs, &options, &context()).unwrap();
            let out = applied(&fitted, pairs.source());
            assert!((&out - pairs.target()).iter().all(|v| v.abs() < 1e-5));
            assert_eq!(fitted.kind.dimensions(), (4, 3));
        }
    }

    #[test]
    fn a_senseless_penalty_is_refused() {
        for lambda in [0.0, -1.0, f64::NAN] {
            let options = FitOptions { lambda: Some(lambda), ..FitOptions::default() };
            assert_eq!(fit(&pairs(9, 2, 2), &options, &context()).unwrap_err().kind(), error::Kind::Usage);
        }
    }
}
