//! Which texts to train on: distinct ones, spread over the collection, the same for the same seed.
//!
//! Every text has a rank, a hash of seed and text. The texts of lowest rank are a uniform random sample that does
//! not depend on the order in which they come, and a collection of any size is sampled in bounded memory.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, ArrayView2, Axis};
use sha2::{Digest, Sha256};

use crate::clusters;
use crate::error::Result;

/// Place of a text in the seeded random order.
pub type Rank = [u8; 32];

/// Rows that the clusters are fitted to.
const CLUSTERED_ROWS: usize = 1500;
const ITERATIONS: u64 = 8;

/// The rank of `text` under `seed`: SHA-256 over both.
pub fn rank(seed: u64, text: &str) -> Rank {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(text.as_bytes());
    hash.finalize().into()
}

/// Keeps the items of the lowest ranks, one for each text.
pub struct Reservoir<T> {
    most: usize,
    kept: BTreeMap<Rank, T>,
}

impl<T> Reservoir<T> {
    /// Room for `most` items.
    pub fn new(most: usize) -> Self {
        Reservoir { most, kept: BTreeMap::new() }
    }

    /// Whether an item of this rank would be kept: it is new and low enough.
    pub fn wants(&self, rank: &Rank) -> bool {
        let fits =
            self.kept.len() < self.most || self.kept.last_key_value().is_some_and(|(top, _)| rank < top);
        self.most > 0 && fits && !self.kept.contains_key(rank)
    }

    /// Takes an item, and lets go of the one of highest rank if there is no room.
    pub fn put(&mut self, rank: Rank, item: T) {
        if self.wants(&rank) {
            self.kept.insert(rank, item);
            if self.kept.len() > self.most {
                self.kept.pop_last();
            }
        }
    }

    /// How many items are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The kept items, lowest rank first.
    pub fn into_items(self) -> Vec<T> {
        self.kept.into_values().collect()
    }
}

/// Chooses `n` of the rows of `vectors` (m x dimension, in order of rank) so that every cluster of them gives its
/// share; all of them if there are no more than `n`. Indices in ascending order.
///
/// Clusters: k-means over directions, k = sqrt(n) between 8 and 64, fitted to the first rows. Within a cluster the
/// lowest ranks are taken.
///
/// # Errors
/// [`Kind::Internal`] if the clusters cannot be fitted.
pub fn stratified(vectors: ArrayView2<'_, f32>, n: usize, seed: u64) -> Result<Vec<usize>> {
    let rows = vectors.nrows();
    if rows <= n || n == 0 {
        return Ok((0..rows.min(n)).collect());
    }
    let clusters = clusters(vectors, n, seed)?;
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for &cluster in &clusters {
        *sizes.entry(cluster).or_default() += 1;
    }
    let mut quota = shares(&sizes, n);
    let mut chosen = BTreeSet::new();
    for (row, cluster) in clusters.iter().enumerate() {
        if let Some(left) = quota.get_mut(cluster).filter(|left| **left > 0) {
            *left -= 1;
            chosen.insert(row);
        }
    }
    Ok(chosen.into_iter().collect())
}

/// Cluster of each row.
fn clusters(vectors: ArrayView2<'_, f32>, n: usize, seed: u64) -> Result<Vec<usize>> {
    let mut directions = vectors.to_owned();
    for mut row in directions.rows_mut() {
        let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        // Bounded input: k-means squares distances in f32, and a sum that is not finite stops its sampling.
        match length.is_finite() && length > 0.0 {
            true => row.mapv_inplace(|v| (f64::from(v) / length) as f32),
            false => row.fill(0.0),
        }
    }
    let fitted = directions.nrows().min(CLUSTERED_ROWS);
    let k = ((n as f64).sqrt() as usize).clamp(8, 64).min(fitted);
    let part = directions.slice(ndarray::s![..fitted, ..]).to_owned();
    let centroids = clusters::centres(part, k, ITERATIONS, seed, "texts")?;
    Ok(nearest(directions.view(), &centroids))
}

/// Index of the nearest centroid of each row: argmax of x.c - |c|^2 / 2.
fn nearest(rows: ArrayView2<'_, f32>, centroids: &Array2<f32>) -> Vec<usize> {
    let half: Vec<f32> = centroids.rows().into_iter().map(|c| c.dot(&c) / 2.0).collect();
    let scores = rows.dot(&centroids.t());
    scores
        .axis_iter(Axis(0))
        .map(|row| {
            let each = row.iter().zip(&half).map(|(score, half)| score - half).enumerate();
            each.fold((0, f32::NEG_INFINITY), |best, new| if new.1 > best.1 { new } else { best }).0
        })
        .collect()
}

/// `n` places shared in proportion to `sizes` (largest remainder; ties to the lower cluster). Never more than a size.
fn shares(sizes: &BTreeMap<usize, usize>, n: usize) -> BTreeMap<usize, usize> {
    let total: usize = sizes.values().sum();
    if total == 0 {
        return BTreeMap::new();
    }
    let exact = |size: usize| (size as u128 * n as u128) / total as u128;
    let remainder = |size: usize| (size as u128 * n as u128) % total as u128;
    let mut quota: BTreeMap<usize, usize> = sizes.iter().map(|(c, s)| (*c, exact(*s) as usize)).collect();
    let mut left = n.saturating_sub(quota.values().sum());
    let mut order: Vec<(usize, usize)> = sizes.iter().map(|(c, s)| (*c, *s)).collect();
    order.sort_by_key(|(cluster, size)| (std::cmp::Reverse(remainder(*size)), *cluster));
    for (cluster, size) in order {
        if let Some(q) = quota.get_mut(&cluster).filter(|q| left > 0 && **q < size) {
            *q += 1;
            left -= 1;
        }
    }
    quota
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    fn sample(texts: &[String], n: usize, seed: u64) -> Vec<String> {
        let mut reservoir = Reservoir::new(n);
        for text in texts {
            reservoir.put(rank(seed, text), text.clone());
        }
        reservoir.into_items()
    }

    #[test]
    fn shares_by_hand() {
        // 10 places among 6, 3 and 1: 6, 3, 1; 5 places: 3, 1.5, 0.5: the tie goes to the lower cluster
        let sizes = BTreeMap::from([(0, 6), (1, 3), (2, 1)]);
        assert_eq!(shares(&sizes, 10), BTreeMap::from([(0, 6), (1, 3), (2, 1)]));
        assert_eq!(shares(&sizes, 5), BTreeMap::from([(0, 3), (1, 2), (2, 0)]));
    }

    #[test]
    fn another_seed_gives_another_sample() {
        let texts: Vec<String> = (0..200).map(|i| format!("text {i}")).collect();
        assert_ne!(sample(&texts, 20, 1), sample(&texts, 20, 2));
    }

    #[test]
    fn a_small_cluster_gets_its_share() {
        // 10 of 100 rows point another way: 20 places hold 2 of them
        let vectors = Array2::from_shape_fn((100, 4), |(i, j)| match (i % 10 == 0, j) {
            (true, 0) | (false, 1) => 1.0,
            _ => 0.01 * ((i * 7 + j * 3) % 5) as f32,
        });
        let chosen = stratified(vectors.view(), 20, 3).unwrap();
        let small = chosen.iter().filter(|i| *i % 10 == 0).count();
        assert_eq!(chosen.len(), 20);
        assert!((1..=4).contains(&small), "{small}");
    }

    #[test]
    fn rows_without_a_direction_do_no_harm() {
        let mut vectors = Array2::zeros((300, 3));
        assert_eq!(stratified(vectors.view(), 10, 1).unwrap().len(), 10);
        vectors.fill(f32::MAX);
        vectors[[0, 0]] = f32::NAN;
        vectors[[1, 0]] = f32::INFINITY;
        assert_eq!(stratified(vectors.view(), 10, 1).unwrap().len(), 10);
    }

    proptest! {
        #[test]
        fn exactly_n_distinct_texts_whatever_their_order(
            numbers in proptest::collection::vec(0u32..60, 0..120), n in 0usize..80, seed: u64
        ) {
            let texts: Vec<String> = numbers.iter().map(|i| format!("t{i}")).collect();
            let distinct: BTreeSet<&String> = texts.iter().collect();
            let first = sample(&texts, n, seed);
            prop_assert_eq!(first.len(), n.min(distinct.len()));
            prop_assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len());
            let reversed: Vec<String> = texts.iter().rev().cloned().collect();
            prop_assert_eq!(first, sample(&reversed, n, seed));
        }

        #[test]
        fn stratified_gives_exactly_n_ascending_rows_and_repeats_itself(
            rows in 1usize..150, n in 0usize..160, seed: u64, values in proptest::collection::vec(-1e3f32..1e3, 600)
        ) {
            let vectors = Array2::from_shape_fn((rows, 4), |(i, j)| values[i * 4 + j]);
            let chosen = stratified(vectors.view(), n, seed).unwrap();
            prop_assert_eq!(chosen.len(), n.min(rows));
            prop_assert!(chosen.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(chosen.iter().all(|i| *i < rows));
            prop_assert_eq!(chosen, stratified(vectors.view(), n, seed).unwrap());
        }
    }
}
