//! Consuming a plan: lock, back up, rewrite, verify while invisible, commit, verify again.

use std::path::PathBuf;

use serde::Serialize;

use crate::context::{Cancel, Context};
use crate::embed::Embedder;
use crate::error::{Error, Kind, Result};
use crate::platform::{files, lock};
use crate::projection::Projection;
use crate::registry::Resolved;
use crate::store::{Collection, Rewrite, RewriteTarget, Since, VectorStore};

use super::indexing::{self, IndexReport};
use super::journal::{Journal, State};
use super::judge::Judge;
use super::pass::{Applied, Instead, Projecting};
use super::plan::MigrationPlan;
use super::questions::ProbeCollector;
use super::remembered::Remembered;
use super::sketch::{self, Sketch};
use super::source::SourceKnowledge;
use super::verification::{Family, Relation, VerificationReport};
use super::watch::Watch;
use super::{PROJECTION, SKETCHES, delivery, meaning, recovery};

/// What a migration did.
#[derive(Clone, Debug, Serialize)]
pub struct MigrationReport {
    /// Identifier of the migration: what `rollback` and `verify` are told.
    pub migration: String,
    /// The plan that was carried out.
    pub plan: MigrationPlan,
    /// Every check with its bound.
    pub verification: VerificationReport,
    /// What became of the index.
    pub index: IndexReport,
    /// Records rewritten.
    pub records: u64,
    /// Records whose source vector was all zeros: their new vector says nothing.
    pub zero_vectors: u64,
    /// Records that were projected with what their texts say; none if the projection asks for no texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_texts: Option<u64>,
    /// Records whose text was embedded anew, if texts were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub re_embedded: Option<u64>,
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
    execute_instead(plan, store, &projection.projection, Instead::NONE, target_model, context)
}

/// As [`execute_locked`], and takes the lock.
pub(super) fn execute_instead(
    plan: MigrationPlan,
    store: &mut dyn VectorStore,
    projection: &Projection,
    instead: Instead<'_>,
    target_model: Option<&dyn Embedder>,
    context: &Context<'_>,
) -> Result<MigrationReport> {
    let state_folder = store.state_folder();
    files::create_folder(&state_folder)?;
    let _lock = lock::acquire(&state_folder.join("lock"), "migrate-collection")?;
    execute_locked(plan, store, projection, instead, target_model, context)
}

/// As [`execute`], with vectors of the target space that `instead` puts in the place of projected ones. The caller
/// holds the lock.
pub(super) fn execute_locked(
    plan: MigrationPlan,
    store: &mut dyn VectorStore,
    projection: &Projection,
    instead: Instead<'_>,
    target_model: Option<&dyn Embedder>,
    context: &Context<'_>,
) -> Result<MigrationReport> {
    let state_folder = store.state_folder();
    let swept = recovery::run(store, context)?;
    let folder = state_folder.join(&plan.migration);
    let collection = store.collection(&plan.collection_id, Some(plan.texts))?;
    still_as_planned(&plan, &collection)?;
    let mut run = Run {
        folder,
        collection,
        journal: Journal::new(plan, context.timestamp()),
        watch: Watch::new(context),
        context,
        zero_vectors: 0,
        with_texts: None,
    };
    match run.rewrite(store, projection, instead, target_model) {
        Ok(done) => run.after_commit(store, done, swept),
        Err(error) => Err(run.abandon(store, error)),
    }
}

/// The plan was made before the lock was held: another migration that came in between must not have its
/// vectors projected once more.
pub(super) fn still_as_planned(plan: &MigrationPlan, collection: &Collection) -> Result<()> {
    let planned = (plan.source_known_by == SourceKnowledge::Stamped).then_some(&plan.source);
    let same = collection.stamped.as_ref() == planned
        && collection.dimension == Some(plan.source.dimension)
        && collection.count == plan.records;
    if same {
        return Ok(());
    }
    Err(changed_since(plan))
}

pub(super) fn changed_since(plan: &MigrationPlan) -> Error {
    Error::new(Kind::Refused, format!("collection `{}` changed since the plan was made", plan.collection))
        .hint("nothing was changed; run the same command again for a plan of what is there now")
}

/// One migration under way.
struct Run<'a> {
    folder: PathBuf,
    collection: Collection,
    journal: Journal,
    watch: Watch<'a>,
    context: &'a Context<'a>,
    zero_vectors: u64,
    with_texts: Option<u64>,
}

/// What the invisible half hands to the visible half.
struct Done {
    sketches: Vec<Sketch>,
    report: VerificationReport,
    index: IndexReport,
}

impl Run<'_> {
    /// Everything up to and including the commit.
    fn rewrite(
        &mut self,
        store: &mut dyn VectorStore,
        projection: &Projection,
        instead: Instead<'_>,
        target_model: Option<&dyn Embedder>,
    ) -> Result<Done> {
        let target = RewriteTarget {
            space: projection.target().clone(),
            migration: self.journal.migration.clone(),
            folder: self.folder.clone(),
            index: self.journal.plan.index,
            backup: self.journal.plan.backup,
        };
        files::create_folder(&self.folder)?;
        let indexed = store.capabilities().searches;
        let mut rewrite = store.rewrite(&self.collection, &target)?;
        self.journal.sweep = rewrite.sweep_details();
        self.journal.save(&self.folder)?;
        projection.save(&self.folder.join(PROJECTION))?;
        self.watch.lap("lock and look");

        let mut judge = Judge::new(projection.held_out.as_ref(), self.collection.metric, indexed);
        let mut probes = ProbeCollector::new(projection, self.collection.texts);
        let applied = self.apply(rewrite.as_mut(), projection, instead, &judge, &mut probes)?;
        files::write(&self.folder.join(SKETCHES), &sketch::to_bytes(&applied.sketches))?;
        (instead.note)(&self.folder)?;
        self.reach(State::BackedUp)?;
        self.watch.lap("back up, project and write");

        judge.ask(probes.finish(projection, target_model, self.context)?.as_ref())?;
        let dimension = projection.target().dimension;
        let sealed = indexing::seal(rewrite.as_mut(), &judge, dimension, self.context)?;
        self.reach(State::Rewritten)?;
        self.watch.lap("index and read back");

        let mut report = VerificationReport::default();
        let (put, records) = (&applied.sketches, self.collection.count);
        report.check(
            Family::Delivery,
            "records projected",
            put.len() as f64,
            Relation::Equal,
            records as f64,
        );
        let rounded = self.collection.rounded_to.is_some();
        delivery::check(&mut report, "written", put, &sealed.found, projection.target(), rounded);
        meaning::check(&mut report, projection, judge.metric, &sealed.answers)?;
        let index = sealed.report;
        indexing::check(&mut report, &index);
        self.journal.index = Some(index.clone());
        self.journal.verification = Some(report.clone());
        report.require()?;
        self.reach(State::Verified)?;
        self.watch.lap("verify");
        self.context.check()?;
        rewrite.commit()?;
        Ok(Done { sketches: applied.sketches, report, index })
    }

    /// Sends every record through the projection and saves what a rollback needs.
    fn apply(
        &mut self,
        rewrite: &mut dyn Rewrite,
        projection: &Projection,
        instead: Instead<'_>,
        judge: &Judge,
        probes: &mut ProbeCollector,
    ) -> Result<Applied> {
        let texts = match &projection.assisted {
            Some(assisted) if self.collection.texts > 0 => Some(Remembered::of(rewrite, assisted.words())?),
            _ => None,
        };
        self.with_texts = texts.as_ref().map(Remembered::known);
        let pass = Projecting::new(projection, texts.as_ref(), instead, judge.source.as_ref());
        self.context.progress.start("projecting", Some(self.collection.count), "records");
        let saved = rewrite.transform(&pass, &mut |id, text| probes.look(id, text), self.context);
        self.context.progress.finish();
        let saved = saved?;
        if instead.content.is_some_and(|content| *content != saved.content) {
            let found = "texts or metadata of the collection changed while its texts were embedded";
            return Err(Error::new(Kind::Refused, found)
                .hint("run the same command again: what was embedded is kept, and not embedded twice"));
        }
        self.journal.content_digest = Some(saved.content);
        self.journal.backup = Some(saved.backup);
        let applied = pass.finish();
        self.zero_vectors = applied.zero_vectors;
        self.journal.source_fingerprint = Some(applied.source.to_hex());
        Ok(applied)
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
        if let Err(error) =
            delivery::look_again(&self.journal.plan, store, &done.sketches, &mut report, &calm)
        {
            return Err(error.hint(format!(
                "the new vectors are visible and were not looked at again: run `embedport verify {0}`, \
                 or go back with `embedport rollback {0}`",
                self.named()
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
            self.journal.give_up_backup(self.context.timestamp(), &self.folder)?;
            backup_bytes = None;
        }
        Ok(MigrationReport {
            migration: self.journal.migration.clone(),
            verification: report,
            index: done.index,
            records: done.sketches.len() as u64,
            zero_vectors: self.zero_vectors,
            with_texts: self.with_texts,
            re_embedded: None,
            swept,
            backup_bytes,
            seconds: self.watch.laps,
            plan: self.journal.plan,
        })
    }

    /// The committed result failed: restore what was.
    fn take_back(mut self, store: &mut dyn VectorStore, error: Error) -> Error {
        let Some(backup) = self.journal.backup.clone() else { return error };
        // Where this cannot be noted, neither can the end, which is told.
        let _ = self.journal.take_back(Some(self.context.timestamp()), &self.folder);
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
                "the new vectors did become visible; verify them with `embedport verify {0}`, or go back with \
                 `embedport rollback {0}`",
                self.named()
            )),
            Err(unknown) => error
                .hint(format!("whether the new vectors became visible could not be found out ({unknown})"))
                .hint("nothing was removed; the next run or `embedport rollback` brings the store into step"),
            Ok(false) => match recovery::sweep(store, &self.folder, &self.journal) {
                Ok(()) => error.hint("the collection is as it was"),
                Err(sweep) => error
                    .hint("the collection is as it was")
                    .hint(format!("remains could not be removed ({sweep}); the next run removes them")),
            },
        }
    }

    /// The arguments that name this migration.
    fn named(&self) -> String {
        let store = self.journal.plan.store.display().to_string();
        format!("--store {store:?} --migration {}", self.journal.migration)
    }

    fn reach(&mut self, state: State) -> Result<()> {
        let at = self.context.timestamp();
        self.journal.reach(state, at, &self.folder)
    }
}
