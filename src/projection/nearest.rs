//! The nearest kind: an affine map, and a weighted mean of what was added to the remembered rows nearest to a vector.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, ArrayViewD, ArrayViewMut2, Axis, Ix1, Ix2};

use super::affine::{Affine, take};
use super::kernel::units;
use super::kind::{Kind, Tensors};
use crate::error::{self, Error, Result};
use crate::matrix;
use crate::measure::nearest::{Metric, Neighbour, nearest};

/// Rows that are mapped at once: neighbours of so many are held.
const ROWS: usize = 1024;
/// Neighbours at most.
const MOST_NEIGHBOURS: usize = 1000;
/// Temperatures that make sense of differences of cosines.
const TEMPERATURES: std::ops::RangeInclusive<f32> = 1e-3..=1e3;

/// `y = W c + target mean + Σ w_j a_j / Σ w_j` with `c = x - source mean`, over the k remembered rows whose directions z_j
/// are nearest to that of c, `w_j = exp(cos(c, z_j) / temperature)`.
#[derive(Clone, Debug)]
pub struct Nearest {
    affine: Affine,
    /// z_j, n x source, of length 1 or 0 each.
    directions: Array2<f32>,
    /// a_j, n x target.
    additions: Array2<f32>,
    /// k and the temperature.
    near: [f32; 2],
}

impl Nearest {
    /// Name in files.
    pub const NAME: &'static str = "nearest";
    /// Tensors in files.
    pub const TENSORS: &'static [&'static str] =
        &["weight", "source_mean", "target_mean", "directions", "additions", "near"];

    /// Adds to `affine` what the `k` nearest of `directions` (n x source, of length 1 or 0) say by their `additions`
    /// (n x target).
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if the shapes do not fit each other, [`Damaged`](error::Kind::Damaged) if a
    /// length, k or the temperature is out of range.
    pub(super) fn new(
        affine: Affine,
        directions: Array2<f32>,
        additions: Array2<f32>,
        k: usize,
        temperature: f32,
    ) -> Result<Self> {
        let (source, target) = affine.dimensions();
        let n = directions.nrows();
        if directions.ncols() != source || additions.dim() != (n, target) {
            let found = format!(
                "{:?} directions and {:?} additions do not fit a map of {source} to {target}",
                directions.dim(),
                additions.dim()
            );
            return Err(Error::new(error::Kind::Mismatch, found));
        }
        if k == 0 || k > n.min(MOST_NEIGHBOURS) || !TEMPERATURES.contains(&temperature) {
            let found = format!("{k} neighbours of {n} rows at a temperature of {temperature}");
            return Err(Error::new(error::Kind::Damaged, found));
        }
        if !directions.outer_iter().all(|row| matrix::squared_norm(row) < 1.01) {
            return Err(Error::new(error::Kind::Damaged, "directions that are longer than 1"));
        }
        let [directions, additions] = [directions, additions].map(|a| a.as_standard_layout().into_owned());
        Ok(Nearest { affine, directions, additions, near: [k as f32, temperature] })
    }

    pub(super) fn load(mut tensors: Tensors) -> Result<Box<dyn Kind>> {
        let directions = take::<Ix2>(&mut tensors, "directions")?;
        let additions = take::<Ix2>(&mut tensors, "additions")?;
        let near = take::<Ix1>(&mut tensors, "near")?;
        let affine = Affine::of(&mut tensors)?;
        let &[k, temperature] = near.as_slice().unwrap_or_default() else {
            let found = format!("{} values tell which rows are near, 2 are wanted", near.len());
            return Err(Error::new(error::Kind::Damaged, found));
        };
        if k.fract() != 0.0 || !(1.0..=MOST_NEIGHBOURS as f32).contains(&k) {
            return Err(Error::new(error::Kind::Damaged, format!("{k} neighbours make no sense")));
        }
        Nearest::new(affine, directions, additions, k as usize, temperature)
            .map(|nearest| Box::new(nearest) as Box<dyn Kind>)
            .map_err(|e| Error::new(error::Kind::Damaged, e.message()))
    }

    /// Adds what the nearest rows say to some rows of `out`.
    fn add(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        let [k, temperature] = self.near;
        let (units, _) = units(x, self.affine.source_mean());
        let found = neighbours(units.view(), self.directions.view(), k as usize)?;
        out.axis_iter_mut(Axis(0)).into_par_iter().zip(found).for_each(|(mut out, near)| {
            for (row, weight) in weights(&near, temperature) {
                out.scaled_add(weight, &self.additions.row(row));
            }
        });
        Ok(())
    }
}

/// The `k` of `directions` (n x source) nearest to each of `units` (m x source), all of length 1 or 0, nearest first.
pub(super) fn neighbours(
    units: ArrayView2<'_, f32>,
    directions: ArrayView2<'_, f32>,
    k: usize,
) -> Result<Vec<Vec<Neighbour>>> {
    nearest(units, directions, k, Metric::InnerProduct, false)
}

/// Rows of `near`, nearest first, and what each counts; the sum is 1.
pub(super) fn weights(near: &[Neighbour], temperature: f32) -> impl Iterator<Item = (usize, f32)> {
    let first = near.first().map_or(0.0, |nearest| nearest.distance);
    let raw = move |neighbour: &Neighbour| ((first - neighbour.distance) / temperature).exp();
    let sum: f32 = near.iter().map(raw).sum();
    near.iter().map(move |neighbour| (neighbour.row, raw(neighbour) / sum))
}

impl Kind for Nearest {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn dimensions(&self) -> (usize, usize) {
        self.affine.dimensions()
    }

    fn apply_into(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        self.affine.apply_into(x, out.view_mut())?;
        let chunks = x.axis_chunks_iter(Axis(0), ROWS).zip(out.axis_chunks_iter_mut(Axis(0), ROWS));
        chunks.into_iter().try_for_each(|(x, out)| self.add(x, out))
    }

    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f32>)> {
        let mut tensors = self.affine.tensors();
        tensors.push(("directions", self.directions.view().into_dyn()));
        tensors.push(("additions", self.additions.view().into_dyn()));
        tensors.push(("near", ndarray::aview1(&self.near).into_dyn()));
        tensors
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn affine() -> Affine {
        Affine::new(array![[0.0, 0.0]], array![1.0, 0.0], array![5.0]).unwrap()
    }

    #[test]
    fn the_nearest_directions_add_their_weighted_mean() {
        let directions = array![[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]];
        let additions = array![[2.0], [4.0], [100.0]];
        let map = Nearest::new(affine(), directions, additions, 2, 0.5).unwrap();
        let mut out = Array2::zeros((2, 1));
        // One vector lies along the first direction, twice as far out; the other half-way between the first two.
        map.apply_into(array![[3.0, 0.0], [2.0, 1.0]].view(), out.view_mut()).unwrap();
        let second = (-2f32).exp();
        assert!((out[(0, 0)] - (5.0 + (2.0 + 4.0 * second) / (1.0 + second))).abs() < 1e-5);
        assert!((out[(1, 0)] - 8.0).abs() < 1e-5);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let of = |n: usize, d: usize, m: usize, k: usize, temperature: f32| {
            Nearest::new(affine(), Array2::zeros((n, d)), Array2::zeros((n, m)), k, temperature)
        };
        assert!(of(3, 2, 1, 2, 0.1).is_ok(), "the base of all that follows");
        assert!(of(3, 3, 1, 2, 0.1).unwrap_err().is_mismatch());
        assert!(of(3, 2, 2, 2, 0.1).unwrap_err().is_mismatch());
        for (k, temperature) in [(0, 0.1), (4, 0.1), (2, 0.0), (2, -1.0), (2, f32::NAN), (2, f32::INFINITY)] {
            assert_eq!(of(3, 2, 1, k, temperature).unwrap_err().kind(), error::Kind::Damaged);
        }
        let long = Nearest::new(affine(), array![[2.0, 0.0]], array![[1.0]], 1, 0.1);
        assert_eq!(long.unwrap_err().kind(), error::Kind::Damaged);
    }

    #[test]
    fn a_row_gives_the_same_whatever_comes_with_it() {
        let of = |i: usize, j: usize| ((i * 31 + j * 17) as f32 * 0.618).sin();
        let x = Array2::from_shape_fn((ROWS + 3, 2), |(i, j)| of(i, j));
        let directions = matrix::normalised(Array2::from_shape_fn((40, 2), |(i, j)| of(j, i)).view());
        let map =
            Nearest::new(affine(), directions, Array2::from_shape_fn((40, 1), |(i, _)| of(i, i)), 40, 0.2);
        let map = map.unwrap();
        let apply = |x: ArrayView2<'_, f32>| {
            let mut out = Array2::zeros((x.nrows(), 1));
            map.apply_into(x, out.view_mut()).unwrap();
            out
        };
        let all = apply(x.view());
        for rows in [0..1, 5..9, ROWS - 1..ROWS + 2] {
            let rows = ndarray::s![rows, ..];
            assert!((apply(x.slice(rows)) - all.slice(rows)).iter().all(|d| d.abs() < 1e-5));
        }
    }
}
