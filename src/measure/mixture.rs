//! Whether some vectors come from two spaces at once.
//!
//! Two signs, each calibrated on real models and their mixtures. Lengths: two groups with a gap between them
//! that is far wider than either. Directions: the sample is parted by 2-means on the unit sphere (Hartigan
//! and Wong's objective, started from the first principal direction); two topics of one space have rows whose
//! nearest neighbours are on the other side, two spaces do not, and their energies lie in unrelated directions.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::Serialize;

use super::space_match::{FEWEST_ROWS, match_space};
use crate::error::Result;
use crate::matrix;

/// Smaller groups are outliers, not a second space.
const SMALLEST_SHARE: f64 = 0.05;
/// Lengths of the groups differ at least by this factor, with nothing between.
const LENGTH_GAP: f64 = 1.5;
/// The gap is so many times the spread of the logarithms inside the groups.
const GAP_PER_SPREAD: f64 = 4.0;
/// Neighbours per row.
const NEIGHBOURS: usize = 10;
/// Mixtures of two models had at most 0.011, collections of one space at least 0.018.
const MOST_CROSSING: f64 = 0.015;
/// Mixtures of two models had at most 0.24 between the groups' means, halves of one space mostly 0.3 to 0.9.
const MOST_MEAN_COSINE: f64 = 0.3;
/// Mixtures of two models had at most 0.26, halves of one space at least 0.35; see [`match_space`].
const MOST_ENERGY: f64 = 0.3;
const ROUNDS: usize = 20;

/// A sign that the vectors are from two spaces.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Mixture {
    /// Their lengths fall into two groups.
    Length {
        /// Rows of the smaller group, as a share of all.
        share: f64,
        /// Shortest length of the longer group, divided by the longest of the shorter.
        gap: f64,
    },
    /// Their directions do.
    Direction {
        /// Rows of the smaller group, as a share of all.
        share: f64,
        /// Share of the nearest neighbours that are in the other group.
        crossing: f64,
        /// Cosine between the groups' means.
        mean_cosine: f64,
    },
}

/// Looks at a sample (n x d) and names each row's group (true: the smaller) if there are two; `None` where
/// nothing speaks for two spaces, or rows are too few to tell.
///
/// # Errors
/// As the eigenvalue routines of this crate.
pub fn find_mixture(sample: ArrayView2<'_, f32>) -> Result<Option<(Mixture, Vec<bool>)>> {
    if sample.nrows() < 2 * FEWEST_ROWS {
        return Ok(None);
    }
    match by_length(sample) {
        Some(found) => Ok(Some(found)),
        None => by_direction(sample),
    }
}

fn by_length(sample: ArrayView2<'_, f32>) -> Option<(Mixture, Vec<bool>)> {
    let logs: Vec<f64> = lengths(sample).iter().filter(|l| **l > 0.0).map(|l| l.ln()).collect();
    let mut sorted = logs.clone();
    sorted.sort_by(f64::total_cmp);
    let gaps = sorted.iter().zip(sorted.iter().skip(1)).map(|(a, b)| b - a).enumerate();
    let (at, gap) = gaps.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (low, high) = sorted.split_at(at + 1);
    let share = low.len().min(high.len()) as f64 / sample.nrows() as f64;
    let spread = spread(low).max(spread(high));
    if share < SMALLEST_SHARE || gap < LENGTH_GAP.ln() || gap < GAP_PER_SPREAD * spread {
        return None;
    }
    let (border, low_is_small) = (*low.last()? + gap / 2.0, low.len() < high.len());
    let groups = lengths(sample).iter().map(|l| (*l > 0.0) && ((l.ln() < border) == low_is_small)).collect();
    Some((Mixture::Length { share, gap: gap.exp() }, groups))
}

fn spread(logs: &[f64]) -> f64 {
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    (logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n).sqrt()
}

fn lengths(sample: ArrayView2<'_, f32>) -> Vec<f64> {
    sample.outer_iter().map(|row| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()).collect()
}

fn by_direction(sample: ArrayView2<'_, f32>) -> Result<Option<(Mixture, Vec<bool>)>> {
    let mut unit = sample.to_owned();
    for (mut row, length) in unit.outer_iter_mut().zip(lengths(sample)) {
        row /= length.max(1e-12) as f32;
    }
    let gram = matrix::times_transposed(unit.mapv(f64::from).view(), unit.mapv(f64::from).view())?;
    let all: Vec<usize> = (0..unit.nrows()).collect();
    let Some(side) = part(&unit, &gram, &all)? else { return Ok(None) };
    if let Some(found) = judge(&unit, &gram, side.clone())? {
        return Ok(Some(found));
    }
    // A small second space can hide behind two topics of the first: look inside each half.
    for half in [true, false] {
        let rows: Vec<usize> = all.iter().copied().filter(|i| side[*i] == half).collect();
        let Some(inner) = part(&unit, &gram, &rows)? else { continue };
        for quarter in [true, false] {
            let mut second = vec![false; all.len()];
            rows.iter().zip(&inner).for_each(|(row, inner)| second[*row] = *inner == quarter);
            if let Some(found) = judge(&unit, &gram, second)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// Whether a parting of the rows is one of two spaces.
fn judge(
    unit: &Array2<f32>,
    gram: &Array2<f64>,
    mut second: Vec<bool>,
) -> Result<Option<(Mixture, Vec<bool>)>> {
    let count = second.iter().filter(|s| **s).count();
    if 2 * count > second.len() {
        second.iter_mut().for_each(|s| *s = !*s);
    }
    let pick = |side: bool| -> Array2<f32> {
        let rows: Vec<usize> = (0..second.len()).filter(|i| second[*i] == side).collect();
        unit.select(Axis(0), &rows)
    };
    let (small, large) = (pick(true), pick(false));
    let share = small.nrows() as f64 / unit.nrows() as f64;
    if share < SMALLEST_SHARE || small.nrows() < FEWEST_ROWS {
        return Ok(None);
    }
    let crossing = crossing(gram, &second);
    if crossing > MOST_CROSSING {
        return Ok(None);
    }
    let (one, other) = (match_space(small.view(), large.view())?, match_space(large.view(), small.view())?);
    let apart = |energy: Option<f64>| energy.is_some_and(|e| e < MOST_ENERGY);
    let Some(mean_cosine) = one.mean_cosine.filter(|c| *c < MOST_MEAN_COSINE) else { return Ok(None) };
    let two = apart(one.energy_ratio) && apart(other.energy_ratio);
    Ok(two.then_some((Mixture::Direction { share, crossing, mean_cosine }, second)))
}

/// 2-means of some unit rows, started from their first principal direction; `None` if one group is empty.
fn part(unit: &Array2<f32>, gram: &Array2<f64>, rows: &[usize]) -> Result<Option<Vec<bool>>> {
    let n = rows.len();
    if n < 2 {
        return Ok(None);
    }
    // Centring the Gram matrix in place of the rows: the same principal direction.
    let gram = gram.select(Axis(0), rows).select(Axis(1), rows);
    let unit = unit.select(Axis(0), rows);
    let means: Array1<f64> = gram.sum_axis(Axis(0)) / n as f64;
    let all = means.sum() / n as f64;
    let centred = Array2::from_shape_fn((n, n), |(i, j)| gram[(i, j)] - means[i] - means[j] + all);
    let (_, vectors) = matrix::symmetric_eigen(centred.view())?;
    let mut side: Vec<bool> = vectors.column(0).iter().map(|x| *x > 0.0).collect();
    for _ in 0..ROUNDS {
        let mean = |wanted: bool| -> Option<Array1<f32>> {
            let rows: Vec<usize> = (0..n).filter(|i| side[*i] == wanted).collect();
            unit.select(Axis(0), &rows).mean_axis(Axis(0))
        };
        let (Some(one), Some(other)) = (mean(true), mean(false)) else { return Ok(None) };
        // Nearest mean: |x - a|^2 < |x - b|^2 for unit x.
        let border = (one.dot(&one) - other.dot(&other)) / 2.0;
        let next: Vec<bool> = unit.dot(&(one - other)).iter().map(|x| *x > border).collect();
        if next == side {
            break;
        }
        side = next;
    }
    Ok((side.contains(&true) && side.contains(&false)).then_some(side))
}

fn crossing(gram: &Array2<f64>, side: &[bool]) -> f64 {
    let (mut crossed, mut all) = (0usize, 0usize);
    for (i, row) in gram.outer_iter().enumerate() {
        let mut others: Vec<(f64, usize)> =
            row.iter().copied().enumerate().filter(|(j, _)| *j != i).map(|(j, g)| (g, j)).collect();
        let k = NEIGHBOURS.min(others.len());
        if k == 0 {
            continue;
        }
        others.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
        crossed += others.iter().take(k).filter(|(_, j)| side[*j] != side[i]).count();
        all += k;
    }
    crossed as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    /// Rows around a mean, most of their energy in the first quarter of the given axes, as models have it.
    fn space(n: usize, seed: u64, scale: f64, axis: impl Fn(usize) -> usize) -> Array2<f32> {
        let mut random = random::seeded(seed);
        let mut x = Array2::zeros((n, 32));
        for mut row in x.rows_mut() {
            for j in 0..32 {
                let size = if j < 8 { scale } else { scale * 0.1 };
                row[axis(j)] = (size * (random::unit(&mut random) - 0.2)) as f32;
            }
        }
        x
    }

    fn stacked(a: &Array2<f32>, b: &Array2<f32>) -> Array2<f32> {
        ndarray::concatenate(Axis(0), &[a.view(), b.view()]).expect("equal widths")
    }

    #[test]
    fn one_space_is_no_mixture() {
        assert!(find_mixture(space(300, 1, 1.0, |j| j).view()).unwrap().is_none());
        assert!(find_mixture(Array2::zeros((300, 32)).view()).unwrap().is_none());
        assert!(find_mixture(space(30, 1, 1.0, |j| j).view()).unwrap().is_none(), "too few");
    }

    #[test]
    fn two_spaces_are_told_by_their_directions() {
        let both = stacked(&space(200, 1, 1.0, |j| j), &space(60, 2, 1.0, |j| 31 - j));
        let (found, second) = find_mixture(both.view()).unwrap().expect("two spaces");
        assert!(
            matches!(found, Mixture::Direction { share, .. } if (share - 60.0 / 260.0).abs() < 0.01),
            "{found:?}"
        );
        assert!((0..260).all(|i| second[i] == (i >= 200)));
    }

    #[test]
    fn two_lengths_are_told_apart() {
        let both = stacked(&space(200, 1, 1.0, |j| j), &space(40, 2, 30.0, |j| j));
        let (found, second) = find_mixture(both.view()).unwrap().expect("two lengths");
        assert!(matches!(found, Mixture::Length { gap, .. } if gap > 4.0), "{found:?}");
        assert_eq!(second.iter().filter(|s| **s).count(), 40);
    }
}
