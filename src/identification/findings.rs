//! What identification says.

use serde::Serialize;

use super::candidate::{LeftOut, Origin};
use crate::measure::SourceMatch;
use crate::measure::proportion::Proportion;

/// What all of it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// One way of one model made the vectors.
    Identified,
    /// More than one way, or one way and something unknown.
    Mixed,
    /// Nothing that was tried.
    NoneFits,
}

impl Outcome {
    /// Exit code of `embedport identify`.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Identified => 0,
            Outcome::NoneFits => 26,
            Outcome::Mixed => 27,
        }
    }
}

/// What one way comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// More than half of the rows.
    Fits,
    /// Some rows.
    Partly,
    /// No row, and yet the same space or one close to it: other weights, coarse storage, another prompt or cut.
    Near,
    /// No row.
    DoesNotFit,
}

/// One way that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// The model, as `--source-model` takes it.
    pub model: String,
    /// How it was come by.
    pub origin: Origin,
    /// What differs from the model's own configuration, in words.
    pub variant: String,
    /// Model and variant, as `--source-model` takes them.
    pub declaration: String,
    /// Median over the rows of the cosine between stored vectors and vectors made now.
    pub median_cosine: f64,
    /// Rows that it reproduces (cosine of at least [`FITS`](super::FITS)), another way may do so too.
    pub fitting: usize,
    /// Share of these rows.
    #[serde(flatten)]
    pub share: Proportion,
    /// Whether the stored vectors of these rows have length 1; `None` without such rows.
    pub normalised: Option<bool>,
    /// The verdict.
    pub verdict: Fit,
}

/// Rows that one way made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Place among the tried ones; `None` for rows that nothing reproduces.
    pub made_by: Option<usize>,
    /// Declaration of that way, or `unknown`.
    pub declaration: String,
    /// Sampled rows.
    pub rows: usize,
    /// Their share, and that of the collection's records.
    #[serde(flatten)]
    pub share: Proportion,
    /// Median cosine to what made them; for unknown rows to what made most of the others.
    pub median_cosine: Option<f64>,
    /// Identifiers of the rows.
    pub ids: Vec<String>,
}

/// What is said about the rows of a sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// Rows that were compared.
    pub rows: usize,
    /// The verdict.
    pub verdict: Outcome,
    /// Largest first, unknown rows last.
    pub parts: Vec<Part>,
    /// Place of the nearest way, where nothing fits, and how its vectors lie to the stored ones.
    pub near: Option<(usize, SourceMatch)>,
    /// Every way, nearest first.
    pub tried: Vec<Tried>,
    /// Models that were not tried.
    pub left_out: Vec<LeftOut>,
}

impl Findings {
    /// The way that made most rows.
    pub fn best(&self) -> Option<&Tried> {
        self.tried.get(self.parts.first()?.made_by?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct() {
        let codes = [Outcome::Identified, Outcome::NoneFits, Outcome::Mixed].map(Outcome::exit_code);
        assert_eq!(codes, [0, 26, 27]);
    }
}
