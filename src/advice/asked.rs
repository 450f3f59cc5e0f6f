//! The user's own queries, asked of every way that can be made now: the collection as it is, projected, re-embedded.
//!
//! Asked are the judged records of the collection and the held-out pairs: nothing that the projection was fitted to, and far
//! fewer than the collection has. So every way does better here than it will, and what counts is how they compare.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use serde::Serialize;

use super::Way;
use crate::context::Context;
use crate::embed::{self, Embedder, Role};
use crate::error::{Error, Kind, Result};
use crate::measure::Estimate;
use crate::measure::nearest::{Metric, nearest};
use crate::measure::ranking::{Relevant, ndcg};
use crate::projection::Projection;
use crate::store::{Collection, VectorStore};
use crate::texts::{self, Judgements};
use crate::training::{Request, TextOrigin};
use crate::{identification, random, store};

/// Length at which rankings are cut.
const K: usize = 10;
/// Queries that are asked, and judged records that are looked at, at most; drawn at random where there are more.
const MOST_QUERIES: usize = 1000;
const MOST_RECORDS: usize = 2000;
/// Records read at a time.
const BATCH: usize = 1000;

/// Where queries and judgements are, as `evaluate` takes them.
#[derive(Clone, Debug)]
pub struct Questions {
    /// Texts with ids, see [`texts::read`].
    pub queries: PathBuf,
    /// See [`Judgements::read`].
    pub judgements: PathBuf,
}

/// How one way answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The way.
    pub way: Way,
    /// Mean nDCG@10.
    pub ndcg: Estimate,
    /// Share of the nDCG@10 of re-embedding.
    pub kept: Estimate,
    /// What re-embedding gives more, paired.
    pub lacking: Estimate,
}

/// What the user's queries found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// Queries.
    pub queries: usize,
    /// Records that were asked.
    pub records: usize,
    /// Judged ones among them.
    pub judged: usize,
    /// Leave alone (if the source model runs here), project, re-embed.
    pub answers: Vec<Answer>,
}

/// Queries that are asked, with what is relevant to each.
pub(super) struct Chosen {
    texts: Vec<String>,
    relevant: Vec<BTreeMap<String, u32>>,
    /// Records that were judged relevant: no projection that is asked about may be fitted to them.
    pub records: BTreeSet<String>,
}

impl Chosen {
    /// Reads them; draws some where there are many.
    pub fn read(questions: &Questions, context: &Context<'_>) -> Result<Self> {
        let judgements = Judgements::read(&questions.judgements)?;
        let set = texts::read(&questions.queries, None)?;
        let mut chosen = Chosen { texts: Vec::new(), relevant: Vec::new(), records: BTreeSet::new() };
        for row in random::shuffled(set.len(), context.seed ^ 0x6173_6b65) {
            let (Some(id), Some(text)) = (set.ids.get(row), set.texts.get(row)) else { continue };
            let relevant: BTreeMap<String, u32> =
                judgements.relevant(id).map(|(record, grade)| (record.to_owned(), grade)).collect();
            let new = relevant.keys().filter(|record| !chosen.records.contains(*record)).count();
            if relevant.is_empty() || chosen.records.len() + new > MOST_RECORDS {
                continue;
            }
            chosen.records.extend(relevant.keys().cloned());
            chosen.relevant.push(relevant);
            chosen.texts.push(text.clone());
            if chosen.texts.len() == MOST_QUERIES {
                break;
            }
        }
        match chosen.texts.is_empty() {
            false => Ok(chosen),
            true => Err(Error::new(
                Kind::Mismatch,
                format!("none of the {} queries has a relevant record in the judgements", set.len()),
            )
            .hint("queries and judgements must name queries by the same ids")),
        }
    }

    /// Asks. The target model has to run here.
    pub fn ask(
        &self,
        projection: &Projection,
        (store, collection): (&dyn VectorStore, &Collection),
        target: &dyn Embedder,
        source: Option<&dyn Embedder>,
        context: &Context<'_>,
    ) -> Result<Option<Asked>> {
        let Some(held) = &projection.held_out else { return Ok(None) };
        let judged = Judged::read(&self.records, store, collection, context)?;
        if judged.ids.is_empty() {
            return Err(Error::new(
                Kind::Mismatch,
                format!("the collection `{}` has none of the judged records with a text", collection.name),
            )
            .hint("judgements must name records by the ids of the collection"));
        }
        let texts: Vec<&str> = judged.texts.iter().map(String::as_str).collect();
        let queries: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        let native = both(target.embed(&texts, Role::Document, context)?.view(), held.target.view())?;
        let codes: Vec<Vec<u16>> = match &projection.assisted {
            Some(assisted) => texts.iter().map(|text| assisted.words().codes(text)).collect(),
            None => vec![Vec::new(); texts.len()],
        };
        let codes: Vec<&[u16]> = codes.iter().map(Vec::as_slice).collect();
        let made = projection.apply_to_texts(judged.vectors.view(), &codes)?;
        let held_made = match projection.apply_with_texts(held)? {
            Some(made) => made,
            None => projection.apply(held.source.view())?,
        };
        let projected = both(made.view(), held_made.view())?;
        let alone = both(judged.vectors.view(), held.source.view())?;
        let asked = target.embed(&queries, Role::Query, context)?;
        let relevant = self.rows_of(&judged.ids);
        let best = scores(&asked, &native, &relevant)?;
        let mut ways = vec![(Way::Project, scores(&asked, &projected, &relevant)?)];
        if let Some(source) = source.filter(|source| source.space().dimension == alone.ncols()) {
            let asked = source.embed(&queries, Role::Query, context)?;
            ways.insert(0, (Way::LeaveAlone, scores(&asked, &alone, &relevant)?));
        }
        ways.push((Way::Reembed, best.clone()));
        Ok(Some(Asked {
            queries: queries.len(),
            records: native.nrows(),
            judged: judged.ids.len(),
            answers: ways
                .into_iter()
                .map(|(way, found)| Answer {
                    way,
                    ndcg: Estimate::mean(&found, context.seed),
                    kept: Estimate::ratio(&found, &best, context.seed),
                    lacking: Estimate::difference(&best, &found, context.seed),
                })
                .collect(),
        }))
    }

    /// What is relevant to each query, by rows of these records.
    fn rows_of(&self, ids: &[String]) -> Vec<Relevant> {
        let rows: BTreeMap<&str, usize> =
            ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
        let of = |wanted: &BTreeMap<String, u32>| {
            let mut relevant = Relevant::default();
            for (id, grade) in wanted {
                match rows.get(id.as_str()) {
                    Some(row) => drop(relevant.grades.insert(*row, *grade)),
                    None => relevant.absent.push(*grade),
                }
            }
            relevant
        };
        self.relevant.iter().map(of).collect()
    }
}

fn both(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
    concatenate(Axis(0), &[a.view(), b.view()])
        .map_err(|e| Error::new(Kind::Mismatch, "records and pairs differ in dimension").because(e))
}

/// nDCG@10 of each query.
fn scores(queries: &Array2<f32>, corpus: &Array2<f32>, relevant: &[Relevant]) -> Result<Vec<f64>> {
    let found = nearest(queries.view(), corpus.view(), K, Metric::Cosine, false)?;
    let of = |(hits, relevant): (&Vec<crate::measure::nearest::Neighbour>, &Relevant)| {
        let rows: Vec<usize> = hits.iter().map(|hit| hit.row).collect();
        ndcg(&rows, relevant, K)
    };
    Ok(found.iter().zip(relevant).map(of).collect())
}

/// Asks `chosen` of what a training run made of the collection that `request` names; none with the reason in words, where no
/// model that embeds queries runs here.
pub(super) fn ask(
    chosen: &Chosen,
    request: &Request,
    projection: &Projection,
    context: &Context<'_>,
) -> Result<std::result::Result<Asked, String>> {
    let TextOrigin::Collection { store, collection, namespace } = &request.texts else {
        return Ok(Err("queries are asked of collections only".into()));
    };
    let provider = request.target_provider.as_deref();
    if provider.unwrap_or_else(|| embed::provider_of(&request.target_model)) == "precomputed" {
        return Ok(Err("the queries were not asked: finished vectors cannot embed them".into()));
    }
    let target = embed::open(&request.target_model, provider, &request.models, context)?;
    let store = store::open(store)?;
    let description = store.describe()?;
    let collection = store::find_collection(&description, collection, namespace.as_deref())?;
    let source = source(request, collection, context)?;
    let place = (store.as_ref(), collection);
    let asked = chosen.ask(projection, place, target.as_ref(), source.as_deref(), context)?;
    Ok(asked.ok_or_else(|| "the queries were not asked: no pairs were held out".into()))
}

/// The model that made the stored vectors, if it lies here and can be run.
fn source(
    request: &Request,
    collection: &Collection,
    context: &Context<'_>,
) -> Result<Option<Box<dyn Embedder>>> {
    let recorded = || identification::recorded(collection).map(|named| named.spec);
    let Some(spec) = request.source_model.clone().or_else(recorded) else { return Ok(None) };
    if !matches!(
        embed::find_local(&spec, &request.models),
        Some(embed::Local::Bundled | embed::Local::Folder(_))
    ) {
        return Ok(None);
    }
    match embed::open(&spec, request.source_provider.as_deref(), &request.models, context) {
        Ok(model) => Ok(Some(model)),
        Err(error) if error.kind() == Kind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// Judged records of a collection.
struct Judged {
    ids: Vec<String>,
    texts: Vec<String>,
    vectors: Array2<f32>,
}

impl Judged {
    /// Those of `wanted` that the collection has with a text.
    fn read(
        wanted: &BTreeSet<String>,
        store: &dyn VectorStore,
        collection: &Collection,
        context: &Context<'_>,
    ) -> Result<Self> {
        let (mut ids, mut texts, mut flat) = (Vec::new(), Vec::new(), Vec::new());
        let mut reader = store.records(collection, true)?;
        while let Some(batch) = reader.next_batch(BATCH)? {
            context.check()?;
            let rows = batch.vectors.rows().into_iter();
            for ((id, text), row) in batch.ids.into_iter().zip(batch.texts).zip(rows) {
                if let Some(text) = text.filter(|text| wanted.contains(&id) && !text.trim().is_empty()) {
                    ids.push(id);
                    texts.push(text);
                    flat.extend(row.iter().copied());
                }
            }
        }
        let shape = (ids.len(), collection.dimension.unwrap_or(0));
        let vectors = Array2::from_shape_vec(shape, flat)
            .map_err(|e| Error::new(Kind::Damaged, "stored vectors differ in dimension").because(e))?;
        Ok(Judged { ids, texts, vectors })
    }
}
