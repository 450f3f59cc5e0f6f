//! Whether the stored vectors are what the declared source model makes of the stored texts, and if not, whether another
//! way to run it is: [`identification`](crate::identification) asked about one model.
//!
//! Another model, prompt, pooling or normalisation ruins a projection without any other sign, so it is found out
//! before anything is fitted.

use serde::Serialize;

use super::collection::Sample;
use crate::context::Context;
use crate::embed::{Embedder, Role};
use crate::error::{Error, Kind, Result};
use crate::identification::{Candidate, LENGTH, Likeness, compare, look};
use crate::store::Collection;

/// Texts that are embedded again.
pub const ROWS: usize = 8;

/// One way to embed the texts, and how near the stored vectors are to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variant {
    /// In words.
    pub name: String,
    /// Model and way as `--source-model` takes them; empty for the model as declared.
    pub declaration: String,
    /// Rows whose direction and length agree.
    pub agreeing: usize,
    /// Median (as declared: mean) cosine between stored vectors and vectors made now.
    pub cosine: f64,
}

/// Outcome of the check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recheck {
    /// Rows that were embedded again.
    pub rows: usize,
    /// The model as declared first; then the way that fits, if that one does not.
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
    ways: Option<&Candidate<'_>>,
    context: &Context<'_>,
) -> Result<Recheck> {
    let rows = sample.texts.len().min(ROWS);
    let texts: Vec<&str> = sample.texts.iter().take(rows).map(String::as_str).collect();
    let ids: Vec<String> = sample.ids.iter().take(rows).cloned().collect();
    let stored = sample.vectors.slice(ndarray::s![..rows, ..]);
    context.progress.start("checking the source model", Some(rows as u64), "texts");
    let made = model.embed(&texts, Role::Document, context);
    context.progress.finish();
    let declared = as_declared(&compare(stored, made?.view()));
    let mut recheck = Recheck { rows, variants: vec![declared] };
    if let Some(ways) = ways.filter(|_| !recheck.agrees()) {
        let findings = look(stored, &texts, &ids, std::slice::from_ref(ways), context)?;
        recheck.variants.extend(findings.best().map(|best| Variant {
            name: best.variant.clone(),
            declaration: best.declaration.clone(),
            agreeing: best.fitting,
            cosine: best.median_cosine,
        }));
    }
    Ok(recheck)
}

fn as_declared(rows: &[Likeness]) -> Variant {
    let agrees = |row: &&Likeness| row.fits() && (row.stored / row.made - 1.0).abs() <= LENGTH;
    Variant {
        name: "as declared".to_owned(),
        declaration: String::new(),
        agreeing: rows.iter().filter(agrees).count(),
        cosine: rows.iter().map(|row| row.cosine).sum::<f64>() / rows.len().max(1) as f64,
    }
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
                 these texts were edited or cut elsewhere, or another model made the vectors \
                 (`embedport identify` looks at more of them)",
                rows - declared.agreeing
            ));
        }
        return Ok(());
    }
    let what = format!(
        "the vectors of collection `{}` are not what `{model}` makes of its texts: {} of {rows} agree, mean cosine {:.3}",
        collection.name, declared.agreeing, declared.cosine
    );
    let found = recheck.better().map(|v| {
        (format!("they agree with it run another way ({}: {} of {rows})", v.name, v.agreeing), &v.declaration)
    });
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
            error.hint(format!("{found}: declare it with --source-model '{declaration}'"))
        }
        None => error.hint(
            "name the model, prompt and pooling that made them as --source-model; `embedport identify` \
             compares them with every model on this machine, or with those that --candidate names",
        ),
    }
    .hint("--accept-mismatch trains on the stored vectors as they are; the source model is then only a name"))
}
