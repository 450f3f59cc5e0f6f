//! Going back without losing what came since: every record that was migrated gets its own vector of
//! before, every later one is mapped back, or its text is embedded anew.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1, Axis};

use crate::context::Context;
use crate::embed::{Embedder, Role};
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::projection::Projection;
use crate::registry::Resolved;
use crate::space::Space;
use crate::store::{Backup, Batch, Changes, Collection, VectorStore};

use super::embedded::{Key, worth};
use super::execute::execute_locked;
use super::gathered::{Gathered, Origin, is_same};
use super::journal::Journal;
use super::pass::Instead;
use super::plan::{MigrationPlan, PlanOptions};
use super::rollback::RollbackReport;
use super::sketch::{self, Sketch, Sketcher, hash_id};
use super::{BATCH, SKETCHES};

/// How later records get vectors of the space of before; at least one of the two.
#[derive(Clone, Copy)]
pub(super) struct Ways<'a> {
    /// By this projection from the migration's target space to its source space.
    pub reverse: Option<&'a Resolved>,
    /// By embedding their texts with this model of the source space; by the projection only where there is no text.
    pub model: Option<&'a dyn Embedder>,
}

/// The way back as a migration of its own. The caller holds the lock.
pub(super) fn back_with_later_records(
    store: &mut dyn VectorStore,
    folder: &Path,
    journal: Journal,
    backup: &Backup,
    changes: Changes,
    ways: Ways<'_>,
    context: &Context<'_>,
) -> Result<RollbackReport> {
    let source = &journal.plan.source;
    if let Some(map) = ways.reverse.map(|reverse| reverse.projection.target()) {
        let found = format!("the reverse projection leads to {map}, the way back is to {source}");
        expect_source(source, map, found)?;
    }
    if let Some(model) = ways.model.map(Embedder::space) {
        let found = format!("the source model gives {model}, the way back is to {source}");
        expect_source(source, model, found)?;
    }
    let blank = Projection::blank(journal.plan.target.clone(), source.clone(), context)?;
    let blank = Resolved::unregistered(blank);
    let map = ways.reverse.unwrap_or(&blank);
    let options = PlanOptions { collection: journal.plan.collection_id.clone(), ..PlanOptions::default() };
    let plan = MigrationPlan::new(store, map, &options, context)?;
    let originals = Originals::read(store, backup, folder, journal.plan.target.dimension)?;
    let mut content = None;
    let gathered = match ways.model {
        Some(model) => {
            let collection = store.collection(&plan.collection_id, Some(plan.texts))?;
            content = Some(store.content_digest(&collection)?);
            originals.expect_of((&*store, &collection), model, context)?;
            let later = |id: &str, now: ArrayView1<'_, f32>, _: Option<Key>| !originals.is_untouched(id, now);
            let hint = "give --reverse-projection as well: it maps the vectors of these";
            let needs_all = ways.reverse.is_none().then_some(hint);
            let origin = Origin { store, collection: &collection, model, needs_all };
            Some(Gathered::of(origin, &later, context)?)
        }
        None => None,
    };
    let kept = AtomicU64::new(0);
    let put = |batch: &Batch, vectors: &mut Array2<f32>| {
        for ((id, now), mut row) in batch.ids.iter().zip(batch.vectors.rows()).zip(vectors.rows_mut()) {
            if originals.put_back(id, now, row.view_mut()) {
                continue;
            }
            kept.fetch_add(1, Ordering::Relaxed);
            let embedded = gathered.as_ref().map_or(Ok(false), |gathered| gathered.put(id, row))?;
            if !embedded && map.projection.is_blank() {
                let found = format!("record `{}` changed while texts were embedded", id.escape_default());
                return Err(Error::new(Kind::Refused, found).hint("run the same command again"));
            }
        }
        Ok(())
    };
    let instead = Instead { put: &put, content: content.as_deref(), ..Instead::NONE };
    let report = execute_locked(plan, store, &map.projection, instead, ways.model, context)?;
    // The migration that goes back stays what it is: whoever takes this one back has it again, and its backup.
    let re_embedded = gathered.as_ref().map(Gathered::len);
    gathered.into_iter().for_each(Gathered::remove);
    Ok(RollbackReport {
        migration: journal.migration,
        collection: report.plan.collection,
        changes,
        kept: Some(kept.into_inner()),
        re_embedded,
        records: report.records,
        dimension: report.plan.target.dimension,
        verification: report.verification,
    })
}

fn expect_source(source: &Space, leads: &Space, found: String) -> Result<()> {
    // Of some collections it was never known which model made them: the user says it now.
    let is_unknown = source.model == Space::UNKNOWN && source.dimension == leads.dimension;
    match is_unknown || source.compare(leads).is_compatible() {
        true => Ok(()),
        false => Err(Error::new(Kind::Mismatch, found)
            .hint(format!("give one of {}: a projection that leads there, or that model", source.model))),
    }
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

    /// Whether the model gives again what was there before, for some texts of records that nobody wrote to since.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if it does not for most of them.
    fn expect_of(
        &self,
        (store, collection): (&dyn VectorStore, &Collection),
        model: &dyn Embedder,
        context: &Context<'_>,
    ) -> Result<()> {
        const LOOKED_AT: usize = 20;
        let Some(batch) = store.records(collection, true)?.next_batch(BATCH)? else { return Ok(()) };
        let (mut texts, mut then) = (Vec::new(), Vec::new());
        for ((id, now), text) in batch.ids.iter().zip(batch.vectors.rows()).zip(&batch.texts) {
            if let Some(text) = worth(text.as_deref())
                && self.is_untouched(id, now)
                && let Some(original) = self.vectors.get(&hash_id(id))
                && texts.len() < LOOKED_AT
            {
                texts.push(text);
                then.push(original);
            }
        }
        let now = model.embed(&texts, Role::Document, context)?;
        let same = now.rows().into_iter().zip(&then).filter(|(now, then)| is_same(*now, then.view())).count();
        if 2 * same >= texts.len() {
            return Ok(());
        }
        let found = format!(
            "the source model gives other vectors than those of before for {} of {} texts",
            texts.len() - same,
            texts.len()
        );
        Err(Error::new(Kind::Mismatch, found)
            .hint("give the model that made them, with the same weights and prompt")
            .hint("or map the later records back: --reverse-projection P"))
    }

    /// Whether a record still holds what the migration wrote.
    fn is_untouched(&self, id: &str, now: ArrayView1<'_, f32>) -> bool {
        let now = self.sketcher.sketch(id, now);
        self.migrated.get(&now.id).is_some_and(|then| then.agrees_with(&now))
            && self.vectors.contains_key(&now.id)
    }

    /// Puts the vector of before into the row of a record that is as the migration left it; false if it is not.
    fn put_back(&self, id: &str, now: ArrayView1<'_, f32>, mut row: ArrayViewMut1<'_, f32>) -> bool {
        let original = self.vectors.get(&hash_id(id)).filter(|_| self.is_untouched(id, now));
        let Some(original) = original.filter(|original| original.len() == row.len()) else { return false };
        row.assign(original);
        true
    }
}
