//! What to do with a collection whose embedding model is to change: each way with what it keeps, its time and its price,
//! and one sentence of advice. Trains as `train` does and keeps nothing: nothing is written.

mod asked;
mod judge;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::context::Context;
use crate::error::Result;
use crate::measure::{Retention, Ways};
use crate::training::{self, Request, Training};

pub use asked::{Answer, Asked, Questions};
pub use judge::{CHEAP_PRICE, CHEAP_SECONDS, LEAST, LEAST_LOW, PART, RESCORED};

/// Characters that a token stands for where nothing better is known.
pub const CHARACTERS_PER_TOKEN: f64 = 4.0;

/// A way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Keep the source vectors, and the source model for the queries.
    LeaveAlone,
    /// Project every vector.
    Project,
    /// Project, then re-embed the records that lie most crowded, [`PART`] of them.
    ProjectAndReembedWorst,
    /// Project, and order the first [`RESCORED`] hits of every query by true vectors.
    ProjectAndRescore,
    /// Embed every text with the target model.
    Reembed,
}

/// One way with its figures. What is none was not measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The way.
    pub way: Way,
    /// Share of the 10 nearest records under the target model that it gives.
    pub overlap: Option<f64>,
    /// Lower end of the 90 % interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Seconds of computing for the whole collection.
    pub seconds: Option<f64>,
    /// Price of the target model for the whole collection, in the currency of the price that was given.
    pub price: Option<f64>,
    /// Where the figure comes from, or why there is none.
    pub basis: String,
}

/// What is known about a collection and a target model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facts {
    /// Records of the collection.
    pub records: u64,
    /// Records that keep their text.
    pub texts: u64,
    /// Pairs that the figures come from.
    pub pairs: usize,
    /// Mean length of the texts of the pairs.
    pub characters_per_text: Option<f64>,
    /// Seconds that the target model takes for a text, on this machine.
    pub embed_seconds: Option<f64>,
    /// Seconds that the projection takes for a vector.
    pub project_seconds: Option<f64>,
    /// What projecting is expected to keep.
    pub projected: Option<Retention>,
    /// What was measured among the pairs, and what the other ways are expected to give.
    pub ways: Option<Ways>,
    /// Price of a million tokens, if one was given.
    pub price_per_million_tokens: Option<f64>,
}

/// The figures and the advice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The source space, in short.
    pub source: String,
    /// The target space, in short.
    pub target: String,
    /// What it rests on.
    pub facts: Facts,
    /// Every way, in the order of [`Way`].
    pub choices: Vec<Choice>,
    /// The way that is advised.
    pub advised: Way,
    /// The advice in a sentence.
    pub sentence: String,
    /// What the user's queries found, if there were some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

impl Advice {
    /// Whether projecting is advised.
    pub fn projecting_is_advised(&self) -> bool {
        self.advised == Way::Project
    }

    /// For scripts: 0 if projecting is advised, 25 if it is not.
    pub fn exit_code(&self) -> u8 {
        if self.projecting_is_advised() { 0 } else { 25 }
    }
}

/// Trains as `request` says, without saving anything, and judges. With `questions` these are asked too; their judged records
/// are not trained on.
///
/// # Errors
/// Those of [`training::run`], of the files of questions and of the models that embed them.
pub fn advise(
    request: &Request,
    price_per_million_tokens: Option<f64>,
    questions: Option<&Questions>,
    context: &Context<'_>,
) -> Result<Advice> {
    let Some(questions) = questions else {
        return Ok(Advice::of(&training::run(request, context)?, price_per_million_tokens));
    };
    let chosen = asked::Chosen::read(questions, context)?;
    let mut request = request.clone();
    request.options.leave_out.extend(chosen.records.iter().cloned());
    let training = training::run(&request, context)?;
    let mut advice = Advice::of(&training, price_per_million_tokens);
    match asked::ask(&chosen, &request, &training.projection, context)? {
        Ok(asked) => advice.asked = Some(asked),
        Err(why_not) => advice.notes.push(why_not),
    }
    Ok(advice)
}

impl Advice {
    /// What a training run on a collection tells.
    pub fn of(training: &Training, price_per_million_tokens: Option<f64>) -> Self {
        let header = &training.projection.header;
        let facts = Facts {
            records: training.basis.records,
            texts: training.basis.texts,
            pairs: training.pairs,
            characters_per_text: training.basis.characters,
            embed_seconds: training.basis.embed_seconds,
            project_seconds: training.basis.project_seconds,
            projected: header.expected_for(training.basis.texts > 0).cloned(),
            ways: header.ways.clone(),
            price_per_million_tokens,
        };
        let (choices, advised, sentence) = judge::judge(&facts);
        let (source, target) = (header.source.to_string(), header.target.to_string());
        Advice {
            source,
            target,
            facts,
            choices,
            advised,
            sentence,
            asked: None,
            notes: training.notes.clone(),
        }
    }
}
