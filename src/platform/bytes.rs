//! Numbers as bytes, little-endian.

use std::borrow::Cow;

use pulp::bytemuck;

/// The bytes of `values`, little-endian: on most processors without copying.
pub fn of_f32(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        Cow::Owned(values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_two() {
        assert_eq!(&*of_f32(&[1.0, 2.0]), [0, 0, 128, 63, 0, 0, 0, 64]);
    }
}
