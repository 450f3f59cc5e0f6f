//! Numbers as bytes, little-endian.

use std::borrow::Cow;

use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::bytemuck;

/// The bytes of `values`, little-endian: on most processors without copying.
pub fn of_f32(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        Cow::Owned(values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }
}

/// `values` in half precision, little-endian.
pub fn of_halves(values: &[f32]) -> Vec<u8> {
    let mut halves = vec![f16::ZERO; values.len()];
    halves.convert_from_f32_slice(values);
    halves.iter_mut().for_each(|half| *half = f16::from_bits(half.to_bits().to_le()));
    bytemuck::cast_slice(halves.reinterpret_cast()).to_vec()
}

/// The numbers that [`of_halves`] wrote; a last odd byte is left out.
pub fn halves(bytes: &[u8]) -> Vec<f32> {
    let halves: Vec<f16> = bytes.as_chunks().0.iter().map(|two| f16::from_le_bytes(*two)).collect();
    let mut values = vec![0.0; halves.len()];
    halves.convert_to_f32_slice(&mut values);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_two() {
        assert_eq!(&*of_f32(&[1.0, 2.0]), [0, 0, 128, 63, 0, 0, 0, 64]);
    }

    #[test]
    fn halves_by_hand_and_as_one_by_one() {
        assert_eq!(of_halves(&[1.0, -2.0, 65504.0]), [0, 0x3c, 0, 0xc0, 0xff, 0x7b]);
        assert_eq!(halves(&[0, 0x3c, 0, 0xc0, 7]), [1.0, -2.0]);
        let values: Vec<f32> = (0..1000).map(|n| (n as f32 - 500.0) / 7.0).collect();
        let one_by_one: Vec<u8> = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        assert_eq!(of_halves(&values), one_by_one);
        assert!(of_halves(&[1e6]) == f16::INFINITY.to_le_bytes() && halves(&[0, 0x7c]) == [f32::INFINITY]);
    }
}
