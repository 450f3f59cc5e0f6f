//! Consuming a plan: lock, back up, rewrite, verify while invisible, commit, verify again.

use std::path::PathBuf;

use jiff::Timestamp;
use ndarray::Array2;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::context::{Cancel, Context};
use crate::embed::Embedder;
use crate::error::{Error, Kind, Result};
use crate::platform::{files, lock};
use crate::projection::Projection;
use crate::registry::Resolved;
use crate::store::{Batch, Collection, Hit, Rewrite, RewriteTarget, Since, VectorStore, find_collection};

use super::delivery;
use super::journal::{Journal, State};
use super::meaning::{self, ExactSearch, ProbeCollector, Probes};
use super::plan::{MigrationPlan, SourceKnowledge};
use super::sketch::{self, Sketch, Sketcher};
use super::verification::{Family, Relation, VerificationReport};
use super::{BATCH, PROJECTION, SKETCHES, recovery};

/// What a migration did.
#[derive(Clone, Debug, Serialize)]
pub struct MigrationReport {
    /// Identifier of the migration: what `rollback` and `verify` are told.
    pub migration: String,
    /// The plan that was carried out.
    pub plan: MigrationPlan,
    /// Every check with its bound.
    pub verification: VerificationReport,
    /// Records rewritten.
    pub records: u64,
    /// Records whose source vector was all zeros: their new vector says nothing.
    pub zero_vectors: u64,
    /// Unfinished migrations whose remains were removed first.
    pub swept: Vec<String>,
    /// Bytes kept for the way back; `None` if nothing was kept.
    pub backup_bytes: Option<u64>,
    /// Seconds by stage.
    pub seconds: Vec<(&'static str, f64)>,
}

/// Carries out `plan`. On any failure before the commit the store is as it was; a failure of the
/// checks after the commit rolls back.
///
/// `target_model`: an [`Embedder`] of the target space, if one can run here; it asks the rewritten index
/// real questions.
///
/// # Errors
/// [`Kind::Verification`] if a check fails, [`Kind::Interrupted`] on request, and whatever the store says.
pub fn execute(
    plan: MigrationPlan,
    store: &mut dyn VectorStore,
    projection: &Resolved,
    target_model: Option<&dyn Embedder>,
    context: &Context<'_>,
) -> Result<MigrationReport> {
    let state_folder = store.state_folder();
    files::create_folder(&state_folder)?;
    let _lock = lock::acquire(&state_folder.join("lock"), "migrate-collection")?;
    let map = &projection.projection;
    execute_locked(plan, store, map, &mut |batch| map.apply(batch.vectors.view()), target_model, context)
}

/// As [`execute`], with new vectors from `vectors_of` (in the projection's target space). The caller
/// holds the lock.
pub(super) fn execute_locked(
    plan: MigrationPlan,
    store: &mut dyn VectorStore,
    projection: &Projection,
    vectors_of: &mut VectorsOf<'_>,
    target_model: Option<&dyn Embedder>,
    context: &Context<'_>,
) -> Result<MigrationReport> {
    let state_folder = store.state_folder();
    let swept = recovery::run(store, context)?;
    let folder = state_folder.join(&plan.migration);
    let collection = {
        let description = store.describe()?;
        find_collection(&description, &plan.collection_id, None)?.clone()
    };
    still_as_planned(&plan, &collection)?;
    let mut run = Run {
        folder,
        collection,
        journal: Journal::new(plan, context.timestamp()),
        watch: Watch::new(context),
        context,
        zero_vectors: 0,
    };
    match run.rewrite(store, projection, vectors_of, target_model) {
        Ok(done) => run.after_commit(store, done, swept),
        Err(error) => Err(run.abandon(store, error)),
    }
}

/// The plan was made before the lock was held: another migration that came in between must not have its
/// vectors projected once more.
fn still_as_planned(plan: &MigrationPlan, collection: &Collection) -> Result<()> {
    let planned = (plan.source_known_by == SourceKnowledge::Stamped).then_some(&plan.source);
    let same = collection.stamped.as_ref() == planned
        && collection.dimension == Some(plan.source.dimension)
        && collection.count == plan.records;
    if same {
        return Ok(());
    }
    Err(Error::new(
        Kind::Refused,
        format!("collection `{}` changed since the plan was made", plan.collection),
    )
    .hint("nothing was changed; run the same command again for a plan of what is there now"))
}

/// New vectors for some records.
pub(super) type VectorsOf<'a> = dyn FnMut(&Batch) -> Result<Array2<f32>> + 'a;

/// One migration under way.
struct Run<'a> {
    folder: PathBuf,
    collection: Collection,
    journal: Journal,
    watch: Watch<'a>,
    context: &'a Context<'a>,
    zero_vectors: u64,
}

/// What the invisible half hands to the visible half.
struct Done {
    sketches: Vec<Sketch>,
    report: VerificationReport,
    content: String,
}

/// What one pass over the source records leaves.
struct Applied {
    sketches: Vec<Sketch>,
    probes: Option<Probes>,
}

impl Run<'_> {
    /// Everything up to and including the commit.
    fn rewrite(
        &mut self,
        store: &mut dyn VectorStore,
        projection: &Projection,
        vectors_of: &mut VectorsOf<'_>,
        target_model: Option<&dyn Embedder>,
    ) -> Result<Done> {
        let target = RewriteTarget {
            space: projection.target().clone(),
            migration: self.journal.migration.clone(),
            folder: self.folder.clone(),
            index: crate::store::IndexChoice::default(),
        };
        files::create_folder(&self.folder)?;
        let mut rewrite = store.rewrite(&self.collection, &target)?;
        self.journal.sweep = rewrite.sweep_details();
        self.journal.save(&self.folder)?;
        projection.save(&self.folder.join(PROJECTION))?;

        let content = rewrite.content_digest()?;
        self.journal.content_sha256 = Some(content.clone());
        self.journal.backup = Some(rewrite.back_up()?);
        self.reach(State::BackedUp)?;
        self.watch.lap("backup");

        let applied = self.apply(rewrite.as_mut(), projection, vectors_of, target_model)?;
        self.watch.lap("read and apply");
        rewrite.seal(self.context)?;
        let sketches = sketch::to_bytes(&applied.sketches);
        files::write(&self.folder.join(SKETCHES), &sketches)?;
        self.reach(State::Rewritten)?;
        self.watch.lap("build index and write");

        let report = self.verify(rewrite.as_ref(), projection, &applied, &content)?;
        self.journal.verification = Some(report.clone());
        report.require()?;
        self.reach(State::Verified)?;
        self.watch.lap("verify");
        self.context.check()?;
        rewrite.commit()?;
        Ok(Done { sketches: applied.sketches, report, content })
    }

    /// Streams every record through the projection.
    fn apply(
        &mut self,
        rewrite: &mut dyn Rewrite,
        projection: &Projection,
        vectors_of: &mut VectorsOf<'_>,
        target_model: Option<&dyn Embedder>,
    ) -> Result<Applied> {
        let sketcher = Sketcher::new(projection.target().dimension);
        let mut probes = ProbeCollector::new(projection, self.collection.count);
        let mut sketches = Vec::new();
        let mut source = Sha256::new();
        self.context.progress.start("projecting", Some(self.collection.count), "records");
        while let Some(batch) = rewrite.next_batch(BATCH, self.collection.texts > 0)? {
            self.context.check()?;
            hash_batch(&mut source, &batch);
            probes.look(&batch);
            self.zero_vectors += zero_rows(&batch);
            let vectors = vectors_of(&batch).map_err(|e| self.name_record(e, &batch))?;
            sketches.extend(batch.ids.iter().zip(vectors.rows()).map(|(id, row)| sketcher.sketch(id, row)));
            rewrite.put(&batch.ids, vectors.view())?;
            self.context.progress.advance(batch.ids.len() as u64);
        }
        self.context.progress.finish();
        self.journal.source_sha256 = Some(files::hex(&source.finalize()));
        let probes = probes.finish(projection, target_model, self.context)?;
        Ok(Applied { sketches, probes })
    }

    /// All checks of the invisible result.
    fn verify(
        &self,
        rewrite: &dyn Rewrite,
        projection: &Projection,
        applied: &Applied,
        content: &str,
    ) -> Result<VerificationReport> {
        let mut report = VerificationReport::default();
        report.check(
            Family::Delivery,
            "records projected",
            applied.sketches.len() as f64,
            Relation::Equal,
            self.collection.count as f64,
        );
        let queries = meaning::queries(applied.probes.as_ref(), projection);
        let mut exact = queries.map(|q| ExactSearch::new(self.collection.metric, q, applied.probes.as_ref()));
        let dimension = projection.target().dimension;
        self.context.progress.start("verifying", Some(self.collection.count), "records");
        let mut records = rewrite.written()?;
        let found = delivery::read_all(records.as_mut(), dimension, exact.as_mut(), self.context)?;
        drop(records);
        self.context.progress.finish();
        delivery::check(&mut report, "written", &applied.sketches, &found, projection.target());
        check_content(&mut report, "written", content, &rewrite.content_digest()?);
        let hits: Vec<Vec<Hit>> = match &exact {
            Some(exact) => rewrite.search(exact.queries(), meaning::K)?,
            None => Vec::new(),
        };
        meaning::check(&mut report, projection, applied.probes.as_ref(), exact.as_ref(), &hits)?;
        Ok(report)
    }

    /// The visible half: note the commit, look again with fresh eyes, report.
    fn after_commit(
        mut self,
        store: &mut dyn VectorStore,
        done: Done,
        swept: Vec<String>,
    ) -> Result<MigrationReport> {
        self.reach(State::Committed)?;
        self.watch.lap("commit");
        // What is visible cannot be stopped any more: from here on a request to stop is not heard.
        let unstoppable = Cancel::new();
        let calm = Context { cancel: &unstoppable, ..*self.context };
        let mut report = done.report.clone();
        if let Err(error) = look_again(&self, store, &done, &mut report, &calm) {
            return Err(error.hint(format!(
                "the new vectors are visible and were not looked at again: run `embedport verify --migration {0}`, \
                 or go back with `embedport rollback --migration {0}`",
                self.journal.migration
            )));
        }
        self.journal.verification = Some(report.clone());
        self.journal.save(&self.folder)?;
        self.watch.lap("verify after commit");
        if let Err(error) = report.require() {
            return Err(self.take_back(store, error));
        }
        let mut backup_bytes = self.journal.backup.as_ref().map(|b| b.files.iter().map(|f| f.bytes).sum());
        if !self.journal.plan.keeps_backup {
            files::remove_folder(&self.folder.join("backup"))?;
            self.journal.backup = None;
            self.journal.save(&self.folder)?;
            backup_bytes = None;
        }
        Ok(MigrationReport {
            migration: self.journal.migration.clone(),
            verification: report,
            records: done.sketches.len() as u64,
            zero_vectors: self.zero_vectors,
            swept,
            backup_bytes,
            seconds: self.watch.laps,
            plan: self.journal.plan,
        })
    }

    /// The committed result failed: restore what was.
    fn take_back(mut self, store: &mut dyn VectorStore, error: Error) -> Error {
        let Some(backup) = self.journal.backup.clone() else { return error };
        match store.restore(&backup, Since::Drop) {
            Ok(()) => {
                let noted = self.reach(State::RolledBack);
                let error = error.hint("the collection was rolled back and is as it was");
                match noted {
                    Ok(()) => error,
                    Err(e) => error.hint(format!("the journal could not be written: {e}")),
                }
            }
            Err(restore) => error
                .hint(format!("rolling back failed as well: {restore}"))
                .hint(format!("the backup is in `{}`", self.folder.display())),
        }
    }

    /// Failed before the commit: nothing is visible; leave nothing behind.
    ///
    /// Some failures leave it unknown whether the commit happened (an I/O error in the last
    /// sync): the store is asked, and what became visible is kept for `recovery`.
    fn abandon(self, store: &mut dyn VectorStore, error: Error) -> Error {
        match store.is_current(&self.collection.id, &self.journal.migration) {
            Ok(true) => error.hint(format!(
                "the new vectors did become visible; verify them, or go back with `embedport rollback --migration {}`",
                self.journal.migration
            )),
            Err(unknown) => error
                .hint(format!("whether the new vectors became visible could not be found out ({unknown})"))
                .hint("nothing was removed; the next run or `embedport rollback` brings the store into step"),
            Ok(false) => match recovery::sweep(store, &self.folder, &self.journal) {
                Ok(()) => error.hint("nothing visible was changed: the collection is as it was"),
                Err(sweep) => error
                    .hint("nothing visible was changed: the collection is as it was")
                    .hint(format!("remains could not be removed ({sweep}); the next run removes them")),
            },
        }
    }

    fn reach(&mut self, state: State) -> Result<()> {
        let at = self.context.timestamp();
        self.journal.reach(state, at, &self.folder)
    }

    /// A projection knows rows; the user knows records.
    fn name_record(&self, error: Error, batch: &Batch) -> Error {
        let bad = batch.vectors.rows().into_iter().position(|row| row.iter().any(|x| !x.is_finite()));
        match bad.and_then(|row| batch.ids.get(row)) {
            Some(id) => Error::new(
                Kind::Damaged,
                format!("the stored vector of record `{id}` has a component that is not a finite number"),
            )
            .hint("write that record's vector again, or delete the record; then run the same command again"),
            None => error,
        }
    }
}

/// Delivery checks of the committed result, through the ordinary reading path.
fn look_again(
    run: &Run<'_>,
    store: &dyn VectorStore,
    done: &Done,
    report: &mut VerificationReport,
    context: &Context<'_>,
) -> Result<()> {
    let description = store.describe()?;
    let collection = find_collection(&description, &run.collection.id, None)?;
    let target = &run.journal.plan.target;
    context.progress.start("verifying after the commit", Some(collection.count), "records");
    let mut records = store.records(collection, false)?;
    let found = delivery::read_all(records.as_mut(), target.dimension, None, context)?;
    context.progress.finish();
    delivery::check(report, "committed", &done.sketches, &found, target);
    check_content(report, "committed", &done.content, &store.content_digest(collection)?);
    report.check(
        Family::Delivery,
        "committed: collection dimension",
        collection.dimension.unwrap_or(0) as f64,
        Relation::Equal,
        target.dimension as f64,
    );
    Ok(())
}

fn check_content(report: &mut VerificationReport, stage: &str, before: &str, now: &str) {
    report.check(
        Family::Delivery,
        format!("{stage}: texts and metadata changed"),
        f64::from(u8::from(before != now)),
        Relation::Equal,
        0.0,
    );
}

/// Adds ids and vectors, byte for byte.
pub(super) fn hash_batch(hash: &mut Sha256, batch: &Batch) {
    for (id, row) in batch.ids.iter().zip(batch.vectors.rows()) {
        hash.update((id.len() as u64).to_le_bytes());
        hash.update(id.as_bytes());
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        hash.update(&bytes);
    }
}

fn zero_rows(batch: &Batch) -> u64 {
    batch.vectors.rows().into_iter().filter(|row| row.iter().all(|x| *x == 0.0)).count() as u64
}

/// Seconds by stage, by the clock that was handed in.
struct Watch<'a> {
    now: &'a (dyn Fn() -> Timestamp + Sync),
    last: Timestamp,
    laps: Vec<(&'static str, f64)>,
}

impl<'a> Watch<'a> {
    fn new(context: &Context<'a>) -> Self {
        Watch { now: context.now, last: (context.now)(), laps: Vec::new() }
    }

    fn lap(&mut self, stage: &'static str) {
        let now = (self.now)();
        self.laps.push((stage, now.duration_since(self.last).as_secs_f64()));
        self.last = now;
    }
}
