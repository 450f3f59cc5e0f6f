//! The checks of a committed migration again, any time later.

use serde::Serialize;

use crate::context::Context;
use crate::embed::Embedder;
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::projection::Projection;
use crate::space::Space;
use crate::store::{Changes, VectorStore};

use super::journal::{Journal, State};
use super::judge::Judge;
use super::questions::ProbeCollector;
use super::sketch::{self, Sketch};
use super::verification::{Family, Relation, VerificationReport};
use super::{BATCH, PROJECTION, SKETCHES, delivery, indexing, meaning};

/// What is to be verified.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// Collection by name or id; its latest migration is meant.
    pub collection: Option<String>,
    /// Namespace, where the name alone is not unique.
    pub namespace: Option<String>,
    /// Or one migration by its identifier.
    pub migration: Option<String>,
}

/// The outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Identifier of the migration.
    pub migration: String,
    /// The collection's name.
    pub collection: String,
    /// When it was committed.
    pub committed: String,
    /// What changed since by ordinary use.
    pub changes: Changes,
    /// The checks.
    pub verification: VerificationReport,
}

/// Repeats delivery and meaning checks on what is there now. Records that were added, removed or written
/// again since the commit are counted and not compared.
///
/// # Errors
/// [`Kind::NotFound`] if no such migration is current. Failed checks are in the value, not an error.
pub fn verify(
    store: &dyn VectorStore,
    options: &VerifyOptions,
    target_model: Option<&dyn Embedder>,
    context: &Context<'_>,
) -> Result<Verified> {
    let (folder, journal) = super::rollback::find(
        store,
        options.collection.as_deref(),
        options.namespace.as_deref(),
        options.migration.as_deref(),
    )?;
    let collection = &store.collection(&journal.plan.collection_id, None)?;
    let (projection, _) = Projection::load(&folder.join(PROJECTION))?;
    let put = sketch::from_bytes(&files::read_at_most(&folder.join(SKETCHES), 1 << 34)?)?;
    let changes = match &journal.backup {
        Some(backup) => store.changes_since(backup)?,
        None => Changes::default(),
    };

    let mut probes = ProbeCollector::new(&projection, collection.texts);
    if collection.texts > 0 {
        let mut records = store.records(collection, true)?;
        while let Some(batch) = records.next_batch(BATCH)? {
            context.check()?;
            for (id, text) in batch.ids.iter().zip(&batch.texts) {
                probes.look(id, text.as_deref().unwrap_or_default());
            }
        }
    }
    let mut judge =
        Judge::new(projection.held_out.as_ref(), collection.metric, store.capabilities().searches);
    judge.ask(probes.finish(&projection, target_model, context)?.as_ref())?;

    context.progress.start("verifying", Some(collection.count), "records");
    let mut records = store.records(collection, false)?;
    let dimension = projection.target().dimension;
    let found = delivery::read(records.as_mut(), dimension, Some(&judge), u64::MAX, context)?;
    context.progress.finish();

    let mut report = VerificationReport::default();
    let different = differing(&put, &found.sketches);
    let mut at_most = |name: &str, measured: u64, bound: u64| {
        report.check(Family::Delivery, name, measured as f64, Relation::AtMost, bound as f64);
    };
    at_most("records of another dimension", found.wrong_dimension, 0);
    at_most("records with a component that is not finite", found.not_finite, 0);
    let knows_changes = journal.backup.is_some();
    if knows_changes {
        at_most("migrated records missing", different.missing, changes.removed);
        at_most("migrated records whose vector changed", different.changed, changes.updated);
        at_most("records that were not migrated", different.surplus, changes.added);
    } else {
        report.not_measured.push(format!(
            "{} records missing, {} changed and {} added since the migration: without a backup there is no telling \
             use from damage",
            different.missing, different.changed, different.surplus
        ));
    }
    if knows_changes
        && changes.is_none()
        && let Some(before) = &journal.content_digest
    {
        // Where each record was compared, the digest would say no more, and call a column that was added a change.
        let same = store.capabilities().compares_contents || *before == store.content_digest(collection)?;
        report.check(
            Family::Delivery,
            "texts and metadata changed",
            f64::from(u8::from(!same)),
            Relation::Equal,
            0.0,
        );
    }
    let answers = judge.after(&|queries, k| store.search(collection, queries, k))?;
    meaning::check(&mut report, &projection, collection.metric, &answers)?;
    if let Some(mut index) = journal.index.clone() {
        index.recall_after = answers.recall;
        indexing::check(&mut report, &index);
    }
    Ok(Verified {
        migration: journal.migration.clone(),
        collection: collection.name.clone(),
        committed: committed_at(&journal)?,
        changes,
        verification: report,
    })
}

/// The space that the current migration led to: what an asking model must speak.
///
/// # Errors
/// As [`verify`].
pub fn target_space(store: &dyn VectorStore, options: &VerifyOptions) -> Result<Space> {
    let (_, journal) = super::rollback::find(
        store,
        options.collection.as_deref(),
        options.namespace.as_deref(),
        options.migration.as_deref(),
    )?;
    Ok(journal.plan.target)
}

struct Differing {
    missing: u64,
    changed: u64,
    surplus: u64,
}

/// Compares by record, whatever the order.
fn differing(put: &[Sketch], found: &[Sketch]) -> Differing {
    let now: std::collections::HashMap<u64, &Sketch> = found.iter().map(|s| (s.id, s)).collect();
    let (mut missing, mut changed, mut met) = (0, 0, 0);
    for sketch in put {
        match now.get(&sketch.id) {
            None => missing += 1,
            Some(found) => {
                met += 1;
                changed += u64::from(!sketch.agrees_with(found));
            }
        }
    }
    Differing { missing, changed, surplus: (now.len() as u64).saturating_sub(met) }
}

fn committed_at(journal: &Journal) -> Result<String> {
    journal
        .history
        .iter()
        .find(|e| e.state == State::Committed)
        .map(|e| e.at.clone())
        .ok_or_else(|| Error::new(Kind::NotFound, "the migration was never committed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::sketch::Sketcher;
    use ndarray::array;

    #[test]
    fn records_are_compared_by_id_not_by_place() {
        let s = Sketcher::new(1);
        let of = |id: &str, x: f32| s.sketch(id, array![x].view());
        let put = [of("a", 1.0), of("b", 2.0), of("c", 3.0)];
        let found = [of("c", 3.0), of("a", 1.5), of("d", 4.0)];
        let d = differing(&put, &found);
        assert_eq!((d.missing, d.changed, d.surplus), (1, 1, 1));
    }
}
