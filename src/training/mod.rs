//! Training: texts to pairs, pairs to a fitted projection with its held-out report, and into a file.
//!
//! The only place where embedding models and projections meet. Nothing here prints.

mod bridge;
mod collection;
mod gather;
mod recheck;
mod request;
mod rows;
mod save;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use ndarray::Array2;
use serde::Serialize;

use crate::context::Context;
use crate::embed::{Embedder, PrecomputedVectors};
use crate::error::{Error, Kind, Result};
use crate::identification::Candidate;
use crate::projection::fit::{self, DEFAULT_METHOD, FitOptions, Rest};
use crate::projection::{Projection, Role, Subject};
use crate::space::{Agreement, Space};
use crate::store::{Collection, VectorStore};
use crate::texts::TextSet;

pub use recheck::{Recheck, Variant};
pub use request::{Request, TextOrigin, run};
pub use save::{check_name, check_replaced, file_name, save, save_projection};
pub use words::DEFAULT_WORDS;

/// Fewest pairs that are fitted to.
pub const FEWEST_PAIRS: usize = 20;

/// What a collection's own texts keep more than texts from elsewhere, as measured; see DESIGN.md.
pub const GENERIC_TEXTS_NOTE: &str = "trained on the bundled passages: \
    a collection's own texts (--from STORE --collection NAME) keep about 3 to 6 points more";

/// The source side of the pairs.
pub enum Source<'a> {
    /// A collection's own texts with the vectors that are stored beside them. No model needs to exist.
    Collection {
        /// The store.
        store: &'a dyn VectorStore,
        /// One of its collections.
        collection: &'a Collection,
        /// What the user says about the model behind the vectors.
        declared: Declared<'a>,
    },
    /// Texts.
    Texts {
        /// The texts.
        texts: TextSet,
        /// Their source vectors.
        side: Side<'a>,
    },
    /// Finished vectors without texts.
    Rows {
        /// One id a row; `None` numbers the rows.
        ids: Option<Vec<String>>,
        /// What they mean.
        space: Space,
        /// n x source dimension.
        rows: Array2<f32>,
    },
}

/// The source model of a collection, as far as it is known and can be run.
#[derive(Default)]
pub struct Declared<'a> {
    /// Its space as the user names it; the dimension 0 stands for "as stored".
    pub space: Option<Space>,
    /// The model itself, to check the stored vectors against.
    pub model: Option<&'a dyn Embedder>,
    /// Why the model is not here, if it is not.
    pub why_not: Option<String>,
    /// The other ways to run it, to say which one the stored vectors were made in.
    pub ways: Option<&'a Candidate<'a>>,
}

/// One side of the pairs for texts that are given.
pub enum Side<'a> {
    /// A model embeds the texts.
    Model(&'a dyn Embedder),
    /// Finished vectors, found by the ids of the texts. Texts without one are not drawn.
    ById {
        /// What they mean.
        space: Space,
        /// The vectors.
        vectors: &'a PrecomputedVectors,
    },
    /// Finished vectors, row by row as those of the other side.
    Rows {
        /// What they mean.
        space: Space,
        /// n x dimension.
        rows: Array2<f32>,
    },
}

impl Side<'_> {
    /// What the vectors mean.
    pub fn space(&self) -> &Space {
        match self {
            Side::Model(model) => model.space(),
            Side::ById { space, .. } | Side::Rows { space, .. } => space,
        }
    }

    /// Whether a vector can be had for the text of this id.
    fn has(&self, id: &str) -> bool {
        match self {
            Side::ById { vectors, .. } => vectors.get(&[id]).is_ok(),
            Side::Model(_) | Side::Rows { .. } => true,
        }
    }
}

/// How to train.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// What is fitted: a projection of records from the source to the target model, or a bridge, which maps queries of the
    /// target model to the source model's space.
    pub role: Role,
    /// Pairs to draw.
    pub samples: usize,
    /// One of [`METHODS`](fit::METHODS); a bridge has one of its own.
    pub method: String,
    /// Pairs to hold out; `None` takes a fifth, at least 20 and at most 500.
    pub held_out: Option<usize>,
    /// Words of the texts that the target model embeds, so that texts can assist the projection: at most so many, 0 for
    /// none; `None` takes [`DEFAULT_WORDS`] where the method is the default.
    pub words: Option<usize>,
    /// Options of the method.
    pub fit: FitOptions,
    /// Name of the projection; `None` makes one from the models.
    pub name: Option<String>,
    /// Train even if the stored vectors are not those of the declared source model.
    pub accept_mismatch: bool,
    /// Records of a collection that are not drawn: others will judge the projection by them.
    pub leave_out: BTreeSet<String>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        TrainOptions {
            role: Role::Records,
            samples: 2000,
            method: DEFAULT_METHOD.into(),
            held_out: None,
            words: None,
            fit: FitOptions::default(),
            name: None,
            accept_mismatch: false,
            leave_out: BTreeSet::new(),
        }
    }
}

/// How long a stage took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// What was done.
    pub stage: &'static str,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// A finished training run.
#[derive(Debug)]
pub struct Training {
    /// The projection; its header holds the held-out report.
    pub projection: Projection,
    /// How the stored vectors compared with the declared source model, if that could be run.
    pub recheck: Option<Recheck>,
    /// Pairs, training and held-out together.
    pub pairs: usize,
    /// Pairs left out because their source vector occurred before.
    pub removed: usize,
    /// What the training saw of its collection.
    pub basis: Basis,
    /// Time by stage, in order.
    pub timings: Vec<Timing>,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

/// What a training run saw of the collection that its pairs came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Basis {
    /// Records of the collection; 0 if the pairs came from elsewhere.
    pub records: u64,
    /// Records that keep a text.
    pub texts: u64,
    /// Mean characters of the texts of the pairs.
    pub characters: Option<f64>,
    /// Seconds that the target model took for a text.
    pub embed_seconds: Option<f64>,
    /// Seconds that the projection took for a vector.
    pub project_seconds: Option<f64>,
}

/// Draws pairs, fits a projection to them and measures it on held-out pairs. Writes nothing.
///
/// # Errors
/// [`Kind::Usage`] if the sides do not go together or the name is none; [`Kind::Refused`] if there are too few texts or both spaces are
/// the same; [`Kind::Mismatch`] if the stored vectors are not those of the declared model (before anything is
/// fitted) or dimensions differ; [`Kind::Damaged`] on values that are not finite; those of the models and the method.
pub fn train(
    source: Source<'_>,
    target: &Side<'_>,
    options: &TrainOptions,
    context: &Context<'_>,
) -> Result<Training> {
    fit::method(&options.method)?;
    if let Some(name) = &options.name {
        check_name(name)?;
    }
    let mut clock = Clock::new(context);
    if options.role == Role::Queries {
        return bridge::train(source, target, options, clock, context);
    }
    let gathered = gather::gather(source, target, options, &mut clock, context)?;
    context.check()?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None => {
            let how = format!("{}/{}/{}", options.method, context.seed, gathered.origin);
            save::name(&gathered.source, target.space(), &gathered.pairs, &how)
        }
    };
    let subject =
        Subject { name, source: gathered.source, target: target.space().clone(), texts: gathered.origin };
    context.progress.start("fitting", None, "pairs");
    let rest = gathered.others.as_ref().map(|others| Rest {
        records: others.records,
        source: others.vectors.view(),
        words: others.words.as_ref().map(|words| words.view()),
    });
    let (method, held_out) = (&options.method, options.held_out);
    let projection =
        Projection::fit(subject, &gathered.pairs, method, held_out, &options.fit, rest.as_ref(), context);
    context.progress.finish();
    clock.lap("fitting and measuring");
    let mut projection = projection?;
    let doubts = projection.header.report_for(true).doubts();
    projection.header.notes.extend(doubts);
    let mut basis = gathered.basis;
    if gathered.others.is_some() {
        let pairs = &gathered.pairs;
        let before = (context.now)();
        match pairs.word_rows() {
            Some(words) => projection.apply_to_words(pairs.source().view(), words)?,
            None => projection.apply(pairs.source().view())?,
        };
        let took = (context.now)().duration_since(before).as_secs_f64();
        basis.project_seconds = Some(took / pairs.len() as f64);
        clock.lap("trying the projection");
    }
    let mut notes = gathered.notes;
    notes.extend(projection.header.notes.iter().cloned());
    Ok(Training {
        projection,
        recheck: gathered.recheck,
        pairs: gathered.pairs.len(),
        removed: gathered.pairs.removed(),
        basis,
        timings: clock.timings,
        notes,
    })
}

/// Fails if source and target are one space: there would be nothing to project.
fn differ(source: &Space, target: &Space) -> Result<()> {
    match source.compare(target) {
        Agreement::Different(_) => Ok(()),
        _ => Err(Error::new(Kind::Refused, format!("source and target are the same space, {source}"))
            .hint("name another target model, or declare how the two differ (revision, pooling, prompt)")),
    }
}

/// Measures stages with the clock that the context hands down.
struct Clock<'a> {
    context: &'a Context<'a>,
    last: jiff::Timestamp,
    timings: Vec<Timing>,
}

impl<'a> Clock<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        Clock { context, last: (context.now)(), timings: Vec::new() }
    }

    /// Ends a stage that began where the last one ended; how many seconds it took.
    fn lap(&mut self, stage: &'static str) -> f64 {
        let now = (self.context.now)();
        let seconds = now.duration_since(self.last).as_secs_f64();
        self.timings.push(Timing { stage, seconds });
        self.last = now;
        seconds
    }
}
