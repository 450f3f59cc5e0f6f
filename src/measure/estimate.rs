//! A figure over questions, with the interval in which it would lie on other questions of the same kind.

use ndarray::Axis;
use serde::{Deserialize, Serialize};

use super::bootstrap;
use super::report::rounded;

/// Share of the bootstrap that an interval holds.
pub const COVERAGE: f64 = 0.90;

/// A figure and its bootstrap interval; none where it is undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// On the rows as they are.
    pub value: Option<f64>,
    /// Lower end of the interval that holds the middle [`COVERAGE`] of the bootstrap over rows.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Estimate {
    /// Mean of `values`, one for each row.
    pub fn mean(values: &[f64], seed: u64) -> Self {
        if values.is_empty() {
            return Estimate::default();
        }
        let interval =
            bootstrap::interval_of(COVERAGE, values.len(), seed, |counts| bootstrap::means(values, counts));
        Self::of(values.iter().sum::<f64>() / values.len() as f64, interval)
    }

    /// Mean of `of[i] - less[i]` over rows that both have: resampled together, so what moves both cancels.
    pub fn difference(of: &[f64], less: &[f64], seed: u64) -> Self {
        let differences: Vec<f64> = of.iter().zip(less).map(|(a, b)| a - b).collect();
        Self::mean(&differences, seed)
    }

    /// Mean of `of` divided by the mean of `by`, rows resampled together; none if that is zero.
    pub fn ratio(of: &[f64], by: &[f64], seed: u64) -> Self {
        let rows = of.len().min(by.len());
        let (above, below) = (of.iter().take(rows).sum::<f64>(), by.iter().take(rows).sum::<f64>());
        if rows == 0 || below <= 0.0 {
            return Estimate::default();
        }
        let sum = |count: ndarray::ArrayView1<'_, f64>, values: &[f64]| -> f64 {
            count.iter().zip(values).map(|(c, v)| c * v).sum()
        };
        let interval = bootstrap::interval_of(COVERAGE, rows, seed, |counts| {
            counts
                .axis_iter(Axis(0))
                .map(|count| {
                    let drawn = sum(count, by);
                    (drawn > 0.0).then(|| sum(count, of) / drawn)
                })
                .collect()
        });
        Self::of(above / below, interval)
    }

    fn of(value: f64, interval: Option<(f64, f64)>) -> Self {
        Estimate {
            value: Some(rounded(value)),
            low: interval.map(|i| rounded(i.0)),
            high: interval.map(|i| rounded(i.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_mean_and_no_ratio_to_zero_exists() {
        assert_eq!(Estimate::mean(&[], 1), Estimate::default());
        assert_eq!(Estimate::ratio(&[1.0], &[0.0], 1), Estimate::default());
    }

    #[test]
    fn what_moves_both_cancels_in_difference_and_ratio() {
        let by: Vec<f64> = (0..50).map(|i| f64::from(i % 7) + 1.0).collect();
        let of: Vec<f64> = by.iter().map(|v| v * 0.5).collect();
        let ratio = Estimate::ratio(&of, &by, 3);
        for end in [ratio.value, ratio.low, ratio.high] {
            assert!((end.unwrap() - 0.5).abs() < 1e-12, "{ratio:?}");
        }
        let shifted: Vec<f64> = by.iter().map(|v| v + 0.25).collect();
        let difference = Estimate::difference(&shifted, &by, 3);
        assert!((difference.low.unwrap() - 0.25).abs() < 1e-12 && difference.low == difference.high);
    }

    #[test]
    fn the_interval_is_that_of_ninety_per_cent() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let mean = Estimate::mean(&values, 9);
        let theory = 2.0 * 1.645 * (0.25f64 / 400.0).sqrt();
        let width = mean.high.unwrap() - mean.low.unwrap();
        assert!((width - theory).abs() < 0.15 * theory, "{width} {theory}");
    }
}
