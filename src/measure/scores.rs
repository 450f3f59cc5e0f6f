//! How similarity scores shift: the same share of all pairs of records lies above other cosines in another space.

use ndarray::{ArrayView2, s};
use serde::{Deserialize, Serialize};

use super::report::rounded;
use super::{bootstrap, similarity};
use crate::error::{Error, Kind, Result};

/// Rows that are compared with each other at most.
const MOST_ROWS: usize = 1000;
/// Shares of the pairs of records that lie below.
const QUANTILES: [f64; 13] = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999];

/// Cosines below which the same share of the pairs of different records lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScorePoint {
    /// That share, 0 to 1.
    pub quantile: f64,
    /// Among source vectors.
    pub source: f64,
    /// Among projected vectors.
    pub projected: f64,
    /// Among vectors that the target model made.
    pub native: f64,
}

/// The scores of three sets of vectors beside each other, from low to high.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreScale {
    /// Ascending in every column.
    pub points: Vec<ScorePoint>,
}

impl ScoreScale {
    /// Of the same records in three forms, one row each.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if the numbers of rows differ.
    pub fn measure(
        source: ArrayView2<'_, f32>,
        projected: ArrayView2<'_, f32>,
        native: ArrayView2<'_, f32>,
    ) -> Result<ScoreScale> {
        let n = source.nrows();
        if projected.nrows() != n || native.nrows() != n {
            let found =
                format!("{n} source, {} projected and {} native vectors", projected.nrows(), native.nrows());
            return Err(Error::new(Kind::Mismatch, found));
        }
        let sides = [cosines(source)?, cosines(projected)?, cosines(native)?];
        let points = QUANTILES.iter().filter_map(|&quantile| {
            let [source, projected, native] = sides.each_ref().map(|side| at(side, quantile));
            Some(ScorePoint { quantile, source: source?, projected: projected?, native: native? })
        });
        Ok(ScoreScale { points: points.collect() })
    }

    /// The scores of projected and of native vectors that as many pairs exceed as exceed `source` among source vectors; none
    /// outside of what was measured.
    pub fn translate(&self, source: f64) -> Option<(f64, f64)> {
        self.points.windows(2).find_map(|pair| {
            let [low, high] = pair else { return None };
            if !(low.source..=high.source).contains(&source) {
                return None;
            }
            let width = high.source - low.source;
            let share = if width > 0.0 { (source - low.source) / width } else { 0.5 };
            let between = |low: f64, high: f64| low + share * (high - low);
            Some((between(low.projected, high.projected), between(low.native, high.native)))
        })
    }
}

/// Cosines between different rows, ascending.
fn cosines(rows: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
    let all = similarity::cosines(rows.slice(s![..rows.nrows().min(MOST_ROWS), ..]).to_owned())?;
    let mut upper: Vec<f64> =
        all.indexed_iter().filter(|((i, j), _)| i < j).map(|(_, cosine)| *cosine).collect();
    upper.sort_unstable_by(f64::total_cmp);
    Ok(upper)
}

/// Quantile of ascending values; none if they are too few to tell.
fn at(values: &[f64], quantile: f64) -> Option<f64> {
    let enough = values.len() as f64 * quantile.min(1.0 - quantile) >= 1.0;
    bootstrap::quantile(values, quantile).filter(|_| enough).map(rounded)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::random;

    fn noise(n: usize, d: usize) -> Array2<f32> {
        let mut random = random::seeded(5);
        Array2::from_shape_fn((n, d), |_| (random::unit(&mut random) - 0.5) as f32)
    }

    #[test]
    fn a_threshold_keeps_the_share_of_pairs_that_exceed_it() {
        let source = noise(300, 8);
        // More of one direction: all cosines rise.
        let native = &source + 0.4;
        let scale = ScoreScale::measure(source.view(), source.view(), native.view()).unwrap();
        let above = |rows: &Array2<f32>, score: f64| {
            let all = cosines(rows.view()).unwrap();
            all.iter().filter(|c| **c > score).count() as f64 / all.len() as f64
        };
        for threshold in [-0.3, 0.1, 0.42, 0.6] {
            let (projected, translated) = scale.translate(threshold).unwrap();
            assert!((projected - threshold).abs() < 1e-9);
            assert!(translated > threshold);
            assert!((above(&native, translated) - above(&source, threshold)).abs() < 0.02, "{threshold}");
        }
        assert_eq!(scale.translate(0.9999), None, "nobody measured that");
    }

    #[test]
    fn few_rows_say_nothing_of_the_ends() {
        let rows = noise(20, 4);
        let scale = ScoreScale::measure(rows.view(), rows.view(), rows.view()).unwrap();
        let known: Vec<f64> = scale.points.iter().map(|p| p.quantile).collect();
        assert_eq!(known, [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]);
        let one =
            ScoreScale::measure(rows.slice(s![..1, ..]), rows.slice(s![..1, ..]), rows.slice(s![..1, ..]));
        assert_eq!(one.unwrap(), ScoreScale::default());
        assert!(
            ScoreScale::measure(rows.view(), rows.slice(s![..3, ..]), rows.view()).unwrap_err().is_mismatch()
        );
    }
}
