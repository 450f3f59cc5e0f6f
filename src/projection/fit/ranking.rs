//! An affine map that learns which rows are near each other, on the CPU or a GPU.
//!
//! In every step the true vectors of some rows look for their neighbours among the predicted ones and among the true ones,
//! and the loss is the Kullback-Leibler divergence between the two softmaxes over cosines (similarity distillation, as of
//! teacher and student). It starts from ridge with its contrast restored. What is added to the predictions of the rows is
//! learnt beside what they get when ridge leaves them out, or the first step would start from predictions that know their
//! own target. A part of the rows, which ridge did not see, says by the neighbours that are found when to stop (half of them)
//! and whether it helps (the others); if not, the start is taken. The constants are plausible ones and were not tuned.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use ndarray::{Array2, s};

use super::gradient::{copy, failed, pass_order, sensible, tensor};
use super::remainder::{Crossed, Remainder, unit_scale};
use super::{FitOptions, Fitted, rung};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::measure::overlap::native_overlap;
use crate::projection::kind::Kind;
use crate::projection::pairs::Pairs;
use crate::{matrix, random};

/// What cosines are divided by before the softmax.
const TEMPERATURE: f64 = 0.05;
/// Rows of a step, among which neighbours are looked for.
const BATCH: usize = 512;
/// Passes, at most.
const EPOCHS: usize = 60;
/// Of AdamW, for both sides scaled to a mean squared component of 1.
const LEARNING_RATE: f64 = 5e-4;
/// Neighbours that are looked for in the part that tells when to stop.
const K: usize = 10;
/// Fewer pairs have no part to spare.
const FEWEST: usize = 200;

pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    sensible(options)?;
    let n = pairs.len();
    let pairs = pairs.select(&random::shuffled(n, context.seed ^ 0x7261_6e6b));
    let mut remainder = Remainder::of(&pairs, options, context)?;
    let (start, _) = remainder.restored_alone()?;
    if n < FEWEST {
        remainder.notes.push(format!("{n} pairs are too few to learn neighbours from: `contrast` was taken"));
        return Ok(remainder.with(start));
    }
    let mut apart = Crossed::apart(&pairs, (n / 5).min(500), remainder.lambda, options, context)?;
    let Some(fold) = apart.folds.first_mut() else {
        return Err(Error::new(error::Kind::Internal, "no rows were set apart"));
    };
    let left_out = &fold.seen.target - &fold.seen.errors;
    let (affine, map) = fold.seen.restored_alone()?;
    let rows: Vec<usize> = (0..pairs.len()).collect();
    let (unseen, seen) = rows.split_at(fold.rows.len());
    let (unseen, seen) = (pairs.select(unseen), pairs.select(seen));
    // The restored mean is where the affine map takes the mean of the source rows.
    let mean = affine.applied((seen.source() - &fold.seen.source).slice(s![..1, ..]))?;
    let (source_scale, scale) = (unit_scale(&fold.seen.source), unit_scale(&fold.seen.target));
    if !source_scale.is_finite() || !scale.is_finite() {
        remainder.notes.push("the targets are all equal: `contrast` was taken".to_owned());
        return Ok(remainder.with(start));
    }
    let (source, ridge) = (&fold.source * (source_scale / scale), affine.applied(unseen.source().view())?);
    let judges = |from: usize| {
        let half = |rows: &Array2<f32>| rows.slice(s![from..;2, ..]).to_owned();
        Judge { source: half(&source), ridge: half(&ridge), truth: half(unseen.target()) }
    };
    let run = Run {
        source: &fold.seen.source * source_scale,
        ridge: (matrix::times_transposed(left_out.view(), map.view())? + mean.row(0)) * scale,
        truth: matrix::normalised(seen.target().view()),
        judge: judges(0),
    };
    let best = run.train(options, context)?;
    remainder.notes.push(format!("stopped after {} passes, the best was pass {}", best.epochs, best.epoch));
    // Other rows, and other neighbours, than those that chose the pass.
    let other = judges(1);
    if !rung::beats(&other.shares(Some(&best.weight))?, &other.shares(None)?, context.seed) {
        remainder
            .notes
            .push("more neighbours were not found by more than chance: `contrast` was taken".to_owned());
        return Ok(remainder.with(start));
    }
    let learnt = start.plus(&(best.weight * (source_scale / scale)))?;
    Ok(remainder.with(learnt))
}

/// Tells what is found among rows that nothing was learnt from.
struct Judge {
    /// Centred, times what takes them to the scale of the targets, n x source.
    source: Array2<f32>,
    /// What ridge makes of them.
    ridge: Array2<f32>,
    truth: Array2<f32>,
}

impl Judge {
    /// The share of its native neighbours that each row finds if this is added to the weights.
    fn shares(&self, weight: Option<&Array2<f32>>) -> Result<Vec<f64>> {
        let mut predicted = self.ridge.clone();
        if let Some(weight) = weight {
            predicted += &matrix::times_transposed(self.source.view(), weight.view())?;
        }
        native_overlap(predicted.view(), self.truth.view(), K)?
            .ok_or_else(|| Error::new(error::Kind::Internal, "too few rows have neighbours"))
    }
}

/// Scaled rows to learn from and to stop by.
struct Run {
    /// n x source.
    source: Array2<f32>,
    /// What left-out rows get of ridge, n x target.
    ridge: Array2<f32>,
    /// Of length 1, n x target.
    truth: Array2<f32>,
    judge: Judge,
}

/// Additions to the weights of the best pass, target x source.
struct Best {
    weight: Array2<f32>,
    shares: Vec<f64>,
    epoch: usize,
    /// Passes that were run.
    epochs: usize,
}

impl Run {
    fn train(&self, options: &FitOptions, context: &Context<'_>) -> Result<Best> {
        let device = &options.device;
        let (n, d) = self.source.dim();
        let m = self.truth.ncols();
        let start = || -> candle_core::Result<_> {
            let weight = Var::zeros((m, d), DType::F32, device)?;
            let parameters = ParamsAdamW { lr: LEARNING_RATE, ..ParamsAdamW::default() };
            let optimiser = AdamW::new(vec![weight.clone()], parameters)?;
            let sides = [&self.source, &self.ridge, &self.truth].map(|side| tensor(side.view(), device));
            Ok((weight, optimiser, sides.into_iter().collect::<candle_core::Result<Vec<_>>>()?))
        };
        let (weight, mut optimiser, sides) = start().map_err(failed)?;
        let epochs = options.epochs.min(EPOCHS);
        let none = Array2::zeros((m, d));
        let mut best = Best { shares: self.judge.shares(None)?, weight: none, epoch: 0, epochs: 0 };
        context.progress.start("fitting", Some(epochs as u64), "epochs");
        for epoch in 1..=epochs {
            let order = pass_order(n, epoch, context.seed);
            // A rest that is too small to have neighbours is left out of this pass.
            for rows in order.chunks(BATCH).filter(|rows| rows.len() > 2 * K) {
                context.check()?;
                step(rows, &sides, &weight, &mut optimiser).map_err(failed)?;
            }
            context.progress.advance(1);
            best.epochs = epoch;
            let learnt = copy(&weight).map_err(failed)?;
            let shares = self.judge.shares(Some(&learnt))?;
            if rung::mean(&shares) > rung::mean(&best.shares) {
                best = Best { weight: learnt, shares, epoch, epochs: epoch };
            } else if epoch - best.epoch >= options.patience.max(1) {
                break;
            }
        }
        context.progress.finish();
        Ok(best)
    }
}

/// One step by the neighbours of some rows among each other. `sides`: source, ridge and truth.
fn step(rows: &[u32], sides: &[Tensor], weight: &Var, optimiser: &mut AdamW) -> candle_core::Result<()> {
    let [source, ridge, truth] = sides else { return Err(candle_core::Error::msg("three sides are wanted")) };
    let device = source.device();
    let rows = Tensor::new(rows, device)?;
    let (source, ridge, truth) =
        (source.index_select(&rows, 0)?, ridge.index_select(&rows, 0)?, truth.index_select(&rows, 0)?);
    let predicted = source.matmul(&weight.t()?)?.add(&ridge)?;
    let loss = divergence(&predicted, &truth, &apart(rows.dim(0)?, device)?)?;
    optimiser.backward_step(&loss)
}

/// Very far on the diagonal, nothing elsewhere: no row is its own neighbour.
fn apart(n: usize, device: &Device) -> candle_core::Result<Tensor> {
    Tensor::eye(n, DType::F32, device)? * -1e4
}

/// Cross entropy of the neighbours that rows of `truth` (n x target, of length 1) have among `predicted` with those that
/// they have among themselves: the divergence, but for a constant.
fn divergence(predicted: &Tensor, truth: &Tensor, apart: &Tensor) -> candle_core::Result<Tensor> {
    let lengths = predicted.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    let units = predicted.broadcast_div(&(lengths + 1e-12)?)?;
    let found = ((truth.matmul(&units.t()?)? / TEMPERATURE)? + apart)?;
    let wanted = ((truth.matmul(&truth.t()?)? / TEMPERATURE)? + apart)?;
    let wanted = candle_nn::ops::softmax(&wanted, D::Minus1)?;
    let found = candle_nn::ops::log_softmax(&found, D::Minus1)?;
    (wanted * found)?.sum(D::Minus1)?.mean_all()?.neg()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, paired};
    use super::*;
    use crate::context::testing::context;

    #[test]
    fn the_divergence_is_least_where_neighbours_are_the_same() {
        let truth = matrix::normalised(noise(30, 4, 1).view());
        let other = matrix::normalised(noise(30, 4, 2).view());
        let of = |predicted: &Array2<f32>| {
            let [predicted, truth] = [predicted, &truth].map(|a| tensor(a.view(), &Device::Cpu).unwrap());
            let apart = apart(30, &Device::Cpu).unwrap();
            divergence(&predicted, &truth, &apart).unwrap().to_scalar::<f32>().unwrap()
        };
        // The length of a prediction does not count.
        assert!((of(&(&truth * 3.0)) - of(&truth)).abs() < 1e-4);
        for share in [0.2, 0.5, 1.0] {
            assert!(of(&truth) < of(&(&truth * (1.0 - share) + &other * share)));
        }
        // By hand: of three rows the first and the second are equally near to the third, and so on around a circle.
        let three = tensor(
            ndarray::array![[1f32, 0.0], [-0.5, 0.866_025_4], [-0.5, -0.866_025_4]].view(),
            &Device::Cpu,
        );
        let three = three.unwrap();
        let loss = divergence(&three, &three, &apart(3, &Device::Cpu).unwrap()).unwrap();
        assert!((loss.to_scalar::<f32>().unwrap() - 2f32.ln()).abs() < 1e-5);
    }

    /// Some components tell near rows apart and are small; the others are large and cannot be predicted.
    fn hidden(n: usize) -> Pairs {
        let x = noise(n, 8, 1);
        let mut y = Array2::zeros((n, 16));
        y.slice_mut(s![.., ..8]).assign(&(x.dot(&noise(8, 8, 2)) + noise(n, 8, 3) * 0.5));
        y.slice_mut(s![.., 8..]).assign(&(noise(n, 8, 4) * 1.5));
        paired(x, y)
    }

    #[test]
    fn more_neighbours_are_found_in_rows_to_learn_from_and_the_seed_decides_alone() {
        let pairs = hidden(600);
        let options = FitOptions::default();
        let run = {
            let truth = matrix::normalised(pairs.target().view());
            let centred = pairs.source() - &pairs.source().mean_axis(ndarray::Axis(0)).unwrap();
            let ridge = noise(600, 16, 9) * 0.05;
            let judge = Judge { source: centred.clone(), ridge: ridge.clone(), truth: truth.clone() };
            Run { source: centred, ridge, truth, judge }
        };
        let before = rung::mean(&run.judge.shares(None).unwrap());
        let best = run.train(&options, &context()).unwrap();
        assert!(rung::mean(&best.shares) > before + 0.02, "{} from {before}", rung::mean(&best.shares));
        assert_eq!(best.weight, run.train(&options, &context()).unwrap().weight);
    }

    #[test]
    fn few_pairs_take_the_start() {
        let few = paired(noise(20, 4, 1), noise(20, 3, 2));
        let fitted = fit(&few, &FitOptions::default(), &context()).unwrap();
        assert_eq!(fitted.kind.name(), "affine");
        assert!(fitted.notes.iter().any(|n| n.ends_with("`contrast` was taken")), "{:?}", fitted.notes);
    }
}
