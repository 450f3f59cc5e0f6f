//! A fingerprint of each vector, small enough to keep: how a later reading is compared with what was written.
//!
//! A sketch is the inner product with one fixed pseudo-random direction plus the length. Two different
//! vectors agree in both by chance only; a changed, swapped or zeroed component moves the inner product.

use ndarray::ArrayView1;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Kind, Result};
use crate::simd;

/// Relative deviation that a store may add by keeping a normalised vector and its length apart
/// (two roundings in f32), with room for long vectors.
const TOLERANCE: f32 = 1e-4;

/// Sketch of one record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sketch {
    /// Hash of the identifier.
    pub id: u64,
    /// Inner product with the fixed direction.
    pub product: f32,
    /// Length of the vector.
    pub norm: f32,
}

/// Makes sketches of vectors of one dimension.
pub struct Sketcher {
    direction: Vec<f32>,
}

impl Sketcher {
    /// For vectors of `dimension` components.
    pub fn new(dimension: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let direction = (0..dimension)
            .map(|_| {
                state = splitmix(state);
                // 24 bits keep the conversion exact.
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect();
        Sketcher { direction }
    }

    /// Sketch of the record `id`.
    pub fn sketch(&self, id: &str, vector: ArrayView1<f32>) -> Sketch {
        let vector = vector.as_standard_layout();
        let vector = vector.as_slice().unwrap_or_default();
        let (product, square) = (simd::product(vector, &self.direction), simd::squares(vector));
        Sketch { id: hash_id(id), product: product as f32, norm: square.sqrt() as f32 }
    }
}

impl Sketch {
    /// Same record and, within rounding, the same vector.
    pub fn agrees_with(&self, other: &Sketch) -> bool {
        let bound = TOLERANCE * self.norm.max(other.norm).max(f32::MIN_POSITIVE);
        self.id == other.id
            && (self.norm - other.norm).abs() <= bound
            && (self.product - other.product).abs() <= bound * 4.0
    }

    /// Sixteen bytes, little-endian.
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.product.to_le_bytes());
        bytes[12..].copy_from_slice(&self.norm.to_le_bytes());
        bytes
    }
}

/// All sketches as one file.
pub fn to_bytes(sketches: &[Sketch]) -> Vec<u8> {
    sketches.iter().flat_map(|s| s.to_bytes()).collect()
}

/// The inverse of [`to_bytes`].
///
/// # Errors
/// [`Kind::Damaged`] if the length is no multiple of a sketch.
pub fn from_bytes(bytes: &[u8]) -> Result<Vec<Sketch>> {
    let (chunks, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(Error::new(
            Kind::Damaged,
            format!("the sketches have {} bytes, wanted a multiple of 16", bytes.len()),
        ));
    }
    Ok(chunks
        .iter()
        .map(|c| Sketch {
            id: u64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]),
            product: f32::from_le_bytes([c[8], c[9], c[10], c[11]]),
            norm: f32::from_le_bytes([c[12], c[13], c[14], c[15]]),
        })
        .collect())
}

/// XXH3 (64 bits) of an identifier.
pub fn hash_id(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn splitmix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn one_changed_component_is_seen() {
        let s = Sketcher::new(4);
        let a = s.sketch("a", array![1.0, 2.0, 3.0, 4.0].view());
        assert!(a.agrees_with(&s.sketch("a", array![1.0, 2.0, 3.0, 4.0].view())));
        assert!(!a.agrees_with(&s.sketch("a", array![1.0, 2.0, 3.01, 4.0].view())));
        assert!(!a.agrees_with(&s.sketch("a", array![2.0, 1.0, 3.0, 4.0].view())));
        assert!(!a.agrees_with(&s.sketch("b", array![1.0, 2.0, 3.0, 4.0].view())));
    }

    #[test]
    fn bytes_round_trip_and_a_torn_file_is_refused() {
        let s = Sketcher::new(2);
        let all = vec![s.sketch("a", array![1.0, 2.0].view()), s.sketch("b", array![0.0, 0.0].view())];
        let bytes = to_bytes(&all);
        assert_eq!(from_bytes(&bytes).unwrap(), all);
        assert!(from_bytes(&bytes[..17]).is_err());
    }
}
