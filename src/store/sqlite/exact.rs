//! Search by comparing with every vector.

use std::collections::BinaryHeap;

use ndarray::ArrayView2;

use crate::error::Result;
use crate::simd;
use crate::store::{Batch, Hit, Metric};

/// A hit, ordered by distance; of equal distances by the identifier.
#[derive(PartialEq)]
struct Near(Hit);

impl Eq for Near {}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.distance.total_cmp(&other.0.distance).then_with(|| self.0.id.cmp(&other.0.id))
    }
}

/// The `k` records nearest to each query, nearest first, of all that `next` gives.
pub(super) fn search(
    metric: Metric,
    queries: ArrayView2<'_, f32>,
    k: usize,
    mut next: impl FnMut() -> Result<Option<Batch>>,
) -> Result<Vec<Vec<Hit>>> {
    let queries: Vec<Vec<f32>> = queries.rows().into_iter().map(|row| row.to_vec()).collect();
    let mut best: Vec<BinaryHeap<Near>> = queries.iter().map(|_| BinaryHeap::new()).collect();
    while let Some(batch) = next()? {
        for (vector, id) in batch.vectors.outer_iter().zip(&batch.ids) {
            let vector = vector.to_slice().unwrap_or_default();
            for (query, best) in queries.iter().zip(&mut best) {
                let distance = distance(metric, query, vector);
                if best.len() == k && best.peek().is_some_and(|worst| distance >= worst.0.distance) {
                    continue;
                }
                best.push(Near(Hit { id: id.clone(), distance }));
                if best.len() > k {
                    best.pop();
                }
            }
        }
    }
    Ok(best.into_iter().map(|best| best.into_sorted_vec().into_iter().map(|near| near.0).collect()).collect())
}

/// Distance by the metric, as [`Metric`] says.
fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    let product = simd::product(a, b);
    let distance = match metric {
        Metric::Ip => 1.0 - product,
        Metric::L2 => simd::squares(a) + simd::squares(b) - 2.0 * product,
        Metric::Cosine => {
            let lengths = (simd::squares(a) * simd::squares(b)).sqrt();
            1.0 - product / lengths.max(f64::MIN_POSITIVE)
        }
    };
    distance as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn nearest_by_hand() {
        let vectors = array![[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]];
        let found = |metric| {
            let mut batches = vec![Batch {
                ids: ["a", "b", "c"].map(String::from).into(),
                vectors: vectors.clone(),
                texts: vec![],
            }];
            let hits = search(metric, array![[0.0, 1.0]].view(), 2, || Ok(batches.pop())).unwrap();
            hits[0].iter().map(|hit| (hit.id.clone(), hit.distance)).collect::<Vec<_>>()
        };
        assert_eq!(found(Metric::L2), [("b".into(), 1.0), ("a".into(), 2.0)]);
        assert_eq!(found(Metric::Ip), [("c".into(), -2.0), ("b".into(), -1.0)]);
        let cosine = found(Metric::Cosine);
        assert_eq!((cosine[0].0.as_str(), cosine[0].1, cosine[1].0.as_str()), ("b", 0.0, "c"));
    }
}
