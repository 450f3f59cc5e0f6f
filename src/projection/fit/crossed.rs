//! Training rows as maps predict them that did not see them (cross-fitted), so that what is learnt from errors is not
//! flattered and no pair is spent on it.

use std::collections::HashSet;

use ndarray::{Array2, Axis};

use super::{FitOptions, Method, method};
use crate::context::Context;
use crate::error::Result;
use crate::projection::pairs::Pairs;
use crate::random;

/// Rows that are predicted, at most.
pub(in crate::projection) const MOST_ROWS: usize = 2000;
/// Fewest training rows of which some can be left out.
const FEWEST: usize = 40;

/// Rows of the training pairs, and what maps of the others make of them.
pub(in crate::projection) struct Crossed {
    /// The rows, in random order.
    pub pairs: Pairs,
    /// What was predicted, one row each.
    pub predicted: Array2<f32>,
}

/// Predicts rows of `training` by maps that the method called `name` finds for the others; none where they are too few.
///
/// Many rows are left out in few parts: each fit is then nearly the whole one, and few fits are enough.
pub(in crate::projection) fn crossed(
    name: &str,
    training: &Pairs,
    options: &FitOptions,
    context: &Context<'_>,
) -> Result<Option<Crossed>> {
    let n = training.len();
    if n < FEWEST {
        return Ok(None);
    }
    let method = method(name)?;
    let parts = match n {
        0..=1500 => 5,
        1501..=3000 => 3,
        _ => 2,
    };
    let order = random::shuffled(n, context.seed ^ 0x6372_6f73);
    let asked = order.get(..n.min(MOST_ROWS)).unwrap_or_default();
    let predicted = predicted(method, training, asked, parts, options, context)?;
    Ok(Some(Crossed { pairs: training.select(asked), predicted }))
}

/// The rows `asked` of `pairs`, in this order, each predicted by a map of all rows but every `parts`-th of `asked`.
pub(super) fn predicted(
    method: &Method,
    pairs: &Pairs,
    asked: &[usize],
    parts: usize,
    options: &FitOptions,
    context: &Context<'_>,
) -> Result<Array2<f32>> {
    let mut predicted = Array2::zeros((asked.len(), pairs.dimensions().1));
    for part in 0..parts {
        context.check()?;
        let places: Vec<usize> = (part..asked.len()).step_by(parts).collect();
        let rows: Vec<usize> = places.iter().filter_map(|place| asked.get(*place).copied()).collect();
        let unseen: HashSet<usize> = rows.iter().copied().collect();
        let seen: Vec<usize> = (0..pairs.len()).filter(|row| !unseen.contains(row)).collect();
        let kind = (method.fit)(&pairs.select(&seen), options, context)?.kind;
        let made = kind.applied(pairs.source().select(Axis(0), &rows).view())?;
        for (place, made) in places.into_iter().zip(made.outer_iter()) {
            predicted.row_mut(place).assign(&made);
        }
    }
    Ok(predicted)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{applied, noise, paired, pairs};
    use super::*;
    use crate::context::testing::context;

    #[test]
    fn each_row_is_predicted_without_itself_and_stays_with_its_prediction() {
        // Exactly linear: whoever predicts a row of these gets it right, so rows and predictions belong together.
        let x = noise(90, 4, 1);
        let y = x.dot(&noise(4, 3, 2)) + 1.0;
        let options = FitOptions { lambda: Some(1e-9), ..FitOptions::default() };
        let found = crossed("ridge", &paired(x, y), &options, &context()).unwrap().unwrap();
        assert_eq!(found.pairs.len(), 90);
        assert!((&found.predicted - found.pairs.target()).iter().all(|d| d.abs() < 1e-4));
        // Pure noise in as many dimensions as there are rows: a map that saw a row would know it.
        let rows = paired(noise(60, 58, 3), noise(60, 2, 4));
        let found = crossed("ridge", &rows, &options, &context()).unwrap().unwrap();
        let error = |made: &Array2<f32>, pairs: &Pairs| (made - pairs.target()).mapv(|v| v * v).sum();
        let own = super::super::fit("ridge", &rows, &options, &context()).unwrap();
        let seen = applied(&own, found.pairs.source());
        assert!(error(&found.predicted, &found.pairs) > 3.0 * error(&seen, &found.pairs));
    }

    #[test]
    fn few_rows_are_none() {
        let options = FitOptions::default();
        assert!(crossed("ridge", &pairs(39, 3, 2), &options, &context()).unwrap().is_none());
        assert!(crossed("ridge", &pairs(40, 3, 2), &options, &context()).unwrap().is_some());
    }
}
