//! Ridge, corrected by a network with one hidden layer that learns what ridge leaves, on the CPU or a GPU.
//!
//! The last layer starts at zero, so training starts from ridge. The network learns errors that rows have when ridge
//! leaves them out, by AdamW with warm-up, cosine decay, much weight decay and much dropout: without these the first pass
//! is the best one. A tenth of the rows, which neither ridge nor network sees, says by the mean cosine when to stop (half of
//! them) and whether the network helps (the others); if not, ridge is taken as it is. The constants were picked on two pairs of spaces.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use ndarray::{Array1, Array2, s};

use super::gradient::{copy, failed, pass_order, sensible, tensor};
use super::remainder::{Crossed, Remainder, halves, unit_scale};
use super::{FitOptions, Fitted, rung};
use crate::context::Context;
use crate::error::Result;
use crate::measure::pairs::cosines;
use crate::projection::mlp::{Layers, Mlp};
use crate::projection::pairs::Pairs;
use crate::{matrix, random};

/// Width of the hidden layer.
const HIDDEN: usize = 512;
/// Passes, at most.
const EPOCHS: usize = 30;
/// Passes in which the step size rises from nothing.
const WARM_UP: usize = 2;
const LEARNING_RATE: f64 = 2e-3;
const WEIGHT_DECAY: f64 = 0.5;
/// Share of the hidden layer that is left out in each step.
const DROPOUT: f64 = 0.3;
/// Rows of a step: a pass has about 40 steps, or as many as these bounds allow.
const BATCH: std::ops::RangeInclusive<usize> = 16..=128;
/// Fewer pairs have no part to spare.
const FEWEST: usize = 40;

pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    sensible(options)?;
    let n = pairs.len();
    let pairs = pairs.select(&random::shuffled(n, context.seed ^ 0x6d6c_7000));
    let mut remainder = Remainder::of(&pairs, options, context)?;
    if n < FEWEST {
        return remainder.alone("too few pairs for a network");
    }
    let apart = Crossed::apart(&pairs, (n / 10).clamp(1, 500), remainder.lambda, options, context)?;
    let Some(fold) = apart.folds.first() else { return remainder.alone("no rows to learn from") };
    let (source_scale, scale) = (unit_scale(&fold.seen.source), unit_scale(&fold.seen.errors));
    if !source_scale.is_finite() || !scale.is_finite() {
        return remainder.alone("ridge leaves nothing to learn");
    }
    let truth = pairs.target().slice(s![..apart.errors.nrows(), ..]);
    let run = Run {
        source: &fold.seen.source * source_scale,
        errors: &fold.seen.errors * scale,
        unseen: &fold.source * source_scale,
        judge: Judge { ridge: &truth - &apart.errors, truth: truth.to_owned(), scale },
    };
    let best = run.train(options, context)?;
    let said = best.layers.apply(run.unseen.view())? / scale;
    let (choosing, choosing_errors) = (said.slice(s![..;2, ..]), apart.errors.slice(s![..;2, ..]));
    let common: f64 = choosing.iter().zip(choosing_errors).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    let square: f64 = choosing.outer_iter().map(matrix::squared_norm).sum();
    let share = (common / square).clamp(0.0, 1.0) as f32;
    let (_, before) = halves(&cosines(run.judge.ridge.view(), truth));
    let (_, after) = halves(&cosines((&run.judge.ridge + &(said * share)).view(), truth));
    remainder.notes.push(format!("stopped after {} passes, the best was pass {}", best.epochs, best.epoch));
    // A share that is no number is none.
    if !(share > 0.0 && rung::beats(&after, &before, context.seed)) {
        return remainder.alone("a network does not help");
    }
    let (affine, map) = remainder.restored_alone()?;
    let Layers { hidden, hidden_shift, output, output_shift } = best.layers;
    let layers = Layers {
        hidden: hidden * source_scale,
        hidden_shift,
        output: matrix::times_transposed(map.view(), output.t())? * (share / scale),
        output_shift: map.dot(&output_shift) * (share / scale),
    };
    Ok(remainder.with(Mlp::new(affine, layers)?))
}

/// Tells how good a network is by rows that nothing was learnt from.
struct Judge {
    /// What ridge makes of them.
    ridge: Array2<f32>,
    truth: Array2<f32>,
    /// What errors were multiplied by before they were learnt.
    scale: f32,
}

impl Judge {
    /// Mean cosine of every other row with what a network says of the errors.
    fn cosine(&self, said: &Array2<f32>) -> f64 {
        let cosines = cosines((&self.ridge + &(said / self.scale)).view(), self.truth.view());
        rung::mean(&halves(&cosines).0)
    }
}

/// Scaled rows to learn from and to stop by.
struct Run {
    source: Array2<f32>,
    errors: Array2<f32>,
    unseen: Array2<f32>,
    judge: Judge,
}

/// Weights of the best pass.
struct Best {
    layers: Layers,
    cosine: f64,
    epoch: usize,
    /// Passes that were run.
    epochs: usize,
}

impl Run {
    fn train(&self, options: &FitOptions, context: &Context<'_>) -> Result<Best> {
        let device = &options.device;
        let (n, d) = self.source.dim();
        let m = self.errors.ncols();
        let start = || -> candle_core::Result<_> {
            let network = Network::new(d, m, context.seed, device)?;
            let parameters =
                ParamsAdamW { lr: 0.0, weight_decay: WEIGHT_DECAY, beta2: 0.98, ..ParamsAdamW::default() };
            let optimiser = AdamW::new(network.variables(), parameters)?;
            Ok((tensor(self.source.view(), device)?, tensor(self.errors.view(), device)?, network, optimiser))
        };
        let (x, y, network, mut optimiser) = start().map_err(failed)?;
        let epochs = options.epochs.min(EPOCHS);
        let batch = (n / 40).clamp(*BATCH.start(), *BATCH.end());
        let schedule = Schedule { warm_up: WARM_UP * n.div_ceil(batch), steps: epochs * n.div_ceil(batch) };
        let mut dropped = random::seeded(context.seed ^ 0x6472_6f70);
        let mut best =
            Best { layers: network.layers().map_err(failed)?, cosine: f64::MIN, epoch: 0, epochs: 0 };
        context.progress.start("fitting", Some(epochs as u64), "epochs");
        let mut number = 0;
        for epoch in 1..=epochs {
            let order = pass_order(n, epoch, context.seed);
            for rows in order.chunks(batch) {
                context.check()?;
                number += 1;
                optimiser.set_learning_rate(schedule.rate(number));
                network.step(rows, (&x, &y), &mut optimiser, &mut dropped).map_err(failed)?;
            }
            context.progress.advance(1);
            best.epochs = epoch;
            let layers = network.layers().map_err(failed)?;
            let cosine = self.judge.cosine(&layers.apply(self.unseen.view())?);
            if cosine > best.cosine {
                best = Best { layers, cosine, epoch, epochs: epoch };
            } else if epoch - best.epoch >= options.patience.max(1) {
                break;
            }
        }
        context.progress.finish();
        Ok(best)
    }
}

/// Step size: up to [`LEARNING_RATE`] in a straight line, down to nothing along half a cosine.
struct Schedule {
    warm_up: usize,
    steps: usize,
}

impl Schedule {
    /// Of step `number`, counted from 1.
    fn rate(&self, number: usize) -> f64 {
        let part = |of: usize, all: usize| of as f64 / all.max(1) as f64;
        if number <= self.warm_up {
            return LEARNING_RATE * part(number, self.warm_up);
        }
        let done = part(number - self.warm_up, self.steps.saturating_sub(self.warm_up)).min(1.0);
        LEARNING_RATE * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

/// [`Layers`] that learn.
struct Network {
    hidden: Var,
    hidden_shift: Var,
    output: Var,
    output_shift: Var,
}

impl Network {
    fn new(d: usize, m: usize, seed: u64, device: &Device) -> candle_core::Result<Network> {
        let mut random = random::seeded(seed ^ 0x6869_6464_656e);
        let bound = (3.0 / d as f64).sqrt();
        let mut uniform = || ((2.0 * random::unit(&mut random) - 1.0) * bound) as f32;
        let hidden = Array2::from_shape_simple_fn((HIDDEN, d), &mut uniform);
        Ok(Network {
            hidden: Var::from_tensor(&tensor(hidden.view(), device)?)?,
            hidden_shift: Var::zeros(HIDDEN, DType::F32, device)?,
            output: Var::zeros((m, HIDDEN), DType::F32, device)?,
            output_shift: Var::zeros(m, DType::F32, device)?,
        })
    }

    fn variables(&self) -> Vec<Var> {
        [&self.hidden, &self.hidden_shift, &self.output, &self.output_shift].map(Var::clone).to_vec()
    }

    /// One step by the mean squared error of some rows.
    fn step(
        &self,
        rows: &[u32],
        (x, y): (&Tensor, &Tensor),
        optimiser: &mut AdamW,
        random: &mut random::Random,
    ) -> candle_core::Result<()> {
        let kept = (1.0 / (1.0 - DROPOUT)) as f32;
        let mask = Array2::from_shape_simple_fn((rows.len(), HIDDEN), || {
            if random::unit(random) < DROPOUT { 0.0 } else { kept }
        });
        let mask = tensor(mask.view(), x.device())?;
        let rows = Tensor::new(rows, x.device())?;
        let (x, y) = (x.index_select(&rows, 0)?, y.index_select(&rows, 0)?);
        let inner = x.matmul(&self.hidden.t()?)?.broadcast_add(&self.hidden_shift)?.gelu()?.mul(&mask)?;
        let said = inner.matmul(&self.output.t()?)?.broadcast_add(&self.output_shift)?;
        optimiser.backward_step(&said.sub(&y)?.sqr()?.mean_all()?)
    }

    /// Copies, which no later step can reach.
    fn layers(&self) -> candle_core::Result<Layers> {
        let vector = |var: &Var| Ok::<_, candle_core::Error>(Array1::from_vec(var.to_vec1::<f32>()?));
        Ok(Layers {
            hidden: copy(&self.hidden)?,
            hidden_shift: vector(&self.hidden_shift)?,
            output: copy(&self.output)?,
            output_shift: vector(&self.output_shift)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{applied, noise, paired};
    use super::*;
    use crate::context::testing::context;

    #[test]
    fn a_curved_relation_is_learnt_and_the_seed_decides_alone() {
        let x = noise(1600, 5, 1);
        let mut y = x.dot(&noise(5, 4, 2));
        for (mut y, x) in y.outer_iter_mut().zip(x.outer_iter()) {
            y[0] += 3.0 * x[0] * x[1];
            y[1] += 3.0 * (x[2] * x[3]).abs();
        }
        let half = |a: &Array2<f32>, rows: std::ops::Range<usize>| a.slice(s![rows, ..]).to_owned();
        let pairs = paired(half(&x, 0..1200), half(&y, 0..1200));
        let (x, y) = (half(&x, 1200..1600), half(&y, 1200..1600));
        let error = |fitted: &Fitted| (applied(fitted, &x) - &y).mapv(|e| e * e).sum();
        let options = FitOptions::default();
        let ridge = super::super::ridge::fit(&pairs, &options, &context()).unwrap();
        let mlp = fit(&pairs, &options, &context()).unwrap();
        assert_eq!(mlp.kind.name(), "mlp");
        assert!(error(&mlp) < 0.7 * error(&ridge), "{} and {}", error(&mlp), error(&ridge));
        let again = fit(&pairs, &options, &context()).unwrap();
        assert_eq!(applied(&mlp, &x), applied(&again, &x));
    }

    #[test]
    fn a_straight_relation_and_few_pairs_take_ridge_as_it_is() {
        let x = noise(400, 4, 1);
        let many = paired(x.clone(), x.dot(&noise(4, 3, 2)) + noise(400, 3, 3));
        let few = paired(noise(2, 4, 1), noise(2, 3, 2));
        for pairs in [many, few] {
            let fitted = fit(&pairs, &FitOptions::default(), &context()).unwrap();
            assert_eq!(fitted.kind.name(), "affine");
            assert!(fitted.notes.iter().any(|n| n.ends_with("ridge alone was taken")), "{:?}", fitted.notes);
        }
    }

    #[test]
    fn step_sizes_rise_to_the_most_and_fall_to_nothing() {
        let schedule = Schedule { warm_up: 10, steps: 110 };
        assert!((schedule.rate(1) - 0.1 * LEARNING_RATE).abs() < 1e-12);
        assert_eq!(schedule.rate(10), LEARNING_RATE);
        assert!((schedule.rate(60) - 0.5 * LEARNING_RATE).abs() < 1e-12);
        assert!(schedule.rate(110) < 1e-12);
    }
}
