//! A kept graph: the elements of the index with their vectors exchanged, written as they are read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, s};
use rayon::prelude::*;
use rusqlite::Connection;

use super::hnsw_files::Header;
use super::index::{self, Index};
use super::index_write;
use super::pickle_write::{self, Form, Named};
use super::queue;
use super::snapshot::Snapshot;
use super::source::{self, Block};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::hnsw;
use crate::platform::bytes as as_bytes;
use crate::platform::files;
use crate::platform::syncing::Syncing;
use crate::store::rewriting::{as_they_are, expect_shape};
use crate::store::{Metric, Pass};

/// The disk begins to write whenever so much is there and it is at nothing else.
const BYTES_AT_ONCE: usize = 1 << 25;

/// New vectors inside a copy of the elements of the index; those of the queue beside it.
pub(super) struct Kept {
    folder: PathBuf,
    level0: File,
    header: Header,
    /// By element.
    labels: Vec<u64>,
    lengths: Vec<f32>,
    /// The elements, on their way to the disk.
    syncing: Vec<Syncing>,
    /// Rows of the queue and their new vectors.
    pub tail: Vec<(i64, Vec<u8>)>,
}

impl Kept {
    /// For the elements of the index, to be written into `folder`.
    pub fn new(snapshot: &Snapshot, folder: &Path, dimension: usize) -> Result<Kept> {
        let index = kept_index(snapshot)?;
        let (_, level0) = index_write::create(folder)?;
        Ok(Kept {
            folder: folder.to_path_buf(),
            level0,
            header: Header { dimension, capacity: index.header().count, ..*index.header() },
            labels: Vec::new(),
            lengths: Vec::new(),
            syncing: Vec::new(),
            tail: Vec::new(),
        })
    }

    /// Sends the records of the index through `pass`, block by block from several threads at once.
    pub fn take_index(&mut self, snapshot: &Snapshot, pass: &dyn Pass, context: &Context<'_>) -> Result<()> {
        let index = kept_index(snapshot)?;
        let path = self.folder.join(index::LEVEL0);
        // Bytes since the disk was last told to begin, and what it is at: at the end all of it would be waited for.
        let begun = Mutex::new((0, Vec::new()));
        let parts: Vec<_> = index
            .par_blocks()
            .map_init(Buffers::default, |buffers, (first, count)| {
                context.check()?;
                let block = Block::read(snapshot, index, first, count, &mut buffers.source)?;
                let (lengths, labels) = exchange(snapshot, index, &self.header, &block, buffers, pass)?;
                let at = u64::from(first) * self.header.element_bytes();
                files::write_all_at(&self.level0, &buffers.target, at)
                    .map_err(|e| Error::io("write", &path, e))?;
                let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
                begun.0 += buffers.target.len();
                if begun.0 >= BYTES_AT_ONCE && begun.1.last().is_none_or(Syncing::is_done) {
                    begun.0 = 0;
                    begun.1.push(Syncing::begin(&self.level0, &path)?);
                }
                drop(begun);
                context.progress.advance(block.live.len() as u64);
                Ok((lengths, labels))
            })
            .collect::<Result<_>>()?;
        self.syncing = begun.into_inner().unwrap_or_else(PoisonError::into_inner).1;
        // What waits in the queue changes little of it.
        self.syncing.push(Syncing::begin(&self.level0, &path)?);
        let (lengths, labels): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        (self.lengths, self.labels) = (lengths.concat(), labels.concat());
        Ok(())
    }

    /// New vectors of the records that wait in the queue. Where the index holds an earlier vector of one,
    /// the new one goes there too.
    pub fn take_queue(
        &mut self,
        snapshot: &Snapshot,
        connection: &Connection,
        pass: &dyn Pass,
        context: &Context<'_>,
    ) -> Result<()> {
        let index = kept_index(snapshot)?;
        let cosine = snapshot.entry.settings.metric == Metric::Cosine;
        let dimension = self.header.dimension;
        source::send_waiting(snapshot, connection, pass, dimension, context, |records, _, new| {
            for ((seq, id), vector) in records.iter().zip(new.outer_iter()) {
                let mut vector = vector.to_vec();
                self.tail.push((*seq, as_bytes::of_f32(&vector).into_owned()));
                let length = source::into_index(cosine, id, &mut vector)?;
                let Some(element) = index.ids().element(id) else { continue };
                let at = u64::from(element) * self.header.element_bytes() + self.header.vector_offset();
                files::write_all_at(&self.level0, &as_bytes::of_f32(&vector), at)
                    .map_err(|e| Error::io("write", &self.folder.join(index::LEVEL0), e))?;
                if let Some(place) = self.lengths.get_mut(element as usize) {
                    *place = length;
                }
            }
            Ok(())
        })
    }

    /// Links that serve the new vectors better: one pass over what is two steps away.
    pub fn repair(&self, snapshot: &Snapshot, context: &Context<'_>) -> Result<()> {
        let index = kept_index(snapshot)?;
        let metric = snapshot.entry.settings.metric;
        let path = self.folder.join(index::LEVEL0);
        let bytes = self.header.count.saturating_mul(self.header.element_bytes());
        let map = files::map(&self.level0, bytes).map_err(|e| Error::io("map", &path, e))?;
        let links = index.path(index::LINKS);
        let links = std::fs::read(&links).map_err(|e| Error::io("read", &links, e))?;
        let graph = hnsw::Records::open(&self.header.shape()?, &map, &links)?;
        context.progress.start("repairing the index", Some(self.header.count), "records");
        let lists = hnsw::repair(&graph, index::distance(metric), self.header.m, context);
        context.progress.finish();
        let lists = lists?;
        drop(graph);
        drop(map);
        for (element, list) in (0u64..).zip(lists.chunks_exact(1 + 2 * self.header.m)) {
            // The third byte holds the flags, which stay.
            let Some((count, ids)) = list.split_first() else { continue };
            let count = u16::try_from(*count).unwrap_or(u16::MAX).to_le_bytes();
            let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            let at = element * self.header.element_bytes();
            files::write_all_at(&self.level0, &count, at)
                .and_then(|()| files::write_all_at(&self.level0, &ids, at + 4))
                .map_err(|e| Error::io("write", &path, e))?;
        }
        Ok(())
    }

    /// Writes the other files, durably; the elements are on their way to the disk until [`Kept::sync`].
    pub fn write(&mut self, snapshot: &Snapshot, form: Form) -> Result<()> {
        let index = kept_index(snapshot)?;
        self.sync()?;
        self.syncing.push(Syncing::begin(&self.level0, &self.folder.join(index::LEVEL0))?);
        files::write_atomically(&self.folder.join(index::LENGTHS), |out| {
            self.lengths.iter().try_for_each(|length| out.write_all(&length.to_le_bytes()))
        })?;
        let links = index.path(index::LINKS);
        let mut from = File::open(&links).map_err(|e| Error::io("read", &links, e))?;
        files::write_atomically(&self.folder.join(index::LINKS), |mut out| {
            std::io::copy(&mut from, &mut out).map(drop)
        })?;
        files::write_atomically(&self.folder.join(index::HEADER), |out| {
            out.write_all(&self.header.to_bytes())
        })?;
        let entries: Vec<_> = self.named(snapshot, index).collect();
        let named = Named {
            entries: &entries,
            total: index.total_elements_added,
            dimension: self.header.dimension,
            form,
        };
        files::write_atomically(&self.folder.join(index::METADATA), |out| pickle_write::write(out, &named))
    }

    /// Waits until what was written is durable.
    pub fn sync(&mut self) -> Result<()> {
        std::mem::take(&mut self.syncing).into_iter().try_for_each(Syncing::finish)
    }

    pub fn dimension(&self) -> usize {
        self.header.dimension
    }

    /// Shows ids, new vectors as the index has them and their lengths as given of the records that are live in the index,
    /// block by block.
    pub fn each_live(
        &self,
        snapshot: &Snapshot,
        mut look: impl FnMut(Vec<String>, Array2<f32>, Vec<f32>) -> Result<()>,
    ) -> Result<()> {
        let Some(index) = snapshot.index() else { return Ok(()) };
        let path = self.folder.join(index::LEVEL0);
        let (size, from) = (self.header.element_bytes() as usize, self.header.vector_offset() as usize);
        let mut bytes = Vec::new();
        for (first, count) in index.blocks() {
            let (mut ids, mut lengths) = (Vec::new(), Vec::new());
            let mut vectors = Array2::zeros((count as usize, self.header.dimension));
            bytes.resize(size * count as usize, 0);
            files::read_exact_at(&self.level0, &mut bytes, u64::from(first) * self.header.element_bytes())
                .map_err(|e| Error::io("read", &path, e))?;
            for (element, bytes) in (first..).zip(bytes.chunks_exact(size)) {
                let Some(id) = index.ids().id(element).filter(|_| snapshot.is_live(element)) else {
                    continue;
                };
                let values = bytes.get(from..from + 4 * self.header.dimension).unwrap_or_default();
                let mut row = vectors.row_mut(ids.len());
                if !row.as_slice_mut().is_some_and(|row| queue::decode(values, row)) {
                    return Err(Error::new(Kind::Internal, "an element is shorter than its vector"));
                }
                ids.push(id.to_owned());
                lengths.push(self.lengths.get(element as usize).copied().unwrap_or(0.0));
            }
            vectors.slice_collapse(s![..ids.len(), ..]);
            look(ids, vectors, lengths)?;
        }
        Ok(())
    }

    /// Records that the kept index holds, with their labels.
    fn named<'a>(&'a self, snapshot: &'a Snapshot, index: &'a Index) -> impl Iterator<Item = (&'a str, u64)> {
        index.ids().iter().filter_map(|(element, id)| {
            let held = snapshot.is_live(element) || snapshot.is_waiting(id);
            Some((id, *self.labels.get(element as usize)?)).filter(|_| held)
        })
    }
}

fn kept_index(snapshot: &Snapshot) -> Result<&Index> {
    snapshot.index().ok_or_else(|| Error::new(Kind::Internal, "there is no graph to keep"))
}

/// Bytes of one block at a time, used again for the next.
#[derive(Default)]
struct Buffers {
    source: Vec<u8>,
    target: Vec<u8>,
}

/// Fills `buffers.target` with the elements of a block (in `buffers.source`), their vectors exchanged; returns lengths
/// and labels.
fn exchange(
    snapshot: &Snapshot,
    index: &Index,
    header: &Header,
    block: &Block,
    buffers: &mut Buffers,
    pass: &dyn Pass,
) -> Result<(Vec<f32>, Vec<u64>)> {
    let cosine = snapshot.entry.settings.metric == Metric::Cosine;
    let dimension = header.dimension;
    let mut new = pass.vectors(&block.batch, &as_they_are)?;
    expect_shape(&new, block.live.len(), dimension)?;
    let mut unowned = match block.unowned.is_empty() {
        true => Array2::zeros((0, dimension)),
        false => pass.unowned(block.unowned_vectors.view())?,
    };
    expect_shape(&unowned, block.unowned.len(), dimension)?;
    let mut live = source::rows(&mut new)?.zip(&block.batch.ids);
    let mut others = source::rows(&mut unowned)?;

    let (stride, from) = (index.header().element_bytes() as usize, header.vector_offset() as usize);
    let elements = buffers.source.len() / stride.max(1);
    buffers.target.clear();
    buffers.target.reserve(elements * header.element_bytes() as usize);
    let mut lengths = Vec::with_capacity(elements);
    let mut labels = Vec::with_capacity(elements);
    for (element, source) in (block.first..).zip(buffers.source.chunks_exact(stride)) {
        let (vector, id) = match snapshot.is_live(element) {
            true => live.next().map(|(vector, id)| (vector, id.as_str())),
            false => others.next().map(|vector| (vector, "")),
        }
        .ok_or_else(|| Error::new(Kind::Internal, "fewer new vectors than elements"))?;
        let is_waiting = || index.ids().id(element).is_some_and(|id| snapshot.is_waiting(id));
        let is_gone = !snapshot.is_live(element) && !is_waiting();
        lengths.push(source::into_index(cosine, id, vector)?);
        labels.push(index::label(source));
        let start = buffers.target.len();
        buffers.target.extend_from_slice(source.get(..from).unwrap_or_default());
        if let Some(flags) = buffers.target.get_mut(start + 2).filter(|_| is_gone) {
            *flags |= 1;
        }
        buffers.target.extend_from_slice(&as_bytes::of_f32(vector));
        buffers.target.extend_from_slice(&index::label(source).to_le_bytes());
    }
    Ok((lengths, labels))
}
