//! What a projection says about itself: spaces, method, origin and held-out report.

use serde::{Deserialize, Serialize};

use super::bridge::BridgeReport;
use super::fit::Fitted;
use super::pairs::Pairs;
use super::role::Role;
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::measure::{HeldOutReport, Retention, ScoreScale, Ways};
use crate::space::Space;

/// The newest format of projection files that this release reads: that of bridges and chains, as a release that does not
/// know them must not take a bridge for a map of records, and of projections which know how far they can be trusted.
pub const FORMAT: u32 = 3;
/// Format of projections with texts.
const TEXTS_FORMAT: u32 = 2;
/// Format of projections of vectors alone.
pub(super) const PLAIN_FORMAT: u32 = 1;

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

impl Subject {
    /// Fails with [`Mismatch`](error::Kind::Mismatch) if `pairs` do not have the dimensions of the spaces.
    pub(super) fn check(&self, pairs: &Pairs) -> Result<()> {
        let (source, target) = pairs.dimensions();
        if (source, target) == (self.source.dimension, self.target.dimension) {
            return Ok(());
        }
        Err(Error::new(
            error::Kind::Mismatch,
            format!(
                "pairs of {source} and {target} components were given for spaces of {} and {} components",
                self.source.dimension, self.target.dimension
            ),
        ))
    }
}

/// Description of a fitted projection, stored as JSON in its file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Format of the file.
    pub format: u32,
    /// Name, unique in a registry.
    pub name: String,
    /// Whose vectors it maps.
    #[serde(default, skip_serializing_if = "Role::is_records")]
    pub role: Role,
    /// Space of the vectors that it takes.
    pub source: Space,
    /// Space of the vectors that it gives.
    pub target: Space,
    /// What is applied, a name of [`KINDS`](super::kind::KINDS).
    pub kind: String,
    /// What is applied where texts are at hand, if that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_with_texts: Option<String>,
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
    #[serde(default)]
    pub notes: Vec<String>,
    /// How good the map of vectors alone is on the held-out pairs; without figures on a bridge and on what was composed.
    pub report: HeldOutReport,
    /// What queries find over it, if it is a bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<BridgeReport>,
    /// How good the map is that texts assist, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_with_texts: Option<HeldOutReport>,
    /// How similarity scores shift, on the held-out pairs; with texts where they assist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoreScale>,
    /// What the collection that the pairs came from is expected to keep; none if they came from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Retention>,
    /// The same of the map that texts assist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_with_texts: Option<Retention>,
    /// What the collection is expected to keep in other ways; with texts where they assist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ways: Option<Ways>,
}

impl Header {
    /// How good it is where `texts` are at hand, or are not.
    pub fn report_for(&self, texts: bool) -> &HeldOutReport {
        self.report_with_texts.as_ref().filter(|_| texts).unwrap_or(&self.report)
    }

    /// What the collection is expected to keep where texts are at hand, or are not.
    pub fn expected_for(&self, texts: bool) -> Option<&Retention> {
        if texts && self.kind_with_texts.is_some() {
            self.expected_with_texts.as_ref()
        } else {
            self.expected.as_ref()
        }
    }

    /// Notes that a map of this kind takes the texts as well.
    pub(super) fn assist(&mut self, kind: &str) {
        self.format = self.format.max(TEXTS_FORMAT);
        self.kind_with_texts = Some(kind.to_owned());
    }

    /// Notes that the file says how far records can be trusted.
    pub(super) fn trust(&mut self) {
        self.format = FORMAT;
    }

    /// Of what was fitted to no pairs: without figures.
    pub(super) fn unfitted(
        name: &str,
        (source, target): (Space, Space),
        (kind, method): (&str, &str),
        context: &Context<'_>,
    ) -> Self {
        Header {
            format: PLAIN_FORMAT,
            name: name.to_owned(),
            role: Role::Records,
            source,
            target,
            kind: kind.to_owned(),
            kind_with_texts: None,
            method: method.to_owned(),
            lambda: None,
            training_pairs: 0,
            held_out_pairs: 0,
            seed: context.seed,
            training_ids_sha256: String::new(),
            texts: "none".to_owned(),
            created: context.timestamp(),
            notes: Vec::new(),
            report: HeldOutReport::empty(),
            bridge: None,
            scores: None,
            report_with_texts: None,
            expected: None,
            expected_with_texts: None,
            ways: None,
        }
    }

    pub(super) fn new(
        subject: Subject,
        method: &str,
        fitted: &Fitted,
        training: &Pairs,
        held_out: &Pairs,
        context: &Context<'_>,
    ) -> Self {
        Header {
            lambda: fitted.lambda,
            training_pairs: training.len(),
            held_out_pairs: held_out.len(),
            training_ids_sha256: training.ids_sha256(),
            texts: subject.texts,
            notes: fitted.notes.clone(),
            ..Header::unfitted(
                &subject.name,
                (subject.source, subject.target),
                (fitted.kind.name(), method),
                context,
            )
        }
    }
}
