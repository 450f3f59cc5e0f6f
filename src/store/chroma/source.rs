//! The records of a snapshot in blocks as they lie in the index: many blocks can be read at once.

use ndarray::Array2;
use rayon::prelude::*;
use rusqlite::Connection;

use super::index::{self, Index};
use super::queue;
use super::snapshot::Snapshot;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::simd;
use crate::store::rewriting::{as_they_are, expect_shape};
use crate::store::{Batch, Pass};

/// Some elements of the index, side by side.
pub(super) struct Block {
    pub first: u32,
    /// Elements whose vector is that of a live record, in the order of `batch`.
    pub live: Vec<u32>,
    /// The live records.
    pub batch: Batch,
    /// The other elements.
    pub unowned: Vec<u32>,
    /// Their vectors, as far as they are finite (else zeros).
    pub unowned_vectors: Array2<f32>,
}

impl Block {
    /// Reads `count` elements from `first` on, as they lie in the file into `bytes`.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if a live record's vector is not finite.
    pub fn read(
        snapshot: &Snapshot,
        index: &Index,
        first: u32,
        count: u32,
        bytes: &mut Vec<u8>,
    ) -> Result<Block> {
        let dimension = index.header().dimension;
        index.read(first, count, bytes)?;
        let (live, unowned): (Vec<u32>, Vec<u32>) =
            (first..first + count).partition(|element| snapshot.is_live(*element));
        let ids =
            live.iter().map(|element| index.ids().id(*element).unwrap_or_default().to_owned()).collect();
        let stride = index.header().element_bytes() as usize;
        let from = index.header().vector_offset() as usize;
        let vectors = |elements: &[u32]| -> Result<Array2<f32>> {
            let mut values = Vec::with_capacity(elements.len() * dimension);
            for element in elements {
                let at = (element - first) as usize * stride + from;
                let Some(vector) = bytes.get(at..at + 4 * dimension) else {
                    return Err(Error::new(Kind::Internal, "an element is shorter than its vector"));
                };
                let length = index.length(*element).unwrap_or(1.0);
                let components = vector.as_chunks::<4>().0.iter();
                values.extend(components.map(|bytes| f32::from_le_bytes(*bytes) * length));
            }
            Array2::from_shape_vec((elements.len(), dimension), values).map_err(shape)
        };
        let batch = Batch { ids, vectors: vectors(&live)?, texts: Vec::new() };
        refuse_not_finite(&batch)?;
        let mut unowned_vectors = vectors(&unowned)?;
        unowned_vectors.mapv_inplace(|x| if x.is_finite() { x } else { 0.0 });
        Ok(Block { first, live, batch, unowned, unowned_vectors })
    }
}

/// Shows every live record once: those in the index from several threads at once, then those in the queue.
pub(super) fn each(
    snapshot: &Snapshot,
    connection: &Connection,
    look: &(dyn Fn(&Batch) -> Result<()> + Sync),
) -> Result<()> {
    if let Some(index) = snapshot.index() {
        index.par_blocks().try_for_each_init(Vec::new, |buffer, (first, count)| {
            look(&Block::read(snapshot, index, first, count, buffer)?.batch)
        })?;
    }
    waiting(snapshot, connection).try_for_each(|batch| look(&batch?.1))
}

/// Sends the records whose vector waits in the queue through `pass`; `take` gets each batch with the numbers of its rows
/// in the queue and its new vectors, of `dimension` components.
pub(super) fn send_waiting(
    snapshot: &Snapshot,
    connection: &Connection,
    pass: &dyn Pass,
    dimension: usize,
    context: &Context<'_>,
    mut take: impl FnMut(&[(i64, String)], Batch, Array2<f32>) -> Result<()>,
) -> Result<()> {
    for batch in waiting(snapshot, connection) {
        context.check()?;
        let (records, batch) = batch?;
        let new = pass.vectors(&batch, &as_they_are)?;
        expect_shape(&new, records.len(), dimension)?;
        take(records, batch, new)?;
        context.progress.advance(records.len() as u64);
    }
    Ok(())
}

/// The records whose vector waits in the queue, in batches.
fn waiting<'a>(
    snapshot: &'a Snapshot,
    connection: &'a Connection,
) -> impl Iterator<Item = Result<(&'a [(i64, String)], Batch)>> {
    snapshot.waiting().chunks(index::BLOCK as usize).map(|records| {
        let dimension = snapshot.dimension();
        let mut values = vec![0.0; records.len() * dimension];
        for ((seq, _), vector) in records.iter().zip(values.chunks_exact_mut(dimension.max(1))) {
            queue::vector(connection, *seq, vector)?;
        }
        let vectors = Array2::from_shape_vec((records.len(), dimension), values).map_err(shape)?;
        let ids = records.iter().map(|(_, id)| id.clone()).collect();
        let batch = Batch { ids, vectors, texts: Vec::new() };
        refuse_not_finite(&batch)?;
        Ok((records, batch))
    })
}

/// What the index keeps of a new vector: normalised where the metric wants it. Returns its length as given.
///
/// # Errors
/// [`Kind::Damaged`] if it is not finite.
pub(super) fn into_index(cosine: bool, id: &str, vector: &mut [f32]) -> Result<f32> {
    if !simd::all_finite(vector) {
        let found = format!("the new vector of record `{}` is not finite", id.escape_default());
        return Err(Error::new(Kind::Damaged, found));
    }
    Ok(if cosine { index::normalise(vector) } else { 0.0 })
}

/// The rows of vectors, to be changed.
pub(super) fn rows(vectors: &mut Array2<f32>) -> Result<std::slice::ChunksExactMut<'_, f32>> {
    let dimension = vectors.ncols().max(1);
    let all = vectors.as_slice_mut();
    let all = all.ok_or_else(|| Error::new(Kind::Internal, "new vectors do not lie row by row"))?;
    Ok(all.chunks_exact_mut(dimension))
}

fn refuse_not_finite(batch: &Batch) -> Result<()> {
    let bad = batch.vectors.rows().into_iter().position(|row| !simd::is_finite(row));
    match bad.and_then(|row| batch.ids.get(row)) {
        Some(id) => Err(Error::new(
            Kind::Damaged,
            format!(
                "the stored vector of record `{}` has a component that is not a finite number",
                id.escape_default()
            ),
        )
        .hint("write that record's vector again, or delete the record; then run the same command again")),
        None => Ok(()),
    }
}

fn shape(e: ndarray::ShapeError) -> Error {
    Error::new(Kind::Internal, "a block of records has the wrong shape").because(e)
}
