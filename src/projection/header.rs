//! What a projection says about itself: spaces, method, origin and held-out report.

use serde::{Deserialize, Serialize};

use super::fit::Fitted;
use super::pairs::Pairs;
use crate::context::Context;
use crate::measure::{HeldOutReport, Retention};
use crate::space::Space;

/// Format of projection files that this release writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What is to be fitted: name, spaces and where the texts came from.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Name of the projection, unique in a registry.
    pub name: String,
    /// Space of the source vectors.
    pub source: Space,
    /// Space of the target vectors.
    pub target: Space,
    /// Where the texts of the pairs came from, in words.
    pub texts: String,
}

/// Description of a fitted projection, stored as JSON in its file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Format of the file.
    pub format: u32,
    /// Name, unique in a registry.
    pub name: String,
    /// Space of the vectors that it takes.
    pub source: Space,
    /// Space of the vectors that it gives.
    pub target: Space,
    /// What is applied, a name of [`KINDS`](super::kind::KINDS).
    pub kind: String,
    /// How it was found, a name of [`METHODS`](super::fit::METHODS).
    pub method: String,
    /// Ridge penalty, if the method has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f64>,
    /// Pairs that it was fitted to.
    pub training_pairs: usize,
    /// Pairs that were held out.
    pub held_out_pairs: usize,
    /// Seed of the split and of the method.
    pub seed: u64,
    /// SHA-256 over the sorted ids of the training pairs.
    pub training_ids_sha256: String,
    /// Where the texts of the pairs came from, in words.
    pub texts: String,
    /// When it was fitted, RFC 3339, UTC.
    pub created: String,
    /// What is worth knowing about the fit, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How good it is on the held-out pairs.
    pub report: HeldOutReport,
    /// What the collection that the pairs came from is expected to keep; none if they came from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Retention>,
}

impl Header {
    pub(super) fn new(
        subject: Subject,
        method: &str,
        fitted: &Fitted,
        training: &Pairs,
        held_out: &Pairs,
        context: &Context<'_>,
    ) -> Self {
        Header {
            format: FORMAT,
            name: subject.name,
            source: subject.source,
            target: subject.target,
            kind: fitted.kind.name().into(),
            method: method.into(),
            lambda: fitted.lambda,
            training_pairs: training.len(),
            held_out_pairs: held_out.len(),
            seed: context.seed,
            training_ids_sha256: training.ids_sha256(),
            texts: subject.texts,
            created: context.timestamp(),
            notes: fitted.notes.clone(),
            report: HeldOutReport::empty(),
            expected: None,
        }
    }
}
