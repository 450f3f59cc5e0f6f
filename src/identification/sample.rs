//! Some stored texts with their vectors, drawn at random.

use ndarray::Array2;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::sampling::{Reservoir, rank};
use crate::store::{Collection, VectorStore};

const BATCH: usize = 1000;

/// Records that were drawn, in no order that means anything.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Identifiers.
    pub ids: Vec<String>,
    /// Texts, none empty.
    pub texts: Vec<String>,
    /// `ids.len()` x dimension.
    pub vectors: Array2<f32>,
    /// Records that could have been drawn: with a text, and a finite vector that is not zero.
    pub drawable: u64,
}

/// Draws at most `n` records; the same for the same seed, whatever their order.
///
/// # Errors
/// [`Kind::Refused`] if no record can be drawn; those of reading.
pub fn draw(
    store: &dyn VectorStore,
    collection: &Collection,
    n: usize,
    context: &Context<'_>,
) -> Result<Sample> {
    let none = |what: &str| {
        Error::new(Kind::Refused, format!("collection `{}` {what}", collection.name)).hint(
            "a model is told by what it makes of stored texts: without texts there is no way to name it",
        )
    };
    let Some(dimension) = collection.dimension.filter(|_| collection.count > 0) else {
        return Err(none("is empty"));
    };
    if collection.texts == 0 {
        return Err(none("keeps no texts"));
    }
    let mut reservoir: Reservoir<(String, String, Vec<f32>)> = Reservoir::new(n);
    let mut drawable = 0u64;
    let mut reader = store.records(collection, true)?;
    context.progress.start("reading texts and vectors", Some(collection.count), "records");
    while let Some(batch) = reader.next_batch(BATCH)? {
        context.check()?;
        let count = batch.ids.len() as u64;
        for ((id, text), row) in batch.ids.into_iter().zip(batch.texts).zip(batch.vectors.rows()) {
            let squares: f64 = row.iter().map(|v| f64::from(*v).powi(2)).sum();
            let Some(text) = text.filter(|t| !t.trim().is_empty() && squares.is_finite() && squares > 0.0)
            else {
                continue;
            };
            drawable += 1;
            let rank = rank(context.seed, &id);
            if row.len() == dimension && reservoir.wants(&rank) {
                reservoir.put(rank, (id, text, row.to_vec()));
            }
        }
        context.progress.advance(count);
    }
    context.progress.finish();
    if reservoir.is_empty() {
        return Err(none("keeps no text beside a vector that is not zero"));
    }
    let (mut ids, mut texts, mut flat) = (Vec::new(), Vec::new(), Vec::new());
    for (id, text, vector) in reservoir.into_items() {
        ids.push(id);
        texts.push(text);
        flat.extend(vector);
    }
    let vectors = Array2::from_shape_vec((ids.len(), dimension), flat)
        .map_err(|e| Error::new(Kind::Internal, "a sample of another shape").because(e))?;
    Ok(Sample { ids, texts, vectors, drawable })
}
