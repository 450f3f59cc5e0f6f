//! Whether vectors look as if they came from the space of some reference vectors of the same dimension.
//!
//! Two models of one dimension place their energy in unrelated directions. The test compares how much of the
//! sample's centred energy lies in the main directions of the reference rows with how much of the reference's
//! own energy does, chance taken off. It knows nothing of topics: other texts in the same space pass.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, s};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::matrix;

/// Outcome of [`match_space`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceMatch {
    /// Cosine between the mean of the sample and the mean of the reference; none if one of them is zero.
    pub mean_cosine: Option<f64>,
    /// Mean length of the sample's vectors, divided by that of the reference's.
    pub norm_ratio: Option<f64>,
    /// Share of the sample's centred energy in the reference's main directions, as a part of what other
    /// reference rows reach: about 1 for the same space and texts, about 0 for a space that is unrelated.
    pub energy_ratio: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// Whether the sample is in the space of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing speaks against it.
    Fits,
    /// Too few rows, or unlike what the same space gave in calibration.
    Doubtful,
    /// Another space.
    DoesNotFit,
}

/// Energy ratios of the same space were at least 0.61 in calibration (other texts), those of a space of the
/// same dimension and of a related model at most 0.32.
const ENERGY_FITS: f64 = 0.5;
const ENERGY_DOES_NOT_FIT: f64 = 0.4;
/// Cosines of means in the same space were at least 0.32 (other texts).
const MEAN_FITS: f64 = 0.25;
/// Lengths of vectors may differ by this factor.
const NORM_FITS: f64 = 1.5;
/// Below so many rows there is no verdict but doubt.
pub const FEWEST_ROWS: usize = 20;

/// Compares `sample` (n x d) with `reference` (m x d). 300 reference rows are plenty, 20 the least.
///
/// # Errors
/// [`Kind::Mismatch`] if the dimensions differ.
pub fn match_space(sample: ArrayView2<'_, f32>, reference: ArrayView2<'_, f32>) -> Result<SourceMatch> {
    if sample.ncols() != reference.ncols() {
        return Err(Error::new(
            Kind::Mismatch,
            format!("vectors of {} components were found, {} are wanted", sample.ncols(), reference.ncols()),
        ));
    }
    let (sample_mean, reference_mean) = (matrix::column_means(sample), matrix::column_means(reference));
    let mean_cosine = cosine(sample_mean.view(), reference_mean.view());
    let norm_ratio = match (matrix::row_norms(sample).mean(), matrix::row_norms(reference).mean()) {
        (Some(a), Some(b)) if b > 0.0 => Some(a / b),
        _ => None,
    };
    let enough = sample.nrows() >= FEWEST_ROWS && reference.nrows() >= FEWEST_ROWS;
    let energy_ratio = if enough { energy_ratio(sample, reference)? } else { None };
    let verdict = match (energy_ratio, mean_cosine, norm_ratio) {
        (Some(energy), _, _) if energy < ENERGY_DOES_NOT_FIT => Verdict::DoesNotFit,
        (Some(energy), Some(mean), Some(norm))
            if energy >= ENERGY_FITS
                && mean >= MEAN_FITS
                && (1.0 / NORM_FITS..=NORM_FITS).contains(&norm) =>
        {
            Verdict::Fits
        }
        _ => Verdict::Doubtful,
    };
    Ok(SourceMatch { mean_cosine, norm_ratio, energy_ratio, verdict })
}

fn cosine(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> Option<f64> {
    let norms = (a.dot(&a) * b.dot(&b)).sqrt();
    (norms > 0.0).then(|| (a.dot(&b) / norms).clamp(-1.0, 1.0))
}

/// Main directions come from the even reference rows, what reference rows reach from the odd ones: rows
/// always fit their own directions better than other rows do.
fn energy_ratio(sample: ArrayView2<'_, f32>, reference: ArrayView2<'_, f32>) -> Result<Option<f64>> {
    let d = reference.ncols();
    let (even, odd) = (reference.slice(s![..;2, ..]), reference.slice(s![1..;2, ..]));
    let directions = (d / 4).min(even.nrows() / 2);
    if directions == 0 || directions >= d {
        return Ok(None);
    }
    let Some(basis) = main_directions(even, directions)? else { return Ok(None) };
    let chance = basis.ncols() as f64 / d as f64;
    let (Some(found), Some(own)) = (share_within(sample, &basis)?, share_within(odd, &basis)?) else {
        return Ok(None);
    };
    Ok((own > chance).then(|| (found - chance) / (own - chance)))
}

/// Orthonormal columns that span the `count` main directions of the centred rows, through the Gram matrix of
/// the rows (which are fewer than components); fewer columns if the rows do not reach so far.
fn main_directions(rows: ArrayView2<'_, f32>, count: usize) -> Result<Option<Array2<f64>>> {
    let x = matrix::centred(rows, matrix::column_means(rows).view());
    let (values, vectors) = matrix::symmetric_eigen(matrix::times_transposed(x.view(), x.view())?.view())?;
    let floor = values.first().copied().unwrap_or(0.0) * 1e-9;
    let count = values.iter().take(count).filter(|v| **v > floor).count();
    if count == 0 {
        return Ok(None);
    }
    let mut basis = matrix::times_transposed(x.t(), vectors.slice(s![.., ..count]).t())?;
    let scale: Array1<f64> = values.slice(s![..count]).mapv(|v| 1.0 / v.sqrt());
    basis *= &scale;
    Ok(Some(basis))
}

/// Share of the centred energy of `rows` within the span of `basis`; none without energy.
fn share_within(rows: ArrayView2<'_, f32>, basis: &Array2<f64>) -> Result<Option<f64>> {
    let x = matrix::centred(rows, matrix::column_means(rows).view());
    let all: f64 = x.iter().map(|v| v * v).sum();
    let inside: f64 = matrix::times_transposed(x.view(), basis.t())?.iter().map(|v| v * v).sum();
    Ok((all > 0.0).then(|| inside / all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    /// Vectors around a mean, most of their energy in the first quarter of the given axes.
    fn space(n: usize, seed: u64, axis: impl Fn(usize) -> usize) -> Array2<f32> {
        let mut random = random::seeded(seed);
        let mut x = Array2::zeros((n, 32));
        for mut row in x.rows_mut() {
            for j in 0..32 {
                let size = if j < 8 { 1.0 } else { 0.2 };
                row[axis(j)] = (size * (random::unit(&mut random) - 0.3)) as f32;
            }
        }
        x
    }

    #[test]
    fn other_rows_of_the_same_space_fit() {
        let found = match_space(space(200, 1, |j| j).view(), space(100, 2, |j| j).view()).unwrap();
        assert_eq!(found.verdict, Verdict::Fits, "{found:?}");
        assert!((found.energy_ratio.unwrap() - 1.0).abs() < 0.1);
        assert!((found.norm_ratio.unwrap() - 1.0).abs() < 0.1);
    }

    #[test]
    fn another_space_of_the_same_dimension_does_not_fit() {
        let found = match_space(space(200, 1, |j| 31 - j).view(), space(100, 2, |j| j).view()).unwrap();
        assert_eq!(found.verdict, Verdict::DoesNotFit, "{found:?}");
    }

    #[test]
    fn other_lengths_and_few_rows_are_doubtful() {
        let reference = space(100, 2, |j| j);
        let longer = match_space((space(200, 1, |j| j) * 3.0).view(), reference.view()).unwrap();
        assert_eq!(longer.verdict, Verdict::Doubtful);
        let few = match_space(space(5, 1, |j| j).view(), reference.view()).unwrap();
        assert_eq!((few.verdict, few.energy_ratio), (Verdict::Doubtful, None));
        let constant = match_space(Array2::zeros((30, 32)).view(), reference.view()).unwrap();
        assert_eq!((constant.verdict, constant.mean_cosine), (Verdict::Doubtful, None));
        assert!(match_space(Array2::zeros((30, 31)).view(), reference.view()).unwrap_err().is_mismatch());
    }
}
