//! Texts embedded anew with the target model: all of a collection, or those that a projection serves worst.
//!
//! The rest keeps its vectors, where they are the target model's or a projection's into its space already, or is projected.
//! Otherwise it is a migration like any other: planned, verified before it is visible, with a way back.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use super::MigrationReport;
use super::crowded::{self, Asked};
use super::embedded::Key;
use super::execute::{changed_since, execute_locked, still_as_planned};
use super::gathered::{Gathered, Origin};
use super::made::Made;
use super::pass::Instead;
use super::plan::{MigrationPlan, PlanOptions, expect_room};
use super::recovery;
use super::sketch::hash_id;
use crate::context::Context;
use crate::embed::Embedder;
use crate::error::{Error, Kind, Result};
use crate::platform::{files, lock};
use crate::projection::Projection;
use crate::registry::Resolved;
use crate::space::Space;
use crate::store::{Batch, Collection, VectorStore, find_collection};

/// What the user asks for.
#[derive(Clone, Debug, Default)]
pub struct ReEmbedOptions {
    /// Collection, backup, index.
    pub plan: PlanOptions,
    /// Percent of the records, the most crowded first (see [`Rated`](crate::projection::Rated)); every one with a text if none is
    /// given.
    pub percent: Option<f64>,
}

/// What becomes of records whose text is not embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// There is none: every record has a text.
    None,
    /// Their vectors lie in the target space, and stay.
    Kept,
    /// They are projected.
    Projected,
}

/// What a plan says of texts that are embedded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedTexts {
    /// Records whose text is embedded.
    pub records: u64,
    /// Percent of the records, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// What becomes of the others.
    pub rest: Rest,
    /// Fingerprint of the model's space, which may say more than that of a projection.
    #[serde(default)]
    pub model_space: String,
}

/// The plan of a re-embedding, and the map for the rest.
#[derive(Debug)]
pub struct ReEmbedPlan {
    /// What will be done.
    pub plan: MigrationPlan,
    texts: PlannedTexts,
    /// Where no projection maps the rest.
    blank: Option<Resolved>,
    /// What tells how crowded a record lies, if that is asked.
    rater: Option<Projection>,
    /// What the collection's migration made, where vectors of the target space stay.
    made: Option<Made>,
    /// The migration that the collection holds.
    holds: Option<String>,
}

impl ReEmbedPlan {
    /// Computes it. `space`: of the target model; `projection`: for the rest, or to tell which records are worth most.
    ///
    /// # Errors
    /// Those of [`MigrationPlan::new`]; [`Kind::Refused`] if records without a text have no vector to get;
    /// [`Kind::Mismatch`] if the projection leads elsewhere.
    pub fn new(
        store: &dyn VectorStore,
        space: &Space,
        projection: Option<&Resolved>,
        options: &ReEmbedOptions,
        context: &Context<'_>,
    ) -> Result<ReEmbedPlan> {
        let description = store.describe()?;
        let collection =
            find_collection(&description, &options.plan.collection, options.plan.namespace.as_deref())?;
        let agreement = projection.map(|p| p.projection.target().compare(space));
        if let Some(agreement) = agreement.filter(|agreement| !agreement.is_compatible()) {
            let contradictions = agreement.contradictions();
            let found = format!("the projection does not lead to {space}: its {contradictions}");
            return Err(Error::new(Kind::Mismatch, found)
                .hint("give the projection to this model's space, or none if every record has a text"));
        }
        let is_there = collection.stamped.as_ref().is_some_and(|held| held.compare(space).is_compatible());
        let rest = match (is_there, projection) {
            (true, _) => Rest::Kept,
            (false, Some(_)) => Rest::Projected,
            (false, None) => Rest::None,
        };
        let made = if is_there { Made::read(store, collection)? } else { None };
        let left = match &made {
            Some(made) => made.left((store, collection), options.percent.is_some(), context)?,
            None => collection.texts,
        };
        let records = wanted(collection, options.percent, rest, left)?;
        let texts =
            PlannedTexts { records, percent: options.percent, rest, model_space: space.fingerprint() };
        let blank = match (rest, collection.dimension) {
            (Rest::Projected, _) | (_, None) => None,
            (_, Some(dimension)) => {
                let declared = options.plan.source_model.as_deref();
                Some(blank((collection, dimension), declared, space, context)?)
            }
        };
        let map = blank.as_ref().or(projection).ok_or_else(|| {
            Error::new(Kind::Refused, format!("collection `{}` has no records", collection.name))
        })?;
        let rater = match (options.percent, rest) {
            (Some(_), Rest::Kept) if projection.is_none() => Some(crowded::rater(store, collection, space)?),
            _ => None,
        };
        if let (Some(_), Some(rater)) =
            (options.percent, rater.as_ref().or(projection.map(|p| &p.projection)))
        {
            rater.can_rate()?;
        }
        let mut plan = MigrationPlan::new(store, map, &options.plan, context)?;
        // The vectors lie in a file of their own until the collection holds them.
        plan.bytes_needed += records.saturating_mul(24 + 4 * space.dimension as u64);
        expect_room("texts and vectors need", plan.bytes_needed, plan.bytes_free)?;
        if rest == Rest::Kept && collection.texts < collection.count {
            plan.warnings.push(format!(
                "{} of {} records have no text: they keep the vectors that they have",
                collection.count - collection.texts,
                collection.count
            ));
        }
        plan.re_embeds = Some(texts.clone());
        let holds = collection.migration.clone();
        Ok(ReEmbedPlan { plan, texts, blank, rater, made, holds })
    }

    /// The records to be embedded, by the hash of their id; none if it is all that have no vector of the model's own.
    fn choose(
        &self,
        store: &dyn VectorStore,
        collection: &Collection,
        projection: Option<&Resolved>,
        context: &Context<'_>,
    ) -> Result<Option<HashSet<u64>>> {
        let given = projection.map(|p| &p.projection);
        let (Some(_), Some(rater)) = (self.texts.percent, self.rater.as_ref().or(given)) else {
            return Ok(None);
        };
        let asked = Asked {
            rater,
            is_projected: self.texts.rest != Rest::Projected,
            made: self.made.as_ref(),
            most: self.texts.records,
        };
        asked.most_crowded(store, collection, context).map(Some)
    }
}

/// Carries out `planned`. What was embedded is kept beside the backups until the collection holds it: a run that is stopped goes
/// on where it was.
///
/// # Errors
/// Those of [`execute`](super::execute) and of the model; [`Kind::Refused`] if texts changed while they were embedded.
pub fn re_embed(
    planned: ReEmbedPlan,
    store: &mut dyn VectorStore,
    projection: Option<&Resolved>,
    model: &dyn Embedder,
    context: &Context<'_>,
) -> Result<MigrationReport> {
    let state_folder = store.state_folder();
    files::create_folder(&state_folder)?;
    let _lock = lock::acquire(&state_folder.join("lock"), "re-embed")?;
    let swept = recovery::run(store, context)?;
    let collection = store.collection(&planned.plan.collection_id, Some(planned.plan.texts))?;
    // Made while nobody was kept out; to embed in vain takes long.
    still_as_planned(&planned.plan, &collection)?;
    if collection.migration != planned.holds {
        return Err(changed_since(&planned.plan));
    }
    let content = store.content_digest(&collection)?;
    let chosen = planned.choose(store, &collection, projection, context)?;
    let made = planned.made.as_ref();
    let wants = |id: &str, _: ArrayView1<'_, f32>, text: Option<Key>| match (&chosen, text, made) {
        (Some(chosen), _, _) => chosen.contains(&hash_id(id)),
        (None, Some(text), Some(made)) => !made.is_own(hash_id(id), text),
        (None, _, _) => true,
    };
    let needs_all = (planned.texts.rest == Rest::None)
        .then_some("give them texts that it can, or a --projection that maps their vectors");
    let origin = Origin { store, collection: &collection, model, needs_all };
    let gathered = Gathered::of(origin, &wants, context)?;
    if gathered.len() == 0 {
        gathered.remove();
        return Err(nothing_left(&planned.plan.collection));
    }
    let mut own: HashMap<u64, Key> = made.iter().flat_map(|made| made.own()).collect();
    own.extend(gathered.keys());
    let rest = planned.texts.rest;
    let put = |batch: &Batch, vectors: &mut Array2<f32>| {
        for ((id, now), mut row) in batch.ids.iter().zip(batch.vectors.rows()).zip(vectors.rows_mut()) {
            match (gathered.put(id, row.view_mut())?, rest) {
                (true, _) | (false, Rest::Projected) => {}
                (false, Rest::Kept) => row.assign(&now),
                (false, Rest::None) => {
                    let found = format!("record `{}` has no text to embed", id.escape_default());
                    return Err(Error::new(Kind::Refused, found)
                        .hint("give it a text, or a --projection that maps its vector"));
                }
            }
        }
        Ok(())
    };
    let note = |folder: &Path| Made::note(folder, &own);
    let instead = Instead { put: &put, content: Some(&content), note: &note };
    let map = planned.blank.as_ref().or(projection);
    let map = map.ok_or_else(|| Error::new(Kind::Internal, "nothing maps the rest of the records"))?;
    let mut report = execute_locked(planned.plan, store, &map.projection, instead, Some(model), context)?;
    report.re_embedded = Some(gathered.len());
    report.swept.extend(swept);
    gathered.remove();
    Ok(report)
}

fn nothing_left(collection: &str) -> Error {
    let found = format!("every text of collection `{collection}` is embedded with that model already");
    Error::new(Kind::Mismatch, found).hint("`embedport verify` checks the vectors again")
}

/// How many records are to be embedded, of `left` that are not yet.
fn wanted(collection: &Collection, percent: Option<f64>, rest: Rest, left: u64) -> Result<u64> {
    let (count, texts, name) = (collection.count, collection.texts, &collection.name);
    if texts == 0 {
        return Err(Error::new(
            Kind::Refused,
            format!("no record of collection `{name}` has a text to embed"),
        )
        .hint("project the vectors: `embedport migrate-collection`"));
    }
    if left == 0 {
        return Err(nothing_left(name));
    }
    let texts = left;
    match (rest, percent) {
        (Rest::None, Some(_)) => Err(Error::new(
            Kind::Usage,
            format!("the vectors of collection `{name}` are not known to be the model's: what is not embedded has to be projected"),
        )
        .hint("give --projection, or leave --percent out to embed every text")),
        (Rest::None, None) if texts < count => Err(Error::new(
            Kind::Refused,
            format!("{} of {count} records of collection `{name}` have no text to embed", count - texts),
        )
        .hint("give --projection: they are projected then")),
        (_, None) => Ok(texts),
        (_, Some(percent)) => Ok(((count as f64 * percent / 100.0).ceil() as u64).clamp(1, texts)),
    }
}

fn blank(
    (collection, dimension): (&Collection, usize),
    declared: Option<&str>,
    target: &Space,
    context: &Context<'_>,
) -> Result<Resolved> {
    let model = declared.or(collection.recorded_model()).unwrap_or(Space::UNKNOWN);
    let source = collection.stamped.clone().unwrap_or_else(|| Space::named(model, dimension));
    Projection::blank(source, target.clone(), context).map(Resolved::unregistered)
}
