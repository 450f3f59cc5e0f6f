//! Whether the stored vectors are what the projection maps from: what is recorded, and what they look like.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::measure::{FEWEST_ROWS, SourceMatch, Verdict, match_space};
use crate::projection::Projection;
use crate::space::{Space, same_model};
use crate::store::{Collection, VectorStore};

/// Vectors looked at to tell whether the collection holds what the projection maps from.
const SAMPLE: usize = 1000;

/// How well is known that the stored vectors lie in the projection's source space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKnowledge {
    /// embedport stamped the space.
    Stamped,
    /// The store's configuration names the model.
    Configured,
    /// The user names the model.
    Declared,
    /// Nobody says; judged by the vectors alone.
    Unrecorded,
}

/// The space of the stored vectors: by stamp, by configuration, by the user's word, or unrecorded.
pub(super) fn source_space(
    collection: &Collection,
    map: &Projection,
    declared: Option<&str>,
) -> Result<(Space, SourceKnowledge)> {
    let dimension = collection.dimension.unwrap_or(0);
    if let (Some(declared), Some(recorded)) = (declared, collection.recorded_model())
        && !same_model(declared, recorded)
    {
        return Err(Error::new(
            Kind::Mismatch,
            format!("the collection records `{recorded}` as its model, `{declared}` was declared"),
        )
        .hint("leave --source-model out to use what the collection records"));
    }
    if let Some(space) = &collection.stamped {
        return Ok((space.clone(), SourceKnowledge::Stamped));
    }
    if let Some(model) = declared {
        return Ok((Space::named(model, dimension), SourceKnowledge::Declared));
    }
    if let Some(model) = &collection.configured_model {
        return Ok((Space::named(model, dimension), SourceKnowledge::Configured));
    }
    Ok((Space { dimension, ..map.source().clone() }, SourceKnowledge::Unrecorded))
}

/// Compares a sample of the stored vectors with the source rows that the projection carries.
pub(super) fn match_source(
    store: &dyn VectorStore,
    collection: &Collection,
    map: &Projection,
    accept_unrecognised: bool,
    known_by: &SourceKnowledge,
    warnings: &mut Vec<String>,
) -> Result<Option<SourceMatch>> {
    let Some(held_out) = &map.held_out else {
        if *known_by == SourceKnowledge::Unrecorded && !map.is_blank() {
            warnings.push(
                "the collection does not record its model and the projection carries no held-out pairs: \
                 nothing shows that these vectors are its source"
                    .into(),
            );
        }
        return Ok(None);
    };
    let Some(sample) = store.records(collection, false)?.next_batch(SAMPLE)? else { return Ok(None) };
    let found = match_space(sample.vectors.view(), held_out.source.view())?;
    let recorded = *known_by != SourceKnowledge::Unrecorded;
    if let Some(few) = too_few(sample.vectors.nrows(), held_out.source.nrows()) {
        if !recorded {
            warnings.push(format!("the collection does not record its model, and {few} are too few to tell"));
        }
        return Ok(Some(found));
    }
    match found.verdict {
        Verdict::Fits if recorded => {}
        Verdict::Fits => warnings.push(format!(
            "the collection does not record its model; its vectors look like {} (name it with --source-model)",
            map.source().model
        )),
        Verdict::Doubtful if recorded => warnings.push(format!(
            "the stored vectors look only partly like {}: another prompt, pooling or subject",
            map.source().model
        )),
        Verdict::Doubtful | Verdict::DoesNotFit if accept_unrecognised => warnings.push(format!(
            "the stored vectors do not look like {}; going on because --accept-unrecognised-vectors says so",
            map.source().model
        )),
        Verdict::Doubtful | Verdict::DoesNotFit => {
            return Err(Error::new(
                Kind::Mismatch,
                format!(
                    "the stored vectors do not look like the projection's source {}: {}",
                    map.source(),
                    in_words(&found)
                ),
            )
            .hint("check which model made them, or train a projection `--from` this collection")
            .hint("if you are certain, pass --accept-unrecognised-vectors: the result is still checked before it becomes visible"));
        }
    }
    Ok(Some(found))
}

/// What there is too little of for the figures to mean anything: stored vectors, or held-out pairs to compare them with.
fn too_few(stored: usize, held_out: usize) -> Option<String> {
    match (stored < FEWEST_ROWS, held_out < FEWEST_ROWS) {
        (true, _) => Some(format!("{stored} vectors")),
        (false, true) => Some(format!("the projection's {held_out} held-out pairs")),
        (false, false) => None,
    }
}

fn in_words(found: &SourceMatch) -> String {
    let number = |v: Option<f64>| v.map_or_else(|| "undefined".into(), |v| format!("{v:.2}"));
    format!(
        "cosine of the means {}, ratio of their lengths {}, energy in the source's main directions {}",
        number(found.mean_cosine),
        number(found.norm_ratio),
        number(found.energy_ratio)
    )
}
