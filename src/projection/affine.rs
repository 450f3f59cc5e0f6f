//! The affine kind: `y = W (x - source mean) + bias`.

use ndarray::{
    Array1, Array2, ArrayD, ArrayView1, ArrayView2, ArrayViewD, ArrayViewMut2, Dimension, Ix1, Ix2,
};

use super::kind::{Kind, Tensors};
use super::nested;
use crate::error::{self, Error, Result};
use crate::matrix;

/// `y = W (x - source mean) + target mean`: ridge, Procrustes and gradient descent all give this.
#[derive(Clone, Debug)]
pub struct Affine {
    weight: Array2<f32>,
    source_mean: Array1<f32>,
    target_mean: Array1<f32>,
    /// `target mean - W source mean`, so that one product applies the map.
    offset: Array1<f32>,
}

impl Affine {
    /// Name in files.
    pub const NAME: &'static str = "affine";
    /// Tensors in files.
    pub const TENSORS: &'static [&'static str] = &["weight", "source_mean", "target_mean"];

    /// An affine map. `weight` is target x source; each mean has the dimension of its space.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if the shapes do not fit each other or a dimension is zero,
    /// [`Damaged`](error::Kind::Damaged) on values that are not finite.
    pub fn new(weight: Array2<f32>, source_mean: Array1<f32>, target_mean: Array1<f32>) -> Result<Self> {
        let (target, source) = weight.dim();
        if source != source_mean.len() || target != target_mean.len() || source == 0 || target == 0 {
            return Err(Error::new(
                error::Kind::Mismatch,
                format!(
                    "weight of {target} x {source} does not fit means of {} and {} components",
                    target_mean.len(),
                    source_mean.len()
                ),
            ));
        }
        let offset = Array1::from_shape_fn(target, |i| {
            let shift: f64 =
                weight.row(i).iter().zip(&source_mean).map(|(w, m)| f64::from(*w) * f64::from(*m)).sum();
            (f64::from(target_mean[i]) - shift) as f32
        });
        if !offset.iter().all(|v| v.is_finite()) || !weight.iter().all(|v| v.is_finite()) {
            return Err(Error::new(error::Kind::Damaged, "weights or means are not finite, or too large"));
        }
        Ok(Affine { weight: weight.as_standard_layout().into_owned(), source_mean, target_mean, offset })
    }

    /// The map `kind`, if it is of this kind.
    ///
    /// # Errors
    /// Those of [`Affine::new`], which no map has.
    pub(super) fn as_is(kind: &dyn Kind) -> Result<Option<Self>> {
        if kind.name() != Affine::NAME {
            return Ok(None);
        }
        Affine::of(&mut nested::tensors(kind)).map(Some)
    }

    /// `Σ sᵢ fᵢ(x) = Σ sᵢ Wᵢ (x - m) + Σ sᵢ fᵢ(m)` with m the source mean of the first, exactly; none of no map.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if the shapes do not fit each other.
    pub(super) fn sum(maps: &[(Affine, f32)]) -> Result<Option<Self>> {
        let Some((first, _)) = maps.first() else { return Ok(None) };
        let source_mean = first.source_mean.clone();
        let mut weight = Array2::<f64>::zeros(first.weight.dim());
        let mut target_mean = Array1::<f64>::zeros(first.target_mean.len());
        for (map, share) in maps {
            if map.weight.dim() != weight.dim() {
                let found = format!("weights of {:?} do not fit {:?}", map.weight.dim(), weight.dim());
                return Err(Error::new(error::Kind::Mismatch, found));
            }
            let share = f64::from(*share);
            weight.scaled_add(share, &map.weight.mapv(f64::from));
            let apart = (&source_mean - &map.source_mean).mapv(f64::from);
            let mean = map.weight.mapv(f64::from).dot(&apart) + map.target_mean.mapv(f64::from);
            target_mean.scaled_add(share, &mean);
        }
        Affine::new(weight.mapv(|v| v as f32), source_mean, target_mean.mapv(|v| v as f32)).map(Some)
    }

    /// The same map with `more` added to W.
    ///
    /// # Errors
    /// As [`Affine::new`].
    pub(super) fn plus(self, more: &Array2<f32>) -> Result<Self> {
        if more.dim() != self.weight.dim() {
            let found = format!("{:?} weights do not fit {:?}", more.dim(), self.weight.dim());
            return Err(Error::new(error::Kind::Mismatch, found));
        }
        Affine::new(self.weight + more, self.source_mean, self.target_mean)
    }

    /// W, target x source.
    pub fn weight(&self) -> ArrayView2<'_, f32> {
        self.weight.view()
    }

    /// The mean of the source vectors.
    pub(super) fn source_mean(&self) -> ArrayView1<'_, f32> {
        self.source_mean.view()
    }

    /// The mean of the target vectors.
    pub(super) fn target_mean(&self) -> ArrayView1<'_, f32> {
        self.target_mean.view()
    }

    pub(super) fn load(mut tensors: Tensors) -> Result<Box<dyn Kind>> {
        Ok(Box::new(Affine::of(&mut tensors)?))
    }

    /// The map that [`Affine::TENSORS`] describe, which are taken out.
    pub(super) fn of(tensors: &mut Tensors) -> Result<Self> {
        let weight = take::<Ix2>(tensors, "weight")?;
        let source_mean = take::<Ix1>(tensors, "source_mean")?;
        let target_mean = take::<Ix1>(tensors, "target_mean")?;
        Affine::new(weight, source_mean, target_mean)
            .map_err(|e| Error::new(error::Kind::Damaged, e.message()))
    }
}

pub(super) fn take<D: Dimension>(tensors: &mut Tensors, name: &str) -> Result<ndarray::Array<f32, D>> {
    let tensor: ArrayD<f32> = tensors
        .remove(name)
        .ok_or_else(|| Error::new(error::Kind::Damaged, format!("tensor `{name}` is missing")))?;
    let found = tensor.ndim();
    tensor.into_dimensionality::<D>().map_err(|_| {
        Error::new(error::Kind::Damaged, format!("tensor `{name}` has {found} axes, not as many as wanted"))
    })
}

impl Kind for Affine {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn dimensions(&self) -> (usize, usize) {
        (self.weight.ncols(), self.weight.nrows())
    }

    fn apply_into(&self, x: ArrayView2<'_, f32>, out: ArrayViewMut2<'_, f32>) -> Result<()> {
        matrix::product_transposed(x, self.weight.view(), Some(self.offset.view()), out)
    }

    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f32>)> {
        vec![
            ("weight", self.weight.view().into_dyn()),
            ("source_mean", self.source_mean.view().into_dyn()),
            ("target_mean", self.target_mean.view().into_dyn()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_source_mean_lands_on_the_target_mean() {
        let affine =
            Affine::new(array![[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], array![1.0, 2.0], array![5.0, 6.0, 7.0])
                .unwrap();
        assert_eq!(affine.dimensions(), (2, 3));
        let mut out = Array2::zeros((2, 3));
        affine.apply_into(array![[1.0, 2.0], [2.0, 4.0]].view(), out.view_mut()).unwrap();
        assert_eq!(out, array![[5.0, 6.0, 7.0], [6.0, 10.0, 10.0]]);
    }

    #[test]
    fn shapes_that_contradict_each_other_are_refused() {
        assert!(Affine::new(array![[1.0, 0.0]], array![1.0], array![1.0]).unwrap_err().is_mismatch());
        assert!(Affine::new(Array2::zeros((0, 2)), array![1.0, 1.0], array![]).is_err());
    }
}
