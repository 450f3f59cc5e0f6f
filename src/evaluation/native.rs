//! The corpus against true vectors of the target model.

use ndarray::{Array2, ArrayView2, Axis, s};

use super::result::{Figure, Histogram, Native, Pictures};
use super::system::{Rankings, Scored, both};
use super::vectors::{Vectors, search};
use crate::context::Context;
use crate::error::Result;
use crate::measure::nearest::{Metric, Neighbour};
use crate::measure::{Estimate, pairs, ranking, similarity};
use crate::{matrix, random};

/// Documents that are asked for their neighbours at most.
const MOST_DOCUMENTS: usize = 1000;
/// Documents in the pictures, and random pairs of them.
const MOST_POINTS: usize = 500;
const MOST_PAIRS: usize = 1000;

/// `native_top@K`: the share of each query's exact native top K that is found. Rows of both rankings are those of the
/// common records. None at a K that is not below their number.
pub(super) fn native_top(found: &Rankings, native: &Rankings, k: &[usize], records: usize) -> Vec<Scored> {
    shares("native_top", &found.rows, &native.rows, k, records)
}

fn shares(
    name: &str,
    found: &[Vec<usize>],
    wanted: &[Vec<usize>],
    k: &[usize],
    records: usize,
) -> Vec<Scored> {
    let of = |k: usize| -> Option<Scored> {
        let shared = |(found, wanted): (&Vec<usize>, &Vec<usize>)| ranking::shared(found, wanted, k);
        let values = found.iter().zip(wanted).map(shared).collect::<Option<Vec<f64>>>()?;
        Some(Scored { name: format!("{name}@{k}"), values })
    };
    k.iter().filter(|k| **k < records).filter_map(|k| of(*k)).collect()
}

/// Compares prepared vectors of the same records, row by row.
///
/// `ours` and `theirs`: what the queries scored on each.
pub(super) fn compare(
    corpus: &Vectors,
    native: &Vectors,
    (ours, theirs): (&[Scored], &[Scored]),
    k: &[usize],
    metric: Metric,
    context: &Context<'_>,
    pictures: &mut Pictures,
) -> Result<Native> {
    let (records, seed) = (corpus.ids.len(), context.seed);
    let asked: Vec<usize> = random::shuffled(records, seed).into_iter().take(MOST_DOCUMENTS).collect();
    let most = k.iter().copied().max().unwrap_or(0);
    let kept = shares(
        "native_neighbours",
        &neighbours(corpus.rows.view(), &asked, most, metric, context)?,
        &neighbours(native.rows.view(), &asked, most, metric, context)?,
        k,
        records.saturating_sub(1),
    );
    let drawn: Vec<usize> = asked.iter().copied().take(MOST_POINTS).collect();
    let (sample, true_sample) = (corpus.rows.select(Axis(0), &drawn), native.rows.select(Axis(0), &drawn));
    let (pearson, spearman) = similarity::preservation(sample.view(), true_sample.view(), seed, false)?;

    let bins = k.first().map_or(10, |k| *k.min(&10)) + 1;
    let histogram = |scored: &Scored| {
        // Shares are multiples of 1 / K: each has the middle of a bin.
        let half = 0.5 / (bins - 1) as f64;
        Histogram::of(scored.values.iter().copied(), -half, 1.0 + half, bins)
    };
    pictures.native_top = ours.iter().find(|s| s.name.starts_with("native_top@")).map(histogram);
    pictures.neighbours = kept.first().map(histogram);
    pictures.similarities = similarities(&sample, &true_sample, seed);
    pictures.map = map(&sample, &true_sample)?;

    let retention = both(ours, theirs).filter(|(a, _)| !a.name.starts_with("native_top@"));
    Ok(Native {
        common: records,
        without_native: 0,
        retention: retention
            .map(|(a, b)| Figure {
                name: a.name.clone(),
                estimate: Estimate::ratio(&a.values, &b.values, seed),
            })
            .collect(),
        neighbours: super::system::figures(&kept, seed),
        documents: asked.len(),
        similarity_pearson: pearson.value,
        similarity_spearman: spearman.value,
    })
}

/// The nearest other rows to some of the rows.
fn neighbours(
    rows: ArrayView2<'_, f32>,
    asked: &[usize],
    k: usize,
    metric: Metric,
    context: &Context<'_>,
) -> Result<Vec<Vec<usize>>> {
    let queries = rows.select(Axis(0), asked);
    let found = search(queries.view(), rows, k.saturating_add(1), metric, context)?;
    let others = |(own, hits): (&usize, Vec<Neighbour>)| -> Vec<usize> {
        hits.into_iter().map(|hit| hit.row).filter(|row| row != own).take(k).collect()
    };
    Ok(asked.iter().zip(found).map(others).collect())
}

fn similarities(corpus: &Array2<f32>, native: &Array2<f32>, seed: u64) -> Vec<[f64; 2]> {
    let n = corpus.nrows();
    if n < 2 {
        return Vec::new();
    }
    let mut random = random::seeded(seed);
    let (one, other): (Vec<usize>, Vec<usize>) = (0..MOST_PAIRS)
        .map(|_| {
            let first = random::below(&mut random, n);
            (first, (first + 1 + random::below(&mut random, n - 1)) % n)
        })
        .unzip();
    let cosines =
        |x: &Array2<f32>| pairs::cosines(x.select(Axis(0), &one).view(), x.select(Axis(0), &other).view());
    cosines(native).into_iter().zip(cosines(corpus)).map(|(native, corpus)| [native, corpus]).collect()
}

/// Both on the two principal directions of the centred native rows.
fn map(corpus: &Array2<f32>, native: &Array2<f32>) -> Result<[Vec<[f64; 2]>; 2]> {
    let mean = matrix::column_means(native.view());
    let centred = matrix::centred(native.view(), mean.view());
    let (_, values, directions) = matrix::singular(centred.view())?;
    if values.len() < 2 || values[1] <= 0.0 {
        return Ok(Default::default());
    }
    let axes = directions.slice(s![.., ..2]).reversed_axes();
    let points = |x: Array2<f64>| -> Result<Vec<[f64; 2]>> {
        let plane = matrix::times_transposed(x.view(), axes)?;
        Ok(plane.rows().into_iter().map(|p| [p[0], p[1]]).collect())
    };
    Ok([points(centred)?, points(matrix::centred(corpus.view(), mean.view()))?])
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::context::testing::context;

    #[test]
    fn a_document_is_not_its_own_neighbour() {
        let x = array![[0.0f32], [1.0], [3.0], [7.0]];
        let found = neighbours(x.view(), &[3, 0], 2, Metric::L2, &context()).unwrap();
        assert_eq!(found, [[2, 1], [1, 2]]);
    }

    #[test]
    fn shares_need_more_records_than_k() {
        let rows = vec![vec![0, 1, 2]];
        let found = shares("x", &rows, &rows, &[1, 2, 3], 3);
        assert_eq!(found.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["x@1", "x@2"]);
    }

    #[test]
    fn the_picture_shows_the_main_directions_of_native_rows() {
        // Spread 4 along the second component, 1 along the first, none along the third.
        let native = array![[1.0f32, 4.0, 5.0], [-1.0, 4.0, 5.0], [1.0, -4.0, 5.0], [-1.0, -4.0, 5.0]];
        let [own, other] = map(&(&native + &array![0.0, 0.0, 9.0]), &native).unwrap();
        for ((own, other), row) in own.iter().zip(&other).zip(native.rows()) {
            assert!((own[0].abs() - 4.0).abs() < 1e-9 && (own[1].abs() - 1.0).abs() < 1e-9, "{own:?}");
            assert!((own[0] - other[0]).abs() < 1e-9, "what is off the plane does not show: {row}");
        }
    }
}
