//! Every collection of a store that a projection fits, one after the other.

use serde::Serialize;

use super::execute::{MigrationReport, execute};
use super::plan::{MigrationPlan, PlanOptions, expect_room};
use crate::context::Context;
use crate::embed::Embedder;
use crate::error::{Error, Kind, Result};
use crate::registry::Resolved;
use crate::store::VectorStore;

/// One plan for several collections; each is migrated for itself and is at every moment either as before or done.
#[derive(Clone, Debug, Serialize)]
pub struct PlanOfAll {
    /// What will be done, in this order.
    pub plans: Vec<MigrationPlan>,
    /// What will be left alone, and why.
    pub skipped: Vec<Skipped>,
    /// Bytes that all of them add before anything is freed.
    pub bytes_needed: u64,
    /// Bytes free on that file system.
    pub bytes_free: u64,
}

/// A collection that is left alone.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    /// Its name.
    pub collection: String,
    /// Its namespace.
    pub namespace: String,
    /// Live records.
    pub records: u64,
    /// Why, in words.
    pub reason: String,
}

/// A collection whose migration failed; it is as it was, unless the reason says otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// Its name.
    pub collection: String,
    /// Its namespace.
    pub namespace: String,
    /// Why, in words.
    pub reason: String,
    /// What to do next.
    pub hints: Vec<String>,
    /// Kind of the failure.
    #[serde(skip)]
    pub kind: Kind,
}

/// What became of all of them.
#[derive(Clone, Debug, Serialize)]
pub struct ReportOfAll {
    /// Migrated.
    pub done: Vec<MigrationReport>,
    /// Failed.
    pub failed: Vec<Failed>,
    /// Left alone.
    pub skipped: Vec<Skipped>,
    /// Whether a request to stop came before all of it was done.
    pub stopped: bool,
}

impl PlanOfAll {
    /// Plans every collection of `store` that the projection fits. `options.collection` is not looked at.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if it fits none; [`Kind::Locked`], and [`Kind::CannotWrite`] if there is not room for all.
    pub fn new(
        store: &dyn VectorStore,
        projection: &Resolved,
        options: &PlanOptions,
        context: &Context<'_>,
    ) -> Result<PlanOfAll> {
        projection.projection.check_maps_records()?;
        let (mut plans, mut skipped) = (Vec::new(), Vec::new());
        for collection in store.describe()?.collections {
            let options = PlanOptions {
                collection: collection.id.clone(),
                namespace: Some(collection.namespace.clone()),
                ..options.clone()
            };
            match MigrationPlan::new(store, projection, &options, context) {
                Ok(plan) => plans.push(plan),
                Err(error) if is_of_the_store(&error) => return Err(error),
                Err(error) => skipped.push(Skipped {
                    collection: collection.name,
                    namespace: collection.namespace,
                    records: collection.count,
                    reason: error.message().to_owned(),
                }),
            }
        }
        let Some(first) = plans.first() else {
            let found =
                format!("the projection fits none of the {} collections of this store", skipped.len());
            let error = Error::new(Kind::Mismatch, found);
            return Err(skipped.iter().take(10).fold(error, |error, one| {
                error.hint(format!("`{}` in {}: {}", one.collection, one.namespace, one.reason))
            }));
        };
        let bytes_free = first.bytes_free;
        let bytes_needed = plans.iter().map(|plan| plan.bytes_needed).fold(0, u64::saturating_add);
        expect_room(&format!("all {} collections need", plans.len()), bytes_needed, bytes_free)
            .map_err(|e| e.hint("or migrate collection by collection and prune backups between"))?;
        Ok(PlanOfAll { plans, skipped, bytes_needed, bytes_free })
    }

    /// Carries out the plans. A failure of one leaves that collection as it was and goes on with the next.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] if asked to stop and nothing was migrated yet.
    pub fn execute(
        self,
        store: &mut dyn VectorStore,
        projection: &Resolved,
        target_model: Option<&dyn Embedder>,
        context: &Context<'_>,
    ) -> Result<ReportOfAll> {
        let (done, failed) = (Vec::new(), Vec::new());
        let mut report = ReportOfAll { done, failed, skipped: self.skipped, stopped: false };
        for plan in self.plans {
            if !report.done.is_empty() && context.check().is_err() {
                report.stopped = true;
                report.skipped.push(Skipped {
                    collection: plan.collection,
                    namespace: plan.namespace,
                    records: plan.records,
                    reason: "stopped on request before it was its turn".into(),
                });
                continue;
            }
            let (collection, namespace) = (plan.collection.clone(), plan.namespace.clone());
            match execute(plan, store, projection, target_model, context) {
                Ok(one) => report.done.push(one),
                Err(error) if error.kind() == Kind::Interrupted && report.done.is_empty() => {
                    return Err(error);
                }
                Err(error) => {
                    report.stopped |= error.kind() == Kind::Interrupted;
                    report.failed.push(Failed {
                        collection,
                        namespace,
                        reason: error.message().to_owned(),
                        hints: error.hints().to_vec(),
                        kind: error.kind(),
                    });
                }
            }
        }
        Ok(report)
    }
}

/// Whether a refusal is about the whole store rather than about one collection.
fn is_of_the_store(error: &Error) -> bool {
    matches!(error.kind(), Kind::Locked | Kind::CannotWrite | Kind::Io | Kind::Interrupted | Kind::Internal)
}
