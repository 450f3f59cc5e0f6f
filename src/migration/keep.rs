//! Going back without losing what came since: every record that was migrated gets its own vector of
//! before, every later one is mapped back.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::{Array1, Array2, Axis};

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::registry::Resolved;
use crate::store::{Backup, Batch, Changes, VectorStore};

use super::execute::execute_locked;
use super::journal::{Journal, State};
use super::plan::{MigrationPlan, PlanOptions};
use super::rollback::RollbackReport;
use super::sketch::{self, Sketch, Sketcher, hash_id};
use super::{BATCH, SKETCHES};

/// The way back as a migration of its own. The caller holds the lock.
pub(super) fn back_with_later_records(
    store: &mut dyn VectorStore,
    folder: &Path,
    mut journal: Journal,
    backup: &Backup,
    changes: Changes,
    reverse: &Resolved,
    context: &Context<'_>,
) -> Result<RollbackReport> {
    let map = &reverse.projection;
    if !journal.plan.source.compare(map.target()).is_compatible() {
        return Err(Error::new(
            Kind::Mismatch,
            format!(
                "the reverse projection leads to {}, the way back is to {}",
                map.target(),
                journal.plan.source
            ),
        )
        .hint(format!("train one towards {}", journal.plan.source.model)));
    }
    let options = PlanOptions { collection: journal.plan.collection_id.clone(), ..PlanOptions::default() };
    let plan = MigrationPlan::new(store, reverse, &options, context)?;
    let originals = Originals::read(store, backup, folder, journal.plan.target.dimension)?;
    let kept = AtomicU64::new(0);
    let report = execute_locked(
        plan,
        store,
        map,
        &|batch, vectors| {
            let later = batch.ids.len() as u64 - originals.put_back(batch, vectors);
            kept.fetch_add(later, Ordering::Relaxed);
        },
        None,
        context,
    )?;
    journal.reach(State::RolledBack, context.timestamp(), folder)?;
    Ok(RollbackReport {
        migration: journal.migration,
        collection: report.plan.collection,
        changes,
        kept: Some(kept.into_inner()),
        records: report.records,
        dimension: report.plan.target.dimension,
        verification: report.verification,
    })
}

/// Vectors of before, and how to tell which records still hold what the migration wrote.
struct Originals {
    vectors: HashMap<u64, Array1<f32>>,
    migrated: HashMap<u64, Sketch>,
    sketcher: Sketcher,
}

impl Originals {
    fn read(
        store: &dyn VectorStore,
        backup: &Backup,
        folder: &Path,
        target_dimension: usize,
    ) -> Result<Originals> {
        let sketches = sketch::from_bytes(&files::read_at_most(&folder.join(SKETCHES), 1 << 34)?)?;
        let mut vectors = HashMap::new();
        let mut records = store.backup_records(backup)?;
        while let Some(batch) = records.next_batch(BATCH)? {
            let rows = batch.vectors.axis_iter(Axis(0)).map(|row| row.to_owned());
            vectors.extend(batch.ids.iter().map(|id| hash_id(id)).zip(rows));
        }
        Ok(Originals {
            vectors,
            migrated: sketches.into_iter().map(|s| (s.id, s)).collect(),
            sketcher: Sketcher::new(target_dimension),
        })
    }

    /// Replaces the rows of records that are as the migration left them; returns how many.
    fn put_back(&self, batch: &Batch, vectors: &mut Array2<f32>) -> u64 {
        let mut replaced = 0;
        for ((id, now), mut row) in batch.ids.iter().zip(batch.vectors.rows()).zip(vectors.rows_mut()) {
            let now = self.sketcher.sketch(id, now);
            let untouched = self.migrated.get(&now.id).is_some_and(|then| then.agrees_with(&now));
            if let Some(original) = self.vectors.get(&now.id).filter(|_| untouched)
                && original.len() == row.len()
            {
                row.assign(original);
                replaced += 1;
            }
        }
        replaced
    }
}
