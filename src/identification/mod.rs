//! Which model made these vectors? A few stored texts are embedded again with models that may have made them, each in
//! several ways (prompt, pooling, normalisation, cut), and every row is assigned to the way that reproduces it.
//!
//! Cosines do not see lengths: normalisation is told by length afterwards. One run of a transformer gives all poolings,
//! because a model may concatenate several.

mod assignment;
mod candidate;
mod findings;
mod known;
mod report;
mod sample;
mod search;
#[cfg(test)]
mod tests;
mod trial;

use ndarray::ArrayView2;
use serde::Serialize;

use crate::context::Context;
use crate::embed;
use crate::error::{Error, Kind, Result};
use crate::registry::Registry;
use crate::store::{Collection, VectorStore};

pub use assignment::{EXACT, FITS, assign};
pub use candidate::{Candidate, LeftOut, Named, Open, Origin, Run, candidate_of, prepare};
pub use findings::{Findings, Fit, Outcome, Part, Tried};
pub use known::{known, recorded};
pub use sample::{Sample, draw};
pub use trial::{LENGTH, Likeness, compare};

/// Texts that are embedded again unless the user says otherwise: a part of a tenth is missed once in 200 samples.
pub const SAMPLES: usize = 50;

/// What made a collection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identification {
    /// Name of the collection.
    pub collection: String,
    /// Its namespace.
    pub namespace: String,
    /// Its records.
    pub records: u64,
    /// Records among which the sample was drawn: with a text and a vector that is not zero.
    pub drawable: u64,
    /// Components of its vectors.
    pub dimension: usize,
    /// What was found.
    #[serde(flatten)]
    pub findings: Findings,
}

/// Compares stored vectors (n x d) with what candidates make of their texts.
///
/// # Errors
/// [`Kind::Interrupted`]; what is wrong with a model is a reason to leave it out.
pub fn look(
    stored: ArrayView2<'_, f32>,
    texts: &[&str],
    ids: &[String],
    candidates: &[Candidate<'_>],
    context: &Context<'_>,
) -> Result<Findings> {
    let found = search::search(stored, texts, candidates, context)?;
    report::report(stored, ids, candidates, found)
}

/// Draws `samples` records of `collection` and names what made them, out of `given` or, if that is empty, of what
/// [`known`] finds on this machine.
///
/// # Errors
/// [`Kind::Refused`] if no record has a text and a vector; [`Kind::NotFound`] if there is no candidate that could be run,
/// with the reasons; those of the store.
pub fn identify(
    store: &dyn VectorStore,
    collection: &Collection,
    given: Vec<Named>,
    samples: usize,
    registry: &Registry,
    options: &embed::Options,
    context: &Context<'_>,
) -> Result<Identification> {
    let named = if given.is_empty() { known(collection, registry, options) } else { given };
    let (candidates, mut left_out) = prepare(named, collection.dimension.unwrap_or(0), options, context)?;
    let sample = draw(store, collection, samples, context)?;
    let texts: Vec<&str> = sample.texts.iter().map(String::as_str).collect();
    let mut findings = look(sample.vectors.view(), &texts, &sample.ids, &candidates, context)?;
    left_out.append(&mut findings.left_out);
    if findings.tried.is_empty() {
        let error = Error::new(
            Kind::NotFound,
            format!(
                "no model that could have made the vectors of collection `{}` could be run",
                collection.name
            ),
        );
        let reasons = left_out.iter().map(|l| format!("{}: {}", l.model, l.reason));
        return Err(reasons.fold(error, Error::hint).hint("name models to try with --candidate"));
    }
    findings.left_out = left_out;
    Ok(Identification {
        collection: collection.name.clone(),
        namespace: collection.namespace.clone(),
        records: collection.count,
        drawable: sample.drawable,
        dimension: collection.dimension.unwrap_or(0),
        findings,
    })
}
