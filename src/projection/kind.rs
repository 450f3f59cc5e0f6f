//! What is applied: the trait of all kinds of projection and the table that loads them.

use std::collections::BTreeMap;
use std::fmt::Debug;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, ArrayViewMut2, Axis};

use super::affine::Affine;
use super::blend::Blend;
use super::chain::Chain;
use super::kernel::Kernel;
use super::mixture::Mixture;
use super::mlp::Mlp;
use super::nearest::Nearest;
use crate::error::Result;

/// A fitted map from one space to another. Pure, deterministic, thread-safe.
pub trait Kind: Debug + Send + Sync {
    /// Name in files, a name of [`KINDS`].
    fn name(&self) -> &'static str;

    /// Components of a source vector and of a target vector.
    fn dimensions(&self) -> (usize, usize);

    /// Maps the rows of `x` (n x source) into `out` (n x target).
    ///
    /// # Errors
    /// [`Mismatch`](crate::error::Kind::Mismatch) if the shapes do not fit.
    fn apply_into(&self, x: ArrayView2<'_, f32>, out: ArrayViewMut2<'_, f32>) -> Result<()>;

    /// As [`Kind::apply_into`], into rows of its own: n x target.
    ///
    /// # Errors
    /// As [`Kind::apply_into`].
    fn applied(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let mut out = Array2::zeros((x.nrows(), self.dimensions().1));
        self.apply_into(x, out.view_mut())?;
        Ok(out)
    }

    /// Everything that is needed to load it again, by name, but for what its parts hold.
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f32>)>;

    /// The maps that it is made of.
    fn parts(&self) -> Vec<&dyn Kind> {
        Vec::new()
    }

    /// The maps that it applies in sequence, if it is a chain.
    fn chain(&self) -> Option<&Chain> {
        None
    }
}

/// Tensors of a file by name, finite, as [`Kind::tensors`] gave them.
pub type Tensors = BTreeMap<String, ArrayD<f32>>;

/// How one kind is loaded.
pub struct Loader {
    /// Name in files.
    pub name: &'static str,
    /// Names of the tensors that it has, all of them required; without a dot, and no two kinds have the same.
    pub tensors: &'static [&'static str],
    /// How deep maps lie in it; 0 if it has no parts. A part is less deep than the whole.
    pub depth: usize,
    /// Builds it. Fails with [`Damaged`](crate::error::Kind::Damaged) on shapes that contradict each other.
    pub load: fn(Tensors) -> Result<Box<dyn Kind>>,
}

/// Every kind of projection that a file can hold.
pub const KINDS: &[Loader] = &[
    Loader { name: Affine::NAME, tensors: Affine::TENSORS, depth: 0, load: Affine::load },
    Loader { name: Kernel::NAME, tensors: Kernel::TENSORS, depth: 0, load: Kernel::load },
    Loader { name: Nearest::NAME, tensors: Nearest::TENSORS, depth: 0, load: Nearest::load },
    Loader { name: Mixture::NAME, tensors: Mixture::TENSORS, depth: 0, load: Mixture::load },
    Loader { name: Mlp::NAME, tensors: Mlp::TENSORS, depth: 0, load: Mlp::load },
    Loader { name: Blend::NAME, tensors: Blend::TENSORS, depth: Blend::DEPTH, load: Blend::load },
    Loader { name: Chain::NAME, tensors: Chain::TENSORS, depth: Chain::DEPTH, load: Chain::load },
];

/// Runs `map` over blocks of at most `rows` rows of `x` and `out`, side by side.
pub(super) fn in_blocks(
    x: ArrayView2<'_, f32>,
    mut out: ArrayViewMut2<'_, f32>,
    rows: usize,
    map: impl Fn(ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>) -> Result<()> + Sync,
) -> Result<()> {
    let size = x.nrows().div_ceil(rayon::current_num_threads()).clamp(1, rows);
    let (x, out) = (x.axis_chunks_iter(Axis(0), size), out.axis_chunks_iter_mut(Axis(0), size));
    x.into_par_iter().zip(out.into_par_iter()).try_for_each(|(x, out)| map(x, out))
}
