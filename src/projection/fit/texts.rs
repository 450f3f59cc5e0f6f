//! Whether the words of the texts help, and the map that takes them beside the vectors.

use super::{FitOptions, Fitted, rung};
use crate::context::Context;
use crate::error::Result;
use crate::projection::pairs::Pairs;

/// A map of vectors and words, and the length of the rows of words beside the vectors.
pub(in crate::projection) struct WithTexts {
    pub fitted: Fitted,
    pub length: f32,
}

/// Fits `method` to the vectors and the words of `training`; none if there are no words, or if they do not help by more than
/// chance where that is known: where both fits say what rows left out found. Says in a note of `plain` what was found.
pub(in crate::projection) fn fit(
    method: &str,
    training: &Pairs,
    plain: &mut Fitted,
    options: &FitOptions,
    context: &Context<'_>,
) -> Result<Option<WithTexts>> {
    let Some(length) = training.text_length() else { return Ok(None) };
    let Some(wide) = training.widened(length)? else { return Ok(None) };
    let mut fitted = super::fit(method, &wide, options, context)?;
    if let (Some(without), Some(with)) = (&plain.found, &fitted.found) {
        let helps = rung::beats(with, without, context.seed);
        let verdict =
            if helps { "with the words of the texts" } else { "the words of the texts do not help:" };
        plain.notes.push(format!(
            "{verdict} {:.3} are found instead of {:.3}",
            rung::mean(with),
            rung::mean(without)
        ));
        if !helps {
            return Ok(None);
        }
    }
    let notes = fitted.notes.drain(..).map(|note| format!("with texts: {note}"));
    plain.notes.extend(notes);
    Ok(Some(WithTexts { fitted, length }))
}
