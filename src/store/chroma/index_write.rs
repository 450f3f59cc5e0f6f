//! Writing a fresh index: vectors and labels 1..=n first, then the graph that is built of them.

use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::hnsw_files::Header;
use super::index;
use super::pickle_write::{self, Form, Named};
use super::source;
use crate::error::{Error, Kind, Result};
use crate::hnsw::{self, Basis, Codes, Graph};
use crate::platform::bytes as as_bytes;
use crate::platform::files;
use crate::platform::syncing::Syncing;

/// The elements of an index on their way into `data_level0.bin`: row i is element i and has the label i + 1.
pub(super) struct Elements {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    header: Header,
}

impl Elements {
    /// Opens the file in `folder`, or makes it, for `count` elements. What it holds already is overwritten row by row.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`] without permission.
    pub fn open(
        folder: &Path,
        count: u64,
        dimension: usize,
        (m, ef_construction): (usize, usize),
    ) -> Result<Elements> {
        let (path, file) = create(folder)?;
        let ef_construction = ef_construction as u64;
        let header = Header { count, capacity: count, dimension, m, ef_construction, max_level: 0, entry: 0 };
        Ok(Elements { folder: folder.to_path_buf(), path, file, header })
    }

    /// Components of a vector.
    pub fn dimension(&self) -> usize {
        self.header.dimension
    }

    /// Writes the rows of `vectors` (b x dimension) from row `first` on, without links.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`] without room.
    pub fn put(&self, first: usize, vectors: ArrayView2<'_, f32>) -> Result<()> {
        let mut bytes = Vec::with_capacity(vectors.nrows() * self.header.element_bytes() as usize);
        for (label, vector) in (first as u64 + 1..).zip(vectors.outer_iter()) {
            bytes.resize(bytes.len() + self.header.vector_offset() as usize, 0);
            match vector.to_slice() {
                Some(vector) => bytes.extend_from_slice(&as_bytes::of_f32(vector)),
                None => vector.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
            }
            bytes.extend(label.to_le_bytes());
        }
        self.write_at(first, &bytes)
    }

    /// The vectors that lie there, coded for a builder: along fewer directions if they lie in fewer.
    ///
    /// # Errors
    /// [`Kind::Io`] if they cannot be read, [`Kind::Refused`] if memory does not suffice.
    pub fn codes(&self) -> Result<Codes> {
        let count = self.header.count as usize;
        let basis = self.basis()?;
        let components = basis.as_ref().map_or(self.header.dimension, Basis::components);
        let mut codes = Codes::zeroed(count, components)?;
        let parts: Vec<_> = codes.parts(index::BLOCK as usize).collect();
        parts.into_par_iter().enumerate().try_for_each_init(Vec::new, |bytes, (block, mut part)| {
            let first = block * index::BLOCK as usize;
            let vectors = self.vectors(first, (count - first).min(index::BLOCK as usize), bytes)?;
            match &basis {
                Some(basis) => part.put_all(basis.along(vectors.view())?.view()),
                None => part.put_all(vectors.view()),
            }
            Ok(())
        })?;
        Ok(codes)
    }

    /// Directions in which the vectors lie, by a sample from all over the file, if they are many and the directions few.
    fn basis(&self) -> Result<Option<Basis>> {
        let (count, dimension) = (self.header.count as usize, self.header.dimension);
        if count < hnsw::FEWEST_PER_COMPONENT * dimension {
            return Ok(None);
        }
        let rows = hnsw::SAMPLE_PER_COMPONENT * dimension;
        let mut sample = Array2::zeros((rows, dimension));
        let mut bytes = Vec::new();
        for (row, mut place) in sample.outer_iter_mut().enumerate() {
            place.assign(&self.vectors(row * (count / rows), 1, &mut bytes)?.row(0));
        }
        Basis::of(sample.view())
    }

    /// The vectors of `count` elements from `first` on; `bytes` is room for them.
    fn vectors(&self, first: usize, count: usize, bytes: &mut Vec<u8>) -> Result<Array2<f32>> {
        let header = &self.header;
        self.read(first, count, bytes)?;
        let mut vectors = Array2::zeros((count, header.dimension));
        let elements = bytes.chunks_exact(header.element_bytes() as usize);
        for (row, element) in source::rows(&mut vectors)?.zip(elements) {
            let values = element.get(header.vector_offset() as usize..).unwrap_or_default();
            for (value, bytes) in row.iter_mut().zip(values.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
        Ok(vectors)
    }

    /// Gives the elements the links of `graph` and writes the other four files, all durably. `lengths` are those before
    /// normalising, empty where the metric does not normalise.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`] without room, [`Kind::Internal`] if the graph is of other vectors.
    pub fn finish(&self, graph: &Graph, lengths: &[f32], ids: &[String], form: Form) -> Result<()> {
        let (folder, count) = (&self.folder, graph.len());
        let header = Header { max_level: graph.max_level().into(), entry: graph.entry(), ..self.header };
        if ids.len() != count || header.count != count as u64 || header.m != graph.m() {
            let found = format!("{} records in a graph of {count} with m {}", ids.len(), graph.m());
            return Err(Error::new(Kind::Internal, found));
        }
        self.link(graph)?;
        let synced = Syncing::begin(&self.file, &self.path)?;
        files::write_atomically(&folder.join(index::LENGTHS), |out| {
            (0..count).try_for_each(|i| out.write_all(&lengths.get(i).copied().unwrap_or(0.0).to_le_bytes()))
        })?;
        files::write_atomically(&folder.join(index::LINKS), |mut out| {
            hnsw::write_link_lists(graph, &mut out)
        })?;
        files::write_atomically(&folder.join(index::HEADER), |out| out.write_all(&header.to_bytes()))?;
        let entries: Vec<_> = ids.iter().map(String::as_str).zip(1..).collect();
        let named = Named { entries: &entries, total: header.count, dimension: header.dimension, form };
        files::write_atomically(&folder.join(index::METADATA), |out| pickle_write::write(out, &named))?;
        synced.finish()
    }

    /// Writes the links between the vectors that lie there, a block at a time.
    fn link(&self, graph: &Graph) -> Result<()> {
        let size = self.header.element_bytes();
        self.file.set_len(self.header.count * size).map_err(|e| Error::io("write", &self.path, e))?;
        let mut bytes = Vec::new();
        let nodes = graph.len() as u32;
        for first in (0..nodes).step_by(index::BLOCK as usize) {
            let block = first..nodes.min(first.saturating_add(index::BLOCK));
            self.read(first as usize, block.len(), &mut bytes)?;
            for (node, element) in block.zip(bytes.chunks_exact_mut(size as usize)) {
                hnsw::put_links(graph, node, element);
            }
            self.write_at(first as usize, &bytes)?;
        }
        Ok(())
    }

    fn read(&self, first: usize, count: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let size = self.header.element_bytes();
        bytes.resize(count * size as usize, 0);
        files::read_exact_at(&self.file, bytes, first as u64 * size)
            .map_err(|e| Error::io("read", &self.path, e))
    }

    fn write_at(&self, first: usize, bytes: &[u8]) -> Result<()> {
        files::write_all_at(&self.file, bytes, first as u64 * self.header.element_bytes())
            .map_err(|e| Error::io("write", &self.path, e))
    }
}

/// Opens the file of the elements in `folder`, both made where they are missing.
pub(super) fn create(folder: &Path) -> Result<(PathBuf, File)> {
    files::create_folder(folder)?;
    let path = folder.join(index::LEVEL0);
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let file = file.map_err(|e| Error::io("write", &path, e))?;
    Ok((path, file))
}
