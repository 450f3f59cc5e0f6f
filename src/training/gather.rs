//! From texts or vectors to pairs.

use ndarray::{Array2, Axis};

use super::collection::{self, Sample};
use super::recheck::{self, Recheck};
use super::rows::rows_of;
use super::{
    Basis, Clock, Declared, FEWEST_PAIRS, GENERIC_TEXTS_NOTE, Side, Source, TrainOptions, differ, words,
};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::projection::{Pairs, Role, text_key};
use crate::sampling::{Reservoir, rank};
use crate::space::Space;
use crate::store::{Collection, VectorStore};
use crate::texts::{TextSet, Vocabulary};

const SOURCE: &str = "embedding with the source model";
const TARGET: &str = "embedding with the target model";

/// Pairs, what their source side means, and where they came from.
pub(super) struct Gathered {
    pub pairs: Pairs,
    pub source: Space,
    pub origin: String,
    pub recheck: Option<Recheck>,
    pub others: Option<Others>,
    pub basis: Basis,
    pub notes: Vec<String>,
}

/// Records of the collection that are not among the pairs, drawn at random.
pub(super) struct Others {
    /// All records of the collection.
    pub records: u64,
    pub vectors: Array2<f32>,
    /// What the words of their texts say, if the pairs know.
    pub words: Option<Array2<f32>>,
}

pub(super) fn gather(
    source: Source<'_>,
    target: &Side<'_>,
    options: &TrainOptions,
    clock: &mut Clock<'_>,
    context: &Context<'_>,
) -> Result<Gathered> {
    match source {
        Source::Collection { store, collection, declared } => {
            from_collection(store, collection, declared, target, options, clock, context)
        }
        Source::Texts { texts, side } => from_texts(texts, &side, target, options, clock, context),
        Source::Rows { ids, rows, space } => from_vectors(ids, rows, space, target, options, context),
    }
}

fn from_collection(
    store: &dyn VectorStore,
    collection: &Collection,
    declared: Declared<'_>,
    target: &Side<'_>,
    options: &TrainOptions,
    clock: &mut Clock<'_>,
    context: &Context<'_>,
) -> Result<Gathered> {
    let mut source = collection::declared_space(collection, &declared)?;
    differ(&source, target.space())?;
    let mut sample = collection::sample(store, collection, options, target, context)?;
    clock.lap("reading texts and vectors");
    enough(sample.ids.len(), "distinct texts with vectors", hint_for([target], MORE_RECORDS))?;
    let mut notes = std::mem::take(&mut sample.notes);
    fewer_note(sample.ids.len(), options.samples, &mut notes);

    let recheck = match declared.model {
        Some(model) => {
            let result = recheck::recheck(&sample, model, declared.ways, context)?;
            clock.lap("checking the source model");
            recheck::judge(&result, collection, &model.space().model, options.accept_mismatch, &mut notes)?;
            source = match result.agrees() {
                true => collection::with_revision_of(model.space(), &source),
                false => Space::named(&source.model, source.dimension),
            };
            Some(result)
        }
        None => {
            let why = declared.why_not.as_deref().unwrap_or("it is not on this machine");
            notes.push(format!("that `{}` made the stored vectors was not checked: {why}", source.model));
            None
        }
    };
    source.normalised = source.normalised.or(Some(sample.normalised));
    differ(&source, target.space())?;
    let Sample { ids, texts, vectors, vocabulary, records, others, .. } = sample;
    let rows = rows_of(target, &ids, &texts, options.role, TARGET, context)?;
    let took = clock.lap(TARGET);
    let count = texts.len().max(1) as f64;
    let basis = Basis {
        records: collection.count,
        texts: collection.texts,
        characters: Some(texts.iter().map(|t| t.chars().count()).sum::<usize>() as f64 / count),
        embed_seconds: matches!(target, Side::Model(_)).then_some(took / count),
        ..Basis::default()
    };
    let pairs = Pairs::new(keys(&texts), vectors, rows)?;
    let pairs = words::add(pairs, &texts, &vocabulary, target, &mut notes, clock, context)?;
    let (others, texts) = others;
    let words = pairs.words().map(|words| words.rows_of(&texts));
    Ok(Gathered {
        pairs,
        source,
        origin: format!("the collection `{}`'s own texts", collection.name),
        recheck,
        others: Some(Others { records, vectors: others, words }),
        basis,
        notes,
    })
}

fn from_texts(
    set: TextSet,
    side: &Side<'_>,
    target: &Side<'_>,
    options: &TrainOptions,
    clock: &mut Clock<'_>,
    context: &Context<'_>,
) -> Result<Gathered> {
    differ(side.space(), target.space())?;
    let mut notes = Vec::new();
    if set.bundled {
        notes.push(GENERIC_TEXTS_NOTE.into());
    }
    if set.empty + set.duplicates > 0 {
        notes.push(format!("left out {} empty and {} repeated texts", set.empty, set.duplicates));
    }
    // What generic passages have in common with a collection are not its words.
    let most = if set.bundled { options.words.unwrap_or(0) } else { words::wanted(options) };
    let vocabulary = match most {
        0 => Vocabulary::default(),
        most => Vocabulary::count(set.texts.iter().map(String::as_str), most),
    };
    let mut reservoir = Reservoir::new(options.samples);
    for (id, text) in set.ids.into_iter().zip(set.texts) {
        if side.has(&id) && target.has(&id) {
            reservoir.put(rank(context.seed, &text), (id, text));
        }
    }
    let (ids, texts): (Vec<String>, Vec<String>) = reservoir.into_items().into_iter().unzip();
    enough(ids.len(), "distinct texts", hint_for([side, target], MORE_TEXTS))?;
    fewer_note(ids.len(), options.samples, &mut notes);
    let source = rows_of(side, &ids, &texts, Role::Records, SOURCE, context)?;
    clock.lap(SOURCE);
    let rows = rows_of(target, &ids, &texts, options.role, TARGET, context)?;
    clock.lap(TARGET);
    let pairs = Pairs::new(keys(&texts), source, rows)?;
    let pairs = words::add(pairs, &texts, &vocabulary, target, &mut notes, clock, context)?;
    Ok(Gathered {
        pairs,
        source: side.space().clone(),
        origin: set.origin,
        recheck: None,
        others: None,
        basis: Basis::default(),
        notes,
    })
}

fn from_vectors(
    ids: Option<Vec<String>>,
    rows: Array2<f32>,
    space: Space,
    target: &Side<'_>,
    options: &TrainOptions,
    context: &Context<'_>,
) -> Result<Gathered> {
    differ(&space, target.space())?;
    let Side::Rows { rows: target_rows, .. } = target else {
        return Err(Error::new(
            Kind::Usage,
            "source vectors without texts were given, but no target vectors",
        )
        .hint("give --target-vectors with the same rows, or texts instead of vectors"));
    };
    if rows.nrows() != target_rows.nrows() {
        return Err(Error::new(
            Kind::Mismatch,
            format!(
                "{} source vectors and {} target vectors are no pairs",
                rows.nrows(),
                target_rows.nrows()
            ),
        )
        .hint("row i of both files has to be the same text"));
    }
    let ids = ids.unwrap_or_else(|| (0..rows.nrows()).map(|i| format!("row {i}")).collect());
    if ids.len() != rows.nrows() {
        return Err(Error::new(
            Kind::Mismatch,
            format!("{} ids were given for {} rows", ids.len(), rows.nrows()),
        ));
    }
    enough(ids.len(), "pairs", MORE_ROWS)?;
    let mut reservoir = Reservoir::new(options.samples);
    for (row, id) in ids.iter().enumerate() {
        reservoir.put(rank(context.seed, id), row);
    }
    let mut chosen = reservoir.into_items();
    chosen.sort_unstable();
    let mut notes = Vec::new();
    fewer_note(chosen.len(), options.samples, &mut notes);
    let ids = chosen.iter().filter_map(|row| ids.get(*row).cloned()).collect();
    let pairs = Pairs::new(ids, rows.select(Axis(0), &chosen), target_rows.select(Axis(0), &chosen))?;
    enough(pairs.len(), "distinct pairs", MORE_ROWS)?;
    Ok(Gathered {
        pairs,
        source: space,
        origin: "paired vectors".into(),
        recheck: None,
        others: None,
        basis: Basis::default(),
        notes,
    })
}

const MORE_ROWS: &str = "give more rows, of different texts; 1,000 or more are wanted";

const MORE_TEXTS: &str =
    "give more texts with --texts FILE, or none to use the bundled passages; 1,000 or more are wanted";
/// Whoever reads it need not have called `train`.
const MORE_RECORDS: &str = "1,000 or more are wanted; `embedport train --texts FILE` learns from texts like them, and without \
                            --texts from the bundled passages";

fn hint_for<'a, const N: usize>(sides: [&Side<'a>; N], otherwise: &'static str) -> &'static str {
    match sides.iter().any(|side| matches!(side, Side::ById { .. })) {
        true => {
            "the ids of the vectors have to be those of the texts: lines {\"id\": ..., \"vector\": [...]} in a .jsonl \
                 file, or NAME.ids.txt beside NAME.npy"
        }
        false => otherwise,
    }
}

fn enough(found: usize, what: &str, hint: &str) -> Result<()> {
    match found >= FEWEST_PAIRS {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Refused,
            format!("{found} {what} are too few to learn from, at least {FEWEST_PAIRS} are needed"),
        )
        .hint(hint)),
    }
}

fn fewer_note(found: usize, wanted: usize, notes: &mut Vec<String>) {
    if found < wanted {
        notes.push(format!("{found} pairs were found, {wanted} were asked for"));
    }
}

/// Ids by which a store's record with the same text is known again.
fn keys(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| text_key(text)).collect()
}
