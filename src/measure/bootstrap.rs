//! Percentile bootstrap over rows: how far a figure would move on other held-out rows.
//!
//! Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use crate::random;

/// Resamples behind an interval.
pub const RESAMPLES: usize = 1000;

/// Resamples that are held in memory at a time.
const BLOCK: usize = 100;

/// The interval that holds the middle 95 % of the figure; see [`interval_of`].
pub fn interval(
    rows: usize,
    seed: u64,
    figure: impl FnMut(ArrayView2<'_, f64>) -> Vec<Option<f64>>,
) -> Option<(f64, f64)> {
    interval_of(0.95, rows, seed, figure)
}

/// The interval that holds the middle `coverage` of the figure over [`RESAMPLES`] resamples of `rows` rows.
///
/// `figure` gets a matrix of resamples x rows that says how often each row was drawn, and returns the figure of
/// each resample (none where it is undefined). No interval if more than half of them are undefined.
pub fn interval_of(
    coverage: f64,
    rows: usize,
    seed: u64,
    mut figure: impl FnMut(ArrayView2<'_, f64>) -> Vec<Option<f64>>,
) -> Option<(f64, f64)> {
    let mut random = random::seeded(seed);
    let mut figures = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES / BLOCK {
        let mut counts = Array2::<f64>::zeros((BLOCK, rows));
        for mut row in counts.axis_iter_mut(Axis(0)) {
            for _ in 0..rows {
                if let Some(count) = row.get_mut(random::below(&mut random, rows)) {
                    *count += 1.0;
                }
            }
        }
        figures.extend(figure(counts.view()).into_iter().flatten());
    }
    if figures.len() * 2 < RESAMPLES {
        return None;
    }
    figures.sort_by(f64::total_cmp);
    let outside = (1.0 - coverage) / 2.0;
    Some((quantile(&figures, outside)?, quantile(&figures, 1.0 - outside)?))
}

/// Mean of `values` in each resample.
pub fn means(values: &[f64], counts: ArrayView2<'_, f64>) -> Vec<Option<f64>> {
    let values = ArrayView1::from(values);
    counts
        .axis_iter(Axis(0))
        .map(|count| {
            let drawn = count.sum();
            (drawn > 0.0).then(|| count.dot(&values) / drawn)
        })
        .collect()
}

/// Quantile `q` of `sorted` by linear interpolation between neighbours (as numpy does by default).
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let position = q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let (low, share) = (position.floor() as usize, position.fract());
    let below = *sorted.get(low)?;
    Some(sorted.get(low + 1).map_or(below, |above| below + (above - below) * share))
}

/// Quantile `q` of the multiset that holds `sorted[i]` as often as `counts[i]` says.
pub fn quantile_of_counts(sorted: &[f64], counts: ArrayView1<'_, f64>, q: f64) -> Option<f64> {
    let total = counts.sum();
    if total < 1.0 {
        return None;
    }
    let position = q.clamp(0.0, 1.0) * (total - 1.0);
    let (low, share) = (position.floor(), position.fract());
    let mut seen = 0.0;
    let mut below = None;
    for (&value, &count) in sorted.iter().zip(counts) {
        seen += count;
        if below.is_none() && seen > low {
            below = Some(value);
        }
        if let Some(below) = below
            && (share == 0.0 || seen > low + 1.0)
        {
            return Some(below + (value - below) * share);
        }
    }
    below
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.0), Some(1.0));
        assert_eq!(quantile(&sorted, 0.5), Some(3.0));
        assert_eq!(quantile(&sorted, 1.0), Some(8.0));
        assert_eq!(quantile(&[], 0.5), None);
        let counts = array![2.0, 0.0, 1.0, 0.0];
        assert_eq!(quantile_of_counts(&sorted, counts.view(), 0.5), Some(1.0), "median of 1, 1, 4");
        assert_eq!(quantile_of_counts(&sorted, counts.view(), 0.75), Some(2.5));
    }

    #[test]
    fn a_resample_draws_as_many_rows_as_there_are_and_follows_its_seed() {
        let values = [0.0, 1.0, 1.0, 0.0, 1.0];
        let run = |seed| {
            interval(5, seed, |counts| {
                assert!(counts.sum_axis(Axis(1)).iter().all(|&n| n == 5.0));
                means(&values, counts)
            })
        };
        assert_eq!(run(1), run(1));
        let (low, high) = run(1).unwrap();
        assert!((0.0..0.6).contains(&low) && (0.6..=1.0).contains(&high));
    }

    #[test]
    fn the_interval_of_a_mean_has_the_width_that_theory_gives() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let (low, high) = interval(400, 9, |counts| means(&values, counts)).unwrap();
        let theory = 2.0 * 1.96 * (0.25f64 / 400.0).sqrt();
        assert!((high - low - theory).abs() < 0.15 * theory, "{low} {high} {theory}");
    }
}
