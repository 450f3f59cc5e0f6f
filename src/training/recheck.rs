//! Whether the stored vectors are what the declared source model makes of the stored texts.
//!
//! Another model, prompt, pooling or normalisation ruins a projection without any other sign, so it is found out
//! before anything is fitted.

use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use super::WithPrompt;
use super::collection::Sample;
use crate::context::Context;
use crate::embed::{Embedder, Role};
use crate::error::{Error, Kind, Result};
use crate::store::Collection;

/// Texts that are embedded again.
pub const ROWS: usize = 8;

/// A row agrees from this cosine: half precision and another runtime stay above it, another prompt does not.
const COSINE: f64 = 0.999;

/// A row agrees if the lengths differ by no more than this factor.
const LENGTH: f64 = 0.01;

/// One way to embed the texts, and how near the stored vectors are to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variant {
    /// In words.
    pub name: String,
    /// What to add to the declaration of the source model; empty for the model as declared.
    pub declaration: String,
    /// Rows whose direction agrees.
    pub directions: usize,
    /// Rows whose length agrees too.
    pub agreeing: usize,
    /// Mean cosine between stored vectors and vectors made now.
    pub cosine: f64,
}

/// Outcome of the check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recheck {
    /// Rows that were embedded again.
    pub rows: usize,
    /// The model as declared first; others only if that one does not agree.
    pub variants: Vec<Variant>,
}

impl Recheck {
    /// Whether the declared model makes the stored vectors, as far as more than half of the rows say.
    /// Single rows may differ: a text that was cut elsewhere, or edited without its vector.
    pub fn agrees(&self) -> bool {
        self.variants.first().is_some_and(|v| v.agreeing * 2 > self.rows)
    }

    /// The variant that fits although the declared one does not.
    pub fn better(&self) -> Option<&Variant> {
        self.variants.iter().skip(1).find(|v| v.agreeing * 2 > self.rows)
    }
}

pub(super) fn recheck(
    sample: &Sample,
    model: &dyn Embedder,
    with_prompt: Option<&WithPrompt<'_>>,
    context: &Context<'_>,
) -> Result<Recheck> {
    let rows = sample.texts.len().min(ROWS);
    let texts: Vec<&str> = sample.texts.iter().take(rows).map(String::as_str).collect();
    let stored = sample.vectors.slice(ndarray::s![..rows, ..]);
    context.progress.start("checking the source model", Some(rows as u64), "texts");
    let variants = variants(stored, &texts, model, with_prompt, context);
    context.progress.finish();
    Ok(Recheck { rows, variants: variants? })
}

fn variants(
    stored: ArrayView2<'_, f32>,
    texts: &[&str],
    model: &dyn Embedder,
    with_prompt: Option<&WithPrompt<'_>>,
    context: &Context<'_>,
) -> Result<Vec<Variant>> {
    let space = model.space();
    let document =
        compare(stored, model.embed(texts, Role::Document, context)?, "as declared", String::new());
    let fits = document.agreeing * 2 > texts.len();
    let only_length = document.directions * 2 > texts.len();
    let mut all = vec![document];
    if fits {
        return Ok(all);
    }
    if only_length {
        let (name, declaration) = match is_unit(stored) {
            true => ("normalised to length 1", "normalised=true"),
            false => ("not normalised", "normalised=false"),
        };
        let first = all.first().map(|v| Variant {
            name: name.into(),
            declaration: declaration.into(),
            agreeing: v.directions,
            ..v.clone()
        });
        all.extend(first);
        return Ok(all);
    }
    if space.document_prompt != space.query_prompt {
        let made = model.embed(texts, Role::Query, context)?;
        let declaration = format!("document_prompt={}", space.query_prompt.as_deref().unwrap_or_default());
        all.push(compare(stored, made, "with the prompt for queries", declaration));
    }
    if let Some(open) =
        with_prompt.filter(|_| space.document_prompt.as_deref().is_some_and(|p| !p.is_empty()))
    {
        let bare = open("")?;
        let made = bare.embed(texts, Role::Document, context)?;
        all.push(compare(stored, made, "without a prompt", "document_prompt=".to_owned()));
    }
    Ok(all)
}

fn compare(stored: ArrayView2<'_, f32>, made: Array2<f32>, name: &str, declaration: String) -> Variant {
    let (mut directions, mut agreeing, mut sum, mut rows) = (0, 0, 0.0, 0usize);
    for (a, b) in stored.rows().into_iter().zip(made.rows()) {
        let dot = |x: ndarray::ArrayView1<'_, f32>, y: ndarray::ArrayView1<'_, f32>| -> f64 {
            x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let (long, short) = (dot(a, a).sqrt(), dot(b, b).sqrt());
        let cosine = if long > 0.0 && short > 0.0 { dot(a, b) / (long * short) } else { 0.0 };
        let direction = cosine >= COSINE;
        directions += usize::from(direction);
        agreeing += usize::from(direction && (long / short - 1.0).abs() <= LENGTH);
        sum += cosine;
        rows += 1;
    }
    Variant { name: name.into(), declaration, directions, agreeing, cosine: sum / rows.max(1) as f64 }
}

fn is_unit(rows: ArrayView2<'_, f32>) -> bool {
    rows.rows()
        .into_iter()
        .all(|r| (r.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt() - 1.0).abs() <= LENGTH)
}

/// Turns a mismatch into an error, or into a note if it is accepted.
pub(super) fn judge(
    recheck: &Recheck,
    collection: &Collection,
    model: &str,
    accept: bool,
    notes: &mut Vec<String>,
) -> Result<()> {
    let Some(declared) = recheck.variants.first() else { return Ok(()) };
    let rows = recheck.rows;
    if recheck.agrees() {
        if declared.agreeing < rows {
            notes.push(format!(
                "{} of {rows} stored vectors that were checked are not what `{model}` makes of their texts: \
                 these texts were edited or cut elsewhere",
                rows - declared.agreeing
            ));
        }
        return Ok(());
    }
    let what = format!(
        "the vectors of collection `{}` are not what `{model}` makes of its texts: {} of {rows} agree, mean cosine {:.3}",
        collection.name, declared.agreeing, declared.cosine
    );
    let found = recheck
        .better()
        .map(|v| (format!("they agree {} ({} of {rows})", v.name, v.agreeing), v.declaration.as_str()));
    if accept {
        notes.push(match &found {
            Some((found, _)) => format!("accepted: {what}; {found}"),
            None => format!("accepted: {what}"),
        });
        return Ok(());
    }
    let error = Error::new(Kind::Mismatch, what);
    Err(match found {
        Some((found, declaration)) => {
            error.hint(format!("{found}: declare it with --source-model '{model},{declaration}'"))
        }
        None => error.hint("name the model, prompt and pooling that made them as --source-model"),
    }
    .hint("--accept-mismatch trains on the stored vectors as they are; the source model is then only a name"))
}
