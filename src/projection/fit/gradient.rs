//! A linear map by AdamW, on the CPU or a GPU, stopped when rows that it does not learn from stop improving.

use candle_core::{Device, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use ndarray::{Array1, Array2, ArrayView2};

use super::{FitOptions, Fitted};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::projection::affine::Affine;
use crate::projection::pairs::Pairs;
use crate::{matrix, random};

pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let n = pairs.len();
    sensible(options)?;
    let validation = (n / 10).clamp(1, 500);
    let order = random::shuffled(n, context.seed ^ 0x7661_6c69_6461_7465);
    let (held, train) = order.split_at(validation);
    let (training, held) = (pairs.select(train), pairs.select(held));
    let scaling = Scaling::of(&training)?;
    let run = Run {
        source: scaling.source(training.source().view()),
        target: scaling.target(training.target().view()),
        validation_source: scaling.source(held.source().view()),
        validation_target: scaling.target(held.target().view()),
    };
    let best = run.train(options, context)?;
    let weight = best.weight * (scaling.source_scale / scaling.target_scale);
    let target_mean =
        scaling.target_mean + best.bias.mapv(|v| f64::from(v) / f64::from(scaling.target_scale));
    let narrow = |a: Array1<f64>| a.mapv(|v| v as f32);
    let affine = Affine::new(weight, narrow(scaling.source_mean), narrow(target_mean))?;
    let notes = vec![format!("stopped after {} epochs, the best was epoch {}", best.epochs, best.epoch)];
    Ok(Fitted { notes, ..Fitted::of(Box::new(affine)) })
}

/// Rows in the order of pass `epoch`, counted from 1.
pub(super) fn pass_order(n: usize, epoch: usize, seed: u64) -> Vec<u32> {
    random::shuffled(n, seed.wrapping_add(epoch as u64)).into_iter().map(|row| row as u32).collect()
}

/// Refuses options by which nothing would be learnt.
pub(super) fn sensible(options: &FitOptions) -> Result<()> {
    if options.batch == 0 || options.epochs == 0 {
        return Err(Error::new(
            error::Kind::Usage,
            format!("{} epochs of batches of {} rows make no sense", options.epochs, options.batch),
        ));
    }
    Ok(())
}

/// Both sides centred and scaled to a mean squared component of 1, so that one step size suits every space.
struct Scaling {
    source_mean: Array1<f64>,
    target_mean: Array1<f64>,
    source_scale: f32,
    target_scale: f32,
}

impl Scaling {
    fn of(pairs: &Pairs) -> Result<Self> {
        let side = |x: ArrayView2<'_, f32>| {
            let mean = matrix::column_means(x);
            let square = matrix::centred(x, mean.view()).iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
            (mean, square.sqrt().recip() as f32)
        };
        let (source_mean, source_scale) = side(pairs.source().view());
        let (target_mean, target_scale) = side(pairs.target().view());
        if !source_scale.is_finite() || !target_scale.is_finite() {
            return Err(Error::new(
                error::Kind::Refused,
                format!(
                    "the vectors of the {} training pairs are all equal, nothing can be learnt",
                    pairs.len()
                ),
            ));
        }
        Ok(Scaling { source_mean, target_mean, source_scale, target_scale })
    }

    fn source(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        matrix::centred(x, self.source_mean.view()).mapv(|v| v as f32 * self.source_scale)
    }

    fn target(&self, y: ArrayView2<'_, f32>) -> Array2<f32> {
        matrix::centred(y, self.target_mean.view()).mapv(|v| v as f32 * self.target_scale)
    }
}

/// Scaled rows to learn from and to stop by.
struct Run {
    source: Array2<f32>,
    target: Array2<f32>,
    validation_source: Array2<f32>,
    validation_target: Array2<f32>,
}

/// Weights of the best epoch: their own memory, which no later step can reach.
struct Best {
    weight: Array2<f32>,
    bias: Array1<f32>,
    loss: f32,
    epoch: usize,
    /// Epochs that were run.
    epochs: usize,
}

impl Run {
    fn train(&self, options: &FitOptions, context: &Context<'_>) -> Result<Best> {
        let (n, d) = self.source.dim();
        let m = self.target.ncols();
        let device = &options.device;
        let tensors = (|| {
            Ok((
                tensor(self.source.view(), device)?,
                tensor(self.target.view(), device)?,
                tensor(self.validation_source.view(), device)?,
                tensor(self.validation_target.view(), device)?,
                Var::from_tensor(&tensor(initial(m, d, context.seed).view(), device)?)?,
                Var::zeros(m, candle_core::DType::F32, device)?,
            ))
        })();
        let (x, y, validation_x, validation_y, weight, bias) = tensors.map_err(failed)?;
        let parameters = ParamsAdamW { lr: options.learning_rate, ..ParamsAdamW::default() };
        let mut optimiser = AdamW::new(vec![weight.clone(), bias.clone()], parameters).map_err(failed)?;
        context.progress.start("fitting", Some(options.epochs as u64), "epochs");
        let mut best: Option<Best> = None;
        let mut epochs = 0;
        for epoch in 1..=options.epochs {
            context.check()?;
            let order = pass_order(n, epoch, context.seed);
            for rows in order.chunks(options.batch) {
                step(rows, (&x, &y), (&weight, &bias), &mut optimiser).map_err(failed)?;
            }
            epochs = epoch;
            context.progress.advance(1);
            let loss = loss(&validation_x, &validation_y, &weight, &bias)
                .and_then(|l| l.to_scalar::<f32>())
                .map_err(failed)?;
            if loss.is_finite() && best.as_ref().is_none_or(|b| loss < b.loss) {
                let (weight, bias) = copies(&weight, &bias).map_err(failed)?;
                best = Some(Best { weight, bias, loss, epoch, epochs });
            } else if best.as_ref().is_some_and(|b| epoch - b.epoch >= options.patience.max(1)) {
                break;
            }
        }
        context.progress.finish();
        let best = best.ok_or_else(|| {
            Error::new(error::Kind::Refused, "the gradient fit did not reach a finite error in any epoch")
                .hint("give a smaller learning rate, or use the method `ridge`")
        })?;
        Ok(Best { epochs, ..best })
    }
}

fn step(
    rows: &[u32],
    (x, y): (&Tensor, &Tensor),
    (weight, bias): (&Var, &Var),
    optimiser: &mut AdamW,
) -> candle_core::Result<()> {
    let rows = Tensor::new(rows, x.device())?;
    let loss = loss(&x.index_select(&rows, 0)?, &y.index_select(&rows, 0)?, weight, bias)?;
    optimiser.backward_step(&loss)
}

/// Mean squared error of the scaled components.
fn loss(x: &Tensor, y: &Tensor, weight: &Var, bias: &Var) -> candle_core::Result<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)?.sub(y)?.sqr()?.mean_all()
}

fn copies(weight: &Var, bias: &Var) -> candle_core::Result<(Array2<f32>, Array1<f32>)> {
    Ok((copy(weight)?, Array1::from_vec(bias.to_vec1::<f32>()?)))
}

/// A copy of a matrix that learns, which no later step can reach.
pub(super) fn copy(weight: &Var) -> candle_core::Result<Array2<f32>> {
    let values = weight.flatten_all()?.to_vec1::<f32>()?;
    Array2::from_shape_vec(weight.dims2()?, values).map_err(candle_core::Error::wrap)
}

pub(super) fn tensor(x: ArrayView2<'_, f32>, device: &Device) -> candle_core::Result<Tensor> {
    Tensor::from_iter(x.iter().copied(), device)?.reshape(x.dim())
}

/// Uniform weights of variance 1 / (d + m), half of Glorot and Bengio (2010): the centred map starts small.
fn initial(m: usize, d: usize, seed: u64) -> Array2<f32> {
    let mut random = random::seeded(seed);
    let bound = (3.0 / (d + m) as f64).sqrt();
    Array2::from_shape_fn((m, d), |_| ((2.0 * random::unit(&mut random) - 1.0) * bound) as f32)
}

#[cold]
pub(super) fn failed(cause: candle_core::Error) -> Error {
    Error::new(error::Kind::Internal, "the gradient fit failed on its device").because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::context;

    fn noise(n: usize, d: usize, seed: u64) -> Array2<f32> {
        let mut random = random::seeded(seed);
        Array2::from_shape_fn((n, d), |_| (2.0 * random::unit(&mut random) - 1.0) as f32)
    }

    #[test]
    fn the_best_weights_come_back_and_not_the_last() {
        // The training rows pull the weights to 2, the validation rows are best served by 0.5: on the way
        // from about 0 to 2 the weights pass 0.5, and everything after that is worse.
        let (x, v) = (noise(200, 3, 1), noise(50, 3, 2));
        let run = Run { target: &x * 2.0, source: x, validation_target: &v * 0.5, validation_source: v };
        let options = FitOptions { epochs: 300, learning_rate: 1e-2, patience: 20, ..FitOptions::default() };
        let best = run.train(&options, &context()).unwrap();
        assert_eq!(best.epochs, best.epoch + options.patience, "it went on after the best and then stopped");
        let predicted = run.validation_source.dot(&best.weight.t()) + &best.bias;
        let loss = (&predicted - &run.validation_target).mapv(|e| e * e).mean().unwrap();
        assert!(
            (loss - best.loss).abs() <= 1e-6 + 1e-4 * best.loss,
            "weights of {loss}, best was {}",
            best.loss
        );
        let later = FitOptions { epochs: best.epochs, patience: 1000, ..options };
        let last_trained =
            Run { validation_source: run.source.clone(), validation_target: run.target.clone(), ..run };
        let last = last_trained.train(&later, &context()).unwrap();
        assert_eq!(last.epoch, best.epochs, "judged by its own rows the last epoch is the best");
        assert!((&last.weight - &best.weight).iter().any(|d| d.abs() > 0.1), "the last weights are others");
    }

    #[test]
    fn a_linear_relation_is_learnt_and_the_seed_decides_alone() {
        let x = noise(300, 4, 3);
        let y = x.dot(&noise(4, 3, 4)) * 0.1 + 0.7;
        let pairs = Pairs::new((0..300).map(|i| i.to_string()).collect(), x * 5.0, y).unwrap();
        let options = FitOptions { learning_rate: 1e-2, ..FitOptions::default() };
        let fitted = fit(&pairs, &options, &context()).unwrap();
        let mut out = Array2::zeros((300, 3));
        fitted.kind.apply_into(pairs.source().view(), out.view_mut()).unwrap();
        let error = (&out - pairs.target()).mapv(|e| e * e).mean().unwrap();
        let spread = (pairs.target() - 0.7).mapv(|e| e * e).mean().unwrap();
        assert!(error < 0.01 * spread, "{error} of {spread}");
        let again = fit(&pairs, &options, &context()).unwrap();
        let weights =
            |f: &Fitted| f.kind.tensors().into_iter().map(|(_, t)| t.to_owned()).collect::<Vec<_>>();
        assert_eq!(weights(&fitted), weights(&again));
    }

    #[test]
    fn senseless_options_and_equal_rows_are_refused() {
        let x = noise(20, 2, 5);
        let ids = || (0..20).map(|i| i.to_string()).collect();
        let pairs = Pairs::new(ids(), x.clone(), x.clone()).unwrap();
        let none = FitOptions { batch: 0, ..FitOptions::default() };
        assert_eq!(fit(&pairs, &none, &context()).unwrap_err().kind(), error::Kind::Usage);
        let equal = Pairs::new(ids(), x, Array2::from_elem((20, 2), 1.0)).unwrap();
        assert_eq!(fit(&equal, &FitOptions::default(), &context()).unwrap_err().kind(), error::Kind::Refused);
    }
}
