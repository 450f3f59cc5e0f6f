//! One side of the pairs: a vector for each text.

use ndarray::Array2;

use super::Side;
use crate::context::Context;
use crate::embed::{Embedder, Role};
use crate::error::{Error, Kind, Result};
use crate::projection;

/// One vector for each text: texts x dimension of the side. For a projection of queries the texts are embedded as queries.
pub(super) fn rows_of(
    side: &Side<'_>,
    ids: &[String],
    texts: &[String],
    role: projection::Role,
    stage: &str,
    context: &Context<'_>,
) -> Result<Array2<f32>> {
    let rows = match side {
        Side::Model(model) => {
            let role = if role.is_records() { Role::Document } else { Role::Query };
            embed(*model, texts, role, stage, context)?
        }
        Side::ById { vectors, .. } => vectors.get(ids)?,
        Side::Rows { .. } => {
            return Err(Error::new(Kind::Usage, "vectors by row were given for texts, which have no rows")
                .hint("give vectors for both sides, or vectors with ids (.jsonl, or NAME.ids.txt beside NAME.npy)"));
        }
    };
    let dimension = side.space().dimension;
    match rows.dim() == (texts.len(), dimension) {
        true => Ok(rows),
        false => Err(Error::new(
            Kind::Mismatch,
            format!(
                "{} texts gave {:?} values in a space of {dimension} components",
                texts.len(),
                rows.dim()
            ),
        )),
    }
}

fn embed(
    model: &dyn Embedder,
    texts: &[String],
    role: Role,
    stage: &str,
    context: &Context<'_>,
) -> Result<Array2<f32>> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    context.progress.start(stage, Some(texts.len() as u64), "texts");
    let rows = model.embed(&texts, role, context);
    context.progress.finish();
    rows
}
