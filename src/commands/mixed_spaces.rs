//! Whether a collection holds vectors of two spaces: a sample of its records, measured.

use embedport::context::Context;
use embedport::error::{Error, Kind, Result};
use embedport::measure::{Mixture, find_mixture};
use embedport::random;
use embedport::store::{Collection, Finding, Severity, VectorStore};
use ndarray::Array2;

/// Enough for groups of a twentieth, and neighbours by comparing all pairs.
const SAMPLE: usize = 1_000;
const BATCH: usize = 1_000;

/// The finding, if there is one. A collection whose records cannot be read has other findings.
pub fn look(
    store: &dyn VectorStore,
    collection: &Collection,
    context: &Context<'_>,
) -> Result<Option<Finding>> {
    let (ids, vectors) = match sample(store, collection, context) {
        Ok(sample) => sample,
        Err(error) if error.is_interrupted() => return Err(error),
        Err(_) => return Ok(None),
    };
    let Some((mixture, second)) = find_mixture(vectors.view())? else { return Ok(None) };
    let (share, sign) = match mixture {
        Mixture::Length { share, gap } => (share, format!("their lengths differ by a factor of {gap:.1}")),
        Mixture::Direction { share, crossing, mean_cosine } => {
            let crossing = 100.0 * crossing;
            let sign = format!(
                "{crossing:.1} % of nearest neighbours are in the other group, the cosine of the means is {mean_cosine:.2}"
            );
            (share, sign)
        }
    };
    let names = ids.iter().zip(second).filter(|(_, second)| *second).take(Finding::EXAMPLES);
    Ok(Some(Finding {
        check: "mixed_spaces",
        collection: Some(collection.name.clone()),
        severity: Severity::Carried,
        found: format!(
            "the vectors look like those of two models: {:.0} % of a sample of {} form a group of their own ({sign})",
            100.0 * share,
            ids.len()
        ),
        records: (share * collection.count as f64).round() as u64,
        examples: names.map(|(id, _)| id.escape_default().to_string()).collect(),
        migration: "sends all vectors through one projection, which is right for one of the groups only",
        advice: "embed the records of one group again with the model of the other, then migrate",
    }))
}

/// A uniform sample of the records (Vitter's algorithm R).
fn sample(
    store: &dyn VectorStore,
    collection: &Collection,
    context: &Context<'_>,
) -> Result<(Vec<String>, Array2<f32>)> {
    let mut random = random::seeded(context.seed);
    let mut kept: Vec<(String, Vec<f32>)> = Vec::new();
    let mut records = store.records(collection, false)?;
    let mut seen = 0;
    while let Some(batch) = records.next_batch(BATCH)? {
        context.check()?;
        for (id, vector) in batch.ids.into_iter().zip(batch.vectors.outer_iter()) {
            seen += 1;
            if kept.len() < SAMPLE {
                kept.push((id, vector.to_vec()));
            } else if let Some(slot) = kept.get_mut(random::below(&mut random, seen)) {
                *slot = (id, vector.to_vec());
            }
        }
    }
    let (ids, rows): (Vec<String>, Vec<Vec<f32>>) = kept.into_iter().unzip();
    let shape = (ids.len(), collection.dimension.unwrap_or(0));
    let vectors = Array2::from_shape_vec(shape, rows.concat())
        .map_err(|e| Error::new(Kind::Damaged, "records of more than one dimension").because(e))?;
    Ok((ids, vectors))
}
