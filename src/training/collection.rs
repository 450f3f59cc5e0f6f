//! A collection's own texts and vectors as the source side.

use ndarray::Array2;

use super::{Declared, Side, TrainOptions, words};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::projection::fit::MOST_REST;
use crate::sampling::{Reservoir, rank, stratified};
use crate::space::{Agreement, Space, same_model};
use crate::store::{Collection, VectorStore};
use crate::texts::Vocabulary;

const BATCH: usize = 1000;

/// Texts among which the clusters choose, at least and for each text that is wanted.
const FEWEST_CANDIDATES: usize = 20_000;
const CANDIDATES_PER_SAMPLE: usize = 4;

/// Rows of length 1 up to this are called normalised: half precision and sums of many squares stay below it.
const LENGTH_TOLERANCE: f64 = 1e-2;

/// Texts with their stored vectors, lowest rank first.
#[derive(Default)]
pub(super) struct Sample {
    pub ids: Vec<String>,
    pub texts: Vec<String>,
    pub vectors: Array2<f32>,
    /// The words of the texts among which these were chosen.
    pub vocabulary: Vocabulary,
    /// The records of the collection that have a vector, and other ones of them, drawn at random: vectors and texts.
    pub records: u64,
    pub others: (Array2<f32>, Vec<String>),
    /// Whether every vector that was looked at has length 1.
    pub normalised: bool,
    pub notes: Vec<String>,
}

/// Whether a vector with this sum of squares has length 1.
pub(super) fn is_unit(squares: f64) -> bool {
    (squares.sqrt() - 1.0).abs() <= LENGTH_TOLERANCE
}

struct Candidate {
    id: String,
    text: String,
    vector: Vec<f32>,
}

/// What the stored vectors are, as far as stamp, configuration and user say.
///
/// # Errors
/// [`Kind::Mismatch`] if they contradict each other; [`Kind::Usage`] if nobody names a model.
pub(super) fn declared_space(collection: &Collection, declared: &Declared<'_>) -> Result<Space> {
    let Some(dimension) = collection.dimension.filter(|_| collection.count > 0) else {
        return Err(Error::new(Kind::Refused, format!("collection `{}` is empty", collection.name))
            .hint("`embedport train --texts FILE` learns from texts of your own, without --texts from the bundled passages"));
    };
    let said = declared.model.map(|m| m.space().clone()).or_else(|| {
        let mut space = declared.space.clone()?;
        if space.dimension == 0 {
            space.dimension = dimension;
        }
        Some(space)
    });
    if let Some(said) = said.as_ref().filter(|s| s.dimension != dimension) {
        return Err(Error::new(
            Kind::Mismatch,
            format!(
                "collection `{}` holds vectors of {dimension} components, `{}` makes {}",
                collection.name, said.model, said.dimension
            ),
        )
        .hint("name the model that made the stored vectors as --source-model"));
    }
    match (&collection.stamped, &collection.configured_model, said) {
        (Some(stamped), _, None) => Ok(stamped.clone()),
        (Some(stamped), _, Some(said)) => match said.compare(stamped) {
            Agreement::Different(fields) => {
                let fields: Vec<&str> = fields.iter().map(|f| f.field).collect();
                Err(Error::new(
                    Kind::Mismatch,
                    format!(
                        "collection `{}` is stamped with {stamped}, {said} was declared: they differ in {}",
                        collection.name,
                        fields.join(", ")
                    ),
                )
                .hint(format!("leave --source-model out, or give {}", stamped.model)))
            }
            _ => Ok(stamped.clone()),
        },
        (None, Some(configured), Some(said)) if !same_model(configured, &said.model) => Err(Error::new(
            Kind::Mismatch,
            format!(
                "collection `{}` is configured for `{configured}`, `{}` was declared as its source model",
                collection.name, said.model
            ),
        )
        .hint(format!("give --source-model {configured}, or correct the collection's embedding function"))),
        (None, _, Some(said)) => Ok(said),
        (None, Some(configured), None) => Ok(Space::named(configured, dimension)),
        (None, None, None) => Err(Error::new(
            Kind::Usage,
            format!("nothing says which model made the vectors of collection `{}`", collection.name),
        )
        .hint("name it with --source-model; it need not exist any more")),
    }
}

/// The space of the model that was found to have made the vectors, with what only the declaration knows.
pub(super) fn with_revision_of(model: &Space, known: &Space) -> Space {
    let mut space = model.clone();
    space.revision = space.revision.or_else(|| known.revision.clone());
    space
}

/// Reads the whole collection and keeps at most `n` distinct texts, spread over its clusters, in bounded memory.
///
/// # Errors
/// [`Kind::Refused`] if no record keeps its text; [`Kind::Damaged`] on a stored vector that is not finite.
pub(super) fn sample(
    store: &dyn VectorStore,
    collection: &Collection,
    options: &TrainOptions,
    target: &Side<'_>,
    context: &Context<'_>,
) -> Result<Sample> {
    let n = options.samples;
    let without_texts = || {
        Error::new(
            Kind::Refused,
            format!(
                "none of the {} records of collection `{}` keeps its text",
                collection.count, collection.name
            ),
        )
        .hint("`embedport train --texts FILE` takes the texts, or texts like them; the source model has to be run then")
    };
    if collection.texts == 0 {
        return Err(without_texts());
    }
    let most = n.saturating_mul(CANDIDATES_PER_SAMPLE).max(FEWEST_CANDIDATES);
    let mut reservoir: Reservoir<Candidate> = Reservoir::new(most);
    let (mut records, mut textless, mut zero, mut normalised) = (0u64, 0u64, 0u64, true);
    let mut reader = store.records(collection, true)?;
    context.progress.start("reading texts and vectors", Some(collection.count), "records");
    while let Some(batch) = reader.next_batch(BATCH)? {
        context.check()?;
        records += batch.ids.len() as u64;
        let rows = batch.vectors.rows().into_iter();
        for ((id, text), row) in batch.ids.iter().zip(batch.texts).zip(rows) {
            let Some(text) = text.filter(|t| !t.trim().is_empty()) else {
                textless += 1;
                continue;
            };
            let squares: f64 = row.iter().map(|v| f64::from(*v).powi(2)).sum();
            if !squares.is_finite() {
                return Err(Error::new(
                    Kind::Damaged,
                    format!("the vector of record `{id}` holds a value that is not finite"),
                )
                .hint("delete the record or write its vector again"));
            }
            if squares == 0.0 {
                zero += 1;
                continue;
            }
            normalised &= is_unit(squares);
            if options.leave_out.contains(id) {
                continue;
            }
            let rank = rank(context.seed, &text);
            if reservoir.wants(&rank) && target.has(id) {
                reservoir.put(rank, Candidate { id: id.clone(), text, vector: row.to_vec() });
            }
        }
        context.progress.advance(batch.ids.len() as u64);
    }
    context.progress.finish();
    if records > 0 && textless == records {
        return Err(without_texts());
    }
    let mut notes = Vec::new();
    if textless > 0 {
        notes.push(format!("{textless} of {records} records keep no text and were not drawn"));
    }
    if zero > 0 {
        notes.push(format!("{zero} records have a vector of zeros and were not drawn"));
    }
    let candidates = reservoir.into_items();
    let vocabulary = match words::wanted(options) {
        0 => Vocabulary::default(),
        most => Vocabulary::count(candidates.iter().map(|c| c.text.as_str()), most),
    };
    let sample = choose(candidates, n, context.seed)?;
    Ok(Sample { vocabulary, records: records.saturating_sub(zero), normalised, notes, ..sample })
}

fn choose(candidates: Vec<Candidate>, n: usize, seed: u64) -> Result<Sample> {
    let dimension = candidates.first().map_or(0, |c| c.vector.len());
    let flat: Vec<f32> = candidates.iter().flat_map(|c| c.vector.iter().copied()).collect();
    let all = Array2::from_shape_vec((candidates.len(), dimension), flat).map_err(|e| {
        Error::new(Kind::Damaged, "the vectors of the collection differ in dimension").because(e)
    })?;
    let chosen = stratified(all.view(), n, seed)?;
    let vectors = all.select(ndarray::Axis(0), &chosen);
    let mut sample = Sample { vectors, ..Sample::default() };
    let (mut wanted, mut others, mut texts) = (chosen.into_iter().peekable(), Vec::new(), Vec::new());
    for (row, candidate) in candidates.into_iter().enumerate() {
        if wanted.next_if_eq(&row).is_some() {
            sample.ids.push(candidate.id);
            sample.texts.push(candidate.text);
        } else if others.len() < MOST_REST {
            others.push(row);
            texts.push(candidate.text);
        }
    }
    sample.others = (all.select(ndarray::Axis(0), &others), texts);
    Ok(sample)
}
