//! The mlp kind: an affine map, and what a network with one hidden layer adds to it.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewD, ArrayViewMut2, Ix1, Ix2};

use super::affine::{Affine, take};
use super::kind::{Kind, Tensors, in_blocks};
use crate::error::{self, Error, Result};
use crate::matrix;

/// Rows that are mapped at once.
const ROWS: usize = 1024;

/// `V gelu(U c + u) + v`: one hidden layer.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    /// U, hidden x source.
    pub hidden: Array2<f32>,
    /// u.
    pub hidden_shift: Array1<f32>,
    /// V, target x hidden.
    pub output: Array2<f32>,
    /// v.
    pub output_shift: Array1<f32>,
}

/// `y = W c + target mean + V gelu(U c + u) + v` with `c = x - source mean`.
#[derive(Clone, Debug)]
pub struct Mlp {
    affine: Affine,
    layers: Layers,
}

impl Mlp {
    /// Name in files.
    pub const NAME: &'static str = "mlp";
    /// Tensors in files.
    pub const TENSORS: &'static [&'static str] =
        &["weight", "source_mean", "target_mean", "hidden", "hidden_shift", "output", "output_shift"];

    /// Adds to `affine` what `layers` say.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if the shapes do not fit each other.
    pub(super) fn new(affine: Affine, layers: Layers) -> Result<Self> {
        let (source, target) = affine.dimensions();
        let width = layers.hidden_shift.len();
        let fit = layers.hidden.dim() == (width, source)
            && layers.output.dim() == (target, width)
            && layers.output_shift.len() == target;
        if !fit || width == 0 {
            let found = format!(
                "layers of {:?} and {:?} with shifts of {width} and {} do not fit a map of {source} to {target}",
                layers.hidden.dim(),
                layers.output.dim(),
                layers.output_shift.len()
            );
            return Err(Error::new(error::Kind::Mismatch, found));
        }
        let Layers { hidden, output, .. } = &layers;
        let [hidden, output] = [hidden, output].map(|a| a.as_standard_layout().into_owned());
        Ok(Mlp { affine, layers: Layers { hidden, output, ..layers } })
    }

    pub(super) fn load(mut tensors: Tensors) -> Result<Box<dyn Kind>> {
        let layers = Layers {
            hidden: take::<Ix2>(&mut tensors, "hidden")?,
            hidden_shift: take::<Ix1>(&mut tensors, "hidden_shift")?,
            output: take::<Ix2>(&mut tensors, "output")?,
            output_shift: take::<Ix1>(&mut tensors, "output_shift")?,
        };
        Mlp::new(Affine::of(&mut tensors)?, layers)
            .map(|mlp| Box::new(mlp) as Box<dyn Kind>)
            .map_err(|e| Error::new(error::Kind::Damaged, e.message()))
    }

    /// Adds what the layers say of some rows to `out`.
    fn add(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        let centred = &x - &self.affine.source_mean();
        out += &self.layers.apply(centred.view())?;
        Ok(())
    }
}

impl Layers {
    /// Of centred rows (n x source), n x target.
    pub(super) fn apply(&self, centred: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let mut inner = Array2::zeros((centred.nrows(), self.hidden.nrows()));
        let shift = Some(self.hidden_shift.view());
        matrix::product_transposed(centred, self.hidden.view(), shift, inner.view_mut())?;
        inner.mapv_inplace(gelu);
        let mut out = Array2::zeros((centred.nrows(), self.output.nrows()));
        let shift = Some(self.output_shift.view());
        matrix::product_transposed(inner.view(), self.output.view(), shift, out.view_mut())?;
        Ok(out)
    }
}

/// Hendrycks and Gimpel (2016), with their tanh: `x / (1 + exp(-2 √(2/π) (x + 0.044715 x³)))`.
fn gelu(x: f32) -> f32 {
    const SCALE: f32 = 1.595_769_2;
    x / (1.0 + (-SCALE * (x + 0.044_715 * x * x * x)).exp())
}

impl Kind for Mlp {
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
        tensors.push(("hidden", self.layers.hidden.view().into_dyn()));
        tensors.push(("hidden_shift", self.layers.hidden_shift.view().into_dyn()));
        tensors.push(("output", self.layers.output.view().into_dyn()));
        tensors.push(("output_shift", self.layers.output_shift.view().into_dyn()));
        tensors
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn layers() -> Layers {
        Layers {
            hidden: array![[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]],
            hidden_shift: array![0.0, 1.0, -30.0],
            output: array![[1.0, 10.0, 100.0]],
            output_shift: array![0.5],
        }
    }

    fn affine() -> Affine {
        Affine::new(array![[1.0, 0.0]], array![1.0, 0.0], array![5.0]).unwrap()
    }

    #[test]
    fn the_layers_add_to_the_affine_map() {
        // gelu(1) = 0.841192 and gelu(3) = 2.996363 by the same formula with tanh; gelu(-28) is nothing.
        let mut out = Array2::zeros((1, 1));
        Mlp::new(affine(), layers()).unwrap().apply_into(array![[2.0, 1.0]].view(), out.view_mut()).unwrap();
        assert!((out[(0, 0)] - (6.0 + 0.841192 + 29.96363 + 0.5)).abs() < 1e-4, "{}", out[(0, 0)]);
        assert_eq!((gelu(0.0), gelu(f32::MIN), gelu(1e30)), (0.0, 0.0, 1e30));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let wrong = |layers: Layers| assert!(Mlp::new(affine(), layers).unwrap_err().is_mismatch());
        wrong(Layers { hidden: Array2::zeros((3, 3)), ..layers() });
        wrong(Layers { hidden_shift: Array1::zeros(2), ..layers() });
        wrong(Layers { output: Array2::zeros((1, 2)), ..layers() });
        wrong(Layers { output_shift: Array1::zeros(2), ..layers() });
        let none = Layers { hidden: Array2::zeros((0, 2)), output: Array2::zeros((1, 0)), ..layers() };
        wrong(Layers { hidden_shift: Array1::zeros(0), ..none });
    }
}
