//! Several methods, and the one that finds most of the target model's neighbours at rows that it did not see.
//!
//! Ridge is taken unless another beats it by more than the 50 % interval of their paired difference. Where rows are few, noise
//! would decide among the others: they are blended, and ridge is taken if it finds as much as the blend, which nobody picked
//! because it was lucky.

use super::blend::{MEMBERS, Mix};
use super::rung::{Comparison, Rung, beats_by, mean};
use super::{FitOptions, Fitted, method};
use crate::context::Context;
use crate::error::Result;
use crate::projection::pairs::Pairs;

/// What every other method has to beat.
const BASE: &str = "ridge";
/// What it is compared with.
const RIVALS: [&str; 2] = ["contrast", "kernel"];
/// What an interval holds that has to lie above ridge. To choose is not to claim: a wider one keeps ridge in more cells
/// than it guards against a worse map.
const COVERAGE: f64 = 0.5;

pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let Some(comparison) = Comparison::of(pairs, options, context) else {
        let mut fitted = (method(BASE)?.fit)(pairs, options, context)?;
        fitted.taken = Some(method(BASE)?.name);
        fitted
            .notes
            .push(format!("{} pairs are too few to compare methods, `{BASE}` was taken", pairs.len()));
        return Ok(fitted);
    };
    let rivals = if comparison.is_of_few() { MEMBERS.as_slice() } else { RIVALS.as_slice() };
    let base = comparison.rung(BASE)?;
    let rungs = rivals.iter().map(|name| comparison.rung(name)).collect::<Result<Vec<_>>>()?;
    let choice = match comparison.is_of_few() {
        true => Choice::of_few(&base, &rungs, &comparison)?,
        false => Choice::of_many(&base, &rungs, context.seed),
    };
    let mut ladder: Vec<(&str, f64)> =
        std::iter::once(&base).chain(&rungs).map(|rung| (rung.method.name, rung.mean())).collect();
    if let Choice::Blend(mix) = &choice {
        ladder.push(("blend", mean(&mix.shares)));
    }
    let mut fitted = choice.fit(pairs, options, context)?;
    let ladder: Vec<String> = ladder.into_iter().map(|(name, found)| format!("{name} {found:.3}")).collect();
    fitted.notes.insert(
        0,
        format!(
            "`{}` was taken; share of the native top {} found by {} rows among rows predicted without themselves: {}",
            fitted.taken.unwrap_or(BASE),
            comparison.nearest().iter().map(ToString::to_string).collect::<Vec<_>>().join("/"),
            comparison.len(),
            ladder.join(", ")
        ),
    );
    Ok(fitted)
}

/// What is taken.
enum Choice<'a> {
    One(&'a Rung),
    Blend(Mix),
}

impl<'a> Choice<'a> {
    fn of_few(base: &'a Rung, rungs: &'a [Rung], comparison: &Comparison<'_>) -> Result<Self> {
        let mix = Mix::of(rungs, comparison)?;
        if mean(&mix.shares) <= base.mean() {
            return Ok(Choice::One(base));
        }
        let alone = mix.alone().and_then(|name| rungs.iter().find(|rung| rung.method.name == name));
        Ok(alone.map_or(Choice::Blend(mix), Choice::One))
    }

    fn of_many(base: &'a Rung, rungs: &'a [Rung], seed: u64) -> Self {
        let beat = rungs.iter().filter(|rung| beats_by(COVERAGE, &rung.shares, &base.shares, seed));
        Choice::One(beat.max_by(|a, b| a.mean().total_cmp(&b.mean())).unwrap_or(base))
    }

    /// Fitted to all pairs.
    fn fit(self, pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
        match self {
            Choice::One(rung) => {
                let mut fitted = (rung.method.fit)(pairs, options, context)?;
                fitted.found = Some(rung.shares.clone());
                fitted.taken = Some(rung.method.name);
                Ok(fitted)
            }
            Choice::Blend(mix) => {
                let mut fitted = mix.fit(pairs, options, context)?;
                fitted.taken = Some(method("blend")?.name);
                Ok(fitted)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::super::testing::{noise, paired};
    use super::*;
    use crate::context::testing::context;

    /// What was taken for `y` of `x`, as its first note says.
    fn taken(x: Array2<f32>, y: Array2<f32>) -> String {
        fit(&paired(x, y), &FitOptions::default(), &context()).unwrap().notes.remove(0)
    }

    #[test]
    fn a_curved_relation_takes_what_follows_it_and_a_straight_one_ridge() {
        let x = noise(600, 5, 1);
        let mut y = x.dot(&noise(5, 4, 2));
        for (mut y, x) in y.outer_iter_mut().zip(x.outer_iter()) {
            y[0] += 3.0 * x[0] * x[1];
            y[1] += 3.0 * (x[2] * x[3]).abs();
        }
        let options = FitOptions::default();
        let fitted = fit(&paired(x.clone(), y), &options, &context()).unwrap();
        let [note, ..] = fitted.notes.as_slice() else { panic!("no notes") };
        assert!(
            note.starts_with("`blend` was taken; share of the native top 1/2/3/5/10/20 found by 600 rows"),
            "{note}"
        );
        assert!(
            fitted.weights.iter().all(|(name, _)| ["kernel", "nearest"].contains(name)),
            "{:?}",
            fitted.notes
        );
        let y = x.dot(&noise(5, 4, 2)) + noise(600, 4, 3) * 0.02;
        let note = taken(x, y);
        assert!(note.starts_with("`ridge` was taken"), "{note}");
    }

    #[test]
    fn few_pairs_take_ridge_and_say_so() {
        let note = taken(noise(39, 3, 1), noise(39, 2, 2));
        assert_eq!(note, "39 pairs are too few to compare methods, `ridge` was taken");
    }
}
