//! What made the vectors of which nothing is recorded: only where it is asked for, because models have to be run.

use super::{Detection, Expectation, Status, fix, judge};
use crate::context::Context;
use crate::embed::{self, ModelSpec};
use crate::error::Result;
use crate::identification::{Identification, Outcome, SAMPLES, identify};
use crate::registry::Registry;
use crate::store::{Collection, VectorStore};

/// Compares the vectors of every collection that does not say what made them with the models on this machine, and judges
/// it again where one of them did. Uses no network. Collections of which nothing can be told stay as they are, with the
/// reason.
///
/// # Errors
/// An interruption, and those of describing the store.
pub fn identify_unrecorded(
    store: &dyn VectorStore,
    detection: &mut Detection,
    expectation: &Expectation,
    registry: &Registry,
    options: &embed::Options,
    context: &Context<'_>,
) -> Result<Vec<Identification>> {
    let description = store.describe()?;
    let mut all = Vec::new();
    for detected in &mut detection.collections {
        let Some(collection) = description.collections.iter().find(|c| c.id == detected.id) else { continue };
        if collection.recorded_model().is_some() || detected.status == Status::Unfinished {
            continue;
        }
        match identify(store, collection, Vec::new(), SAMPLES, registry, options, context) {
            Ok(found) => {
                settle(detected, collection, &found, expectation, registry);
                all.push(found);
            }
            Err(error) if error.is_interrupted() => return Err(error),
            Err(error) => {
                detected.reason = format!("{}; not identified: {}", detected.reason, error.message())
            }
        }
    }
    detection.status = detection.collections.iter().map(|c| c.status).max().unwrap_or(Status::Match);
    Ok(all)
}

fn settle(
    detected: &mut super::Detected,
    collection: &Collection,
    found: &Identification,
    expectation: &Expectation,
    registry: &Registry,
) {
    let findings = &found.findings;
    match (findings.verdict, findings.best()) {
        (Outcome::Identified, Some(best)) => {
            let spec: Option<ModelSpec> = best.model.parse().ok();
            let name = spec.map_or_else(|| best.model.clone(), |spec| spec.name);
            let known = Collection { configured_model: Some(name.clone()), ..collection.clone() };
            let (status, reason) = judge(&known, expectation);
            detected.status = status;
            detected.reason = format!(
                "{reason} (identified: {} made {} of {} vectors that were compared, {})",
                name, best.fitting, findings.rows, best.variant
            );
            detected.fix = fix(&known, status, expectation, registry).map(|e| e.name.clone());
            detected.model = Some(name);
        }
        (Outcome::Mixed, _) => {
            detected.reason =
                format!("{}; its vectors were not made by one model in one way", detected.reason);
        }
        _ => detected.reason = format!("{}; no model on this machine makes these vectors", detected.reason),
    }
}
