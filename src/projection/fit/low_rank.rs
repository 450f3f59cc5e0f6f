//! Reduced-rank regression: ridge whose predictions keep only the directions that rows confirm which it did not see.
//!
//! Izenman (1975): the best map of rank r is the full one followed by the projection onto the r leading principal
//! directions of its predictions. A fifth of the rows tells how many are worth keeping: direction v gains
//! `Σ 2 (y·v)(p·v) - (p·v)²` there, and r is where the sum of the gains is largest.

use ndarray::{Array2, Axis, s};

use super::ridge::{affine, penalty};
use super::spectrum::{Centred, Spectrum};
use super::{FitOptions, Fitted};
use crate::context::Context;
use crate::error::Result;
use crate::projection::pairs::Pairs;
use crate::{matrix, random};

pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let all = Centred::of(pairs);
    let spectrum = Spectrum::new(all.source.view(), all.target.view())?;
    let mut notes = Vec::new();
    let lambda = penalty(&spectrum, all.target.view(), options, context, &mut notes)?;
    let (weight, directions) = solve(&all, &spectrum, lambda)?;
    let rank = confirmed(pairs, lambda, context.seed)?.min(directions.ncols());
    notes.push(format!("rank {rank} of {}", directions.ncols()));
    let kept = directions.slice(s![.., ..rank]);
    let inner = matrix::times_transposed(kept.t(), weight.t())?;
    let weight = matrix::times_transposed(kept, inner.t())?;
    affine(weight, all.source_mean, all.target_mean, Some(lambda), notes)
}

/// Ridge (target x source) and the principal directions of its predictions (target x k), leading first.
fn solve(rows: &Centred, spectrum: &Spectrum, lambda: f64) -> Result<(Array2<f64>, Array2<f64>)> {
    let weight = spectrum.weight(rows.source.view(), lambda)?;
    let predicted = matrix::times_transposed(rows.source.view(), weight.view())?;
    let (_, directions) = matrix::principal(predicted.view())?;
    let most = weight.nrows().min(weight.ncols());
    Ok((weight, directions.slice_move(s![.., ..most])))
}

/// How many directions gain on a fifth of the rows, at least one, with the map of the others.
fn confirmed(pairs: &Pairs, lambda: f64, seed: u64) -> Result<usize> {
    let order = random::shuffled(pairs.len(), seed ^ 0x6c6f_7772_616e_6b00);
    let (unseen, seen) = order.split_at((pairs.len() / 5).clamp(1, 500));
    let (seen, unseen) = (Centred::of(&pairs.select(seen)), pairs.select(unseen));
    let spectrum = Spectrum::new(seen.source.view(), seen.target.view())?;
    let (weight, directions) = solve(&seen, &spectrum, lambda)?;
    let x = matrix::centred(unseen.source().view(), seen.source_mean.view());
    let y = matrix::centred(unseen.target().view(), seen.target_mean.view());
    let predicted = matrix::times_transposed(x.view(), weight.view())?;
    let predicted = matrix::times_transposed(predicted.view(), directions.t())?;
    let truth = matrix::times_transposed(y.view(), directions.t())?;
    let gains = (&predicted * &(truth * 2.0 - &predicted)).sum_axis(Axis(0));
    let sums = gains.iter().scan(0.0, |sum, gain| {
        *sum += gain;
        Some(*sum)
    });
    Ok(sums.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |best| best.0) + 1)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, paired};
    use super::*;
    use crate::context::testing::context;

    #[test]
    fn noise_beside_a_relation_of_low_rank_is_left_out() {
        let x = noise(120, 12, 1);
        let y = x.dot(&noise(12, 2, 2)).dot(&noise(2, 20, 3)) + noise(120, 20, 4) * 0.3;
        let fitted = fit(&paired(x, y), &FitOptions::default(), &context()).unwrap();
        assert_eq!(fitted.notes, ["rank 2 of 12"]);
    }
}
