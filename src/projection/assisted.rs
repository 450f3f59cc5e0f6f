//! A map of vectors and of what the words of their texts say.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};

use super::fit::{self, FitOptions, Rest};
use super::kind::Kind;
use super::pairs::Pairs;
use super::words::Words;
use super::{HeldOut, Projection};
use crate::context::Context;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::measure::Retention;

/// Takes `[x | length w(t)]`, a source vector and what the words of its text say (see [`Words`]), to the target space.
#[derive(Debug)]
pub struct Assisted {
    words: Words,
    length: f32,
    kind: Box<dyn Kind>,
}

impl Assisted {
    /// `kind` takes source vectors followed by rows of `words` of this length.
    ///
    /// # Errors
    /// [`Mismatch`](ErrorKind::Mismatch) if `kind` does not take so many components, [`Damaged`](ErrorKind::Damaged) if
    /// the length is none.
    pub(super) fn new(words: Words, length: f32, kind: Box<dyn Kind>, source: usize) -> Result<Self> {
        let (wide, wanted) = (kind.dimensions().0, source + words.dimension());
        if wide != wanted {
            let found = format!(
                "the map with texts takes {wide} components, {source} and {} are given",
                words.dimension()
            );
            return Err(Error::new(ErrorKind::Mismatch, found));
        }
        if !(length.is_finite() && length > 0.0) {
            return Err(Error::new(ErrorKind::Damaged, format!("rows of words of length {length}")));
        }
        Ok(Assisted { words, length, kind })
    }

    /// The table of words.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Length of a row of words beside a source vector.
    pub fn length(&self) -> f32 {
        self.length
    }

    /// What is applied to wide rows.
    pub fn kind(&self) -> &dyn Kind {
        self.kind.as_ref()
    }

    /// What the map that the method `taken` found keeps in the collection of `rest`; none where words or records are too few.
    pub(super) fn expected(
        &self,
        taken: &str,
        training: &Pairs,
        held_out: &Pairs,
        rest: &Rest<'_>,
        options: &FitOptions,
        context: &Context<'_>,
    ) -> Result<Option<Retention>> {
        let wide = |pairs: &Pairs| pairs.widened(self.length);
        let (Some(training), Some(held_out), Some(source)) =
            (wide(training)?, wide(held_out)?, rest.widened(self.length)?)
        else {
            return Ok(None);
        };
        let rest = Rest { records: rest.records, source: source.view(), words: None };
        let fitted = Some((self.kind(), &held_out));
        let told = fit::expected(taken, &training, fitted, &rest, options, context)?;
        Ok(told.map(Retention::with_texts))
    }

    /// Maps the rows of `x` (n x source) with what their words say (n x components, of length 1 or 0) into `out`.
    pub(super) fn apply_into(
        &self,
        x: ArrayView2<'_, f32>,
        words: ArrayView2<'_, f32>,
        out: ArrayViewMut2<'_, f32>,
    ) -> Result<()> {
        self.kind.apply_into(wide(x, words, self.length)?.view(), out)
    }
}

impl Projection {
    /// As [`Projection::apply`], with what is known of the words of each row's text: a row without any goes by its vector
    /// alone, as all do if the projection does not ask for texts.
    ///
    /// # Errors
    /// As [`Projection::apply_into`], and [`Mismatch`](ErrorKind::Mismatch) if `codes` are not one a row.
    pub fn apply_to_texts(&self, x: ArrayView2<'_, f32>, codes: &[&[u16]]) -> Result<Array2<f32>> {
        if codes.len() != x.nrows() {
            let found = format!("{} vectors and words of {} texts do not pair up", x.nrows(), codes.len());
            return Err(Error::new(ErrorKind::Mismatch, found));
        }
        let known: Vec<usize> =
            (0..codes.len()).filter(|row| codes.get(*row).is_some_and(|c| !c.is_empty())).collect();
        let Some(assisted) = self.assisted.as_ref().filter(|_| !known.is_empty()) else {
            return self.apply(x);
        };
        let said: Vec<&[u16]> = known.iter().filter_map(|row| codes.get(*row).copied()).collect();
        let words = assisted.words().rows(&said);
        if known.len() == codes.len() {
            return self.assist(assisted, x, words.view());
        }
        let mut out = self.apply(x)?;
        let found = self.assist(assisted, x.select(Axis(0), &known).view(), words.view())?;
        for (row, found) in known.into_iter().zip(found.outer_iter()) {
            out.row_mut(row).assign(&found);
        }
        Ok(out)
    }

    /// The target vectors of held-out pairs by their vectors and texts; none if the projection does not ask for texts.
    ///
    /// # Errors
    /// As [`Projection::apply_into`].
    pub fn apply_with_texts(&self, held_out: &HeldOut) -> Result<Option<Array2<f32>>> {
        let words = held_out.words.as_ref().filter(|_| self.assisted.is_some());
        words.map(|words| self.apply_to_words(held_out.source.view(), words.view())).transpose()
    }

    /// As [`Projection::apply`], with rows of what the words of each text say ([`Words::rows`]); by the vectors alone if the
    /// projection does not ask for texts.
    ///
    /// # Errors
    /// As [`Projection::apply_into`], and [`Mismatch`](ErrorKind::Mismatch) if the words do not fit.
    pub fn apply_to_words(&self, x: ArrayView2<'_, f32>, words: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        match &self.assisted {
            Some(assisted) => self.assist(assisted, x, words),
            None => self.apply(x),
        }
    }

    fn assist(
        &self,
        assisted: &Assisted,
        x: ArrayView2<'_, f32>,
        words: ArrayView2<'_, f32>,
    ) -> Result<Array2<f32>> {
        let mut out = Array2::zeros((x.nrows(), self.header.target.dimension));
        self.checked(x, out.view_mut(), |out| assisted.apply_into(x, words, out))?;
        Ok(out)
    }
}

/// `[x | length words]`, row by row.
pub(super) fn wide(x: ArrayView2<'_, f32>, words: ArrayView2<'_, f32>, length: f32) -> Result<Array2<f32>> {
    let ((n, source), (m, more)) = (x.dim(), words.dim());
    if n != m {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!("{n} vectors and words of {m} texts do not pair up"),
        ));
    }
    let mut wide = Array2::zeros((n, source + more));
    wide.slice_mut(s![.., ..source]).assign(&x);
    wide.slice_mut(s![.., source..]).assign(&words);
    wide.slice_mut(s![.., source..]).mapv_inplace(|v| v * length);
    Ok(wide)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::projection::Affine;

    #[test]
    fn vectors_and_words_are_mapped_together() {
        let words = Words::new(vec!["git".into()], array![[3.0]]).unwrap();
        let map = Affine::new(array![[1.0, 10.0]], array![0.0, 0.0], array![0.5]).unwrap();
        let assisted = Assisted::new(words, 2.0, Box::new(map), 1).unwrap();
        let rows = assisted.words().rows_of(&["git", "nothing known"]);
        let mut out = Array2::zeros((2, 1));
        assisted.apply_into(array![[7.0], [7.0]].view(), rows.view(), out.view_mut()).unwrap();
        assert_eq!(out, array![[27.5], [7.5]]);
        assert!(wide(array![[1.0]].view(), rows.view(), 1.0).unwrap_err().is_mismatch());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let words = || Words::new(vec!["git".into()], array![[3.0]]).unwrap();
        let map = || Box::new(Affine::new(array![[1.0, 10.0]], array![0.0, 0.0], array![0.5]).unwrap());
        assert!(Assisted::new(words(), 1.0, map(), 2).unwrap_err().is_mismatch());
        assert!(Assisted::new(words(), 0.0, map(), 1).is_err());
        assert!(Assisted::new(words(), f32::NAN, map(), 1).is_err());
    }
}
