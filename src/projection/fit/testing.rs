//! What the tests of several methods need.

use ndarray::Array2;

use super::Fitted;
use crate::projection::pairs::Pairs;
use crate::random;

/// n x d numbers around zero.
pub(in crate::projection) fn noise(n: usize, d: usize, seed: u64) -> Array2<f32> {
    let mut random = random::seeded(seed);
    Array2::from_shape_fn((n, d), |_| random::unit(&mut random) as f32 - 0.5)
}

/// Row i of `x` and of `y` as a pair.
pub(super) fn paired(x: Array2<f32>, y: Array2<f32>) -> Pairs {
    Pairs::new((0..x.nrows()).map(|i| i.to_string()).collect(), x, y).unwrap()
}

/// n pairs of d and m components, related but for noise.
pub(super) fn pairs(n: usize, d: usize, m: usize) -> Pairs {
    let x = noise(n, d, 1) + 0.2;
    let y = x.dot(&noise(d, m, 2)) + noise(n, m, 3) * 0.5 + 2.0;
    paired(x, y)
}

/// What a fitted map makes of `x`.
pub(super) fn applied(fitted: &Fitted, x: &Array2<f32>) -> Array2<f32> {
    fitted.kind.applied(x.view()).unwrap()
}
