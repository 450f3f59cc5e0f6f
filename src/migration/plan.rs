//! What a migration will do, as a value: computed, printed, serialised, then consumed.
//!
//! The only constructor refuses everything that can be refused before a byte is written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::measure::{HeldOutReport, Retention, ScoreScale, SourceMatch};
use crate::platform::{files, holders};
use crate::projection::Projection;
use crate::registry::Resolved;
use crate::space::Space;
use crate::store::{BackupChoice, Collection, IndexChoice, VectorStore, find_collection};

use super::journal::{Journal, Recovery};
use super::recovery;
use super::reembed::PlannedTexts;
use super::source::{SourceKnowledge, match_source, source_space};

/// What the user asks for.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Name or id of the collection.
    pub collection: String,
    /// Namespace, where the name alone is not unique.
    pub namespace: Option<String>,
    /// Model that made the stored vectors, as the user says.
    pub source_model: Option<String>,
    /// Go on although the stored vectors do not look like the projection's source. The checks of
    /// the result still apply.
    pub accept_unrecognised_vectors: bool,
    /// Keep nothing for the way back after the commit.
    pub discard_backup: bool,
    /// What is to become of the neighbour graph.
    pub index: IndexChoice,
    /// What is saved for the way back.
    pub backup: BackupChoice,
}

/// The projection that will be applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedProjection {
    /// Name in the registry or of the file.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// How it was found.
    pub method: String,
    /// Pairs that it was fitted to.
    pub training_pairs: usize,
    /// Where their texts came from.
    pub texts: String,
    /// Whether the records' texts are used beside their vectors.
    #[serde(default)]
    pub with_texts: bool,
    /// How it did on held-out pairs.
    pub held_out: HeldOutReport,
    /// How similarity scores shift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoreScale>,
    /// What the collection that it was trained on is expected to keep, if it was trained on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Retention>,
}

/// The plan. See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MigrationPlan {
    /// Identifier; sorts by time.
    pub migration: String,
    /// Where the store lies.
    pub store: PathBuf,
    /// Kind of store.
    pub scheme: String,
    /// Release family of the store.
    pub release: String,
    /// The collection's own identifier.
    pub collection_id: String,
    /// Its name.
    pub collection: String,
    /// Its namespace.
    pub namespace: String,
    /// Its metric.
    pub metric: String,
    /// Live records.
    pub records: u64,
    /// Records that keep a text.
    pub texts: u64,
    /// Space of the stored vectors.
    pub source: Space,
    /// How that is known.
    pub source_known_by: SourceKnowledge,
    /// What the stored vectors look like beside the projection's source; `None` if the projection
    /// carries no held-out pairs.
    pub source_match: Option<SourceMatch>,
    /// Space of the vectors to come.
    pub target: Space,
    /// The map between them.
    pub projection: PlannedProjection,
    /// What is embedded anew, if texts are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re_embeds: Option<PlannedTexts>,
    /// Bytes of the collection's vectors and index now.
    pub bytes_now: u64,
    /// Bytes that the rewrite adds before anything is freed.
    pub bytes_needed: u64,
    /// Bytes free on that file system.
    pub bytes_free: u64,
    /// Whether the way back is kept.
    pub keeps_backup: bool,
    /// What is to become of the neighbour graph.
    pub index: IndexChoice,
    /// Whether the store has one.
    #[serde(default = "yes")]
    pub indexed: bool,
    /// What is saved for the way back.
    pub backup: BackupChoice,
    /// Changes beside the vectors, one line each.
    pub side_effects: Vec<String>,
    /// Expected duration in seconds: a rough guide, see [`expected_seconds`].
    pub expected_seconds: f64,
    /// Unfinished migrations whose remains will be removed first.
    pub sweeps: Vec<String>,
    /// What the user should know before saying yes.
    pub warnings: Vec<String>,
}

impl MigrationPlan {
    /// Computes the plan for `options.collection` of `store`. Changes nothing.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Mismatch`] (dimension, space, direction), [`Kind::Locked`],
    /// [`Kind::CannotWrite`] (no room), [`Kind::Refused`], [`Kind::Unsupported`].
    pub fn new(
        store: &dyn VectorStore,
        projection: &Resolved,
        options: &PlanOptions,
        context: &Context<'_>,
    ) -> Result<MigrationPlan> {
        projection.projection.check_maps_records()?;
        let description = store.describe()?;
        let collection = find_collection(&description, &options.collection, options.namespace.as_deref())?;
        refuse_unfit(collection, store)?;
        let map = &projection.projection;
        let (source, source_known_by) = source_space(collection, map, options.source_model.as_deref())?;
        refuse_done(collection, map)?;
        map.check_source(&source)?;
        store.check_target(collection, map.target())?;
        let held_by = store.holders()?;
        if !held_by.is_empty() {
            return Err(Error::new(
                Kind::Locked,
                format!("the store is held open by {}", held_by.join(", ")),
            )
            .hint(holders::HOW_TO_STOP)
            .hint(holders::SIGHT));
        }
        let with_texts = map.assisted.is_some() && collection.texts > 0;
        let mut warnings = map.header.report_for(with_texts).doubts();
        let source_match = match_source(
            store,
            collection,
            map,
            options.accept_unrecognised_vectors,
            &source_known_by,
            &mut warnings,
        )?;
        warnings.extend(holders::blind_spot(&description.path));
        let bytes_needed = store.rewrite_bytes(collection, map.target().dimension);
        let bytes_free = files::free_bytes(&description.path)?;
        expect_room("the rewrite needs", bytes_needed, bytes_free)?;
        let mut sweeps = Vec::new();
        for (_, journal) in Journal::load_all(&store.state_folder())? {
            if recovery::of(store, &journal)? == Recovery::Sweep {
                sweeps.push(journal.migration);
            }
        }
        if let Some(rounded) = &collection.rounded_to {
            warnings.push(format!("the new vectors are rounded to {rounded}, as the ones there are"));
        }
        if options.discard_backup {
            warnings.push("no backup is kept: there will be no way back".into());
        }
        if collection.texts < collection.count && !map.is_blank() {
            warnings.push(format!(
                "{} of {} records have no text: they can be projected{}, and not be re-embedded later",
                collection.count - collection.texts,
                collection.count,
                if with_texts { " by their vectors alone" } else { "" }
            ));
        }
        let header = &map.header;
        Ok(MigrationPlan {
            migration: new_identifier(context),
            store: description.path.clone(),
            scheme: description.scheme.to_owned(),
            release: description.release.clone(),
            collection_id: collection.id.clone(),
            collection: collection.name.clone(),
            namespace: collection.namespace.clone(),
            metric: collection.metric.name().to_owned(),
            records: collection.count,
            texts: collection.texts,
            source,
            source_known_by,
            source_match,
            target: map.target().clone(),
            projection: PlannedProjection {
                name: projection.name.clone(),
                sha256: projection.sha256.clone(),
                method: header.method.clone(),
                training_pairs: header.training_pairs,
                texts: header.texts.clone(),
                with_texts,
                held_out: header.report_for(with_texts).clone(),
                scores: header.scores.clone(),
                expected: header.expected_for(with_texts).cloned(),
            },
            re_embeds: None,
            bytes_now: collection.bytes,
            bytes_needed,
            bytes_free,
            keeps_backup: !options.discard_backup,
            index: options.index,
            indexed: store.capabilities().searches,
            backup: options.backup,
            side_effects: store.side_effects(collection, map.target(), options.backup),
            expected_seconds: expected_seconds(collection.count, map.target().dimension),
            sweeps,
            warnings,
        })
    }
}

/// Refuses what `who`, such as "the rewrite needs", has no room for.
pub(super) fn expect_room(who: &str, needed: u64, free: u64) -> Result<()> {
    if needed <= free {
        return Ok(());
    }
    let found = format!("{who} {needed} bytes beside the store, {free} bytes are free");
    Err(Error::new(Kind::CannotWrite, found)
        .hint("free some room on the file system of the store, then run the same command again"))
}

fn refuse_unfit(collection: &Collection, store: &dyn VectorStore) -> Result<()> {
    if let Some(reason) = &collection.unsupported {
        return Err(Error::new(
            Kind::Unsupported,
            format!("collection `{}` cannot be rewritten: {reason}", collection.name),
        )
        .hint("the store is untouched; `embedport inspect --store PATH` shows what was found"));
    }
    if collection.count == 0 {
        return Err(Error::new(Kind::Refused, format!("collection `{}` has no records", collection.name))
            .hint("nothing is to be migrated: change the embedding function and add records with the target model"));
    }
    if !store.capabilities().in_place {
        return Err(Error::new(Kind::Unsupported, "this kind of store cannot be rewritten in place"));
    }
    Ok(())
}

/// The same command a second time: says so, rather than that the direction is wrong.
fn refuse_done(collection: &Collection, map: &Projection) -> Result<()> {
    let (Some(space), Some(migration)) = (&collection.stamped, &collection.migration) else { return Ok(()) };
    let fits = |other: &Space| space.compare(other).is_compatible();
    if !fits(map.target()) || fits(map.source()) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Mismatch,
        format!(
            "collection `{}` holds vectors of {} already: migration {migration} is done",
            collection.name,
            map.target().model
        ),
    )
    .hint("`embedport verify` checks them again, `embedport rollback` goes back")
    .hint(format!("to go from {} elsewhere, train a projection in that direction", map.target().model)))
}

/// Journals of before the field was there are of stores with an index.
fn yes() -> bool {
    true
}

/// A rough guide: records x (fixed cost + cost per component), fitted to whole runs of 20,000
/// records at 256 to 768 dimensions on two cores (README, "Speed"). Disk and index dominate.
pub fn expected_seconds(records: u64, dimension: usize) -> f64 {
    const PER_RECORD: f64 = 30e-6;
    const PER_COMPONENT: f64 = 0.16e-6;
    records as f64 * (PER_RECORD + PER_COMPONENT * dimension as f64)
}

/// Time in milliseconds and eight random digits: sorts by time, unique.
fn new_identifier(context: &Context<'_>) -> String {
    let time = (context.now)().strftime("%Y%m%dT%H%M%S%3f");
    let random = context.new_uuid().simple().to_string();
    format!("{time}-{}", random.get(..8).unwrap_or_default())
}
