//! How projections are found: one method per file, all listed in [`METHODS`].

mod auto;
mod blend;
pub(super) mod bridge;
mod contrast;
pub(super) mod crossed;
mod expected;
mod gradient;
mod kernel;
mod low_rank;
mod mixture;
mod mlp;
mod nearest;
mod procrustes;
mod ranking;
mod remainder;
mod ridge;
mod rung;
mod spectrum;
#[cfg(test)]
pub(super) mod testing;
pub(super) mod texts;

use candle_core::Device;

pub use expected::{MOST_REST, Rest, expected};

use super::kind::Kind;
use super::pairs::Pairs;
use crate::context::Context;
use crate::error::{self, Error, Result};

/// What the methods may be told. A method ignores what it has no use for.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// Where gradient methods compute.
    pub device: Device,
    /// Ridge penalty, on the scale of the centred Gram matrix of the source rows; chosen by leave-one-out if none.
    pub lambda: Option<f64>,
    /// Methods that learn step by step: most passes over the training rows.
    pub epochs: usize,
    /// Gradient: rows per step.
    pub batch: usize,
    /// Gradient: step size of AdamW, for source rows scaled to a mean squared component of 1.
    pub learning_rate: f64,
    /// Methods that learn step by step: passes without improvement on the validation rows before it stops.
    pub patience: usize,
    /// Blend: methods and what their predictions are multiplied by; weighed by what rows left out say if there are none.
    pub weights: Vec<(&'static str, f32)>,
}

impl FitOptions {
    /// The same, for the method that was taken to be fitted to other rows as it was in `fitted`.
    #[must_use]
    pub fn again(&self, fitted: &Fitted) -> FitOptions {
        FitOptions { weights: fitted.weights.clone(), ..self.clone() }
    }
}

impl Default for FitOptions {
    fn default() -> Self {
        FitOptions {
            device: Device::Cpu,
            lambda: None,
            epochs: 200,
            batch: 32,
            learning_rate: 1e-3,
            patience: 8,
            weights: Vec::new(),
        }
    }
}

/// Outcome of a method.
#[derive(Debug)]
pub struct Fitted {
    /// The map.
    pub kind: Box<dyn Kind>,
    /// Ridge penalty that was used, if the method has one.
    pub lambda: Option<f64>,
    /// Share of its native neighbours that each of some rows found among rows predicted without themselves, where the
    /// method looked; the rows are the same for the same pairs and seed.
    pub found: Option<Vec<f64>>,
    /// What is worth knowing about the fit, in words; empty if nothing is.
    pub notes: Vec<String>,
    /// The method that was taken, if the one that was asked for chooses among others.
    pub taken: Option<&'static str>,
    /// What methods count in it, if it is a blend.
    pub weights: Vec<(&'static str, f32)>,
}

impl Fitted {
    /// A map of which nothing else is known.
    pub(super) fn of(kind: Box<dyn Kind>) -> Fitted {
        Fitted { kind, lambda: None, found: None, notes: Vec::new(), taken: None, weights: Vec::new() }
    }
}

/// One way to find a projection.
pub struct Method {
    /// Name on the command line and in files.
    pub name: &'static str,
    /// What it is, for help texts.
    pub about: &'static str,
    /// Fits it to training pairs (at least 2).
    pub fit: fn(&Pairs, &FitOptions, &Context<'_>) -> Result<Fitted>,
}

/// The method that is used where none is named.
pub const DEFAULT_METHOD: &str = "auto";

/// Every method, the default first.
pub const METHODS: &[Method] = &[
    Method {
        name: "auto",
        about: "the one of ridge, contrast and kernel that finds most neighbours at rows left out; of few pairs, their blend",
        fit: auto::fit,
    },
    Method {
        name: "contrast",
        about: "ridge with the contrast of its predictions restored: better neighbours, slightly larger errors",
        fit: ridge::fit_with_contrast,
    },
    Method {
        name: "kernel",
        about: "ridge and what near pairs have in common: better with every pair, slower to apply",
        fit: kernel::fit,
    },
    Method {
        name: "nearest",
        about: "ridge corrected by its errors at the nearest training rows",
        fit: nearest::fit,
    },
    Method {
        name: "blend",
        about: "mean of contrast, kernel, nearest, pulled and procrustes, weighed by what rows left out find: for few pairs",
        fit: blend::fit,
    },
    Method {
        name: "mixture",
        about: "ridge corrected by an affine map for each part of the source space",
        fit: mixture::fit,
    },
    Method {
        name: "mlp",
        about: "ridge corrected by a network with one hidden layer, on CPU or GPU",
        fit: mlp::fit,
    },
    Method {
        name: "ridge",
        about: "linear map in closed form; penalty by exact leave-one-out",
        fit: ridge::fit,
    },
    Method {
        name: "procrustes",
        about: "rotation with one scale, in closed form: the map for few pairs",
        fit: procrustes::fit,
    },
    Method {
        name: "pulled",
        about: "ridge that is pulled towards the rotation instead of towards nothing",
        fit: procrustes::fit_pulled,
    },
    Method {
        name: "low-rank",
        about: "ridge without the directions that leave-one-out does not confirm",
        fit: low_rank::fit,
    },
    Method {
        name: "gradient",
        about: "linear map by AdamW with early stopping, on CPU or GPU",
        fit: gradient::fit,
    },
    Method {
        name: "ranking",
        about: "contrast, and then AdamW on which rows are near each other, on CPU or GPU",
        fit: ranking::fit,
    },
];

/// The method called `name`.
///
/// # Errors
/// [`NotFound`](error::Kind::NotFound) with the names of all.
pub fn method(name: &str) -> Result<&'static Method> {
    METHODS.iter().find(|m| m.name == name).ok_or_else(|| {
        let names: Vec<&str> = METHODS.iter().map(|m| m.name).collect();
        Error::new(error::Kind::NotFound, format!("there is no method `{name}`"))
            .hint(format!("the methods are: {}", names.join(", ")))
    })
}

/// Fits the method called `method` to `training`.
///
/// # Errors
/// [`NotFound`](error::Kind::NotFound) for an unknown method, [`Refused`](error::Kind::Refused) if the pairs do
/// not suffice, [`Interrupted`](error::Kind::Interrupted) on cancellation.
pub fn fit(method: &str, training: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let found = self::method(method)?;
    if training.len() < 2 {
        return Err(Error::new(
            error::Kind::Refused,
            format!("{} training pair is too few to fit anything, 2 are needed", training.len()),
        ));
    }
    (found.fit)(training, options, context)
}
