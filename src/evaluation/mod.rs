//! How well vectors answer questions: a collection or a vector file, asked by queries whose answers were judged,
//! beside native vectors and baselines.
//!
//! Search is exact. The corpus is read once into one f32 matrix (4 bytes a component), which is reordered and normalised in
//! place; native vectors take a second one (and a third where they lack records), baselines one at a time after these
//! are gone. Reading a `.npy` file takes its own size besides for a moment. A query takes 12 bytes a hit.

mod conclusion;
mod native;
mod queries;
mod question;
mod result;
mod system;
mod vectors;

use std::path::PathBuf;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::measure::nearest::Metric;
use crate::texts::Judgements;

pub use queries::QuerySource;
pub use result::*;
pub use vectors::VectorSource;

use queries::Queries;
use question::{COMMON, Question};
use vectors::{Vectors, prepare};

/// Something to compare with.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Distinct, and neither `corpus` nor `native`.
    pub name: String,
    /// Its vectors.
    pub vectors: PathBuf,
    /// Its own vectors of the same queries, by id, if it is in another space.
    pub queries: Option<PathBuf>,
}

/// What is to be evaluated.
pub struct Request<'a> {
    /// The vectors.
    pub corpus: VectorSource,
    /// The questions.
    pub queries: QuerySource<'a>,
    /// Judgements ([`Judgements::read`]).
    pub judgements: Option<PathBuf>,
    /// True vectors of the target model, by id: of all records or of some.
    pub native: Option<PathBuf>,
    /// What else to compare with.
    pub baselines: Vec<Baseline>,
    /// How closeness is measured; the collection's own metric, and cosine for files, if none is given.
    pub metric: Option<Metric>,
    /// Lengths at which rankings are cut, the most important first.
    pub k: Vec<usize>,
    /// Whether ids, and texts where there are some, of the worst queries are wanted.
    pub with_texts: bool,
}

/// Runs an evaluation.
///
/// # Errors
/// [`Kind::Usage`] if there is nothing to measure against, or names of baselines are not distinct; [`Kind::Mismatch`] if
/// dimensions or ids do not fit; those of the readers, of the store and of the model that embeds the queries.
pub fn evaluate(request: &Request<'_>, context: &Context<'_>) -> Result<Evaluation> {
    check(request)?;
    let judgements = request.judgements.as_deref().map(Judgements::read).transpose()?;
    let mut corpus = Vectors::read(&request.corpus, context)?;
    let mut queries = Queries::read(&request.queries, judgements.as_ref(), context)?;
    queries::must_fit(&queries.rows, &corpus)?;
    let metric = request.metric.or(corpus.metric).unwrap_or(Metric::Cosine);
    prepare(&mut corpus.rows, metric);
    prepare(&mut queries.rows, metric);
    context.check()?;
    let asked = Question { request, judgements: judgements.as_ref(), queries: &queries, metric, context };
    asked.evaluate(corpus)
}

fn check(request: &Request<'_>) -> Result<()> {
    let usage = |message: String, hint: &str| Err(Error::new(Kind::Usage, message).hint(hint));
    if request.judgements.is_none() && request.native.is_none() {
        return usage(
            "neither judgements nor native vectors were given: there is nothing to measure against".into(),
            "give --qrels FILE, or --native FILE, or both",
        );
    }
    if request.k.is_empty() || request.k.contains(&0) {
        return usage("a ranking is to be cut at 0".into(), "give --k 10, or several such as --k 10,100");
    }
    let names: Vec<&str> = request.baselines.iter().map(|b| b.name.as_str()).collect();
    for (i, name) in names.iter().enumerate() {
        if name.is_empty()
            || ["corpus", COMMON, "native"].contains(name)
            || names.iter().skip(i + 1).any(|n| n == name)
        {
            return usage(
                format!("a baseline cannot be named `{name}`: the name is taken, or empty"),
                "give each baseline a name of its own: --baseline NAME=FILE",
            );
        }
    }
    Ok(())
}
