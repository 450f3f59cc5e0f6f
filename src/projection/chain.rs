//! The chain kind: maps applied one after the other, from A to B to C.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewD, ArrayViewMut2, Ix1};

use super::affine::take;
use super::kind::{Kind, Tensors};
use super::nested;
use crate::error::{self, Error, Result};
use crate::matrix;

/// Maps in sequence; between two of them rows get length 1 where the space between is one of such rows.
#[derive(Debug)]
pub struct Chain {
    stages: Vec<Box<dyn Kind>>,
    /// One number a stage: 1 if its rows get length 1 before the next stage, else 0. The last is 0: what a projection gives
    /// has the length that its target space asks for.
    lengths: Array1<f32>,
}

impl Chain {
    /// Name in files.
    pub const NAME: &'static str = "chain";
    /// Tensors in files, beside those of the stages: `STAGE.NAME`, stages from 0.
    pub const TENSORS: &'static [&'static str] = &["lengths"];
    /// How deep maps lie in it: a stage may be a blend.
    pub const DEPTH: usize = 2;
    /// Most maps in a chain.
    pub const MOST_STAGES: usize = 8;

    /// `stages` in sequence, each with whether its rows are normalised before the next.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if one does not take what the one before gives, [`Refused`](error::Kind::Refused) if
    /// they are fewer than 2 or more than [`Chain::MOST_STAGES`] or one is a chain itself.
    pub(super) fn new(stages: Vec<(Box<dyn Kind>, bool)>) -> Result<Self> {
        let count = stages.len();
        nested::expect_count("a chain", count, 2..=Self::MOST_STAGES)?;
        let (stages, lengths): (Vec<_>, Vec<_>) = stages.into_iter().unzip();
        for (one, next) in stages.iter().zip(stages.iter().skip(1)) {
            if one.dimensions().1 != next.dimensions().0 {
                let found = format!(
                    "a map that gives {} components does not fit one that takes {}",
                    one.dimensions().1,
                    next.dimensions().0
                );
                return Err(Error::new(error::Kind::Mismatch, found));
            }
        }
        if stages.iter().any(|stage| stage.chain().is_some()) {
            return Err(Error::new(error::Kind::Refused, "a chain in a chain"));
        }
        let lengths =
            lengths.into_iter().enumerate().map(|(i, unit)| f32::from(unit && i + 1 < count)).collect();
        Ok(Chain { stages, lengths })
    }

    /// The maps, each with whether its rows are normalised before the next.
    pub(super) fn stages(&self) -> impl Iterator<Item = (&dyn Kind, bool)> {
        self.stages.iter().zip(&self.lengths).map(|(stage, unit)| (stage.as_ref(), *unit == 1.0))
    }

    pub(super) fn load(mut tensors: Tensors) -> Result<Box<dyn Kind>> {
        let damaged = |found: String| Error::new(error::Kind::Damaged, found);
        let lengths = take::<Ix1>(&mut tensors, "lengths")?;
        if lengths.len() > Self::MOST_STAGES || lengths.iter().any(|v| ![0.0, 1.0].contains(v)) {
            return Err(damaged("the lengths of a chain are not one 0 or 1 a stage".into()));
        }
        let stages = nested::parts(tensors, lengths.len(), Self::DEPTH)?;
        Chain::new(stages.into_iter().zip(lengths.iter().map(|unit| *unit == 1.0)).collect())
            .map(|chain| Box::new(chain) as Box<dyn Kind>)
            .map_err(|e| damaged(e.message().to_owned()))
    }
}

impl Kind for Chain {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn dimensions(&self) -> (usize, usize) {
        let of = |stage: Option<&Box<dyn Kind>>| stage.map_or((0, 0), |stage| stage.dimensions());
        (of(self.stages.first()).0, of(self.stages.last()).1)
    }

    fn apply_into(&self, x: ArrayView2<'_, f32>, out: ArrayViewMut2<'_, f32>) -> Result<()> {
        let Some((last, before)) = self.stages.split_last() else { return Ok(()) };
        let mut rows = None::<Array2<f32>>;
        for (stage, unit) in before.iter().zip(&self.lengths) {
            let mut next = Array2::zeros((x.nrows(), stage.dimensions().1));
            stage.apply_into(rows.as_ref().map_or(x.view(), |rows| rows.view()), next.view_mut())?;
            if *unit == 1.0 {
                // What is not finite stays so to the end, where it is counted.
                matrix::normalise_rows(next.view_mut());
            }
            rows = Some(next);
        }
        last.apply_into(rows.as_ref().map_or(x.view(), |rows| rows.view()), out)
    }

    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f32>)> {
        vec![("lengths", self.lengths.view().into_dyn())]
    }

    fn parts(&self) -> Vec<&dyn Kind> {
        self.stages.iter().map(AsRef::as_ref).collect()
    }

    fn chain(&self) -> Option<&Chain> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::projection::Affine;

    fn affine(weight: Array2<f32>) -> Box<dyn Kind> {
        let (target, source) = weight.dim();
        Box::new(Affine::new(weight, Array1::zeros(source), Array1::ones(target)).unwrap())
    }

    #[test]
    fn maps_follow_each_other_and_rows_between_have_length_one() {
        // (3, 4) -> (2 + 1, 3 + 1) = (3, 4) -> (0.6, 0.8) -> 0.6 + 2 * 0.8 + 1, without the length 3 + 8 + 1.
        let out = |unit| {
            let first = affine(array![[2.0, -1.0], [1.0, 0.0]]);
            let chain = Chain::new(vec![(first, unit), (affine(array![[1.0, 2.0]]), true)]).unwrap();
            assert_eq!(chain.dimensions(), (2, 1));
            let mut out = Array2::zeros((1, 1));
            chain.apply_into(array![[3.0, 4.0]].view(), out.view_mut()).unwrap();
            out[(0, 0)]
        };
        assert!((out(true) - 3.2).abs() < 1e-6);
        assert!((out(false) - 12.0).abs() < 1e-6);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let one = || (affine(array![[1.0, 0.0]]), true);
        assert!(Chain::new(vec![one(), one()]).unwrap_err().is_mismatch());
        assert!(Chain::new(vec![one()]).is_err());
        let pair = || (affine(array![[1.0]]), false);
        assert!(Chain::new((0..9).map(|_| pair()).collect()).is_err());
        let inner = Chain::new(vec![pair(), pair()]).unwrap();
        assert!(Chain::new(vec![pair(), (Box::new(inner), false)]).is_err());
    }

    #[test]
    fn tensors_of_a_file_are_put_together_again_or_refused() {
        let chain =
            Chain::new(vec![(affine(array![[1.0, 2.0]]), true), (affine(array![[3.0]]), false)]).unwrap();
        let tensors = || nested::tensors(&chain);
        let again = Chain::load(tensors()).unwrap();
        let apply = |kind: &dyn Kind| {
            let mut out = Array2::zeros((1, 1));
            kind.apply_into(array![[0.5, 0.25]].view(), out.view_mut()).unwrap();
            out
        };
        assert_eq!(apply(again.as_ref()), apply(&chain));
        for change in ["0.weight", "lengths"] {
            let mut less = tensors();
            less.remove(change);
            assert!(Chain::load(less).is_err(), "{change}");
        }
        let mut more = tensors();
        more.insert("7.weight".into(), array![[1.0]].into_dyn());
        assert!(Chain::load(more).is_err());
        let mut other = tensors();
        other.insert("lengths".into(), array![0.5f32, 0.0].into_dyn());
        assert!(Chain::load(other).is_err());
    }
}
