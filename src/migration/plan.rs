//! What a migration will do, as a value: computed, printed, serialised, then consumed.
//!
//! The only constructor refuses everything that can be refused before a byte is written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::measure::{FEWEST_ROWS, HeldOutReport, SourceMatch, Verdict, match_space};
use crate::platform::files;
use crate::projection::Projection;
use crate::registry::Resolved;
use crate::space::{Space, same_model};
use crate::store::{Collection, VectorStore, find_collection};

use super::journal::{Journal, Recovery};
use super::recovery;

/// Vectors looked at to tell whether the collection holds what the projection maps from.
const SAMPLE: usize = 1000;

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
}

/// How well is known that the stored vectors lie in the projection's source space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKnowledge {
    /// embedport stamped the space.
    Stamped,
    /// The store's configuration names the model.
    Configured,
    /// The user names the model.
    Declared,
    /// Nobody says; judged by the vectors alone.
    Unrecorded,
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
    /// How it did on held-out pairs.
    pub held_out: HeldOutReport,
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
    /// Bytes of the collection's vectors and index now.
    pub bytes_now: u64,
    /// Bytes that the rewrite adds before anything is freed.
    pub bytes_needed: u64,
    /// Bytes free on that file system.
    pub bytes_free: u64,
    /// Whether the way back is kept.
    pub keeps_backup: bool,
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
        let description = store.describe()?;
        let collection = find_collection(&description, &options.collection, options.namespace.as_deref())?;
        refuse_unfit(collection, store)?;
        let map = &projection.projection;
        let (source, source_known_by) = source_space(collection, map, options)?;
        map.check_source(&source)?;
        let holders = store.holders()?;
        if !holders.is_empty() {
            return Err(Error::new(
                Kind::Locked,
                format!("the store is held open by {}", holders.join(", ")),
            )
            .hint(
                "stop these programs (for Chroma also `chroma run` servers), then run the same command again",
            ));
        }
        let mut warnings = map.header.report.doubts();
        let source_match = match_source(store, collection, map, options, &source_known_by, &mut warnings)?;
        let bytes_needed = store.rewrite_bytes(collection, map.target().dimension);
        let bytes_free = files::free_bytes(&description.path)?;
        if bytes_free < bytes_needed {
            return Err(Error::new(
                Kind::CannotWrite,
                format!(
                    "the rewrite needs {bytes_needed} bytes beside the store, {bytes_free} bytes are free"
                ),
            )
            .hint("free some room on the file system of the store, then run the same command again"));
        }
        let mut sweeps = Vec::new();
        for (_, journal) in Journal::load_all(&store.state_folder())? {
            if recovery::of(store, &journal)? == Recovery::Sweep {
                sweeps.push(journal.migration);
            }
        }
        if options.discard_backup {
            warnings.push("no backup is kept: there will be no way back".into());
        }
        if collection.texts < collection.count {
            warnings.push(format!(
                "{} of {} records have no text: they can be projected, and not be re-embedded later",
                collection.count - collection.texts,
                collection.count
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
                held_out: header.report.clone(),
            },
            bytes_now: collection.bytes,
            bytes_needed,
            bytes_free,
            keeps_backup: !options.discard_backup,
            side_effects: store.side_effects(collection, map.target()),
            expected_seconds: expected_seconds(collection.count, map.target().dimension),
            sweeps,
            warnings,
        })
    }
}

fn refuse_unfit(collection: &Collection, store: &dyn VectorStore) -> Result<()> {
    if let Some(reason) = &collection.unsupported {
        return Err(Error::new(
            Kind::Unsupported,
            format!("collection `{}` cannot be rewritten: {reason}", collection.name),
        )
        .hint("the store is untouched; `embedport inspect` shows what was found"));
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

/// The space of the stored vectors: by stamp, by configuration, by the user's word, or unrecorded.
fn source_space(
    collection: &Collection,
    map: &Projection,
    options: &PlanOptions,
) -> Result<(Space, SourceKnowledge)> {
    let dimension = collection.dimension.unwrap_or(0);
    if let (Some(declared), Some(recorded)) = (&options.source_model, collection.recorded_model())
        && !same_model(declared, recorded)
    {
        return Err(Error::new(
            Kind::Mismatch,
            format!("the collection records `{recorded}` as its model, `{declared}` was declared"),
        )
        .hint("leave --source-model out to use what the collection records"));
    }
    if let Some(space) = &collection.stamped {
        return Ok((space.clone(), SourceKnowledge::Stamped));
    }
    if let Some(model) = &options.source_model {
        return Ok((Space::named(model, dimension), SourceKnowledge::Declared));
    }
    if let Some(model) = &collection.configured_model {
        return Ok((Space::named(model, dimension), SourceKnowledge::Configured));
    }
    Ok((Space { dimension, ..map.source().clone() }, SourceKnowledge::Unrecorded))
}

/// Compares a sample of the stored vectors with the source rows that the projection carries.
fn match_source(
    store: &dyn VectorStore,
    collection: &Collection,
    map: &Projection,
    options: &PlanOptions,
    known_by: &SourceKnowledge,
    warnings: &mut Vec<String>,
) -> Result<Option<SourceMatch>> {
    let Some(held_out) = &map.held_out else {
        if *known_by == SourceKnowledge::Unrecorded {
            warnings.push(
                "the collection does not record its model and the projection carries no held-out pairs: \
                 nothing shows that these vectors are its source"
                    .into(),
            );
        }
        return Ok(None);
    };
    let Some(sample) = store.records(collection, false)?.next_batch(SAMPLE)? else { return Ok(None) };
    let found = match_space(sample.vectors.view(), held_out.source.view())?;
    let recorded = *known_by != SourceKnowledge::Unrecorded;
    if sample.vectors.nrows() < FEWEST_ROWS {
        if !recorded {
            warnings.push(format!(
                "the collection does not record its model, and {} vectors are too few to tell",
                sample.vectors.nrows()
            ));
        }
        return Ok(Some(found));
    }
    match found.verdict {
        Verdict::Fits if recorded => {}
        Verdict::Fits => warnings.push(format!(
            "the collection does not record its model; its vectors look like {} (name it with --source-model)",
            map.source().model
        )),
        Verdict::Doubtful if recorded => warnings.push(format!(
            "the stored vectors look only partly like {}: another prompt, pooling or subject",
            map.source().model
        )),
        Verdict::Doubtful | Verdict::DoesNotFit if options.accept_unrecognised_vectors => warnings.push(format!(
            "the stored vectors do not look like {}; going on because --accept-unrecognised-vectors says so",
            map.source().model
        )),
        Verdict::Doubtful | Verdict::DoesNotFit => {
            return Err(Error::new(
                Kind::Mismatch,
                format!(
                    "the stored vectors do not look like the projection's source {}: {}",
                    map.source(),
                    in_words(&found)
                ),
            )
            .hint("check which model made them; a projection trained `--from` this collection always fits")
            .hint("if you are certain, pass --accept-unrecognised-vectors: the result is still checked before it becomes visible"));
        }
    }
    Ok(Some(found))
}

fn in_words(found: &SourceMatch) -> String {
    let number = |v: Option<f64>| v.map_or_else(|| "undefined".into(), |v| format!("{v:.2}"));
    format!(
        "cosine of the means {}, ratio of their lengths {}, energy in the source's main directions {}",
        number(found.mean_cosine),
        number(found.norm_ratio),
        number(found.energy_ratio)
    )
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
