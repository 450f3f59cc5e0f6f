//! Exact nearest neighbours by blocked matrix products.

use ndarray::{Array1, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::error::Result;
use crate::matrix;

/// How near two vectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Squared Euclidean distance.
    L2,
    /// 1 - cosine of the angle; 1 where a vector is zero.
    Cosine,
    /// 1 - inner product.
    InnerProduct,
}

/// One found row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Row of the corpus.
    pub row: usize,
    /// Distance by the metric, smaller is nearer.
    pub distance: f32,
}

const QUERIES: usize = 256;
const ROWS: usize = 8192;

/// The `k` nearest rows of `corpus` (m x d) to each row of `queries` (n x d), nearest first; the lower row
/// wins a tie. With `skip_own`, row i of the corpus is never found by query i (both are the same matrix).
///
/// # Errors
/// [`Mismatch`](crate::error::Kind::Mismatch) if the dimensions differ.
pub fn nearest(
    queries: ArrayView2<'_, f32>,
    corpus: ArrayView2<'_, f32>,
    k: usize,
    metric: Metric,
    skip_own: bool,
) -> Result<Vec<Vec<Neighbour>>> {
    let unit = (metric == Metric::Cosine).then(|| (matrix::normalised(queries), matrix::normalised(corpus)));
    let (queries, corpus) = match &unit {
        Some((queries, corpus)) => (queries.view(), corpus.view()),
        None => (queries.view(), corpus.view()),
    };
    let squares = |x: ArrayView2<'_, f32>| -> Array1<f32> {
        x.axis_iter(Axis(0)).map(|row| matrix::squared_norm(row) as f32).collect()
    };
    let (query_squares, corpus_squares) = match metric {
        Metric::L2 => (squares(queries), squares(corpus)),
        Metric::Cosine | Metric::InnerProduct => (Array1::zeros(0), Array1::zeros(0)),
    };
    let mut found: Vec<Vec<Neighbour>> = vec![Vec::new(); queries.nrows()];
    for (block, best) in found.chunks_mut(QUERIES).enumerate() {
        let first_query = block * QUERIES;
        let rows = queries.slice(s![first_query..first_query + best.len(), ..]);
        for first_row in (0..corpus.nrows()).step_by(ROWS) {
            let end = (first_row + ROWS).min(corpus.nrows());
            let products = matrix::times_transposed(rows, corpus.slice(s![first_row..end, ..]))?;
            best.par_iter_mut().zip(products.axis_iter(Axis(0)).into_par_iter()).enumerate().for_each(
                |(i, (best, products))| {
                    let query = first_query + i;
                    for (j, &product) in products.iter().enumerate() {
                        let row = first_row + j;
                        if skip_own && row == query {
                            continue;
                        }
                        let distance = match metric {
                            Metric::L2 => {
                                (query_squares[query] + corpus_squares[row] - 2.0 * product).max(0.0)
                            }
                            Metric::Cosine | Metric::InnerProduct => 1.0 - product,
                        };
                        insert(best, Neighbour { row, distance }, k);
                    }
                },
            );
        }
    }
    Ok(found)
}

/// Keeps `best` sorted and at most `k` long. Rows arrive in ascending order, so the lower one wins a tie.
fn insert(best: &mut Vec<Neighbour>, new: Neighbour, k: usize) {
    if best.len() >= k && best.last().is_none_or(|worst| new.distance >= worst.distance) {
        return;
    }
    let at = best.partition_point(|b| b.distance <= new.distance);
    best.insert(at, new);
    best.truncate(k);
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn rows(found: &[Vec<Neighbour>]) -> Vec<Vec<usize>> {
        found.iter().map(|n| n.iter().map(|n| n.row).collect()).collect()
    }

    #[test]
    fn each_metric_has_its_own_nearest_row() {
        let corpus = array![[1.0f32, 0.0], [10.0, 1.0], [2.0, 2.0], [0.0, 0.0]];
        let query = array![[2.0f32, 1.0]];
        let first = |metric| nearest(query.view(), corpus.view(), 1, metric, false).unwrap()[0][0];
        assert_eq!(first(Metric::L2), Neighbour { row: 2, distance: 1.0 });
        assert_eq!(first(Metric::InnerProduct), Neighbour { row: 1, distance: -20.0 });
        let cosine = first(Metric::Cosine);
        assert_eq!(cosine.row, 2);
        assert!((cosine.distance - (1.0 - 3.0 / 10f32.sqrt())).abs() < 1e-6);
    }

    #[test]
    fn own_row_is_skipped_and_the_lower_row_wins_a_tie() {
        let x = array![[0.0f32], [1.0], [2.0], [1.0]];
        let found = nearest(x.view(), x.view(), 2, Metric::L2, true).unwrap();
        assert_eq!(rows(&found), [[1, 3], [3, 0], [1, 3], [1, 0]]);
        assert_eq!(rows(&nearest(x.view(), x.view(), 9, Metric::L2, false).unwrap())[1], [1, 3, 0, 2]);
    }

    #[test]
    fn blocks_agree_with_one_by_one_search() {
        let x = Array2::from_shape_fn((ROWS + 300, 3), |(i, j)| ((i * (j + 7) * 2654435761) % 1009) as f32);
        let queries = x.slice(s![ROWS - 150..ROWS + 150, ..]);
        let found = nearest(queries, x.view(), 3, Metric::L2, false).unwrap();
        for (query, found) in queries.rows().into_iter().zip(&found) {
            let mut all: Vec<(f32, usize)> = x
                .rows()
                .into_iter()
                .enumerate()
                .map(|(i, row)| (row.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>(), i))
                .collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let wanted: Vec<f32> = all.iter().take(3).map(|(d, _)| *d).collect();
            let distances: Vec<f32> = found.iter().map(|n| n.distance).collect();
            assert_eq!(distances, wanted);
        }
    }
}
