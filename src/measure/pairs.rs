//! How near each predicted vector is to its true one.

use ndarray::{ArrayView2, Zip};

use crate::matrix;

/// Mean squared difference of the components of each row.
pub fn squared_errors(predicted: ArrayView2<'_, f32>, target: ArrayView2<'_, f32>) -> Vec<f64> {
    let components = target.ncols().max(1) as f64;
    Zip::from(predicted.rows())
        .and(target.rows())
        .map_collect(|a, b| {
            a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>() / components
        })
        .to_vec()
}

/// Cosine of each row with its counterpart; 0 where one of them is zero.
pub fn cosines(predicted: ArrayView2<'_, f32>, target: ArrayView2<'_, f32>) -> Vec<f64> {
    let (a, b) = (matrix::row_norms(predicted), matrix::row_norms(target));
    Zip::from(predicted.rows())
        .and(target.rows())
        .and(&(a * b))
        .map_collect(|a, b, &norms| {
            let product: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            if norms > 0.0 { (product / norms).clamp(-1.0, 1.0) } else { 0.0 }
        })
        .to_vec()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn errors_and_cosines_by_hand() {
        let predicted = array![[1.0f32, 0.0], [3.0, 4.0], [0.0, 0.0]];
        let target = array![[0.0f32, 1.0], [6.0, 8.0], [1.0, 0.0]];
        assert_eq!(squared_errors(predicted.view(), target.view()), [1.0, 12.5, 0.5]);
        assert_eq!(cosines(predicted.view(), target.view()), [0.0, 1.0, 0.0]);
    }
}
