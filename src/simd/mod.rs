//! Passes over one vector at a time, compiled for the widest SIMD that the processor has.
//!
//! Sums run side by side in a fixed number of lanes and are put together in a fixed order, so they are the same on
//! every processor.

mod products;

use ndarray::ArrayView1;
use pulp::{Arch, NullaryFnOnce};

pub use self::products::Products;

/// Sums side by side: two vectors of AVX2.
const LANES: usize = 16;
const LANES_F64: usize = 8;

/// Whether every component is a finite number.
pub fn all_finite(row: &[f32]) -> bool {
    /// The sign taken off, what is not finite is what lies from infinity on.
    const INFINITY: u32 = f32::INFINITY.to_bits();
    Arch::new().dispatch(|| row.iter().fold(0, |most, v| most.max(v.to_bits() & !(1 << 31)))) < INFINITY
}

/// As [`all_finite`], for a row that need not lie in one piece.
pub fn is_finite(row: ArrayView1<'_, f32>) -> bool {
    match row.to_slice() {
        Some(row) => all_finite(row),
        None => row.iter().all(|v| v.is_finite()),
    }
}

/// Squared Euclidean length, summed in f64. Finite exactly where every component is.
pub fn squares(row: &[f32]) -> f64 {
    product(row, row)
}

/// Inner product of two vectors of the same length, summed in f64.
pub fn product(a: &[f32], b: &[f32]) -> f64 {
    struct Sum<'v>(&'v [f32], &'v [f32]);
    impl NullaryFnOnce for Sum<'_> {
        type Output = f64;
        // Left to itself, the compiler does not put something this long into the place where it may use wider registers.
        #[inline(always)]
        fn call(self) -> f64 {
            let ((a, a_rest), (b, b_rest)) =
                (self.0.as_chunks::<LANES_F64>(), self.1.as_chunks::<LANES_F64>());
            let mut sums = [0f64; LANES_F64];
            for (a, b) in a.iter().zip(b) {
                for lane in 0..LANES_F64 {
                    sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
                }
            }
            let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            sums.into_iter().fold(rest, |all, sum| all + sum)
        }
    }
    Arch::new().dispatch(Sum(a, b))
}

/// Squared Euclidean length, summed in f32.
pub fn squares_f32(row: &[f32]) -> f32 {
    Arch::new().dispatch(|| {
        let (rows, rest) = row.as_chunks::<LANES>();
        let mut sums = [0f32; LANES];
        for x in rows {
            for lane in 0..LANES {
                sums[lane] += x[lane] * x[lane];
            }
        }
        sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
    })
}

/// Multiplies every component in f64.
pub fn scale(row: &mut [f32], factor: f64) {
    Arch::new().dispatch(|| row.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32));
}

/// Multiplies every component in f32.
pub fn scale_f32(row: &mut [f32], factor: f32) {
    Arch::new().dispatch(|| row.iter_mut().for_each(|v| *v *= factor));
}

/// Puts `row` times `factor`, rounded to whole numbers, into `out`; what exceeds 16 bits becomes the largest that fits.
pub fn to_i16(out: &mut [i16], row: &[f32], factor: f32) {
    Arch::new().dispatch(|| {
        out.iter_mut().zip(row).for_each(|(to, from)| *to = (from * factor).round_ties_even() as i16);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_agrees_with_the_plain_sum() {
        for n in 0..70 {
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 1.3).cos()).collect();
            let square: f64 = a.iter().map(|x| f64::from(*x).powi(2)).sum();
            let inner: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            assert!((product(&a, &b) - inner).abs() < 1e-12, "{n}");
            assert!((squares(&a) - square).abs() < 1e-12, "{n}");
            assert!((f64::from(squares_f32(&a)) - square).abs() < 1e-4, "{n}");
            let (mut once, mut twice) = (a.clone(), a.clone());
            scale(&mut once, 0.3);
            scale_f32(&mut twice, 0.3);
            for ((x, y), z) in once.iter().zip(&twice).zip(&a) {
                assert!((x - z * 0.3).abs() < 1e-6 && *y == z * 0.3, "{n}");
            }
        }
    }

    #[test]
    fn one_value_is_seen_wherever_it_stands() {
        for n in 1..40 {
            for at in 0..n {
                let mut row = vec![f32::MAX; n];
                row[at] = -f32::MAX;
                assert!(all_finite(&row) && squares(&row).is_finite(), "{at} of {n}");
                for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    row[at] = bad;
                    assert!(!all_finite(&row) && !squares(&row).is_finite(), "{at} of {n}");
                }
            }
        }
        assert!(all_finite(&[]));
    }
}
