//! The questions: finished vectors by id, or texts that a model embeds now.

use std::path::PathBuf;

use ndarray::{Array2, Axis};

use super::vectors::Vectors;
use crate::context::Context;
use crate::embed::{Embedder, PrecomputedVectors, Role};
use crate::error::{Error, Kind, Result};
use crate::texts::{self, Judgements};

/// Where queries come from.
pub enum QuerySource<'a> {
    /// Their vectors by id; see [`PrecomputedVectors::load`].
    Vectors(PathBuf),
    /// Texts with ids, embedded as queries; see [`texts::read`].
    Texts {
        /// `.jsonl` or `.txt`.
        path: PathBuf,
        /// What embeds them.
        model: &'a dyn Embedder,
    },
}

/// Queries that are asked, in the order of the file.
pub(super) struct Queries {
    pub ids: Vec<String>,
    pub rows: Array2<f32>,
    /// Empty where they came as vectors.
    pub texts: Vec<String>,
    pub origin: String,
    /// Queries of the file, those without a judgement included.
    pub given: usize,
    /// Queries that were left out because the same text came before.
    pub repeated: usize,
}

impl Queries {
    /// Reads, and embeds if need be, the queries that have a relevant record (all of them without judgements).
    ///
    /// # Errors
    /// Those of the readers and of the model; [`Kind::Damaged`] for repeated ids; [`Kind::Mismatch`] if none is judged.
    pub fn read(
        source: &QuerySource<'_>,
        judgements: Option<&Judgements>,
        context: &Context<'_>,
    ) -> Result<Self> {
        let is_asked =
            |id: &String| judgements.is_none_or(|judgements| judgements.relevant(id).next().is_some());
        let queries = match source {
            QuerySource::Vectors(path) => {
                let (ids, rows) = PrecomputedVectors::load(path)
                    .map_err(|e| e.hint("for queries that are texts, name the model with --query-model"))?
                    .into_parts();
                let asked: Vec<usize> =
                    ids.iter().enumerate().filter(|(_, id)| is_asked(id)).map(|(row, _)| row).collect();
                Queries {
                    given: ids.len(),
                    rows: rows.select(Axis(0), &asked),
                    ids: ids.into_iter().filter(is_asked).collect(),
                    texts: Vec::new(),
                    origin: path.file_name().unwrap_or(path.as_os_str()).display().to_string(),
                    repeated: 0,
                }
            }
            QuerySource::Texts { path, model } => {
                let set = texts::read(path, None)?;
                let given = set.len();
                let distinct: std::collections::HashSet<&String> = set.ids.iter().collect();
                if distinct.len() < given {
                    return Err(Error::new(
                        Kind::Damaged,
                        format!("`{}`: {} ids occur more than once", path.display(), given - distinct.len()),
                    ));
                }
                let (ids, texts): (Vec<String>, Vec<String>) =
                    set.ids.into_iter().zip(set.texts).filter(|(id, _)| is_asked(id)).unzip();
                let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
                context.progress.start("embedding queries", Some(texts.len() as u64), "texts");
                let rows = match borrowed.is_empty() {
                    true => Array2::zeros((0, model.space().dimension)),
                    false => model.embed(&borrowed, Role::Query, context)?,
                };
                context.progress.finish();
                Queries { ids, rows, texts, origin: set.origin, given, repeated: set.duplicates }
            }
        };
        match queries.ids.is_empty() {
            true if queries.given == 0 => {
                Err(Error::new(Kind::Refused, format!("{} holds no query", queries.origin)))
            }
            true => Err(Error::new(
                Kind::Mismatch,
                format!("none of the {} queries has a relevant record in the judgements", queries.given),
            )
            .hint("queries and judgements must name queries by the same ids (a .npy file by NAME.ids.txt beside it)")),
            false => Ok(queries),
        }
    }
}

/// Fails unless queries of these components can ask these vectors.
pub(super) fn must_fit(queries: &Array2<f32>, vectors: &Vectors) -> Result<()> {
    match (queries.ncols(), vectors.rows.ncols()) {
        (found, wanted) if found == wanted => Ok(()),
        (found, wanted) => Err(Error::new(
            Kind::Mismatch,
            format!("queries of {found} components for {} of {wanted}", vectors.origin),
        )
        .hint("embed the queries with the model of these vectors; a baseline takes queries of its own with --baseline-queries")),
    }
}
