//! Whether neighbours stay neighbours, and whether a projected vector finds its own text.
//!
//! Similarities that are equal (to within rounding) are treated as a random order would on average, so that
//! vectors which are all alike score exactly what chance scores.

use ndarray::{ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::error::Result;
use crate::matrix;

/// Cosines that are nearer to each other than this are a tie.
const TIE: f32 = 1e-6;
const BLOCK: usize = 256;

/// For each row: which share of its `k` nearest other rows in `target` is also among its `k` nearest other
/// rows in `predicted` (both n x d, by cosine). None if there are not more than `k` other rows.
///
/// # Errors
/// [`Mismatch`](crate::error::Kind::Mismatch) if the shapes differ.
pub fn neighbour_overlap(
    predicted: ArrayView2<'_, f32>,
    target: ArrayView2<'_, f32>,
    k: usize,
) -> Result<Option<Vec<f64>>> {
    overlap([predicted.view(), target.view()], [predicted.view(), target.view()], &[k], true)
}

/// As [`neighbour_overlap`], asked by the rows of `target` themselves: which share of the `k` rows of `target` nearest
/// to a row is among the `k` rows of `predicted` nearest to it. So a collection is asked after a migration.
///
/// # Errors
/// [`Mismatch`](crate::error::Kind::Mismatch) if the shapes differ.
pub fn native_overlap(
    predicted: ArrayView2<'_, f32>,
    target: ArrayView2<'_, f32>,
    k: usize,
) -> Result<Option<Vec<f64>>> {
    native_overlaps(predicted, target, &[k])
}

/// As [`native_overlap`], the mean over several `k`.
///
/// # Errors
/// [`Mismatch`](crate::error::Kind::Mismatch) if the shapes differ.
pub fn native_overlaps(
    predicted: ArrayView2<'_, f32>,
    target: ArrayView2<'_, f32>,
    k: &[usize],
) -> Result<Option<Vec<f64>>> {
    overlap([target.view(), target.view()], [predicted.view(), target.view()], k, true)
}

/// For each row of `asking` (n x d): which share of the `k` rows of `one` nearest to it is among the `k` rows of `other`
/// nearest to it (both m x d, row by row the same records, the asking ones not among them). None if there are not more
/// than `k` records.
///
/// # Errors
/// [`Mismatch`](crate::error::Kind::Mismatch) if the dimensions differ.
pub fn agreement(
    asking: ArrayView2<'_, f32>,
    one: ArrayView2<'_, f32>,
    other: ArrayView2<'_, f32>,
    k: usize,
) -> Result<Option<Vec<f64>>> {
    overlap([asking.view(), asking.view()], [other.view(), one.view()], &[k], false)
}

/// For each question: which share of the `k` rows of `collections[1]` nearest to row i of `asking[1]` is among the `k` rows
/// of `collections[0]` nearest to row i of `asking[0]`. The collections are row by row the same records, the asking ones not
/// among them. None if there are not more than `k` records.
///
/// # Errors
/// [`Mismatch`](crate::error::Kind::Mismatch) if a dimension differs.
pub fn found_of(
    asking: [ArrayView2<'_, f32>; 2],
    collections: [ArrayView2<'_, f32>; 2],
    k: usize,
) -> Result<Option<Vec<f64>>> {
    overlap(asking, collections, &[k], false)
}

/// For each row: which share of the rows of the second collection nearest to what asks the second is among those of the
/// first nearest to what asks the first, the mean over the numbers `k` of nearest rows. `own`: row i of the collections is
/// what row i asks with, and is not looked for.
fn overlap(
    asking: [ArrayView2<'_, f32>; 2],
    collections: [ArrayView2<'_, f32>; 2],
    k: &[usize],
    own: bool,
) -> Result<Option<Vec<f64>>> {
    let n = asking[0].nrows();
    let records = collections[1].nrows();
    let fits = asking[1].nrows() == n && collections[0].nrows() == records && (!own || records == n);
    let (Some(least), Some(most)) = (k.iter().min(), k.iter().max()) else { return Ok(None) };
    if *least == 0 || !fits || records <= most + usize::from(own) {
        return Ok(None);
    }
    let asking = asking.map(matrix::normalised);
    let collections = collections.map(matrix::normalised);
    let k_count = k.len() as f64;
    let mut shares = Vec::with_capacity(n);
    for first in (0..n).step_by(BLOCK) {
        let rows = s![first..(first + BLOCK).min(n), ..];
        let ours = matrix::times_transposed(asking[0].slice(rows), collections[0].view())?;
        let true_ones = matrix::times_transposed(asking[1].slice(rows), collections[1].view())?;
        let block: Vec<f64> = ours
            .axis_iter(Axis(0))
            .into_par_iter()
            .zip(true_ones.axis_iter(Axis(0)).into_par_iter())
            .enumerate()
            .map(|(i, (ours, true_ones))| {
                let own = own.then_some(first + i);
                let share = |k: usize| {
                    let (a, b) = (chance_of_top(ours, k, own), chance_of_top(true_ones, k, own));
                    a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>() / k as f64
                };
                k.iter().map(|k| share(*k) / k_count).sum()
            })
            .collect();
        shares.extend(block);
    }
    Ok(Some(shares))
}

/// For each row of `predicted`: whether (1 or 0; a tie counts its share) its own row of `target` is among the
/// `k` rows of `target` nearest to it by cosine. None if there are not more than `k` rows.
///
/// # Errors
/// [`Mismatch`](crate::error::Kind::Mismatch) if the shapes differ.
pub fn recall_of_own(
    predicted: ArrayView2<'_, f32>,
    target: ArrayView2<'_, f32>,
    k: usize,
) -> Result<Option<Vec<f64>>> {
    let n = target.nrows();
    if k == 0 || n <= k || predicted.nrows() != n {
        return Ok(None);
    }
    let (predicted, target) = (matrix::normalised(predicted), matrix::normalised(target));
    let mut hits = Vec::with_capacity(n);
    for first in (0..n).step_by(BLOCK) {
        let rows = s![first..(first + BLOCK).min(n), ..];
        let similar = matrix::times_transposed(predicted.slice(rows), target.view())?;
        let block: Vec<f64> = similar
            .axis_iter(Axis(0))
            .into_par_iter()
            .enumerate()
            .map(|(i, row)| chance_of_top(row, k, None).get(first + i).copied().unwrap_or(0.0))
            .collect();
        hits.extend(block);
    }
    Ok(Some(hits))
}

/// Chance of each element to be among the `k` largest if ties are ordered at random. `own` is left out.
fn chance_of_top(similar: ArrayView1<'_, f32>, k: usize, own: Option<usize>) -> Vec<f64> {
    let mut others: Vec<f32> =
        similar.iter().enumerate().filter(|(j, _)| Some(*j) != own).map(|(_, &v)| v).collect();
    if k == 0 || others.len() <= k {
        return (0..similar.len()).map(|j| if Some(j) == own { 0.0 } else { 1.0 }).collect();
    }
    let (_, &mut threshold, _) = others.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let above = others.iter().filter(|&&v| v > threshold + TIE).count();
    let tied = others.iter().filter(|&&v| (v - threshold).abs() <= TIE).count().max(1);
    let share = (k - above.min(k)) as f64 / tied as f64;
    similar
        .iter()
        .enumerate()
        .map(|(j, &v)| match v {
            _ if Some(j) == own => 0.0,
            v if v > threshold + TIE => 1.0,
            v if (v - threshold).abs() <= TIE => share,
            _ => 0.0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    /// Unit vectors at these angles in degrees.
    fn at(angles: &[f32]) -> Array2<f32> {
        Array2::from_shape_fn((angles.len(), 2), |(i, j)| {
            let a = angles[i].to_radians();
            if j == 0 { a.cos() } else { a.sin() }
        })
    }

    #[test]
    fn overlap_by_hand() {
        let target = at(&[0.0, 10.0, 21.0, 60.0, 75.0]);
        assert_eq!(neighbour_overlap(target.view(), target.view(), 2).unwrap().unwrap(), [1.0; 5]);
        // Row 2 moves to the other end: its neighbours were 1 and 0 (11 and 21 degrees), now 4 and 3.
        let moved = at(&[0.0, 10.0, 80.0, 60.0, 75.0]);
        let shares = neighbour_overlap(moved.view(), target.view(), 2).unwrap().unwrap();
        // Row 0: {1, 2} against {1, 3}; row 1: {0, 2} against {0, 3}; row 3: {4, 2} against {4, 2};
        // row 4: {3, 2} against {2, 3}.
        assert_eq!(shares, [0.5, 0.5, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn true_rows_ask_among_predicted_ones() {
        let target = at(&[0.0, 10.0, 21.0, 60.0, 75.0]);
        assert_eq!(native_overlap(target.view(), target.view(), 2).unwrap().unwrap(), [1.0; 5]);
        // All but row 2 stay. Row 0 looks for {1, 2} and finds {1, 3}, row 1 for {0, 2} and {0, 3}; row 3 looks for
        // {4, 2} and finds both; row 4 for {3, 2} likewise; row 2, at 21 degrees, for {1, 0} and finds both.
        let moved = at(&[0.0, 10.0, 80.0, 60.0, 75.0]);
        let shares = native_overlap(moved.view(), target.view(), 2).unwrap().unwrap();
        assert_eq!(shares, [0.5, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn what_is_found_in_two_collections_of_the_same_records() {
        let (one, other) = (at(&[0.0, 10.0, 21.0, 60.0]), at(&[0.0, 50.0, 21.0, 60.0]));
        // At 2 degrees: {0, 1} against {0, 2}; at 58 degrees: {3, 2} against {3, 1}.
        let shares = agreement(at(&[2.0, 58.0]).view(), one.view(), other.view(), 2).unwrap().unwrap();
        assert_eq!(shares, [0.5, 0.5]);
        assert_eq!(
            agreement(one.view(), one.view(), other.view(), 4).unwrap(),
            None,
            "4 records have no 4 nearest"
        );
    }

    #[test]
    fn vectors_that_are_all_alike_score_what_chance_scores() {
        let target = at(&[0.0, 10.0, 21.0, 60.0, 75.0]);
        let constant = Array2::from_elem((5, 2), 0.3f32);
        let shares = neighbour_overlap(constant.view(), target.view(), 2).unwrap().unwrap();
        assert!(shares.iter().all(|s| (s - 0.5).abs() < 1e-12), "2 of 4 others: {shares:?}");
        let hits = recall_of_own(target.view(), constant.view(), 1).unwrap().unwrap();
        assert!(hits.iter().all(|h| (h - 0.2).abs() < 1e-12), "1 of 5: {hits:?}");
    }

    #[test]
    fn own_text_is_found_or_not() {
        let target = at(&[0.0, 30.0, 60.0]);
        let predicted = at(&[5.0, 50.0, 61.0]);
        assert_eq!(recall_of_own(predicted.view(), target.view(), 1).unwrap().unwrap(), [1.0, 0.0, 1.0]);
        assert_eq!(recall_of_own(predicted.view(), target.view(), 2).unwrap().unwrap(), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn too_few_rows_have_no_overlap() {
        let x = array![[1.0f32, 0.0], [0.0, 1.0]];
        assert_eq!(neighbour_overlap(x.view(), x.view(), 1).unwrap(), None);
        assert_eq!(recall_of_own(x.view(), x.view(), 2).unwrap(), None);
    }
}
