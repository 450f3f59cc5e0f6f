//! A fingerprint of records and vectors that does not depend on their order.

use ndarray::ArrayView1;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::platform::bytes;

/// The sum, modulo 2^128, of the XXH3 of each record's vector, seeded by that of its id: records can be added from several threads and in any order (Bellare and
/// Micciancio 1997, "A new paradigm for collision-free hashing"). It tells accidents apart, and is not meant against deceit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// Adds a record and its vector, byte for byte.
    pub fn add(&mut self, id: &str, vector: ArrayView1<f32>) {
        let vector = vector.as_standard_layout();
        let vector = bytes::of_f32(vector.as_slice().unwrap_or_default());
        self.0 = self.0.wrapping_add(xxh3_128_with_seed(&vector, xxh3_64(id.as_bytes())));
    }

    /// Adds everything that was added to `other`.
    pub fn merge(&mut self, other: &Fingerprint) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// Thirty-two hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let of = |records: &[(&str, [f32; 2])]| {
            let mut sum = Fingerprint::default();
            records.iter().for_each(|(id, vector)| sum.add(id, array![vector[0], vector[1]].view()));
            sum.to_hex()
        };
        let one = of(&[("a", [1.0, 2.0]), ("b", [3.0, 4.0])]);
        assert_eq!(one, of(&[("b", [3.0, 4.0]), ("a", [1.0, 2.0])]));
        assert_ne!(one, of(&[("a", [3.0, 4.0]), ("b", [1.0, 2.0])]));
        assert_ne!(one, of(&[("a", [1.0, 2.0]), ("b", [3.0, -4.0])]));
        assert_ne!(one, of(&[("a", [1.0, 2.0]), ("b", [3.0, 4.0]), ("b", [3.0, 4.0])]));
    }
}
