//! Reading a graph from the bytes of hnswlib, in place.

use std::borrow::Cow;

use pulp::bytemuck::{cast_slice, try_cast_slice};

use super::graph::GraphView;
use crate::error::{Error, Kind, Result};

/// What the header of an index says about its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Records, deleted ones included.
    pub count: usize,
    /// Components of a vector.
    pub dimension: usize,
    /// Links per list above level 0.
    pub m: usize,
    /// Links per list on level 0.
    pub max_m0: usize,
    /// Where a search starts.
    pub entry: u32,
    /// Level of the entry.
    pub max_level: u8,
}

impl Shape {
    /// Bytes of one level-0 record: count and links, vector, label.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if no record can be that large.
    pub fn record_size(&self) -> Result<usize> {
        let words = self.max_m0.checked_add(self.dimension).and_then(|words| words.checked_add(3));
        words.and_then(|words| words.checked_mul(4)).ok_or_else(|| {
            let Shape { max_m0, dimension, .. } = self;
            damaged(format!("records of {max_m0} links and {dimension} components"))
        })
    }
}

/// A graph in hnswlib's bytes. Of its contents only sizes are trusted, and those are checked.
pub struct Records<'a> {
    shape: Shape,
    /// Words of one record.
    stride: usize,
    level0: Cow<'a, [u32]>,
    link_lists: &'a [u8],
    /// Byte offset of each record's upper lists in `link_lists`, and how many there are.
    upper: Vec<(usize, u8)>,
}

impl<'a> Records<'a> {
    /// Looks at `level0` (records; what follows the last is ignored) and `link_lists` (per record the byte
    /// length of its upper lists, then the lists). Copies `level0` only if it is not aligned to 4 bytes.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if either is too short, or a length is no whole number of lists.
    pub fn open(shape: &Shape, level0: &'a [u8], link_lists: &'a [u8]) -> Result<Self> {
        let size = shape.record_size()?;
        let wanted = size.checked_mul(shape.count);
        let Some(bytes) = wanted.and_then(|wanted| level0.get(..wanted)) else {
            let (found, count) = (level0.len(), shape.count);
            return Err(damaged(format!("{found} bytes for {count} records of {size} bytes")));
        };
        let level0 = match try_cast_slice(bytes) {
            Ok(words) if cfg!(target_endian = "little") => Cow::Borrowed(words),
            _ => Cow::Owned(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()),
        };
        let upper = locate_upper(shape, link_lists)?;
        Ok(Records { shape: *shape, stride: size / 4, level0, link_lists, upper })
    }

    /// Label of `node`; 0 where the node does not exist.
    pub fn label(&self, node: u32) -> u64 {
        match self.record(node) {
            [.., low, high] => u64::from(*high) << 32 | u64::from(*low),
            _ => 0,
        }
    }

    /// Highest level of `node`; 0 where the node does not exist.
    pub fn level(&self, node: u32) -> u8 {
        self.upper.get(node as usize).map_or(0, |upper| upper.1)
    }

    fn record(&self, node: u32) -> &[u32] {
        let at = (node as usize).saturating_mul(self.stride);
        self.level0.get(at..at.saturating_add(self.stride)).unwrap_or(&[])
    }

    /// Words of one list as bytes: count and links.
    fn list(&self, node: u32, level: u8) -> &[u8] {
        if level == 0 {
            return cast_slice(self.record(node).get(..1 + self.shape.max_m0).unwrap_or(&[]));
        }
        let size = 4 + 4 * self.shape.m;
        match self.upper.get(node as usize) {
            Some(&(start, levels)) if level <= levels => {
                let at = start + (usize::from(level) - 1) * size;
                self.link_lists.get(at..at + size).unwrap_or(&[])
            }
            _ => &[],
        }
    }
}

impl GraphView for Records<'_> {
    fn len(&self) -> usize {
        self.shape.count
    }

    fn dimension(&self) -> usize {
        self.shape.dimension
    }

    fn entry(&self) -> u32 {
        self.shape.entry
    }

    fn max_level(&self) -> u8 {
        self.shape.max_level
    }

    fn links(&self, node: u32, level: u8) -> impl Iterator<Item = u32> + '_ {
        // Level-0 words are native, upper words little-endian; only their decoding differs.
        let decode = if level == 0 { u32::from_ne_bytes } else { u32::from_le_bytes };
        let words = self.list(node, level).as_chunks::<4>().0;
        let count = words.first().map_or(0, |word| decode(*word) & 0xffff);
        words.iter().skip(1).take(count as usize).map(move |word| decode(*word))
    }

    fn vector(&self, node: u32) -> &[f32] {
        let from = 1 + self.shape.max_m0;
        cast_slice(self.record(node).get(from..from + self.shape.dimension).unwrap_or(&[]))
    }

    fn is_deleted(&self, node: u32) -> bool {
        self.record(node).first().is_some_and(|word| word >> 16 & 1 == 1)
    }
}

fn locate_upper(shape: &Shape, bytes: &[u8]) -> Result<Vec<(usize, u8)>> {
    let too_short = || damaged(format!("link lists end before record {}", shape.count));
    // Each record takes at least its length, so that a header cannot ask for more memory than the file has.
    if bytes.len() / 4 < shape.count {
        return Err(too_short());
    }
    let list = shape.m.checked_mul(4).and_then(|bytes| bytes.checked_add(4)).ok_or_else(too_short)?;
    let mut upper = Vec::with_capacity(shape.count);
    let mut at = 0usize;
    for node in 0..shape.count {
        let length = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or_else(too_short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let levels = u8::try_from(length / list).ok().filter(|_| length.is_multiple_of(list));
        let Some(levels) = levels else {
            return Err(damaged(format!(
                "{length} bytes of link lists of {list} bytes each at record {node}"
            )));
        };
        upper.push((at + 4, levels));
        at = at.checked_add(4 + length).filter(|end| *end <= bytes.len()).ok_or_else(too_short)?;
    }
    Ok(upper)
}

fn damaged(what: String) -> Error {
    Error::new(Kind::Damaged, format!("neighbour graph: {what}"))
}
