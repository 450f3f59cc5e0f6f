//! The held-out report: every figure with its interval and with what two useless answers would score.

use ndarray::{Array2, ArrayView1, ArrayView2, s};
use serde::{Deserialize, Serialize};

use super::{bootstrap, overlap, pairs, similarity};
use crate::error::{Error, Kind, Result};

/// Neighbours per row in the overlap figure.
pub const OVERLAP_K: usize = 10;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Larger figures are better.
    Higher,
    /// Smaller figures are better.
    Lower,
}

/// One figure. A value that is undefined (rows that are all alike have no correlation) is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Stable name, a JSON key.
    pub name: String,
    /// On the held-out rows.
    pub value: Option<f64>,
    /// Lower end of the 95 % bootstrap interval over rows.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Which way is better.
    pub better: Better,
    /// What the mean target vector of the training rows would score if it were given for each row.
    pub mean_vector: Option<f64>,
    /// What the source vectors themselves would score, zero-padded or cut to the target dimension.
    pub padded_source: Option<f64>,
}

/// How good projected vectors are on rows that were not trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldOutReport {
    /// Held-out pairs.
    pub pairs: usize,
    /// In the order of [`HeldOutReport::NAMES`].
    pub figures: Vec<Figure>,
}

const FIGURES: [(&str, Better); 7] = [
    ("mse", Better::Lower),
    ("cosine_mean", Better::Higher),
    ("cosine_p5", Better::Higher),
    ("similarity_pearson", Better::Higher),
    ("similarity_spearman", Better::Higher),
    ("overlap_at_10", Better::Higher),
    ("recall_at_1", Better::Higher),
];

impl HeldOutReport {
    /// Names of the figures:
    /// `mse` mean squared difference per component; `cosine_mean`, `cosine_p5` mean and 5th percentile of the
    /// cosines between projected and true vectors; `similarity_pearson`, `similarity_spearman` correlation of
    /// the cosines between different rows (at most 500 rows); `overlap_at_10` share of each row's 10 nearest
    /// held-out rows that stays; `recall_at_1` share of projected rows that find their own true vector first
    /// among the held-out rows.
    pub const NAMES: [&'static str; 7] =
        [FIGURES[0].0, FIGURES[1].0, FIGURES[2].0, FIGURES[3].0, FIGURES[4].0, FIGURES[5].0, FIGURES[6].0];

    /// A report on nothing.
    pub fn empty() -> Self {
        HeldOutReport::default()
    }

    /// Measures `projected` (n x target dimension) against `target` (the same shape).
    ///
    /// `source` (n x source dimension) and `training_mean_target` (one target vector) give the baselines.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if the shapes do not fit, [`Kind::Refused`] on fewer than 2 rows.
    pub fn measure(
        source: ArrayView2<'_, f32>,
        projected: ArrayView2<'_, f32>,
        target: ArrayView2<'_, f32>,
        training_mean_target: ArrayView1<'_, f32>,
        seed: u64,
    ) -> Result<Self> {
        let (n, d) = target.dim();
        if source.nrows() != n || projected.dim() != (n, d) || training_mean_target.len() != d {
            return Err(Error::new(
                Kind::Mismatch,
                format!(
                    "{} source rows, {:?} projected and {:?} true vectors and a mean of {} components do not fit",
                    source.nrows(),
                    projected.dim(),
                    target.dim(),
                    training_mean_target.len()
                ),
            ));
        }
        if n < 2 {
            return Err(Error::new(
                Kind::Refused,
                format!("{n} held-out pairs are too few to measure, 2 are needed"),
            ));
        }
        let mean =
            training_mean_target.broadcast((n, d)).map_or_else(|| Array2::zeros((n, d)), |m| m.to_owned());
        let mut padded = Array2::zeros((n, d));
        let shared = d.min(source.ncols());
        padded.slice_mut(s![.., ..shared]).assign(&source.slice(s![.., ..shared]));

        let values = judge(projected, target, seed, true)?;
        let means = judge(mean.view(), target, seed, false)?;
        let sources = judge(padded.view(), target, seed, false)?;
        let figures = FIGURES
            .iter()
            .zip(values.into_iter().zip(means.into_iter().zip(sources)))
            .map(|(&(name, better), (value, (mean, source)))| Figure {
                name: name.into(),
                value: value.value.map(rounded),
                low: value.interval.map(|i| rounded(i.0)),
                high: value.interval.map(|i| rounded(i.1)),
                better,
                mean_vector: mean.value.map(rounded),
                padded_source: source.value.map(rounded),
            })
            .collect();
        Ok(HeldOutReport { pairs: n, figures })
    }

    /// The figures' values alone, in the order of [`HeldOutReport::NAMES`]: without baselines and intervals, and
    /// so in a small part of the time.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if the shapes do not fit.
    pub fn values(
        projected: ArrayView2<'_, f32>,
        target: ArrayView2<'_, f32>,
        seed: u64,
    ) -> Result<Vec<(&'static str, Option<f64>)>> {
        let judged = judge(projected, target, seed, false)?;
        Ok(FIGURES.iter().map(|(name, _)| *name).zip(judged.into_iter().map(|j| j.value)).collect())
    }

    /// The figure called `name`.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|f| f.name == name)
    }

    /// Figures whose interval reaches down to a baseline, in words: such a projection is of little use.
    pub fn doubts(&self) -> Vec<String> {
        let doubt = |(name, words): (&str, &str)| {
            let figure = self.figure(name)?;
            let baseline =
                [figure.mean_vector, figure.padded_source].into_iter().flatten().reduce(f64::max)?;
            (figure.low? <= baseline).then(|| {
                format!(
                    "{words} of {:.3} is not clearly above its baseline of {baseline:.3}: give more pairs, \
                     or check that source and target are vectors of the same texts",
                    figure.value.unwrap_or_default()
                )
            })
        };
        [("overlap_at_10", "neighbour overlap@10"), ("cosine_mean", "mean cosine")]
            .into_iter()
            .filter_map(doubt)
            .collect()
    }

    /// The value of the figure called `name`, if it has one.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.figure(name)?.value
    }
}

/// Eight significant digits: more than is known, few enough that JSON gives back the same number.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.7e}").parse().unwrap_or(value)
}

/// The seven figures of one prediction.
fn judge(
    predicted: ArrayView2<'_, f32>,
    target: ArrayView2<'_, f32>,
    seed: u64,
    intervals: bool,
) -> Result<[similarity::Correlation; 7]> {
    let n = target.nrows();
    let of_mean = |values: Option<Vec<f64>>| match values {
        None => similarity::Correlation::default(),
        Some(values) => similarity::Correlation {
            value: Some(values.iter().sum::<f64>() / values.len().max(1) as f64),
            interval: if intervals {
                bootstrap::interval(n, seed, |counts| bootstrap::means(&values, counts))
            } else {
                None
            },
        },
    };
    let cosines = pairs::cosines(predicted, target);
    let mut sorted = cosines.clone();
    sorted.sort_by(f64::total_cmp);
    let p5 = similarity::Correlation {
        value: bootstrap::quantile(&sorted, 0.05),
        interval: if intervals {
            bootstrap::interval(n, seed, |counts| {
                counts.rows().into_iter().map(|c| bootstrap::quantile_of_counts(&sorted, c, 0.05)).collect()
            })
        } else {
            None
        },
    };
    let (pearson, spearman) = similarity::preservation(predicted, target, seed, intervals)?;
    Ok([
        of_mean(Some(pairs::squared_errors(predicted, target))),
        of_mean(Some(cosines)),
        p5,
        pearson,
        spearman,
        of_mean(overlap::neighbour_overlap(predicted, target, OVERLAP_K)?),
        of_mean(overlap::recall_of_own(predicted, target, 1)?),
    ])
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;
    use crate::random;

    fn noise(n: usize, d: usize, seed: u64) -> Array2<f32> {
        let mut random = random::seeded(seed);
        Array2::from_shape_fn((n, d), |_| (random::unit(&mut random) - 0.5) as f32)
    }

    #[test]
    fn a_perfect_projection_is_perfect_and_its_baselines_are_not() {
        let target = noise(40, 6, 1);
        let report = HeldOutReport::measure(
            noise(40, 4, 2).view(),
            target.view(),
            target.view(),
            Array1::from_elem(6, 0.01).view(),
            3,
        )
        .unwrap();
        assert_eq!(report.pairs, 40);
        assert!(report.figures.iter().map(|f| f.name.as_str()).eq(HeldOutReport::NAMES));
        assert_eq!(report.value("mse"), Some(0.0));
        for name in &HeldOutReport::NAMES[1..] {
            let figure = report.figure(name).unwrap();
            assert!((figure.value.unwrap() - 1.0).abs() < 1e-9, "{figure:?}");
            assert!(figure.low.unwrap() > 0.999 && figure.high.unwrap() < 1.001);
            assert!(figure.padded_source.unwrap() < 0.6, "{figure:?}");
            assert!(figure.mean_vector.is_none_or(|v| v < 0.6), "{figure:?}");
        }
        assert_eq!(report.figure("similarity_pearson").unwrap().mean_vector, None, "a constant has none");
        assert_eq!(report.doubts(), Vec::<String>::new());

        let mean = Array1::from_elem(6, 0.01);
        let by_chance = HeldOutReport::measure(
            noise(40, 4, 2).view(),
            noise(40, 6, 4).view(),
            target.view(),
            mean.view(),
            3,
        );
        let doubts = by_chance.unwrap().doubts();
        assert!(doubts.len() == 2 && doubts[0].contains("overlap@10"), "{doubts:?}");
    }

    #[test]
    fn baselines_by_hand() {
        let target = array![[1.0f32, 0.0, 0.0], [0.0, 1.0, 0.0]];
        let source = array![[1.0f32, 0.0], [1.0, 0.0]];
        let report = HeldOutReport::measure(
            source.view(),
            target.view(),
            target.view(),
            array![0.5, 0.5, 0.0].view(),
            1,
        )
        .unwrap();
        let mse = report.figure("mse").unwrap();
        assert!((mse.mean_vector.unwrap() - 0.5 / 3.0).abs() < 1e-7);
        assert!((mse.padded_source.unwrap() - 1.0 / 3.0).abs() < 1e-7, "row 0 exact, row 1 off by 2 / 3");
        assert_eq!(report.value("overlap_at_10"), None, "2 rows have no 10 neighbours");
        assert_eq!(report.value("similarity_pearson"), None, "one pair has no correlation");
    }

    #[test]
    fn a_report_survives_json() {
        let x = noise(20, 3, 4);
        let report =
            HeldOutReport::measure(x.view(), x.view(), x.view(), Array1::zeros(3).view(), 1).unwrap();
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.contains(r#""mean_vector":null"#), "undefined is null: {json}");
        assert_eq!(serde_json::from_str::<HeldOutReport>(&json).unwrap(), report);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let x = noise(5, 3, 4);
        assert!(
            HeldOutReport::measure(x.view(), x.view(), x.view(), Array1::zeros(4).view(), 1)
                .unwrap_err()
                .is_mismatch()
        );
    }
}
