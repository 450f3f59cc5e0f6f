//! New vectors on their way into an index that is built of them: in its file, and coded in memory while it is built.

use std::path::Path;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use rusqlite::Connection;

use super::index;
use super::index_write::Elements;
use super::kept::Kept;
use super::pickle_write::Form;
use super::queue;
use super::snapshot::Snapshot;
use super::source::{self, Block};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::hnsw;
use crate::store::rewriting::{as_they_are, expect_shape};
use crate::store::{Metric, Pass};

/// The new vectors of all live records as the index wants them, row by row.
pub(super) struct Rebuilt {
    ids: Vec<String>,
    /// Lengths before normalising; zeros where the metric does not normalise.
    lengths: Vec<f32>,
    elements: Elements,
    cosine: bool,
}

impl Rebuilt {
    /// Room for all records of a snapshot in `folder`.
    pub fn new(snapshot: &Snapshot, folder: &Path, dimension: usize) -> Result<Rebuilt> {
        let count = snapshot.count as usize;
        Ok(Rebuilt {
            ids: Vec::with_capacity(count),
            lengths: Vec::with_capacity(count),
            elements: Elements::open(folder, snapshot.count, dimension, snapshot.graph_settings())?,
            cosine: snapshot.entry.settings.metric == Metric::Cosine,
        })
    }

    /// Sends the records in the index through `pass`, as they lie there, from several threads at once.
    pub fn take_index(&mut self, snapshot: &Snapshot, pass: &dyn Pass, context: &Context<'_>) -> Result<()> {
        let Rebuilt { elements, cosine, .. } = self;
        let Some(index) = snapshot.index() else { return Ok(()) };
        let mut blocks = Vec::new();
        let mut row = 0;
        for (first, count) in index.blocks() {
            let live = (first..first + count).filter(|element| snapshot.is_live(*element)).count();
            blocks.push((first, count, row));
            row += live;
        }
        let parts: Vec<_> = blocks
            .into_par_iter()
            .map_init(Vec::new, |buffer, (first, count, row)| {
                context.check()?;
                let batch = Block::read(snapshot, index, first, count, buffer)?.batch;
                let mut new = pass.vectors(&batch, &as_they_are)?;
                expect_shape(&new, batch.ids.len(), elements.dimension())?;
                let lengths = as_in_index(*cosine, &batch.ids, &mut new)?;
                elements.put(row, new.view())?;
                context.progress.advance(batch.ids.len() as u64);
                Ok((batch.ids, lengths))
            })
            .collect::<Result<_>>()?;
        for (ids, lengths) in parts {
            self.ids.extend(ids);
            self.lengths.extend(lengths);
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
        let dimension = self.elements.dimension();
        source::send_waiting(snapshot, connection, pass, dimension, context, |_, batch, mut new| {
            let lengths = as_in_index(self.cosine, &batch.ids, &mut new)?;
            self.append(batch.ids, new.view(), lengths)
        })?;
        if self.ids.len() as u64 != snapshot.count {
            let found = format!("{} of {} records have a new vector", self.ids.len(), snapshot.count);
            return Err(Error::new(Kind::Internal, found));
        }
        Ok(())
    }

    /// The vectors that a kept graph holds, and those beside it. Both indexes lie in `folder` and have elements of one
    /// size: no row comes to lie behind the element that it is made of, so each is read before it is written over.
    pub fn of_kept(kept: &Kept, snapshot: &Snapshot, folder: &Path) -> Result<Rebuilt> {
        let dimension = kept.dimension();
        let mut rebuilt = Rebuilt::new(snapshot, folder, dimension)?;
        kept.each_live(snapshot, |ids, vectors, lengths| rebuilt.append(ids, vectors.view(), lengths))?;
        let waiting: Vec<_> = snapshot.waiting().iter().map(|(_, id)| id).zip(&kept.tail).collect();
        for batch in waiting.chunks(index::BLOCK as usize) {
            let mut vectors = Array2::zeros((batch.len(), dimension));
            let rows = source::rows(&mut vectors)?;
            if !rows.zip(batch).all(|(row, (_, (_, bytes)))| queue::decode(bytes, row)) {
                return Err(Error::new(Kind::Internal, "a vector of the queue has another dimension"));
            }
            let ids: Vec<_> = batch.iter().map(|(id, _)| (*id).clone()).collect();
            let lengths = as_in_index(rebuilt.cosine, &ids, &mut vectors)?;
            rebuilt.append(ids, vectors.view(), lengths)?;
        }
        Ok(rebuilt)
    }

    /// Puts vectors, which are as the index wants them, behind those that are there.
    fn append(&mut self, ids: Vec<String>, vectors: ArrayView2<'_, f32>, lengths: Vec<f32>) -> Result<()> {
        self.elements.put(self.ids.len(), vectors)?;
        self.ids.extend(ids);
        self.lengths.extend(lengths);
        Ok(())
    }

    /// Builds the graph and writes what the index lacks, durably.
    pub fn write(&self, snapshot: &Snapshot, form: Form, context: &Context<'_>) -> Result<()> {
        let metric = snapshot.entry.settings.metric;
        let (m, ef_construction) = snapshot.graph_settings();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let params = hnsw::Params { m, ef_construction, seed: context.seed, threads };
        let codes = self.elements.codes()?;
        context.progress.start("building the index", Some(self.ids.len() as u64), "records");
        let graph = hnsw::build_coded(&codes, index::distance(metric), &params, context);
        context.progress.finish();
        let lengths = if self.cosine { &self.lengths[..] } else { &[] };
        self.elements.finish(&graph?, lengths, &self.ids, form)
    }
}

/// Makes new vectors of what the index wants; returns their lengths before.
fn as_in_index(cosine: bool, ids: &[String], new: &mut Array2<f32>) -> Result<Vec<f32>> {
    ids.iter().zip(source::rows(new)?).map(|(id, row)| source::into_index(cosine, id, row)).collect()
}
