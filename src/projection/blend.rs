//! The blend kind: a weighted sum of what several maps make of a row.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewD, ArrayViewMut2, Axis, Ix1};

use super::affine::take;
use super::kind::{Kind, Tensors};
use super::nested;
use crate::error::{self, Error, Result};

/// Rows that are mapped at once: what one map makes of them is held beside the sum.
const ROWS: usize = 4096;

/// `y = Σ sᵢ fᵢ(x)`
#[derive(Debug)]
pub struct Blend {
    parts: Vec<Box<dyn Kind>>,
    /// sᵢ, one a part.
    shares: Array1<f32>,
}

impl Blend {
    /// Name in files.
    pub const NAME: &'static str = "blend";
    /// Tensors in files, beside those of the parts.
    pub const TENSORS: &'static [&'static str] = &["shares"];
    /// How deep maps lie in it.
    pub const DEPTH: usize = 1;
    /// Most maps in a blend.
    pub const MOST_PARTS: usize = 16;

    /// `parts`, each with what it is multiplied by.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if they do not map between the same numbers of components,
    /// [`Refused`](error::Kind::Refused) if there is none, or more than [`Blend::MOST_PARTS`], or one is made of parts itself.
    pub(super) fn new(parts: Vec<(Box<dyn Kind>, f32)>) -> Result<Self> {
        nested::expect_count("a blend", parts.len(), 1..=Self::MOST_PARTS)?;
        let (parts, shares): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let dimensions: Vec<(usize, usize)> = parts.iter().map(|part| part.dimensions()).collect();
        if dimensions.iter().any(|of| Some(of) != dimensions.first()) {
            let found = format!("maps of {dimensions:?} components do not fit each other");
            return Err(Error::new(error::Kind::Mismatch, found));
        }
        if parts.iter().any(|part| nested::depth(part.as_ref()) >= Self::DEPTH) {
            return Err(Error::new(error::Kind::Refused, "a blend of maps that are made of maps"));
        }
        Ok(Blend { parts, shares: Array1::from(shares) })
    }

    pub(super) fn load(mut tensors: Tensors) -> Result<Box<dyn Kind>> {
        let damaged = |found: String| Error::new(error::Kind::Damaged, found);
        let shares = take::<Ix1>(&mut tensors, "shares")?;
        if shares.len() > Self::MOST_PARTS {
            return Err(damaged(format!("a blend of {} maps", shares.len())));
        }
        let parts = nested::parts(tensors, shares.len(), Self::DEPTH)?;
        Blend::new(parts.into_iter().zip(shares).collect())
            .map(|blend| Box::new(blend) as Box<dyn Kind>)
            .map_err(|e| damaged(e.message().to_owned()))
    }

    fn add(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        out.fill(0.0);
        let mut made = Array2::zeros(out.dim());
        for (part, share) in self.parts.iter().zip(&self.shares) {
            part.apply_into(x, made.view_mut())?;
            out.scaled_add(*share, &made);
        }
        Ok(())
    }
}

impl Kind for Blend {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn dimensions(&self) -> (usize, usize) {
        self.parts.first().map_or((0, 0), |part| part.dimensions())
    }

    fn apply_into(&self, x: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) -> Result<()> {
        let (source, target) = self.dimensions();
        if x.ncols() != source || out.dim() != (x.nrows(), target) {
            let found = format!("{:?} and {:?} do not fit a map of {source} to {target}", x.dim(), out.dim());
            return Err(Error::new(error::Kind::Mismatch, found));
        }
        let (x, out) = (x.axis_chunks_iter(Axis(0), ROWS), out.axis_chunks_iter_mut(Axis(0), ROWS));
        x.into_iter().zip(out).try_for_each(|(x, out)| self.add(x, out))
    }

    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f32>)> {
        vec![("shares", self.shares.view().into_dyn())]
    }

    fn parts(&self) -> Vec<&dyn Kind> {
        self.parts.iter().map(AsRef::as_ref).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::projection::{Affine, Chain};

    fn affine(weight: Array2<f32>) -> Box<dyn Kind> {
        let (target, source) = weight.dim();
        Box::new(Affine::new(weight, Array1::zeros(source), Array1::ones(target)).unwrap())
    }

    #[test]
    fn what_the_parts_make_is_added_by_their_shares() {
        let parts = vec![(affine(array![[1.0, 0.0]]), 0.25), (affine(array![[0.0, 2.0]]), 0.5)];
        let blend = Blend::new(parts).unwrap();
        assert_eq!(blend.dimensions(), (2, 1));
        // 0.25 (3 + 1) + 0.5 (8 + 1), in each of more rows than are mapped at once.
        let x = Array2::from_shape_fn((ROWS + 3, 2), |(_, j)| [3.0, 4.0][j]);
        let mut out = Array2::from_elem((ROWS + 3, 1), 7.0);
        blend.apply_into(x.view(), out.view_mut()).unwrap();
        assert!(out.iter().all(|y| *y == 5.5));
        let mut short = Array2::zeros((ROWS, 1));
        assert!(blend.apply_into(x.view(), short.view_mut()).unwrap_err().is_mismatch());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let one = || (affine(array![[1.0]]), 1.0);
        assert!(Blend::new(vec![one(), (affine(array![[1.0, 0.0]]), 1.0)]).unwrap_err().is_mismatch());
        assert!(Blend::new(Vec::new()).is_err());
        assert!(Blend::new((0..17).map(|_| one()).collect()).is_err());
        let inner = Blend::new(vec![one()]).unwrap();
        assert!(Blend::new(vec![one(), (Box::new(inner), 1.0)]).is_err());
        let chain = Chain::new(vec![(one().0, true), (one().0, true)]).unwrap();
        assert!(Blend::new(vec![(Box::new(chain), 1.0)]).is_err());
    }
}
