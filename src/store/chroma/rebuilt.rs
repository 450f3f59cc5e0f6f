//! New vectors in memory, for an index that is built of them.

use std::path::Path;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use rusqlite::Connection;

use super::index::{self, Index};
use super::index_write;
use super::kept::Kept;
use super::pickle_write::Form;
use super::queue;
use super::snapshot::Snapshot;
use super::source::{self, Block};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::hnsw::{self, VectorBuffer};
use crate::store::{Metric, Pass};

/// The new vectors of all live records as the index wants them, row by row.
pub(super) struct Rebuilt {
    ids: Vec<String>,
    vectors: VectorBuffer,
    /// Lengths before normalising; zeros where the metric does not normalise.
    lengths: Vec<f32>,
    dimension: usize,
}

impl Rebuilt {
    /// Sends every record through `pass`: first those in the index, as they lie there, then those in the queue.
    pub fn transform(
        snapshot: &Snapshot,
        connection: &Connection,
        pass: &dyn Pass,
        dimension: usize,
        context: &Context<'_>,
    ) -> Result<Rebuilt> {
        let count = snapshot.count as usize;
        let cosine = snapshot.entry.settings.metric == Metric::Cosine;
        let mut vectors = VectorBuffer::zeroed(count, dimension)?;
        let mut ids = Vec::with_capacity(count);
        let mut lengths = Vec::with_capacity(count);
        let mut rest = vectors.as_mut_slice();
        if let Some(index) = snapshot.index() {
            let mut blocks = Vec::new();
            for (first, count) in index.blocks() {
                let live = (first..first + count).filter(|element| snapshot.is_live(*element)).count();
                let (place, others) = rest
                    .split_at_mut_checked(live * dimension)
                    .ok_or_else(|| Error::new(Kind::Internal, "more live elements than records"))?;
                blocks.push((first, count, place));
                rest = others;
            }
            let parts: Vec<_> = blocks
                .into_par_iter()
                .map(|(first, count, place)| block(snapshot, index, (first, count), place, pass, context))
                .collect::<Result<_>>()?;
            for (some_ids, some_lengths) in parts {
                ids.extend(some_ids);
                lengths.extend(some_lengths);
            }
        }
        for batch in source::waiting(snapshot, connection) {
            context.check()?;
            let (_, batch) = batch?;
            let new = pass.vectors(&batch)?;
            source::expect_shape(&new, batch.ids.len(), dimension)?;
            lengths.extend(place(cosine, &batch.ids, &new, rest)?);
            rest = rest.get_mut(batch.ids.len() * dimension..).unwrap_or_default();
            ids.extend(batch.ids);
            context.progress.advance(new.nrows() as u64);
        }
        if ids.len() != count {
            let found = format!("{} of {count} records have a new vector", ids.len());
            return Err(Error::new(Kind::Internal, found));
        }
        Ok(Rebuilt { ids, vectors, lengths, dimension })
    }

    /// The vectors that a kept graph holds, and those beside it.
    pub fn of_kept(kept: &Kept, snapshot: &Snapshot) -> Result<Rebuilt> {
        let count = snapshot.count as usize;
        let cosine = snapshot.entry.settings.metric == Metric::Cosine;
        let dimension = kept.dimension();
        let mut rebuilt = Rebuilt {
            ids: Vec::with_capacity(count),
            vectors: VectorBuffer::zeroed(count, dimension)?,
            lengths: Vec::with_capacity(count),
            dimension,
        };
        let mut rows = rebuilt.vectors.as_mut_slice().chunks_exact_mut(dimension);
        kept.each_live(snapshot, |id, vector, length| {
            let row = rows.next().ok_or_else(|| Error::new(Kind::Internal, "more vectors than records"))?;
            row.iter_mut().zip(vector).for_each(|(to, from)| *to = *from);
            rebuilt.ids.push(id.to_owned());
            rebuilt.lengths.push(length);
            Ok(())
        })?;
        for ((_, id), (_, bytes)) in snapshot.waiting().iter().zip(&kept.tail) {
            let row = rows.next().ok_or_else(|| Error::new(Kind::Internal, "more vectors than records"))?;
            if !queue::decode(bytes, row) {
                return Err(Error::new(Kind::Internal, "a vector of the queue has another dimension"));
            }
            rebuilt.lengths.push(source::into_index(cosine, id, row)?);
            rebuilt.ids.push(id.clone());
        }
        Ok(rebuilt)
    }

    /// Builds the graph and writes the files of the index into `folder`, durably.
    pub fn write(&self, snapshot: &Snapshot, folder: &Path, form: Form, context: &Context<'_>) -> Result<()> {
        let metric = snapshot.entry.settings.metric;
        let view = ArrayView2::from_shape((self.ids.len(), self.dimension), self.vectors.as_slice())
            .map_err(|e| Error::new(Kind::Internal, "the new vectors have the wrong shape").because(e))?;
        let (m, ef_construction) = snapshot.graph_settings();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let params = hnsw::Params { m, ef_construction, seed: context.seed, threads };
        context.progress.start("building the index", Some(self.ids.len() as u64), "records");
        let graph = hnsw::build(view, index::distance(metric), &params, context);
        context.progress.finish();
        let lengths = if metric == Metric::Cosine { &self.lengths[..] } else { &[] };
        index_write::write(folder, &graph?, view, lengths, &self.ids, form)
    }
}

fn block(
    snapshot: &Snapshot,
    index: &Index,
    (first, count): (u32, u32),
    rows: &mut [f32],
    pass: &dyn Pass,
    context: &Context<'_>,
) -> Result<(Vec<String>, Vec<f32>)> {
    context.check()?;
    let cosine = snapshot.entry.settings.metric == Metric::Cosine;
    let block = Block::read(snapshot, index, first, count)?;
    let new = pass.vectors(&block.batch)?;
    source::expect_shape(&new, block.live.len(), rows.len() / block.live.len().max(1))?;
    let lengths = place(cosine, &block.batch.ids, &new, rows)?;
    context.progress.advance(new.nrows() as u64);
    Ok((block.batch.ids, lengths))
}

/// Puts new vectors into the first of `rows`, as the index wants them; returns their lengths as given.
fn place(cosine: bool, ids: &[String], new: &Array2<f32>, rows: &mut [f32]) -> Result<Vec<f32>> {
    let vectors = ids.iter().zip(new.outer_iter()).zip(rows.chunks_exact_mut(new.ncols().max(1)));
    vectors
        .map(|((id, vector), row)| {
            row.iter_mut().zip(vector).for_each(|(to, from)| *to = *from);
            source::into_index(cosine, id, row)
        })
        .collect()
}
