//! New vectors on their way into an index that is built of them: whole in its file, coded in memory.

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
use crate::hnsw::{self, Codes, CodesPart};
use crate::store::{Metric, Pass};

/// The new vectors of all live records as the index wants them, row by row.
pub(super) struct Rebuilt {
    ids: Vec<String>,
    codes: Codes,
    /// Lengths before normalising; zeros where the metric does not normalise.
    lengths: Vec<f32>,
    elements: Elements,
    cosine: bool,
}

impl Rebuilt {
    /// Room for all records of a snapshot, in memory and in `folder`.
    pub fn new(snapshot: &Snapshot, folder: &Path, dimension: usize) -> Result<Rebuilt> {
        let count = snapshot.count as usize;
        Ok(Rebuilt {
            ids: Vec::with_capacity(count),
            codes: Codes::zeroed(count, dimension)?,
            lengths: Vec::with_capacity(count),
            elements: Elements::open(folder, dimension, snapshot.graph_settings().0)?,
            cosine: snapshot.entry.settings.metric == Metric::Cosine,
        })
    }

    /// Sends the records in the index through `pass`, as they lie there, from several threads at once.
    pub fn take_index(&mut self, snapshot: &Snapshot, pass: &dyn Pass, context: &Context<'_>) -> Result<()> {
        let Rebuilt { codes, elements, cosine, .. } = self;
        let Some(index) = snapshot.index() else { return Ok(()) };
        let mut blocks = Vec::new();
        let (mut rest, mut row) = (codes.part(), 0);
        for (first, count) in index.blocks() {
            let live = (first..first + count).filter(|element| snapshot.is_live(*element)).count();
            let (place, others) = rest.split_at(live).ok_or_else(too_many)?;
            blocks.push((first, count, row, place));
            (rest, row) = (others, row + live);
        }
        let parts: Vec<_> = blocks
            .into_par_iter()
            .map_init(Vec::new, |buffer, (first, count, row, place)| {
                context.check()?;
                let batch = Block::read(snapshot, index, first, count, buffer)?.batch;
                let new = pass.vectors(&batch)?;
                source::expect_shape(&new, batch.ids.len(), place.dimension())?;
                let lengths = put(*cosine, &batch.ids, new, place, (elements, row))?;
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
        let Rebuilt { ids, codes, lengths, elements, cosine } = self;
        let dimension = codes.dimension();
        let mut rest = codes.part().split_at(ids.len()).map(|(_, rest)| rest);
        source::send_waiting(snapshot, connection, pass, dimension, context, |records, batch, new| {
            let parts = rest.take().and_then(|rest| rest.split_at(records.len()));
            let (place, others) = parts.ok_or_else(too_many)?;
            rest = Some(others);
            lengths.extend(put(*cosine, &batch.ids, new, place, (elements, ids.len()))?);
            ids.extend(batch.ids);
            Ok(())
        })?;
        if ids.len() as u64 != snapshot.count {
            let found = format!("{} of {} records have a new vector", ids.len(), snapshot.count);
            return Err(Error::new(Kind::Internal, found));
        }
        Ok(())
    }

    /// The vectors that a kept graph holds, and those beside it. Both indexes lie in `folder` and have elements of one
    /// size: no row comes to lie behind the element that it is made of, so each is read before it is written over.
    pub fn of_kept(kept: &Kept, snapshot: &Snapshot, folder: &Path) -> Result<Rebuilt> {
        let dimension = kept.dimension();
        let mut rebuilt = Rebuilt::new(snapshot, folder, dimension)?;
        kept.each_live(snapshot, |id, vector, length| rebuilt.push(id, vector.to_vec(), Some(length)))?;
        for ((_, id), (_, bytes)) in snapshot.waiting().iter().zip(&kept.tail) {
            let mut vector = vec![0.0; dimension];
            if !queue::decode(bytes, &mut vector) {
                return Err(Error::new(Kind::Internal, "a vector of the queue has another dimension"));
            }
            rebuilt.push(id, vector, None)?;
        }
        Ok(rebuilt)
    }

    /// Takes one vector, which is as the index wants it if its `length` of before is given.
    fn push(&mut self, id: &str, mut vector: Vec<f32>, length: Option<f32>) -> Result<()> {
        let row = self.ids.len();
        if row >= self.codes.len() {
            return Err(too_many());
        }
        self.lengths.push(match length {
            Some(length) => length,
            None => source::into_index(self.cosine, id, &mut vector)?,
        });
        self.codes.part().put(row, &vector);
        let shape = (1, vector.len());
        let view = ArrayView2::from_shape(shape, &vector).map_err(source::shape)?;
        self.elements.put(row, view)?;
        self.ids.push(id.to_owned());
        Ok(())
    }

    /// Builds the graph and writes what the index lacks, durably.
    pub fn write(&self, snapshot: &Snapshot, form: Form, context: &Context<'_>) -> Result<()> {
        let metric = snapshot.entry.settings.metric;
        let (m, ef_construction) = snapshot.graph_settings();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let params = hnsw::Params { m, ef_construction, seed: context.seed, threads };
        context.progress.start("building the index", Some(self.ids.len() as u64), "records");
        let graph = hnsw::build_coded(&self.codes, index::distance(metric), &params, context);
        context.progress.finish();
        let lengths = if metric == Metric::Cosine { &self.lengths[..] } else { &[] };
        self.elements.finish(&graph?, lengths, &self.ids, form)
    }
}

/// Puts new vectors where they belong: coded into `place`, as the index wants them into the file from a row on.
/// Returns their lengths as given.
fn put(
    cosine: bool,
    ids: &[String],
    mut new: Array2<f32>,
    mut place: CodesPart<'_>,
    (elements, first): (&Elements, usize),
) -> Result<Vec<f32>> {
    let dimension = new.ncols().max(1);
    let rows = new.as_slice_mut();
    let rows = rows.ok_or_else(|| Error::new(Kind::Internal, "new vectors do not lie row by row"))?;
    let mut lengths = Vec::with_capacity(ids.len());
    for (at, (id, row)) in ids.iter().zip(rows.chunks_exact_mut(dimension)).enumerate() {
        lengths.push(source::into_index(cosine, id, row)?);
        place.put(at, row);
    }
    elements.put(first, new.view())?;
    Ok(lengths)
}

fn too_many() -> Error {
    Error::new(Kind::Internal, "more new vectors than records")
}
