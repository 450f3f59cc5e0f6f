//! The persisted index of one segment: its folder of five files, read.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::hnsw_files::{HEADER_BYTES, Header};
use super::ids::Ids;
use super::{pickle, queue};
use crate::error::{Error, Kind, Result};
use crate::hnsw::{self, Distance};
use crate::platform::files;
use crate::simd;
use crate::store::Metric;

pub(super) const HEADER: &str = "header.bin";
pub(super) const LEVEL0: &str = "data_level0.bin";
pub(super) const LENGTHS: &str = "length.bin";
pub(super) const LINKS: &str = "link_lists.bin";
pub(super) const METADATA: &str = "index_metadata.pickle";
/// The files of an index, in the order in which they are written.
pub(super) const FILES: [&str; 5] = [LEVEL0, LENGTHS, LINKS, HEADER, METADATA];

/// Elements per read: what is done with them finds them in the processor's own memory.
pub(super) const BLOCK: u32 = 256;

/// An open index. Of the contents only what [`Index::open`] checked is relied on.
pub(super) struct Index {
    folder: PathBuf,
    header: Header,
    level0: File,
    ids: Ids,
    /// Length of each element's vector before it was normalised; cosine only.
    lengths: Option<Vec<f32>>,
    /// Highest label that was ever given.
    pub total_elements_added: u64,
    /// How far it has read the queue, if the release keeps that here.
    pub max_seq_id: Option<i64>,
}

impl Index {
    /// Opens the index in `folder`; `None` if none was persisted yet (no pickle, or an empty one).
    ///
    /// # Errors
    /// [`Kind::Damaged`] if files are missing, too short or contradict each other; [`Kind::CannotWrite`] if they may not
    /// be read.
    pub fn open(folder: &Path, metric: Metric, dimension: Option<usize>) -> Result<Option<Index>> {
        let metadata = folder.join(METADATA);
        match metadata.try_exists() {
            Ok(true) => {}
            // What may not be looked at may well be there.
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Error::io("read", &metadata, e));
            }
            _ => return Ok(None),
        }
        let header = read_header(folder)?;
        let level0 = open(&folder.join(LEVEL0))?;
        let found = length(&level0, &folder.join(LEVEL0))?;
        let wanted = header.count.checked_mul(header.element_bytes());
        if wanted.is_none_or(|wanted| found < wanted) {
            let (count, size) = (header.count, header.element_bytes());
            return Err(damaged(
                folder,
                format!("{LEVEL0} has {found} bytes for {count} elements of {size}"),
            ));
        }
        // The header's count is now backed by bytes on disk, so it bounds what the pickle may hold.
        let pickle = std::fs::read(&metadata).map_err(|e| Error::io("read", &metadata, e))?;
        let named = || pickle::read(&pickle, header.count);
        let (named, labels) = rayon::join(named, || read_labels(folder, &level0, &header));
        let named = named?;
        if named.labels.is_empty() {
            return Ok(None);
        }
        let sizes = [named.dimensionality.map(|d| d as usize), dimension].into_iter().flatten();
        if let Some(other) = sizes.into_iter().find(|d| *d != header.dimension) {
            let found = format!("index of dimension {}, collection of {other}", header.dimension);
            return Err(damaged(folder, found));
        }
        check_links(folder, &header)?;
        let mut index = Index {
            folder: folder.to_path_buf(),
            header,
            level0,
            ids: Ids::default(),
            lengths: None,
            total_elements_added: named.total_elements_added,
            max_seq_id: named.max_seq_id,
        };
        index.ids = match_labels(folder, labels?, &named.labels, index.header.count)?;
        if metric == Metric::Cosine {
            index.lengths = Some(read_lengths(folder, header.count)?);
        }
        Ok(Some(index))
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Elements, deleted ones included.
    pub fn count(&self) -> u32 {
        u32::try_from(self.header.count).unwrap_or(u32::MAX)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads a record's vector as the user gave it, `out` being of the index's dimension.
    /// False if the index does not hold the record.
    pub fn vector(&self, id: &str, out: &mut [f32], bytes: &mut Vec<u8>) -> Result<bool> {
        let Some(element) = self.ids.element(id) else { return Ok(false) };
        bytes.resize(4 * self.header.dimension, 0);
        let offset = u64::from(element) * self.header.element_bytes() + self.header.vector_offset();
        files::read_exact_at(&self.level0, bytes, offset)
            .map_err(|e| Error::io("read", &self.path(LEVEL0), e))?;
        if !queue::decode(bytes, out) {
            return Err(Error::new(Kind::Internal, "a vector's buffer is not of the index's dimension"));
        }
        self.as_given(element, out);
        Ok(true)
    }

    /// Undoes what the index did to a vector.
    pub fn as_given(&self, element: u32, vector: &mut [f32]) {
        if let Some(length) = self.length(element) {
            vector.iter_mut().for_each(|x| *x *= length);
        }
    }

    /// Length of an element's vector as given; cosine only.
    pub fn length(&self, element: u32) -> Option<f32> {
        self.lengths.as_ref()?.get(element as usize).copied()
    }

    /// Reads the bytes of `count` elements from `first` on.
    pub fn read(&self, first: u32, count: u32, bytes: &mut Vec<u8>) -> Result<()> {
        read_elements(&self.folder, &self.level0, &self.header, (first, count), bytes)
    }

    /// The first elements of the blocks that make up the index, with their sizes.
    pub fn blocks(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        blocks(self.count())
    }

    /// As [`Index::blocks`], for several threads.
    pub fn par_blocks(&self) -> impl IndexedParallelIterator<Item = (u32, u32)> + use<> {
        par_blocks(self.count())
    }

    /// Maps the graph into memory for searching.
    pub fn load(&self) -> Result<Loaded> {
        Ok(Loaded {
            shape: self.header.shape()?,
            level0: files::map(&self.level0, self.header.count.saturating_mul(self.header.element_bytes()))
                .map_err(|e| Error::io("map", &self.path(LEVEL0), e))?,
            links: std::fs::read(self.path(LINKS)).map_err(|e| Error::io("read", &self.path(LINKS), e))?,
        })
    }
}

fn blocks(count: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..count).step_by(BLOCK as usize).map(move |first| (first, BLOCK.min(count - first)))
}

fn par_blocks(count: u32) -> impl IndexedParallelIterator<Item = (u32, u32)> {
    /// Blocks that a thread takes at a time: so few that none waits long for another's last ones.
    const AT_A_TIME: usize = 8;
    blocks(count).collect::<Vec<_>>().into_par_iter().with_max_len(AT_A_TIME)
}

fn read_elements(
    folder: &Path,
    level0: &File,
    header: &Header,
    (first, count): (u32, u32),
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let size = header.element_bytes();
    let stride = usize::try_from(size).map_err(|e| damaged(folder, e.to_string()))?;
    bytes.resize(stride.saturating_mul(count as usize), 0);
    files::read_exact_at(level0, bytes, u64::from(first) * size)
        .map_err(|e| Error::io("read", &folder.join(LEVEL0), e))
}

/// Labels of the elements that are not deleted, with their elements, sorted.
fn read_labels(folder: &Path, level0: &File, header: &Header) -> Result<Vec<(u64, u32)>> {
    let stride = header.element_bytes() as usize;
    let parts: Vec<Vec<(u64, u32)>> = par_blocks(u32::try_from(header.count).unwrap_or(u32::MAX))
        .map_init(Vec::new, |bytes, block| {
            read_elements(folder, level0, header, block, bytes)?;
            let elements = (block.0..).zip(bytes.chunks_exact(stride));
            Ok(elements.filter(|(_, e)| !is_deleted(e)).map(|(i, e)| (label(e), i)).collect())
        })
        .collect::<Result<_>>()?;
    let mut labels = parts.concat();
    labels.par_sort_unstable();
    Ok(labels)
}

/// Finds the element of each named label.
fn match_labels(folder: &Path, labels: Vec<(u64, u32)>, named: &[(&str, u64)], count: u64) -> Result<Ids> {
    if let Some(twice) = labels.windows(2).find(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
        let label = twice.first().map_or(0, |pair| pair.0);
        return Err(damaged(folder, format!("two elements of {LEVEL0} have the label {label}")));
    }
    let mut owned: Vec<(u32, &str)> = named
        .par_iter()
        .filter_map(|(id, label)| {
            let at = labels.binary_search_by_key(label, |pair| pair.0).ok()?;
            Some((labels.get(at)?.1, *id))
        })
        .collect();
    owned.par_sort_unstable();
    Ok(Ids::new(&owned, count as usize))
}

/// Whether an element, given as its bytes, is deleted.
pub(super) fn is_deleted(element: &[u8]) -> bool {
    element.get(2).is_some_and(|flags| flags & 1 == 1)
}

/// The label of an element.
pub(super) fn label(element: &[u8]) -> u64 {
    element.last_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b))
}

/// An index in memory.
pub(super) struct Loaded {
    shape: hnsw::Shape,
    level0: files::Mapped,
    links: Vec<u8>,
}

impl Loaded {
    /// The graph in these bytes.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if sizes do not fit the header.
    pub fn graph(&self) -> Result<hnsw::Records<'_>> {
        hnsw::Records::open(&self.shape, &self.level0, &self.links)
    }
}

/// The graph's distance for a metric; for cosine the vectors are normalised.
pub(super) fn distance(metric: Metric) -> Distance {
    match metric {
        Metric::L2 => Distance::L2,
        Metric::Cosine | Metric::Ip => Distance::InnerProduct,
    }
}

/// Scales to length 1 and returns the length, as Chroma's index does: norm = sqrt(sum x^2) in f32,
/// x / (norm + 1e-30) as a product with the reciprocal. A zero vector stays zero.
pub(super) fn normalise(vector: &mut [f32]) -> f32 {
    let norm = simd::squares_f32(vector).sqrt();
    simd::scale_f32(vector, 1.0 / (norm + 1e-30));
    norm
}

/// Walks over `link_lists.bin`: a rewrite does not need the old links, and yet a folder with broken ones must
/// not become a backup. Each element's list is a whole number of levels, and nothing is left over or missing.
pub(super) fn check_links(folder: &Path, header: &Header) -> Result<()> {
    let path = folder.join(LINKS);
    let wrap = |e| Error::io("read", &path, e);
    let mut file = BufReader::new(open(&path)?);
    let total = length(file.get_ref(), &path)?;
    let level = 4 + 4 * header.m as u64;
    let mut position = 0u64;
    for element in 0..header.count {
        if position.checked_add(4).is_none_or(|end| end > total) {
            return Err(damaged(folder, format!("{LINKS} ends at element {element} of {}", header.count)));
        }
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes).map_err(wrap)?;
        let size = u64::from(u32::from_le_bytes(bytes));
        position = position.saturating_add(4).saturating_add(size);
        if !size.is_multiple_of(level) || position > total {
            return Err(damaged(folder, format!("{LINKS} has a list of {size} bytes at element {element}")));
        }
        file.seek_relative(size as i64).map_err(wrap)?;
    }
    Ok(())
}

fn read_header(folder: &Path) -> Result<Header> {
    let path = folder.join(HEADER);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + 1);
    open(&path)?
        .take(HEADER_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", &path, e))?;
    Header::parse(&bytes).map_err(|e| e.context(folder.display()))
}

fn read_lengths(folder: &Path, count: u64) -> Result<Vec<f32>> {
    let path = folder.join(LENGTHS);
    let wanted = count.saturating_mul(4);
    let mut bytes = Vec::new();
    open(&path)?.take(wanted).read_to_end(&mut bytes).map_err(|e| Error::io("read", &path, e))?;
    let mut lengths = vec![0.0; bytes.len() / 4];
    if bytes.len() as u64 != wanted || !queue::decode(&bytes, &mut lengths) {
        return Err(damaged(folder, format!("{LENGTHS} has {} bytes, wanted {wanted}", bytes.len())));
    }
    Ok(lengths)
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(Kind::Damaged, format!("`{}` is missing", path.display())).because(e)
        }
        _ => Error::io("open", path, e),
    })
}

fn length(file: &File, path: &Path) -> Result<u64> {
    file.metadata().map(|m| m.len()).map_err(|e| Error::io("look at", path, e))
}

fn damaged(folder: &Path, what: String) -> Error {
    Error::new(Kind::Damaged, format!("index `{}`: {what}", folder.display()))
        .hint("the index files are damaged; restore the folder from a copy")
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
