//! The mixture kind: an affine map, and affine maps that each count where their centre is near.

use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayViewD, ArrayViewMut2, Axis, Ix1, Ix2, Ix3};

use super::affine::{Affine, take};
use super::kernel::units;
use super::kind::{Kind, Tensors, in_blocks};
use crate::error::{self, Error, Result};
use crate::matrix;

/// Rows that are mapped at once.
const ROWS: usize = 1024;
/// A part that counts less for a row is left out, in fitting as in applying.
const LEAST: f32 = 0.02;
/// Parts at most.
pub(super) const MOST_PARTS: usize = 64;

/// How much each part counts for a vector: `g_k = softmax(-|u - z_k|² / temperature)` of its direction u, without parts
/// that count next to nothing.
#[derive(Clone, Debug)]
pub(super) struct Routing {
    /// z_k, parts x source.
    centres: Array2<f32>,
    temperature: [f32; 1],
}

impl Routing {
    /// `centres`: parts x source.
    ///
    /// # Errors
    /// [`Damaged`](error::Kind::Damaged) if there are none or too many, if one is longer than 1, or if the temperature
    /// is out of range.
    pub fn new(centres: Array2<f32>, temperature: f32) -> Result<Self> {
        let parts = centres.nrows();
        if !(1..=MOST_PARTS).contains(&parts) || !(1e-3..=1e3).contains(&temperature) {
            let found =
                format!("{parts} parts at a temperature of {temperature}, at most {MOST_PARTS} are wanted");
            return Err(Error::new(error::Kind::Damaged, found));
        }
        if !centres.outer_iter().all(|row| matrix::squared_norm(row) < 1.01) {
            return Err(Error::new(error::Kind::Damaged, "centres of parts that are longer than 1"));
        }
        Ok(Routing { centres: centres.as_standard_layout().into_owned(), temperature: [temperature] })
    }

    /// Parts.
    pub fn parts(&self) -> usize {
        self.centres.nrows()
    }

    /// What each part counts for `units` (n x source, of length 1 or 0), n x parts; the sum of a row is 1.
    pub fn of(&self, units: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let [temperature] = self.temperature;
        let half: Array1<f32> =
            self.centres.outer_iter().map(|z| matrix::squared_norm(z) as f32 / 2.0).collect();
        let mut gates = matrix::times_transposed(units, self.centres.view())?;
        for mut row in gates.outer_iter_mut() {
            row.zip_mut_with(&half, |score, half| *score = (*score - half) * 2.0 / temperature);
            let most = row.fold(f32::NEG_INFINITY, |most, score| most.max(*score));
            row.mapv_inplace(|score| (score - most).exp());
            let sum = row.sum();
            row.mapv_inplace(|gate| if gate < LEAST * sum { 0.0 } else { gate });
            let sum = row.sum();
            row /= sum;
        }
        Ok(gates)
    }
}

/// `y = W c + target mean + Σ g_k(c) (V_k c + b_k)` with `c = x - source mean`.
#[derive(Clone, Debug)]
pub struct Mixture {
    affine: Affine,
    routing: Routing,
    /// V_k, parts x target x source.
    weights: Array3<f32>,
    /// b_k, parts x target.
    shifts: Array2<f32>,
}

impl Mixture {
    /// Name in files.
    pub const NAME: &'static str = "mixture";
    /// Tensors in files.
    pub const TENSORS: &'static [&'static str] =
        &["weight", "source_mean", "target_mean", "centres", "temperature", "weights", "shifts"];

    /// Adds to `affine` what each part says: `weights` (parts x target x source) and `shifts` (parts x target).
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if the shapes do not fit each other.
    pub(super) fn new(
        affine: Affine,
        routing: Routing,
        weights: Array3<f32>,
        shifts: Array2<f32>,
    ) -> Result<Self> {
        let (source, target) = affine.dimensions();
        let parts = routing.parts();
        let fit = routing.centres.ncols() == source
            && weights.dim() == (parts, target, source)
            && shifts.dim() == (parts, target);
        if !fit {
            let found = format!(
                "{:?} centres, {:?} weights and {:?} shifts do not fit a map of {source} to {target}",
                routing.centres.dim(),
                weights.dim(),
                shifts.dim()
            );
            return Err(Error::new(error::Kind::Mismatch, found));
        }
        let weights = weights.as_standard_layout().into_owned();
        Ok(Mixture { affine, routing, weights, shifts })
    }

    pub(super) fn load(mut tensors: Tensors) -> Result<Box<dyn Kind>> {
        let centres = take::<Ix2>(&mut tensors, "centres")?;
        let temperature = take::<Ix1>(&mut tensors, "temperature")?;
        let weights = take::<Ix3>(&mut tensors, "weights")?;
        let shifts = take::<Ix2>(&mut tensors, "shifts")?;
        let affine = Affine::of(&mut tensors)?;
        let &[temperature] = temperature.as_slice().unwrap_or_default() else {
            return Err(Error::new(
                error::Kind::Damaged,
                format!("{} temperatures, 1 is wanted", temperature.len()),
            ));
        };
        Routing::new(centres, temperature)
            .and_then(|routing| Mixture::new(affine, routing, weights, shifts))
            .map(|mixture| Box::new(mixture) as Box<dyn Kind>)
            .map_err(|e| Error::new(error::Kind::Damaged, e.message()))
    }

    /// Adds what the parts say of some rows to `out`.
    fn add(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        let gates = self.routing.of(units(x, self.affine.source_mean()).0.view())?;
        let centred = &x - &self.affine.source_mean();
        let parts = self.weights.outer_iter().zip(self.shifts.outer_iter());
        for (gates, (weight, shift)) in gates.axis_iter(Axis(1)).zip(parts) {
            let rows = counting(gates);
            if rows.is_empty() {
                continue;
            }
            let some = centred.select(Axis(0), &rows);
            let mut said = Array2::zeros((rows.len(), shift.len()));
            matrix::product_transposed(some.view(), weight, Some(shift), said.view_mut())?;
            for (row, said) in rows.into_iter().zip(said.outer_iter()) {
                out.row_mut(row).scaled_add(gates[row], &said);
            }
        }
        Ok(())
    }
}

/// Rows for which a part counts.
pub(super) fn counting(gates: ndarray::ArrayView1<'_, f32>) -> Vec<usize> {
    gates.iter().enumerate().filter(|(_, gate)| **gate > 0.0).map(|(row, _)| row).collect()
}

impl Kind for Mixture {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn dimensions(&self) -> (usize, usize) {
        self.affine.dimensions()
    }

    fn apply_into(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        self.affine.apply_into(x, out.view_mut())?;
        in_blocks(x, out, ROWS, |x, out| self.add(x, out))
    }

    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f32>)> {
        let mut tensors = self.affine.tensors();
        tensors.push(("centres", self.routing.centres.view().into_dyn()));
        tensors.push(("temperature", ndarray::aview1(&self.routing.temperature).into_dyn()));
        tensors.push(("weights", self.weights.view().into_dyn()));
        tensors.push(("shifts", self.shifts.view().into_dyn()));
        tensors
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn affine() -> Affine {
        Affine::new(array![[1.0, 0.0]], array![1.0, 0.0], array![5.0]).unwrap()
    }

    fn mixture() -> Mixture {
        let routing = Routing::new(array![[1.0, 0.0], [0.0, 1.0]], 0.5).unwrap();
        Mixture::new(affine(), routing, array![[[1.0, 0.0]], [[0.0, 3.0]]], array![[10.0], [20.0]]).unwrap()
    }

    #[test]
    fn parts_count_by_the_distance_of_their_centres() {
        let mut out = Array2::zeros((2, 1));
        // c = (2, 0) lies along the first centre, |u - z|² is 0 and 2: the second counts exp(-4) as much, below 2 %.
        // c = (1, 1) lies half-way: both count a half.
        mixture().apply_into(array![[3.0, 0.0], [2.0, 1.0]].view(), out.view_mut()).unwrap();
        assert!((out[(0, 0)] - (5.0 + 2.0 + 12.0)).abs() < 1e-5);
        assert!((out[(1, 0)] - (5.0 + 1.0 + 0.5 * 11.0 + 0.5 * 23.0)).abs() < 1e-5);
    }

    #[test]
    fn counts_are_a_softmax_without_what_is_next_to_nothing() {
        let routing = Routing::new(array![[1.0, 0.0], [0.6, 0.0], [-1.0, 0.0]], 1.0).unwrap();
        let gates = routing.of(array![[1.0, 0.0], [0.0, 0.0]].view()).unwrap();
        let near = (-0.16f32).exp();
        assert!((gates[(0, 0)] - 1.0 / (1.0 + near)).abs() < 1e-6 && gates[(0, 2)] == 0.0);
        let lengths = [(-1f32).exp(), (-0.36f32).exp(), (-1f32).exp()];
        let sum: f32 = lengths.iter().sum();
        assert!(gates.row(1).iter().zip(lengths).all(|(gate, raw)| (gate - raw / sum).abs() < 1e-6));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let damaged = |centres, temperature| {
            assert_eq!(Routing::new(centres, temperature).unwrap_err().kind(), error::Kind::Damaged);
        };
        damaged(Array2::zeros((0, 2)), 0.1);
        damaged(Array2::zeros((MOST_PARTS + 1, 2)), 0.1);
        damaged(Array2::ones((1, 2)), 0.1);
        for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            damaged(Array2::zeros((1, 2)), temperature);
        }
        let of = |source, parts, target| {
            let routing = Routing::new(Array2::zeros((2, 2)), 0.1).unwrap();
            Mixture::new(affine(), routing, Array3::zeros((2, 1, source)), Array2::zeros((parts, target)))
        };
        assert!(of(2, 2, 1).is_ok(), "the base of all that follows");
        for (source, parts, target) in [(3, 2, 1), (2, 3, 1), (2, 2, 2)] {
            assert!(of(source, parts, target).unwrap_err().is_mismatch());
        }
    }
}
