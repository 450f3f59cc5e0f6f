//! Rows in groups, by k-means.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::Array2;
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::error::{Error, Kind, Result};

/// `k` centres of `rows` (n x d, none longer than 1: squares are summed in f32), k x d. `what` the rows are, for the error.
///
/// # Errors
/// [`Kind::Internal`] if they cannot be found.
pub fn centres(rows: Array2<f32>, k: usize, iterations: u64, seed: u64, what: &str) -> Result<Array2<f32>> {
    let model = KMeans::params_with_rng(k, Xoshiro256Plus::seed_from_u64(seed))
        .init_method(KMeansInit::Random)
        .n_runs(1)
        .max_n_iterations(iterations)
        .tolerance(1e-4)
        .fit(&DatasetBase::from(rows))
        .map_err(|e| Error::new(Kind::Internal, format!("the {what} could not be clustered")).because(e))?;
    Ok(model.centroids().clone())
}
