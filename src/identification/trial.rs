//! One way of embedding, compared with the stored vectors row by row.

use ndarray::{Array2, ArrayView2, s};

use super::assignment::{EXACT, FITS};
use super::candidate::{Candidate, Run};
use crate::context::Context;
use crate::embed::Role;
use crate::error::{Error, Kind, Result};
use crate::matrix;
use crate::measure::bootstrap::quantile;
use crate::measure::pairs;

/// Lengths agree if they differ by no more than this factor: half precision and sums of many squares stay below it.
pub const LENGTH: f64 = 0.01;

/// How near a stored vector is to one that was made now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// Cosine between them; 0 if one has no length.
    pub cosine: f64,
    /// Length of the stored one.
    pub stored: f64,
    /// Length of the one made now, before it is normalised.
    pub made: f64,
}

impl Likeness {
    /// Whether the directions agree.
    pub fn fits(&self) -> bool {
        self.cosine >= FITS
    }
}

/// How the lengths of stored vectors came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lengths {
    /// Scaled to 1.
    Unit,
    /// As the model gives them.
    Raw,
    /// Neither.
    Other,
}

/// One way and what came of it.
pub(super) struct Trial {
    /// Place of the candidate.
    pub candidate: usize,
    pub run: Run,
    pub pooling: String,
    /// Whether only the first components were compared.
    pub cut: bool,
    pub rows: Vec<Likeness>,
    /// What was made; let go of where it is not needed any more.
    pub made: Option<Array2<f32>>,
}

impl Trial {
    pub(super) fn cosines(&self) -> Vec<f64> {
        self.rows.iter().map(|row| row.cosine).collect()
    }

    pub(super) fn median_cosine(&self) -> f64 {
        let mut cosines = self.cosines();
        cosines.sort_by(f64::total_cmp);
        quantile(&cosines, 0.5).unwrap_or(0.0)
    }

    pub(super) fn exact(&self) -> usize {
        self.rows.iter().filter(|row| row.cosine >= EXACT).count()
    }

    /// As the rows that fit have it; `None` if none does.
    pub(super) fn lengths(&self) -> Option<Lengths> {
        let fitting: Vec<&Likeness> = self.rows.iter().filter(|row| row.fits()).collect();
        let most = |agree: &dyn Fn(&Likeness) -> bool| {
            2 * fitting.iter().filter(|row| agree(row)).count() > fitting.len()
        };
        match fitting.is_empty() {
            true => None,
            false if most(&|row| (row.stored - 1.0).abs() <= LENGTH) => Some(Lengths::Unit),
            false if most(&|row| (row.stored / row.made.max(1e-30) - 1.0).abs() <= LENGTH) => {
                Some(Lengths::Raw)
            }
            false => Some(Lengths::Other),
        }
    }
}

/// Compares row by row; `stored` and `made` have one shape.
pub fn compare(stored: ArrayView2<'_, f32>, made: ArrayView2<'_, f32>) -> Vec<Likeness> {
    let cosines = pairs::cosines(stored, made).into_iter();
    let lengths = matrix::row_norms(stored).into_iter().zip(matrix::row_norms(made));
    cosines.zip(lengths).map(|(cosine, (stored, made))| Likeness { cosine, stored, made }).collect()
}

/// Runs the model once and compares each of its poolings; the configured one first.
pub(super) fn run(
    (place, candidate): (usize, &Candidate<'_>),
    run: &Run,
    stored: ArrayView2<'_, f32>,
    texts: &[&str],
    context: &Context<'_>,
) -> Result<Vec<Trial>> {
    let model = (candidate.open)(run, context)?;
    let made = model.embed(texts, Role::Document, context)?;
    let names = model.space().pooling.clone().unwrap_or_else(|| candidate.outline.pooling.clone());
    let parts: Vec<&str> = names.split('+').collect();
    let width = made.ncols() / parts.len().max(1);
    if width == 0 || made.nrows() != stored.nrows() {
        return Err(Error::new(Kind::Internal, "a model gave rows of another shape"));
    }
    let block = |name: &str| -> Option<ArrayView2<'_, f32>> {
        let place = parts.iter().position(|part| *part == name)?;
        Some(made.slice(s![.., place * width..(place + 1) * width]))
    };
    let dimension = stored.ncols();
    let mut trials = Vec::new();
    let mut add = |pooling: &str, made: Array2<f32>, cut: bool| {
        let rows = compare(stored, made.view());
        trials.push(Trial {
            candidate: place,
            run: run.clone(),
            pooling: pooling.to_owned(),
            cut,
            rows,
            made: Some(made),
        });
    };
    let own = &candidate.outline.pooling;
    if own.contains('+') && width * own.split('+').count() == dimension {
        let blocks: Option<Vec<_>> = own.split('+').map(block).collect();
        if let Some(whole) = blocks.and_then(|b| ndarray::concatenate(ndarray::Axis(1), &b).ok()) {
            add(own, whole, false);
        }
    }
    if width >= dimension {
        for name in &parts {
            if let Some(block) = block(name) {
                add(name, block.slice(s![.., ..dimension]).to_owned(), width > dimension);
            }
        }
    }
    Ok(trials)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn trial(stored: Array2<f32>, made: Array2<f32>) -> Trial {
        let run = Run { prompt: String::new(), max_tokens: None };
        let rows = compare(stored.view(), made.view());
        Trial { candidate: 0, run, pooling: "mean".into(), cut: false, rows, made: Some(made) }
    }

    #[test]
    fn likeness_by_hand() {
        let found = compare(
            array![[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]].view(),
            array![[6.0, 8.0], [1.0, 1.0], [1.0, 0.0]].view(),
        );
        assert_eq!(found[0], Likeness { cosine: 1.0, stored: 5.0, made: 10.0 });
        assert!((found[1].cosine - 0.5f64.sqrt()).abs() < 1e-9);
        assert_eq!(found[2].cosine, 0.0);
    }

    #[test]
    fn normalisation_is_told_by_length() {
        let made = array![[3.0, 4.0], [1.0, 2.0], [0.0, 2.0]];
        let unit = array![[0.6, 0.8], [-2.0, 1.0], [0.0, 1.0]];
        assert_eq!(trial(unit, made.clone()).lengths(), Some(Lengths::Unit));
        assert_eq!(trial(made.clone(), made.clone()).lengths(), Some(Lengths::Raw));
        assert_eq!(trial(&made * 3.0, made.clone()).lengths(), Some(Lengths::Other));
        assert_eq!(trial(array![[4.0, -3.0], [2.0, -1.0], [1.0, 0.0]], made).lengths(), None);
    }
}
