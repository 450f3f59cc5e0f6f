//! A kept graph: the elements of the index with their vectors exchanged, written as they are read.

use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rusqlite::Connection;

use super::hnsw_files::Header;
use super::index::{self, Index};
use super::pickle_write::{self, Form, Named};
use super::queue;
use super::snapshot::Snapshot;
use super::source::{self, Block};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::hnsw;
use crate::platform::{bytes as as_bytes, files};
use crate::store::{Metric, Pass};

/// New vectors inside a copy of the elements of the index; those of the queue beside it.
pub(super) struct Kept {
    folder: PathBuf,
    level0: File,
    header: Header,
    /// By element.
    labels: Vec<u64>,
    lengths: Vec<f32>,
    /// Rows of the queue and their new vectors.
    pub tail: Vec<(i64, Vec<u8>)>,
}

impl Kept {
    /// Sends every record through `pass` and writes the elements into `folder`.
    pub fn transform(
        snapshot: &Snapshot,
        connection: &Connection,
        folder: &Path,
        pass: &dyn Pass,
        dimension: usize,
        context: &Context<'_>,
    ) -> Result<Kept> {
        let Some(index) = snapshot.index() else {
            return Err(Error::new(Kind::Internal, "there is no graph to keep"));
        };
        files::create_folder(folder)?;
        let path = folder.join(index::LEVEL0);
        let level0 = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io("write", &path, e))?;
        let header = Header { dimension, capacity: index.header().count, ..*index.header() };
        let blocks: Vec<_> = index.blocks().collect();
        let parts: Vec<_> = blocks
            .into_par_iter()
            .map(|(first, count)| {
                context.check()?;
                let block = Block::read(snapshot, index, first, count)?;
                let (bytes, lengths, labels) = exchange(snapshot, index, &header, &block, pass)?;
                files::write_all_at(&level0, &bytes, u64::from(first) * header.element_bytes())
                    .map_err(|e| Error::io("write", &path, e))?;
                context.progress.advance(block.live.len() as u64);
                Ok((lengths, labels))
            })
            .collect::<Result<_>>()?;
        let (lengths, labels): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let mut kept = Kept {
            folder: folder.to_path_buf(),
            level0,
            header,
            labels: labels.concat(),
            lengths: lengths.concat(),
            tail: Vec::new(),
        };
        kept.take_queue(snapshot, index, connection, pass, context)?;
        Ok(kept)
    }

    /// New vectors of the records that wait in the queue. Where the index holds an earlier vector of one,
    /// the new one goes there too.
    fn take_queue(
        &mut self,
        snapshot: &Snapshot,
        index: &Index,
        connection: &Connection,
        pass: &dyn Pass,
        context: &Context<'_>,
    ) -> Result<()> {
        let cosine = snapshot.entry.settings.metric == Metric::Cosine;
        for batch in source::waiting(snapshot, connection) {
            context.check()?;
            let (records, batch) = batch?;
            let new = pass.vectors(&batch)?;
            source::expect_shape(&new, batch.ids.len(), self.header.dimension)?;
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
            context.progress.advance(new.nrows() as u64);
        }
        Ok(())
    }

    /// Links that serve the new vectors better: one pass over what is two steps away.
    pub fn repair(&self, snapshot: &Snapshot, context: &Context<'_>) -> Result<()> {
        let Some(index) = snapshot.index() else {
            return Err(Error::new(Kind::Internal, "there is no graph to repair"));
        };
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

    /// Writes the other files and makes all durable.
    pub fn write(&self, snapshot: &Snapshot, form: Form) -> Result<()> {
        let Some(index) = snapshot.index() else {
            return Err(Error::new(Kind::Internal, "there is no graph to keep"));
        };
        let path = self.folder.join(index::LEVEL0);
        files::sync(&self.level0, &path)?;
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

    pub fn dimension(&self) -> usize {
        self.header.dimension
    }

    /// Shows the new vector of each record that is live in the index, as the index has it, with its length as given.
    pub fn each_live(
        &self,
        snapshot: &Snapshot,
        mut look: impl FnMut(&str, &[f32], f32) -> Result<()>,
    ) -> Result<()> {
        let Some(index) = snapshot.index() else { return Ok(()) };
        let path = self.folder.join(index::LEVEL0);
        let (size, from) = (self.header.element_bytes() as usize, self.header.vector_offset() as usize);
        let mut vector = vec![0.0; self.header.dimension];
        let mut bytes = Vec::new();
        for (first, count) in index.blocks() {
            bytes.resize(size * count as usize, 0);
            files::read_exact_at(&self.level0, &mut bytes, u64::from(first) * self.header.element_bytes())
                .map_err(|e| Error::io("read", &path, e))?;
            for (element, bytes) in (first..).zip(bytes.chunks_exact(size)) {
                let Some(id) = index.ids().id(element).filter(|_| snapshot.is_live(element)) else {
                    continue;
                };
                let values = bytes.get(from..from + 4 * self.header.dimension).unwrap_or_default();
                if !queue::decode(values, &mut vector) {
                    return Err(Error::new(Kind::Internal, "an element is shorter than its vector"));
                }
                look(id, &vector, self.lengths.get(element as usize).copied().unwrap_or(0.0))?;
            }
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

/// The bytes of a block with its new vectors, their lengths and the labels.
fn exchange(
    snapshot: &Snapshot,
    index: &Index,
    header: &Header,
    block: &Block,
    pass: &dyn Pass,
) -> Result<(Vec<u8>, Vec<f32>, Vec<u64>)> {
    let cosine = snapshot.entry.settings.metric == Metric::Cosine;
    let (size, from) = (header.element_bytes() as usize, header.vector_offset() as usize);
    let stride = index.header().element_bytes() as usize;
    let elements = block.bytes.len() / stride.max(1);
    let mut bytes = vec![0; elements * size];
    let mut lengths = vec![0.0; elements];
    let mut labels = Vec::with_capacity(elements);
    for ((element, source), target) in
        (block.first..).zip(block.bytes.chunks_exact(stride)).zip(bytes.chunks_exact_mut(size))
    {
        let (links, label) = (source.get(..from).unwrap_or_default(), index::label(source));
        if let Some(place) = target.get_mut(..from) {
            place.copy_from_slice(links);
        }
        if let Some(place) = target.last_chunk_mut::<8>() {
            *place = label.to_le_bytes();
        }
        labels.push(label);
        let id = index.ids().id(element);
        if !snapshot.is_live(element)
            && !id.is_some_and(|id| snapshot.is_waiting(id))
            && let Some(flags) = target.get_mut(2)
        {
            *flags |= 1;
        }
    }
    let mut place = |element: u32, id: &str, vector: ndarray::ArrayView1<'_, f32>| -> Result<()> {
        let mut vector = vector.to_vec();
        let length = source::into_index(cosine, id, &mut vector)?;
        let row = (element - block.first) as usize;
        if let Some(place) = lengths.get_mut(row) {
            *place = length;
        }
        let at = row * size + from;
        if let Some(target) = bytes.get_mut(at..at + 4 * vector.len()) {
            target.copy_from_slice(&as_bytes::of_f32(&vector));
        }
        Ok(())
    };
    let new = pass.vectors(&block.batch)?;
    source::expect_shape(&new, block.live.len(), header.dimension)?;
    for ((element, id), vector) in block.live.iter().zip(&block.batch.ids).zip(new.outer_iter()) {
        place(*element, id, vector)?;
    }
    if !block.unowned.is_empty() {
        let new = pass.unowned(block.unowned_vectors.view())?;
        source::expect_shape(&new, block.unowned.len(), header.dimension)?;
        for (element, vector) in block.unowned.iter().zip(new.outer_iter()) {
            place(*element, "", vector)?;
        }
    }
    Ok((bytes, lengths, labels))
}
