//! Fewer components for the same vectors.
//!
//! What was projected from 384 components into 768 still lies in 384 directions. Along these, vectors have the same
//! inner products and half the size, and a builder waits for memory.

use ndarray::{Array2, ArrayView2, s};

use crate::error::Result;
use crate::matrix;

/// Share of the squared lengths that may be lost: as much as coding loses.
const LOST: f64 = 1e-5;
/// Directions come in such numbers: as many components are multiplied at once.
const TOGETHER: usize = 16;
/// The fewest vectors for each component that are worth the search for directions.
pub const FEWEST_PER_COMPONENT: usize = 32;
/// Vectors for each component that show the directions of all.
pub const SAMPLE_PER_COMPONENT: usize = 4;

/// Orthonormal directions, k x dimension.
pub struct Basis(Array2<f32>);

impl Basis {
    /// Directions that hold vectors such as `sample` (n x dimension); `None` if a fifth fewer than components do not.
    ///
    /// # Errors
    /// [`Kind::Internal`](crate::error::Kind::Internal) if the decomposition does not converge.
    pub fn of(sample: ArrayView2<'_, f32>) -> Result<Option<Basis>> {
        let wide = sample.mapv(f64::from);
        let gram = matrix::times_transposed(wide.t(), wide.t())?;
        let all: f64 = gram.diag().sum();
        if !all.is_finite() {
            return Ok(None);
        }
        let (energies, directions) = matrix::symmetric_eigen(gram.view())?;
        let mut left = all;
        let needed = energies.iter().take_while(|energy| {
            let is_needed = left > LOST * all;
            left -= **energy;
            is_needed
        });
        let k = needed.count().next_multiple_of(TOGETHER);
        let is_few = 5 * k <= 4 * sample.ncols();
        Ok(is_few.then(|| Basis(directions.slice(s![.., ..k]).t().mapv(|x| x as f32))))
    }

    /// Components along the directions.
    pub fn components(&self) -> usize {
        self.0.nrows()
    }

    /// Components of `vectors` (n x dimension) along the directions, n x k.
    ///
    /// # Errors
    /// [`Kind::Mismatch`](crate::error::Kind::Mismatch) if the dimension is another.
    pub fn along(&self, vectors: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        matrix::times_transposed(vectors, self.0.view())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(n: usize, dimension: usize) -> Array2<f32> {
        Array2::from_shape_fn((n, dimension), |(i, j)| ((i * i + 3) as f32 * (j + 1) as f32 * 0.7).sin())
    }

    #[test]
    fn projected_vectors_keep_their_inner_products_in_few_components() {
        let vectors = waves(300, 20).dot(&waves(20, 64));
        let basis = Basis::of(vectors.view()).expect("converges").expect("few");
        assert_eq!(basis.components(), 32);
        let short = basis.along(vectors.view()).expect("fits");
        let (wanted, found) = (vectors.dot(&vectors.t()), short.dot(&short.t()));
        let largest = wanted.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!((wanted - found).iter().all(|x| x.abs() < 1e-5 * largest));
    }

    #[test]
    fn vectors_in_all_directions_and_none_at_all_have_no_basis() {
        let mut random = crate::random::seeded(1);
        let noise = Array2::from_shape_fn((300, 64), |_| crate::random::unit(&mut random) as f32 - 0.5);
        assert!(Basis::of(noise.view()).expect("converges").is_none());
        assert!(Basis::of(Array2::from_elem((4, 8), f32::NAN).view()).expect("no matter").is_none());
    }
}
