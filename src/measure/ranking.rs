//! How well a ranking answers a question whose answers were judged.
//!
//! Grades above zero are relevant, all others are not; a record without a judgement is not. As trec_eval and BEIR
//! have it.

use std::collections::BTreeMap;

/// What was judged for one question. Only relevant records: grades are above zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Relevant {
    /// Grade of each relevant row of the corpus.
    pub grades: BTreeMap<usize, u32>,
    /// Grades of relevant records that the corpus lacks: they can never be found, and count all the same.
    pub absent: Vec<u32>,
}

impl Relevant {
    /// How many records are relevant, absent ones included.
    pub fn count(&self) -> usize {
        self.grades.len() + self.absent.len()
    }

    fn gain(&self, row: usize) -> f64 {
        self.grades.get(&row).copied().map_or(0.0, f64::from)
    }
}

/// Normalised discounted cumulative gain of the first `k` rows of `ranking`, best first: the sum of
/// `grade / log2(rank + 1)`, ranks from 1, divided by that of the best order possible. 0 if nothing is relevant.
///
/// Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002), with the gain linear in
/// the grade and the discount of trec_eval (`m_ndcg_cut.c`), which BEIR uses.
pub fn ndcg(ranking: &[usize], relevant: &Relevant, k: usize) -> f64 {
    let dcg = |gains: &mut dyn Iterator<Item = f64>| -> f64 {
        gains.take(k).enumerate().map(|(i, gain)| gain / (i as f64 + 2.0).log2()).sum()
    };
    let mut best: Vec<u32> = relevant.grades.values().chain(&relevant.absent).copied().collect();
    best.sort_unstable_by(|a, b| b.cmp(a));
    let ideal = dcg(&mut best.into_iter().map(f64::from));
    match ideal > 0.0 {
        true => dcg(&mut ranking.iter().map(|row| relevant.gain(*row))) / ideal,
        false => 0.0,
    }
}

/// Share of the relevant records that is among the first `k` rows of `ranking` (trec_eval `recall`). 0 if
/// nothing is relevant.
pub fn recall(ranking: &[usize], relevant: &Relevant, k: usize) -> f64 {
    let found = ranking.iter().take(k).filter(|row| relevant.grades.contains_key(row)).count();
    found as f64 / relevant.count().max(1) as f64
}

/// Rank of the first relevant row of `ranking`, from 1.
pub fn first_relevant(ranking: &[usize], relevant: &Relevant) -> Option<usize> {
    ranking.iter().position(|row| relevant.grades.contains_key(row)).map(|i| i + 1)
}

/// 1 divided by the rank of the first relevant row, 0 if it is not among the first `k` (trec_eval `recip_rank`, cut).
pub fn reciprocal_rank(ranking: &[usize], relevant: &Relevant, k: usize) -> f64 {
    first_relevant(ranking, relevant).filter(|rank| *rank <= k).map_or(0.0, |rank| 1.0 / rank as f64)
}

/// Share of the first `k` of `wanted` that is among the first `k` of `found`. None if `wanted` has fewer than `k`.
pub fn shared<T: Ord + Copy>(found: &[T], wanted: &[T], k: usize) -> Option<f64> {
    if k == 0 || wanted.len() < k {
        return None;
    }
    let found: std::collections::BTreeSet<T> = found.iter().take(k).copied().collect();
    Some(wanted.iter().take(k).filter(|row| found.contains(row)).count() as f64 / k as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relevant(grades: &[(usize, u32)], absent: &[u32]) -> Relevant {
        Relevant { grades: grades.iter().copied().collect(), absent: absent.to_vec() }
    }

    #[test]
    fn gain_is_linear_and_discounted_by_rank() {
        let judged = relevant(&[(3, 2), (5, 1), (9, 3)], &[]);
        // Ranks 1, 2, 3 have discounts 1, log2(3), 2. Found: 2 at rank 1, 1 at rank 3; best: 3, 2, 1.
        let (found, best) = (2.0 + 1.0 / 2.0, 3.0 + 2.0 / 3f64.log2() + 1.0 / 2.0);
        assert!((ndcg(&[3, 4, 5, 9], &judged, 3) - found / best).abs() < 1e-15);
        assert!((ndcg(&[9, 3, 5], &judged, 3) - 1.0).abs() < 1e-15);
        assert_eq!(ndcg(&[1, 2], &judged, 2), 0.0);
    }

    #[test]
    fn absent_records_count_as_not_found() {
        let judged = relevant(&[(0, 1)], &[1]);
        assert_eq!(recall(&[0, 1, 2], &judged, 3), 0.5);
        assert!((ndcg(&[0], &judged, 10) - 1.0 / (1.0 + 1.0 / 3f64.log2())).abs() < 1e-15);
        assert_eq!(ndcg(&[0], &judged, 1), 1.0, "the best list of one holds one of the two");
    }

    #[test]
    fn the_first_relevant_rank_is_cut_at_k() {
        let judged = relevant(&[(7, 1), (8, 5)], &[]);
        assert_eq!(reciprocal_rank(&[1, 2, 8, 7], &judged, 10), 1.0 / 3.0);
        assert_eq!(reciprocal_rank(&[1, 2, 8, 7], &judged, 2), 0.0);
        assert_eq!(first_relevant(&[1, 2], &judged), None);
    }

    #[test]
    fn nothing_relevant_scores_nothing() {
        let none = Relevant::default();
        assert_eq!(
            (ndcg(&[1], &none, 5), recall(&[1], &none, 5), reciprocal_rank(&[1], &none, 5)),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn shared_neighbours_by_hand() {
        assert_eq!(shared(&[4, 1, 2], &[1, 2, 3], 2), Some(0.5));
        assert_eq!(shared(&[4, 1, 2], &[1, 2, 3], 3), Some(2.0 / 3.0));
        assert_eq!(shared(&[1], &[1, 2], 3), None, "there are no three");
    }

    /// Reference: an independent implementation in Python after trec_eval's definitions, on six random rankings of
    /// 20 of 40 records with nine judged ones (grades 0 to 3) and one absent.
    #[test]
    fn figures_agree_with_an_independent_implementation() {
        for (ranking, grades, absent, k, wanted) in REFERENCE {
            let judged = relevant(grades, absent);
            let found = [
                ndcg(ranking, &judged, *k),
                recall(ranking, &judged, *k),
                reciprocal_rank(ranking, &judged, *k),
            ];
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
            }
        }
    }

    type Case = (&'static [usize], &'static [(usize, u32)], &'static [u32], usize, [f64; 3]);

    const REFERENCE: &[Case] = &[
        (
            &[23, 24, 4, 19, 38, 20, 34, 31, 21, 9, 14, 35, 37, 28, 2, 25, 5, 8, 13, 6],
            &[(10, 1), (11, 1), (12, 1), (20, 1), (24, 1)],
            &[2],
            1,
            [0.0, 0.0, 0.0],
        ),
        (
            &[29, 24, 35, 16, 25, 26, 14, 23, 3, 2, 32, 7, 18, 9, 6, 20, 13, 17, 36, 12],
            &[(2, 1), (5, 3), (6, 2), (16, 1), (23, 1), (27, 1), (29, 2)],
            &[3],
            3,
            [0.3393978490514598, 0.125, 1.0],
        ),
        (
            &[16, 37, 6, 15, 24, 33, 25, 21, 27, 3, 31, 22, 0, 10, 18, 29, 4, 13, 14, 8],
            &[(3, 3), (9, 3), (10, 1), (18, 1), (26, 1), (29, 1), (34, 1), (39, 1)],
            &[1],
            5,
            [0.0, 0.0, 0.0],
        ),
        (
            &[7, 20, 6, 19, 26, 10, 3, 0, 39, 33, 14, 13, 35, 12, 4, 15, 8, 28, 23, 9],
            &[(17, 2), (18, 3), (22, 1), (26, 2), (32, 1), (36, 1)],
            &[1],
            10,
            [0.11430250923898277, 0.14285714285714285, 0.2],
        ),
        (
            &[22, 38, 25, 11, 4, 9, 13, 34, 16, 15, 12, 28, 2, 3, 29, 1, 32, 7, 21, 14],
            &[(13, 3), (15, 2), (22, 1), (23, 1), (24, 1), (25, 2), (39, 2)],
            &[2],
            20,
            [0.4528175439197566, 0.5, 1.0],
        ),
        (
            &[25, 27, 9, 3, 16, 36, 7, 35, 24, 1, 29, 0, 10, 30, 33, 2, 23, 39, 15, 28],
            &[(10, 1), (14, 1), (16, 1), (18, 1), (24, 1), (31, 1), (35, 1)],
            &[2],
            30,
            [0.2555781333660475, 0.5, 0.2],
        ),
    ];
}
