//! The kernel kind: an affine map, and what the centres near a vector add to it.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewD, ArrayViewMut2, Ix1, Ix2};
use pulp::Simd;

use super::affine::{Affine, take};
use super::centres::{Centres, Near};
use super::kind::{Kind, Tensors, in_blocks};
use crate::error::{self, Error, Result};
use crate::{matrix, simd};

/// Rows that are mapped at once: the more, the more often a block of centres serves while it is in the cache.
const ROWS: usize = 512;

/// `y = W c + target mean + |c| Σ φ(cos(c, z_j)) a_j` with `c = x - source mean`, over the centres z_j near c.
#[derive(Clone, Debug)]
pub struct Kernel {
    affine: Affine,
    centres: Centres,
    /// a_j, centres x target.
    coefficients: Array2<f32>,
}

impl Kernel {
    /// Name in files.
    pub const NAME: &'static str = "kernel";
    /// Tensors in files.
    pub const TENSORS: &'static [&'static str] =
        &["weight", "source_mean", "target_mean", "centres", "directions", "threshold", "coefficients"];

    /// Adds to `affine` what `coefficients` (centres x target) say.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if the shapes do not fit each other.
    pub(super) fn new(affine: Affine, centres: Centres, coefficients: Array2<f32>) -> Result<Self> {
        let (source, target) = affine.dimensions();
        if centres.dimension() != source || coefficients.dim() != (centres.len(), target) {
            let found = format!(
                "{} centres of {} components and coefficients of {:?} do not fit a map of {source} to {target}",
                centres.len(),
                centres.dimension(),
                coefficients.dim()
            );
            return Err(Error::new(error::Kind::Mismatch, found));
        }
        let coefficients = coefficients.as_standard_layout().into_owned();
        Ok(Kernel { affine, centres, coefficients })
    }

    pub(super) fn load(mut tensors: Tensors) -> Result<Box<dyn Kind>> {
        let centres = take::<Ix2>(&mut tensors, "centres")?;
        let directions = take::<Ix2>(&mut tensors, "directions")?;
        let threshold = take::<Ix1>(&mut tensors, "threshold")?;
        let coefficients = take::<Ix2>(&mut tensors, "coefficients")?;
        let affine = Affine::of(&mut tensors)?;
        let threshold = threshold.first().copied().unwrap_or(f32::NAN);
        Centres::new(centres, directions, threshold)
            .and_then(|centres| Kernel::new(affine, centres, coefficients))
            .map(|kernel| Box::new(kernel) as Box<dyn Kind>)
            .map_err(|e| Error::new(error::Kind::Damaged, e.message()))
    }

    /// Adds what the centres say of some rows to `out`.
    fn add(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        let (units, lengths) = units(x, self.affine.source_mean());
        let (target, all) = (self.coefficients.ncols(), self.coefficients.as_slice().unwrap_or_default());
        let Some(out) = out.as_slice_mut() else {
            return Err(Error::new(error::Kind::Internal, "rows are scattered"));
        };
        self.centres.visit(units.view(), &mut Sum { out, target, coefficients: all, lengths: &lengths })
    }
}

/// Adds coefficients to rows of `out`.
struct Sum<'a> {
    out: &'a mut [f32],
    target: usize,
    coefficients: &'a [f32],
    lengths: &'a Array1<f32>,
}

impl Near for Sum<'_> {
    #[inline(always)]
    fn near<S: Simd>(&mut self, simd: S, row: usize, centres: &[usize], phis: &[f32]) {
        let of = |row: usize| row * self.target..(row + 1) * self.target;
        let (Some(out), Some(length)) = (self.out.get_mut(of(row)), self.lengths.get(row)) else { return };
        let a = |centre: usize| self.coefficients.get(of(centre)).unwrap_or_default();
        let ((fours, rest), (phis, phis_rest)) = (centres.as_chunks::<4>(), phis.as_chunks::<4>());
        for (four, phis) in fours.iter().zip(phis) {
            add(simd, out, four.map(a), phis.map(|phi| length * phi));
        }
        for (centre, phi) in rest.iter().zip(phis_rest) {
            add(simd, out, [a(*centre)], [length * phi]);
        }
    }
}

/// Adds several rows times a weight each: `out` is read and written once for all.
#[inline(always)]
fn add<S: Simd, const N: usize>(simd: S, out: &mut [f32], rows: [&[f32]; N], weights: [f32; N]) {
    let (out, out_rest) = S::as_mut_simd_f32s(out);
    let (rows, splat) = (rows.map(|row| S::as_simd_f32s(row)), weights.map(|w| simd.splat_f32s(w)));
    for (at, out) in out.iter_mut().enumerate() {
        let mut sum = *out;
        for ((row, _), weight) in rows.iter().zip(&splat) {
            if let Some(a) = row.get(at) {
                sum = simd.mul_add_f32s(*weight, *a, sum);
            }
        }
        *out = sum;
    }
    for ((_, rest), weight) in rows.iter().zip(weights) {
        out_rest.iter_mut().zip(*rest).for_each(|(out, a)| *out += weight * a);
    }
}

/// Rows with `mean` taken off, each of length 1 (zeros stay), and how long they were.
pub(super) fn units(x: ArrayView2<'_, f32>, mean: ArrayView1<'_, f32>) -> (Array2<f32>, Array1<f32>) {
    let mut units = &x - &mean;
    let lengths = units.outer_iter_mut().map(|mut row| {
        let length = matrix::squared_norm(row.view()).sqrt();
        if let Some(row) = row.as_slice_mut().filter(|_| length > 0.0) {
            simd::scale(row, 1.0 / length);
        }
        length as f32
    });
    let lengths = lengths.collect();
    (units, lengths)
}

impl Kind for Kernel {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn dimensions(&self) -> (usize, usize) {
        self.affine.dimensions()
    }

    fn apply_into(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        self.affine.apply_into(x, out.view_mut())?;
        in_blocks(x, out, ROWS, |x, mut out| {
            if out.is_standard_layout() {
                return self.add(x, out);
            }
            let mut rows = out.to_owned();
            self.add(x, rows.view_mut())?;
            out.assign(&rows);
            Ok(())
        })
    }

    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f32>)> {
        let mut tensors = self.affine.tensors();
        tensors.extend(self.centres.tensors());
        tensors.push(("coefficients", self.coefficients.view().into_dyn()));
        tensors
    }
}
