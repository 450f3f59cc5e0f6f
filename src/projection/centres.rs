//! Which centres are near a vector, and how much they count.
//!
//! What counts is the angle alone: `φ(u)` of the cosine u is a sum of powers from the third on with the factors of
//! `exp(1.6 u)`, which makes it positive definite (Schoenberg, 1942), and is 1 at u = 1. Constant and linear terms are
//! the affine map's. Below a threshold φ is next to nothing and is taken as nothing, in fitting as in applying, so only
//! few of many centres count for a vector.

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewD, s};
use pulp::{Arch, Simd, WithSimd};

use crate::error::{self, Error, Result};
use crate::matrix;
use crate::simd::{self, Products};

/// Centres that are compared at once.
const BLOCK: usize = 256;
/// A centre is looked at closely where its cosine along the leading directions is above this share of the threshold.
const CLOSELY: f32 = 0.9;
/// What a component of 1 is coded as: products of unit vectors fit 32 bits.
const WHOLE: f32 = i16::MAX as f32;
/// Factors of u³, u⁴ and so on: 1.6^k / k!, scaled to a sum of 1.
const POWERS: [f32; 6] = [0.636_336, 0.254_535, 0.081_451, 0.021_72, 0.004_965, 0.000_993];

/// Unit vectors and the leading directions in which they differ.
#[derive(Clone, Debug)]
pub(super) struct Centres {
    /// m x source, each of length 1 or 0.
    rows: Array2<f32>,
    /// Orthonormal, k x source.
    directions: Array2<f32>,
    /// Of `rows` along `directions`, m x k.
    along: Array2<f32>,
    /// `rows`, see [`coded`].
    codes: Vec<i16>,
    products: Products,
    threshold: [f32; 1],
}

impl Centres {
    /// `rows`: m x source, of length 1 or 0 each; `directions`: k x source, orthonormal.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if they do not fit each other, [`Damaged`](error::Kind::Damaged) if
    /// a length or the threshold is out of range.
    pub fn new(rows: Array2<f32>, directions: Array2<f32>, threshold: f32) -> Result<Self> {
        let fit = rows.ncols() == directions.ncols() && directions.nrows() <= directions.ncols();
        if !fit || directions.is_empty() || rows.is_empty() {
            let found = format!("{:?} centres and {:?} directions do not fit", rows.dim(), directions.dim());
            return Err(Error::new(error::Kind::Mismatch, found));
        }
        if !(0.0..1.0).contains(&threshold) || !rows.outer_iter().all(|row| matrix::squared_norm(row) < 1.01)
        {
            let found = format!("a threshold of {threshold}, or centres that are longer than 1");
            return Err(Error::new(error::Kind::Damaged, found));
        }
        let rows = rows.as_standard_layout().into_owned();
        let along = matrix::times_transposed(rows.view(), directions.view())?;
        let codes = coded(rows.view());
        Ok(Centres {
            rows,
            directions,
            along,
            codes,
            products: Products::of_processor(),
            threshold: [threshold],
        })
    }

    /// Centres.
    pub fn len(&self) -> usize {
        self.rows.nrows()
    }

    /// Components of a centre.
    pub fn dimension(&self) -> usize {
        self.rows.ncols()
    }

    /// Shows `near` each centre that counts for a row of `units` (n x source, of length 1 or 0).
    pub fn visit(&self, units: ArrayView2<'_, f32>, near: &mut impl Near) -> Result<()> {
        let along = matrix::times_transposed(units, self.directions.view())?;
        let codes = coded(units);
        for first in (0..self.len()).step_by(BLOCK) {
            let end = self.len().min(first + BLOCK);
            let rough = matrix::times_transposed(along.view(), self.along.slice(s![first..end, ..]))?;
            Arch::new().dispatch(Visit {
                centres: self,
                units: &codes,
                rough: rough.view(),
                first,
                near: &mut *near,
            });
        }
        Ok(())
    }

    /// Everything that is needed to load them again, by name.
    pub fn tensors(&self) -> [(&'static str, ArrayViewD<'_, f32>); 3] {
        [
            ("centres", self.rows.view().into_dyn()),
            ("directions", self.directions.view().into_dyn()),
            ("threshold", ArrayView1::from(&self.threshold).into_dyn()),
        ]
    }
}

/// What is done with the centres near a row.
pub(super) trait Near {
    /// Some `centres` that count for `row`, in ascending order, and φ of each. To be inlined always: it is compiled with
    /// the instructions that `simd` stands for.
    fn near<S: Simd>(&mut self, simd: S, row: usize, centres: &[usize], phis: &[f32]);
}

/// Compares some rows with the centres from `first` on. `rough`: rows x centres, cosines along the directions.
struct Visit<'a, N> {
    centres: &'a Centres,
    /// See [`coded`].
    units: &'a [i16],
    rough: ArrayView2<'a, f32>,
    first: usize,
    near: &'a mut N,
}

impl<N: Near> WithSimd for Visit<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Visit { centres, units, rough, first, near } = self;
        let d = centres.dimension();
        let codes_of = |centre: usize| centres.codes.get(centre * d..(centre + 1) * d).unwrap_or_default();
        let cosine = |product: i32| product as f32 * (WHOLE * WHOLE).recip();
        let [threshold] = centres.threshold;
        let (mut close, mut counting, mut cosines) = (Listed::default(), Listed::default(), [0.0; BLOCK]);
        for (row, unit) in units.chunks_exact(d).enumerate() {
            let Some(rough) = rough.row(row).to_slice() else { continue };
            close.take_above(CLOSELY * threshold, (first..).zip(rough.iter().copied()));
            let (fours, rest) = close.all().0.as_chunks::<4>();
            let (of_fours, of_rest) = cosines.split_at_mut(4 * fours.len());
            for (four, cosines) in fours.iter().zip(of_fours.as_chunks_mut::<4>().0) {
                *cosines = centres.products.of(unit, four.map(codes_of)).map(cosine);
            }
            for (centre, value) in rest.iter().zip(of_rest) {
                [*value] = centres.products.of(unit, [codes_of(*centre)]).map(cosine);
            }
            counting.take_above(threshold, close.all().0.iter().copied().zip(cosines));
            let (centres, phis) = counting.all();
            phis.iter_mut().for_each(|cosine| *cosine = phi(*cosine));
            near.near(simd, row, centres, phis);
        }
    }
}

/// Some of a block of centres, and a number for each.
struct Listed {
    len: usize,
    centres: [usize; BLOCK],
    values: [f32; BLOCK],
}

impl Default for Listed {
    fn default() -> Self {
        Listed { len: 0, centres: [0; BLOCK], values: [0.0; BLOCK] }
    }
}

impl Listed {
    /// Those of a block whose value is above `bound`. Without a branch: which it are cannot be foretold.
    #[inline(always)]
    fn take_above(&mut self, bound: f32, block: impl Iterator<Item = (usize, f32)>) {
        let mut len = 0;
        for (centre, value) in block.take(BLOCK) {
            self.centres[len] = centre;
            self.values[len] = value;
            len += usize::from(value > bound);
        }
        self.len = len;
    }

    #[inline(always)]
    fn all(&mut self) -> (&[usize], &mut [f32]) {
        (&self.centres[..self.len], &mut self.values[..self.len])
    }
}

/// Unit vectors with components of 16 bits: half of what has to be read, and a cosine that is off by 1e-5.
fn coded(units: ArrayView2<'_, f32>) -> Vec<i16> {
    let mut codes = vec![0; units.len()];
    for (codes, unit) in codes.chunks_exact_mut(units.ncols()).zip(units.outer_iter()) {
        match unit.to_slice() {
            Some(unit) => simd::to_i16(codes, unit, WHOLE),
            None => simd::to_i16(codes, &unit.to_vec(), WHOLE),
        }
    }
    codes
}

#[inline(always)]
fn phi(cosine: f32) -> f32 {
    POWERS.iter().rev().fold(0.0, |sum, factor| sum * cosine + factor) * cosine * cosine * cosine
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn phi_is_the_exponential_without_its_first_terms() {
        let exact = |u: f64| {
            let x = 1.6 * u;
            x.exp() - 1.0 - x - x * x / 2.0
        };
        for u in [0.0, 0.1, 0.25, 0.5, 0.9, 1.0] {
            assert!((f64::from(phi(u as f32)) - exact(u) / exact(1.0)).abs() < 2e-4, "{u}");
        }
    }

    struct List(Vec<(usize, usize, f32)>);

    impl Near for List {
        fn near<S: Simd>(&mut self, _: S, row: usize, centres: &[usize], phis: &[f32]) {
            self.0.extend(centres.iter().zip(phis).map(|(centre, phi)| (row, *centre, *phi)));
        }
    }

    #[test]
    fn visited_are_the_centres_whose_cosine_is_above_the_threshold() {
        let mut random = random::seeded(5);
        let mut noise = |n, d| Array2::from_shape_fn((n, d), |_| random::unit(&mut random) as f32 - 0.5);
        let (mut rows, mut units) = (noise(700, 9), noise(40, 9));
        matrix::normalise_rows(rows.view_mut());
        matrix::normalise_rows(units.view_mut());
        let centres = Centres::new(rows.clone(), Array2::eye(9), 0.3).unwrap();
        let mut found = List(Vec::new());
        centres.visit(units.view(), &mut found).unwrap();
        let found = found.0;
        let cosines = units.dot(&rows.t());
        // 16 bits of so few components.
        const OFF: f32 = 1e-4;
        let above = |bound: f32| cosines.iter().filter(|u| **u > bound).count();
        assert!(above(0.3 + OFF) <= found.len() && found.len() <= above(0.3 - OFF));
        for (row, centre, near) in found {
            let cosine = cosines[(row, centre)];
            assert!(cosine > 0.3 - OFF && (near - phi(cosine)).abs() < 3.0 * OFF, "{cosine}: {near}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Centres::new(Array2::ones((2, 3)), Array2::eye(4), 0.2).unwrap_err().is_mismatch());
        assert!(Centres::new(Array2::zeros((0, 3)), Array2::eye(3), 0.2).is_err());
        assert!(Centres::new(Array2::ones((2, 1)), Array2::zeros((2, 1)), 0.2).unwrap_err().is_mismatch());
        for (row, threshold) in [(2.0, 0.2), (0.5, 1.0), (0.5, f32::NAN), (0.5, -0.1)] {
            assert!(Centres::new(Array2::from_elem((2, 1), row), Array2::eye(1), threshold).is_err());
        }
    }
}
