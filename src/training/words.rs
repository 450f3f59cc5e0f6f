//! Words of the texts, embedded by the target model: what a projection can read in a text without running the model.

use std::collections::HashMap;

use super::{Clock, Side, TrainOptions};
use crate::context::Context;
use crate::embed::Role;
use crate::error::Result;
use crate::projection::fit::DEFAULT_METHOD;
use crate::projection::{Pairs, Words, text_key};
use crate::texts::Vocabulary;

/// Words that are embedded at most where nobody says how many.
pub const DEFAULT_WORDS: usize = 20_000;
/// Fewer words say too little of any text.
const FEWEST_WORDS: usize = 50;

const NO_MODEL_NOTE: &str = "the texts do not assist the projection: the target model is not here to embed their words; \
    with it much more is kept";

/// How many words of a collection or of a file of texts are wanted.
pub(super) fn wanted(options: &TrainOptions) -> usize {
    let default = if options.method == DEFAULT_METHOD { DEFAULT_WORDS } else { 0 };
    options.words.unwrap_or(default).min(crate::projection::MOST_WORDS)
}

/// The pairs with what the words of their `texts` say; as they are if no words are wanted, if there are too few, or, with a
/// note, if the target model is not here to embed them.
///
/// # Errors
/// Those of the model.
pub(super) fn add(
    pairs: Pairs,
    texts: &[String],
    vocabulary: &Vocabulary,
    target: &Side<'_>,
    notes: &mut Vec<String>,
    clock: &mut Clock<'_>,
    context: &Context<'_>,
) -> Result<Pairs> {
    if vocabulary.words.len() < FEWEST_WORDS {
        return Ok(pairs);
    }
    let Side::Model(model) = target else {
        notes.push(NO_MODEL_NOTE.into());
        return Ok(pairs);
    };
    let words: Vec<&str> = vocabulary.words.iter().map(String::as_str).collect();
    context.progress.start("embedding words with the target model", Some(words.len() as u64), "words");
    let vectors = model.embed(&words, Role::Document, context);
    context.progress.finish();
    let by_key: HashMap<String, &String> = texts.iter().map(|text| (text_key(text), text)).collect();
    let of_pairs: Vec<&str> =
        pairs.ids().iter().map(|id| by_key.get(id).map_or("", |text| text.as_str())).collect();
    let words = Words::of(vocabulary, vectors?.view(), &of_pairs)?;
    clock.lap("embedding words with the target model");
    pairs.with_texts(words, &of_pairs)
}
