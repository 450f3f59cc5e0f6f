//! The weighted mean of what several methods find, where pairs are too few to tell which of them is best.
//!
//! A method weighs `exp(s / T)`, where s is the share of native neighbours that rows left out find with it: aggregation by
//! exponential weights (Leung and Barron 2006, "Information theory and mixing least-squares regressions"). It errs less than
//! the choice of one, whose loss is a whole point or two where noise decides, and where errors differ the mean finds more than
//! any of them. Predictions have equal length on average before they are weighed. Affine maps become one.
//!
//! [`TEMPERATURE`], [`HANDICAP`] and [`LEAST`] were picked on the collections of docs/maps-splits.md.

use ndarray::{Array2, ArrayView2};

use super::rung::{Comparison, Rung};
use super::{FitOptions, Fitted, method};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::matrix;
use crate::projection::affine::Affine;
use crate::projection::blend::Blend;
use crate::projection::kind::Kind;
use crate::projection::pairs::Pairs;

/// What may be in it.
pub(super) const MEMBERS: [&str; 5] = ["contrast", "kernel", "nearest", "pulled", "procrustes"];
/// Difference of the shares found that makes one weigh e times the other.
const TEMPERATURE: f64 = 0.016;
/// What is added to the share that `nearest` finds: with a fifth of the rows left out, those nearest to a row lie farther away
/// than they will, which the other methods hardly feel.
const HANDICAP: (&str, f64) = ("nearest", 0.008);
/// Who weighs less than this of the whole is left out: it is not worth the time that it takes to apply.
const LEAST: f64 = 0.1;

/// What methods count in a blend.
pub(super) struct Mix {
    /// Methods and what their predictions are multiplied by.
    weights: Vec<(&'static str, f32)>,
    /// What the rows compared find with it.
    pub shares: Vec<f64>,
    /// The methods and what they weigh, in words.
    note: String,
}

impl Mix {
    /// Weighs `rungs`, at least one.
    pub fn of(rungs: &[Rung], comparison: &Comparison<'_>) -> Result<Mix> {
        let judged: Vec<f64> = rungs
            .iter()
            .map(|rung| rung.mean() + if rung.method.name == HANDICAP.0 { HANDICAP.1 } else { 0.0 })
            .collect();
        let weights = weigh(&judged);
        let lengths: Vec<f64> = rungs.iter().map(|rung| mean_length(rung.predicted.view())).collect();
        let length: f64 = lengths.iter().zip(&weights).map(|(length, weight)| length * weight).sum();
        let (mut mix, mut said, mut predicted) = (Vec::new(), Vec::new(), None::<Array2<f32>>);
        for ((rung, weight), own) in rungs.iter().zip(&weights).zip(lengths).filter(|((_, w), _)| **w > 0.0) {
            let even = length / own;
            let factor = (weight * if even.is_finite() { even } else { 1.0 }) as f32;
            predicted
                .get_or_insert_with(|| Array2::zeros(rung.predicted.dim()))
                .scaled_add(factor, &rung.predicted);
            said.push(format!("{} {:.0} %", rung.method.name, 100.0 * weight));
            mix.push((rung.method.name, factor));
        }
        let predicted =
            predicted.ok_or_else(|| Error::new(error::Kind::Internal, "a blend of nothing was wanted"))?;
        Ok(Mix { weights: mix, shares: comparison.shares(predicted.view())?, note: said.join(", ") })
    }

    /// The one method that is left, if it is alone.
    pub fn alone(&self) -> Option<&'static str> {
        match *self.weights.as_slice() {
            [(name, _)] => Some(name),
            _ => None,
        }
    }

    /// Fitted to all pairs.
    pub fn fit(self, pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
        let mut fitted = with(&self.weights, pairs, options, context)?;
        fitted.notes.push(format!("the blend is {}", self.note));
        fitted.found = Some(self.shares);
        Ok(fitted)
    }
}

/// What each weighs, 1 in all, by what it finds.
fn weigh(found: &[f64]) -> Vec<f64> {
    let most = found.iter().copied().fold(f64::MIN, f64::max);
    let normalised = |mut weights: Vec<f64>| {
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        weights
    };
    let weights = normalised(found.iter().map(|found| ((found - most) / TEMPERATURE).exp()).collect());
    normalised(weights.into_iter().map(|weight| if weight < LEAST { 0.0 } else { weight }).collect())
}

fn mean_length(rows: ArrayView2<'_, f32>) -> f64 {
    matrix::row_norms(rows).mean().unwrap_or_default()
}

/// The blend by the weights of `options`, or by what rows left out say.
pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    if !options.weights.is_empty() {
        return with(&options.weights, pairs, options, context);
    }
    let Some(comparison) = Comparison::of(pairs, options, context) else {
        let [first, ..] = MEMBERS;
        let mut fitted = (method(first)?.fit)(pairs, options, context)?;
        fitted.notes.push(format!("{} pairs are too few to weigh methods, `{first}` was taken", pairs.len()));
        return Ok(fitted);
    };
    let rungs = MEMBERS.iter().map(|name| comparison.rung(name)).collect::<Result<Vec<_>>>()?;
    Mix::of(&rungs, &comparison)?.fit(pairs, options, context)
}

/// The blend by these weights.
fn with(
    weights: &[(&'static str, f32)],
    pairs: &Pairs,
    options: &FitOptions,
    context: &Context<'_>,
) -> Result<Fitted> {
    if let Some((name, _)) = weights.iter().find(|(name, _)| ["auto", "blend"].contains(name)) {
        return Err(Error::new(
            error::Kind::Refused,
            format!("`{name}` cannot be blended: it is no single method"),
        ));
    }
    let (mut straight, mut parts) = (Vec::new(), Vec::new());
    for (name, factor) in weights {
        context.check()?;
        let kind = (method(name)?.fit)(pairs, options, context)?.kind;
        match Affine::as_is(kind.as_ref())? {
            Some(map) => straight.push((map, *factor)),
            None => parts.push((kind, *factor)),
        }
    }
    let straight = Affine::sum(&straight)?;
    let kind: Box<dyn Kind> = match straight {
        Some(map) if parts.is_empty() => Box::new(map),
        straight => {
            parts.extend(straight.map(|map| (Box::new(map) as Box<dyn Kind>, 1.0)));
            Box::new(Blend::new(parts)?)
        }
    };
    Ok(Fitted { weights: weights.to_vec(), ..Fitted::of(kind) })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{applied, noise, paired};
    use super::*;
    use crate::context::testing::context;

    #[test]
    fn who_finds_as_much_weighs_as_much_and_who_finds_little_nothing() {
        let weights = weigh(&[0.4, 0.4, 0.4 - TEMPERATURE, 0.3]);
        let e = (-1f64).exp();
        let wanted = [1.0, 1.0, e, 0.0].map(|w| w / (2.0 + e));
        assert!(weights.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{weights:?}");
        assert_eq!(weigh(&[0.1]), [1.0]);
    }

    /// A relation that no affine map follows wholly.
    fn curved(n: usize) -> Pairs {
        let x = noise(n, 5, 1);
        let mut y = x.dot(&noise(5, 4, 2));
        for (mut y, x) in y.outer_iter_mut().zip(x.outer_iter()) {
            y[0] += 2.0 * x[0] * x[1];
        }
        paired(x, y)
    }

    #[test]
    fn it_is_the_sum_of_its_members() {
        let (pairs, options) = (curved(200), FitOptions::default());
        for weights in [
            vec![("contrast", 0.5), ("procrustes", 0.25)],
            vec![("kernel", 0.5), ("ridge", 0.25), ("contrast", 0.125)],
        ] {
            let fitted = with(&weights, &pairs, &options, &context()).unwrap();
            let mut sum = Array2::<f32>::zeros(pairs.target().dim());
            for (name, weight) in &weights {
                let one = super::super::fit(name, &pairs, &options, &context()).unwrap();
                sum.scaled_add(*weight, &applied(&one, pairs.source()));
            }
            let made = applied(&fitted, pairs.source());
            assert!((&made - &sum).iter().all(|d| d.abs() < 1e-4), "{weights:?}");
            assert_eq!(
                fitted.kind.parts().len(),
                if weights.len() == 2 { 0 } else { 2 },
                "affine maps become one"
            );
        }
    }

    #[test]
    fn what_is_no_single_method_is_refused() {
        let fit = |name| {
            let options = FitOptions { weights: vec![("ridge", 0.5), (name, 0.5)], ..FitOptions::default() };
            fit(&curved(60), &options, &context()).map(|fitted| fitted.kind.name())
        };
        assert_eq!(fit("contrast").unwrap(), "affine");
        for name in ["blend", "auto"] {
            assert_eq!(fit(name).unwrap_err().kind(), error::Kind::Refused);
        }
    }

    #[test]
    fn the_weights_that_were_found_give_the_same_again() {
        let (pairs, options) = (paired(noise(300, 5, 1), noise(300, 4, 2)), FitOptions::default());
        let fitted = fit(&pairs, &options, &context()).unwrap();
        assert!(fitted.found.is_some() && fitted.weights.len() > 1, "{:?}", fitted.weights);
        // To other rows they are not found again.
        let half = pairs.select(&(0..150).collect::<Vec<_>>());
        let again = fit(&half, &options.again(&fitted), &context()).unwrap();
        assert_eq!((&again.weights, again.found), (&fitted.weights, None));
        let anew = fit(&half, &options, &context()).unwrap();
        assert_ne!(anew.weights, fitted.weights);
    }

    #[test]
    fn few_pairs_are_not_weighed() {
        let fitted = fit(&curved(39), &FitOptions::default(), &context()).unwrap();
        assert_eq!(fitted.kind.name(), "affine");
        assert!(fitted.notes.iter().any(|note| note.contains("too few to weigh")), "{:?}", fitted.notes);
    }
}
