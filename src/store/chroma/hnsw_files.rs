//! `header.bin` of an index, version 1: sizes that everything else has to fit.

use crate::error::{Error, Kind, Result};
use crate::hnsw::Shape;

/// Bytes of `header.bin`.
pub(super) const HEADER_BYTES: usize = 100;
const VERSION: i32 = 1;
/// Larger than any embedding model's; keeps sizes far from overflow.
pub(super) const LARGEST_DIMENSION: u64 = 1 << 20;
const LARGEST_M: u64 = 10_000;
const HIGHEST_LEVEL: i32 = 100;

/// What `header.bin` says, checked against itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    /// Elements, deleted ones included.
    pub count: u64,
    /// Room; at least `count`.
    pub capacity: u64,
    pub dimension: usize,
    /// Links per list above level 0; twice as many on level 0.
    pub m: usize,
    pub ef_construction: u64,
    pub max_level: i32,
    pub entry: u32,
}

impl Header {
    /// Reads and checks the 100 bytes.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for another version, [`Kind::Damaged`] if the sizes contradict each other.
    pub fn parse(bytes: &[u8]) -> Result<Header> {
        if bytes.len() != HEADER_BYTES {
            return Err(damaged(format!("has {} bytes, wanted {HEADER_BYTES}", bytes.len())));
        }
        let version = i32_at(bytes, 0);
        if version != VERSION {
            let found = format!("header.bin is of index version {version}, wanted {VERSION}");
            return Err(Error::new(Kind::Unsupported, found));
        }
        let [offset_level0, capacity, count, size, label_offset, offset_data] =
            [4, 12, 20, 28, 36, 44].map(|at| u64_at(bytes, at));
        let [max_m, max_m0, m] = [60, 68, 76].map(|at| u64_at(bytes, at));
        let (max_level, entry) = (i32_at(bytes, 52), i32_at(bytes, 56).cast_unsigned());
        if !(2..=LARGEST_M).contains(&m) || max_m != m || max_m0 != 2 * m {
            return Err(damaged(format!("says {max_m} and {max_m0} links for M = {m}")));
        }
        let vector = label_offset.checked_sub(offset_data).unwrap_or(1);
        let dimension = vector / 4;
        let consistent = offset_level0 == 0
            && offset_data == 4 + 4 * max_m0
            && size.checked_sub(8) == Some(label_offset)
            && vector.is_multiple_of(4)
            && (1..=LARGEST_DIMENSION).contains(&dimension);
        if !consistent {
            return Err(damaged("has sizes that contradict each other".into()));
        }
        if count > capacity || count > u64::from(u32::MAX) {
            return Err(damaged(format!("says {count} elements in room for {capacity}")));
        }
        if count > 0 && (u64::from(entry) >= count || !(0..=HIGHEST_LEVEL).contains(&max_level)) {
            return Err(damaged(format!("enters at element {entry} of {count}, level {max_level}")));
        }
        let dimension = usize::try_from(dimension).map_err(|e| damaged(e.to_string()))?;
        let m = usize::try_from(m).map_err(|e| damaged(e.to_string()))?;
        Ok(Header { count, capacity, dimension, m, ef_construction: u64_at(bytes, 92), max_level, entry })
    }

    /// The 100 bytes. `mult` is 1 / ln M, the level factor of Malkov and Yashunin (2018), section 4.1.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let m = self.m as u64;
        let data = 4 + 8 * m;
        let label = data + 4 * self.dimension as u64;
        let mult = 1.0 / (self.m as f64).ln();
        put(&mut bytes, 0, &VERSION.to_le_bytes());
        for (at, value) in [(12, self.capacity), (20, self.count), (28, label + 8), (36, label), (44, data)] {
            put(&mut bytes, at, &value.to_le_bytes());
        }
        put(&mut bytes, 52, &self.max_level.to_le_bytes());
        put(&mut bytes, 56, &self.entry.to_le_bytes());
        for (at, value) in [(60, m), (68, 2 * m), (76, m), (92, self.ef_construction)] {
            put(&mut bytes, at, &value.to_le_bytes());
        }
        put(&mut bytes, 84, &mult.to_le_bytes());
        bytes
    }

    /// Bytes of one element of `data_level0.bin`: links, vector, label.
    pub fn element_bytes(&self) -> u64 {
        12 + 8 * self.m as u64 + 4 * self.dimension as u64
    }

    /// Where the vector starts inside an element.
    pub fn vector_offset(&self) -> u64 {
        4 + 8 * self.m as u64
    }

    /// The same for the graph's reader.
    pub fn shape(&self) -> Result<Shape> {
        Ok(Shape {
            count: usize::try_from(self.count).map_err(|e| damaged(e.to_string()))?,
            dimension: self.dimension,
            m: self.m,
            max_m0: 2 * self.m,
            entry: self.entry,
            max_level: u8::try_from(self.max_level.max(0)).map_err(|e| damaged(e.to_string()))?,
        })
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| i32::from_le_bytes(*b))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn damaged(what: String) -> Error {
    Error::new(Kind::Damaged, format!("header.bin {what}"))
        .hint("the index files are damaged; restore the folder from a copy")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header { count: 3, capacity: 10, dimension: 24, m: 16, ef_construction: 100, max_level: 1, entry: 2 }
    }

    #[test]
    fn offsets_by_hand() {
        let bytes = header().to_bytes();
        // 4 + 4 * 32 links; + 4 * 24 components; + 8 for the label
        assert_eq!([u64_at(&bytes, 44), u64_at(&bytes, 36), u64_at(&bytes, 28)], [132, 228, 236]);
        assert_eq!(header().element_bytes(), 236);
        assert_eq!(header().vector_offset(), 132);
    }

    #[test]
    fn contradictions_are_refused() {
        let broken = |at: usize, value: u64| {
            let mut bytes = header().to_bytes();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            Header::parse(&bytes)
        };
        for (at, value) in
            [(4, 1), (12, 2), (20, 11), (20, u64::MAX), (28, 240), (36, u64::MAX), (44, 0), (76, 1 << 60)]
        {
            assert!(broken(at, value).is_err_and(|e| e.kind() == Kind::Damaged), "{at} = {value}");
        }
        let mut bytes = header().to_bytes();
        bytes[56] = 3;
        assert!(Header::parse(&bytes).is_err(), "entry outside");
        bytes[0] = 2;
        assert!(Header::parse(&bytes).is_err_and(|e| e.kind() == Kind::Unsupported));
        assert!(Header::parse(&bytes[..99]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            count in 1u64..1000, room in 0u64..1000, dimension in 1usize..5000, m in 2usize..200, ef_construction: u64, max_level in 0i32..20
        ) {
            let entry = (count - 1) as u32;
            let header = Header { count, capacity: count + room, dimension, m, ef_construction, max_level, entry };
            prop_assert_eq!(Header::parse(&header.to_bytes()).expect("valid"), header);
        }

        #[test]
        fn one_wrong_byte_never_panics(at in 0usize..100, byte: u8) {
            let mut bytes = header().to_bytes();
            bytes[at] = byte;
            let _ = Header::parse(&bytes).map(|h| (h.element_bytes(), h.shape().is_ok()));
        }
    }
}
