//! How near the projection of a record is expected to be to its true vector, and which records to embed again first.
//!
//! Both are told from some true target vectors of training rows. A projection is near the truth where the rows around it
//! were predicted well and where something known lies close by. Whether a record should be embedded again is another
//! question: where records crowd, small errors change who is near whom, and a record there is among the nearest of many.

use ndarray::{Array1, Array2, ArrayView2, Axis, array, s};

use super::Projection;
use super::file::in_halves;
use super::fit::crossed::Crossed;
use crate::error::{Error, Kind, Result};
use crate::matrix::{self, Cholesky};
use crate::measure::nearest::{Metric, nearest};

/// Reference rows that are looked at for a record.
const K: usize = 10;
/// Pull of the coefficients towards nothing, in rows.
const PENALTY: f32 = 5.0;

/// What is known of some training rows: where they are, and how well they were predicted by maps that did not see them.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    /// True target vectors of length 1, m x target dimension, as half precision holds them.
    pub(super) reference: Array2<f32>,
    /// Cosine of each one's cross-fitted prediction with it.
    pub(super) cosines: Array1<f32>,
    /// Expected cosine: the first, and what each feature adds.
    pub(super) weights: [f32; 4],
}

/// What is told of some records, one value each.
#[derive(Clone, Debug, PartialEq)]
pub struct Rated {
    /// Expected cosine of the projected vector with the true one.
    pub confidence: Array1<f32>,
    /// Mean cosine of the projected vector with the ten nearest reference rows. The most crowded are worth most when they
    /// are embedded again.
    pub crowding: Array1<f32>,
}

impl Trust {
    /// Learns from cross-fitted rows. None if they are too few.
    ///
    /// The expected cosine is a linear function (least squares, slightly pulled) of three features: the mean cross-fitted
    /// cosine of the ten nearest reference rows, the similarity of the nearest, and the mean similarity of the ten.
    pub(super) fn learn(crossed: &Crossed) -> Result<Option<Self>> {
        let n = crossed.pairs.len();
        if n <= K {
            return Ok(None);
        }
        let reference = in_halves(matrix::normalised(crossed.pairs.target().view()).view())?;
        let predicted = matrix::normalised(crossed.predicted.view());
        let cosines = (&predicted * &reference).sum_axis(Axis(1));
        let features = features(predicted.view(), reference.view(), &cosines, true)?;
        let weights = least_squares(&features, &cosines)?;
        Ok(Some(Trust { reference, cosines, weights }))
    }

    /// Moves the level of the expected cosine to that of held-out rows: cross-fitted maps saw fewer pairs.
    pub(super) fn level(&mut self, projected: ArrayView2<'_, f32>, truth: ArrayView2<'_, f32>) -> Result<()> {
        let expected = self.rate(projected)?.confidence;
        let (made, truth) = (matrix::normalised(projected), matrix::normalised(truth));
        let found = (&made * &truth).sum_axis(Axis(1));
        if let Some(lacking) = (found - expected).mean() {
            self.weights[0] += lacking;
        }
        Ok(())
    }

    /// Rates projected vectors, n x target dimension.
    pub(super) fn rate(&self, projected: ArrayView2<'_, f32>) -> Result<Rated> {
        let features = features(projected, self.reference.view(), &self.cosines, false)?;
        let [first, weights @ ..] = self.weights;
        let told = features.dot(&Array1::from(weights.to_vec())) + first;
        let confidence = told.mapv(|v| v.clamp(-1.0, 1.0));
        Ok(Rated { confidence, crowding: features.column(2).to_owned() })
    }
}

impl Projection {
    /// How near the projection of each row of `x` (n x source dimension) is expected to be to the true vector: n cosines, for
    /// records whose texts assist if the projection asks for texts.
    ///
    /// # Errors
    /// [`Refused`](Kind::Refused) if the projection does not know, and as [`Projection::apply_into`].
    pub fn confidence(&self, x: ArrayView2<'_, f32>) -> Result<Array1<f32>> {
        Ok(self.rate(self.apply(x)?.view())?.confidence)
    }

    /// Rates vectors that this projection made (n x target dimension), with texts or without.
    ///
    /// # Errors
    /// [`Refused`](Kind::Refused) if the projection does not know, [`Mismatch`](Kind::Mismatch) on a wrong dimension.
    pub fn rate(&self, projected: ArrayView2<'_, f32>) -> Result<Rated> {
        self.can_rate()?.rate(projected)
    }

    /// What it knows of how far records can be trusted.
    ///
    /// # Errors
    /// [`Refused`](Kind::Refused) if it knows nothing.
    pub fn can_rate(&self) -> Result<&Trust> {
        self.trust.as_ref().ok_or_else(|| {
            Error::new(Kind::Refused, "this projection does not know how far it can be trusted")
                .hint("it was trained by an earlier release, or on fewer than 60 pairs: train it again")
        })
    }
}

/// For each row: mean cosine of the ten nearest reference rows' predictions, similarity of the nearest, of the ten.
fn features(
    projected: ArrayView2<'_, f32>,
    reference: ArrayView2<'_, f32>,
    cosines: &Array1<f32>,
    own: bool,
) -> Result<Array2<f32>> {
    let found = nearest(projected, reference, K, Metric::Cosine, own)?;
    let mut features = Array2::zeros((projected.nrows(), 3));
    for (mut row, near) in features.outer_iter_mut().zip(&found) {
        let count = near.len().max(1) as f32;
        let known: f32 = near.iter().filter_map(|hit| cosines.get(hit.row)).sum();
        let similar: f32 = near.iter().map(|hit| 1.0 - hit.distance).sum();
        let first = near.first().map_or(0.0, |hit| 1.0 - hit.distance);
        row.assign(&array![known / count, first, similar / count]);
    }
    Ok(features)
}

/// First value and coefficients of `features` (n x 3) that tell `values` best.
fn least_squares(features: &Array2<f32>, values: &Array1<f32>) -> Result<[f32; 4]> {
    let n = features.nrows() as f32;
    let means = features.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(3));
    let spreads = features.std_axis(Axis(0), 0.0).mapv(|v| v.max(1e-6));
    let scaled = (features - &means) / &spreads;
    let mean = values.sum() / n.max(1.0);
    let products = scaled.t().dot(&values.mapv(|v| v - mean)).insert_axis(Axis(1));
    let squares = scaled.t().dot(&scaled) + Array2::<f32>::eye(3) * PENALTY;
    let solved = Cholesky::of(squares.view())
        .ok_or_else(|| Error::new(Kind::Internal, "the errors of the training rows cannot be explained"))?
        .solve(products.view());
    let slopes: Array1<f32> = &solved.slice(s![.., 0]) / &spreads;
    let first = mean - slopes.dot(&means);
    let of = |i: usize| slopes.get(i).copied().unwrap_or(0.0);
    Ok([first, of(0), of(1), of(2)])
}

#[cfg(test)]
mod tests {
    use super::super::fit::testing::noise;
    use super::*;
    use crate::projection::Pairs;

    fn learnt() -> Trust {
        // Two groups: around (1, 0, 0) predictions are right, around (0, 1, 0) they are turned away.
        let n = 120;
        let about = noise(n, 3, 5) * 0.3;
        let truth = Array2::from_shape_fn((n, 3), |(i, j)| f32::from(u8::from(i % 2 == j)) + about[(i, j)]);
        let predicted = Array2::from_shape_fn((n, 3), |(i, j)| {
            truth[(i, j)] + if i % 2 == 1 && j == 2 { 1.0 } else { 0.0 }
        });
        let ids = (0..n).map(|i| i.to_string()).collect();
        let pairs = Pairs::new(ids, truth.clone(), truth.clone()).unwrap();
        Trust::learn(&Crossed { pairs, predicted }).unwrap().unwrap()
    }

    #[test]
    fn where_rows_were_predicted_badly_less_is_expected() {
        let trust = learnt();
        let far = |group: usize| trust.cosines.iter().skip(group).step_by(2).sum::<f32>() / 60.0;
        assert!(far(0) > 0.95 && far(1) < 0.85);
        let told = trust.rate(array![[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]].view()).unwrap().confidence;
        assert!(told[0] > 0.9 && told[1] < 0.85, "{told:?}");
    }

    #[test]
    fn held_out_rows_set_the_level() {
        let mut trust = learnt();
        let rows = array![[1.0f32, 0.1, 0.0], [0.1, 1.0, 0.9]];
        trust.level(rows.view(), array![[0.6f32, 0.8, 0.0], [0.8, 0.6, 0.0]].view()).unwrap();
        let truth = [(0.6 + 0.08) / 1.01f32.sqrt(), (0.08 + 0.6) / (0.01f32 + 1.0 + 0.81).sqrt()];
        let told = trust.rate(rows.view()).unwrap().confidence;
        assert!((told.sum() - truth.iter().sum::<f32>()).abs() < 1e-4, "{told:?} {truth:?}");
    }

    #[test]
    fn crowding_is_the_mean_similarity_of_the_ten_nearest() {
        let reference = Array2::from_shape_fn((12, 2), |(i, j)| {
            let angle = (i as f32 * 5.0).to_radians();
            if j == 0 { angle.cos() } else { angle.sin() }
        });
        let trust = Trust { reference, cosines: Array1::ones(12), weights: [0.0, 0.0, 0.0, 1.0] };
        let rated = trust.rate(array![[2.0, 0.0]].view()).unwrap();
        let by_hand = (0..10).map(|i| (i as f32 * 5.0).to_radians().cos()).sum::<f32>() / 10.0;
        assert!((rated.crowding[0] - by_hand).abs() < 1e-5 && rated.crowding == rated.confidence);
    }
}
