//! New vectors in memory, for an index that is built of them.

use std::path::Path;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use rusqlite::Connection;

use super::index;
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
    /// Room for all records of a snapshot.
    pub fn new(snapshot: &Snapshot, dimension: usize) -> Result<Rebuilt> {
        let count = snapshot.count as usize;
        Ok(Rebuilt {
            ids: Vec::with_capacity(count),
            vectors: VectorBuffer::zeroed(count, dimension)?,
            lengths: Vec::with_capacity(count),
            dimension,
        })
    }

    /// Sends the records in the index through `pass`, as they lie there, from several threads at once.
    pub fn take_index(&mut self, snapshot: &Snapshot, pass: &dyn Pass, context: &Context<'_>) -> Result<()> {
        let dimension = self.dimension;
        let mut rest = self.vectors.as_mut_slice();
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
                .map_init(Vec::new, |buffer, (first, count, place)| {
                    context.check()?;
                    let block = Block::read(snapshot, index, first, count, buffer)?;
                    let lengths = send(snapshot, &block, place, pass)?;
                    context.progress.advance(block.live.len() as u64);
                    Ok((block.batch.ids, lengths))
                })
                .collect::<Result<_>>()?;
            for (ids, lengths) in parts {
                self.ids.extend(ids);
                self.lengths.extend(lengths);
            }
        }
        Ok(())
    }

    /// Sends the records that wait in the queue through `pass`, behind those of the index.
    pub fn take_queue(
        &mut self,
        snapshot: &Snapshot,
        connection: &Connection,
        pass: &dyn Pass,
        context: &Context<'_>,
    ) -> Result<()> {
        let (count, dimension) = (snapshot.count as usize, self.dimension);
        let cosine = snapshot.entry.settings.metric == Metric::Cosine;
        let taken = self.ids.len() * dimension;
        let mut rest = self.vectors.as_mut_slice().get_mut(taken..).unwrap_or_default();
        source::send_waiting(snapshot, connection, pass, dimension, context, |records, batch, new| {
            let (rows, others) = std::mem::take(&mut rest)
                .split_at_mut_checked(records.len() * dimension)
                .ok_or_else(|| Error::new(Kind::Internal, "more waiting records than records"))?;
            self.lengths.extend(place(cosine, &batch.ids, &new, rows)?);
            self.ids.extend(batch.ids);
            rest = others;
            Ok(())
        })?;
        if self.ids.len() != count {
            let found = format!("{} of {count} records have a new vector", self.ids.len());
            return Err(Error::new(Kind::Internal, found));
        }
        Ok(())
    }

    /// The vectors that a kept graph holds, and those beside it.
    pub fn of_kept(kept: &Kept, snapshot: &Snapshot) -> Result<Rebuilt> {
        let cosine = snapshot.entry.settings.metric == Metric::Cosine;
        let dimension = kept.dimension();
        let mut rebuilt = Rebuilt::new(snapshot, dimension)?;
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

/// Sends a block through `pass` into `rows`; returns the lengths as given.
fn send(snapshot: &Snapshot, block: &Block, rows: &mut [f32], pass: &dyn Pass) -> Result<Vec<f32>> {
    let cosine = snapshot.entry.settings.metric == Metric::Cosine;
    let new = pass.vectors(&block.batch)?;
    source::expect_shape(&new, block.live.len(), rows.len() / block.live.len().max(1))?;
    place(cosine, &block.batch.ids, &new, rows)
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
