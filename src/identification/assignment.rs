//! Which way of embedding made which row. Pure.

use crate::measure::bootstrap::quantile;

/// A row is reproduced from this cosine. Storage stays above it: half precision costs about 1e-7, bfloat16 1e-6, int8
/// with one scale for a vector 3e-5 (relative error e gives a cosine of 1 - e²/2), another runtime 1e-5. Other
/// prompts, poolings and layers mostly stay below it, and where they do not, another way is clearly nearer.
pub const FITS: f64 = 0.999;

/// A row is reproduced exactly from this cosine: no other way needs to be sought for it.
pub const EXACT: f64 = 0.9999;

/// A way is clearly nearer to a row if it leaves at most this part of the other's distance (1 - cosine).
const CLEARLY: f64 = 0.25;

/// Where one way fits more than half of the rows, rows that it misses by no more than this multiple of its usual distance
/// are its own too: the noise of a coarse storage does not stop at a threshold.
const NOISE: f64 = 2.0;

/// Rounding of cosines.
const ROUNDING: f64 = 1e-6;

/// For each row the way that made it, none if no way reproduces it; `cosines[way][row]`, ways of equal merit by order.
///
/// Ways that fit a row and are not clearly behind the best one share it; of these the one that explains most rows
/// takes all of its rows, then the next one what is left. So one true way is not parted by noise into several.
pub fn assign(cosines: &[&[f64]], rows: usize) -> Vec<Option<usize>> {
    let at = |way: usize, row: usize| cosines.get(way).and_then(|c| c.get(row)).copied().unwrap_or(0.0);
    let best: Vec<f64> =
        (0..rows).map(|row| (0..cosines.len()).map(|way| at(way, row)).fold(0.0, f64::max)).collect();
    let explains = |way: usize, row: usize| {
        let (own, best) = (at(way, row), best.get(row).copied().unwrap_or(0.0));
        own >= FITS && (1.0 - own) * CLEARLY <= (1.0 - best) + ROUNDING
    };
    let mut made_by: Vec<Option<usize>> = vec![None; rows];
    loop {
        let merit = |way: usize| -> (usize, f64) {
            let open = made_by.iter().enumerate().filter(|(row, by)| by.is_none() && explains(way, *row));
            open.fold((0, 0.0), |(count, sum), (row, _)| (count + 1, sum + at(way, row)))
        };
        let mut chosen: Option<(usize, (usize, f64))> = None;
        for way in 0..cosines.len() {
            let (count, sum) = merit(way);
            let beats = chosen.is_none_or(|(_, (most, of))| {
                count > most || (count == most && sum > of + ROUNDING * most as f64)
            });
            if count > 0 && beats {
                chosen = Some((way, (count, sum)));
            }
        }
        let Some((way, _)) = chosen else { break };
        for (row, by) in made_by.iter_mut().enumerate() {
            if by.is_none() && explains(way, row) {
                *by = Some(way);
            }
        }
    }
    absorb(cosines, &mut made_by);
    made_by
}

/// Gives rows that the leading way misses by noise alone to it.
fn absorb(cosines: &[&[f64]], made_by: &mut [Option<usize>]) {
    let rows = made_by.len();
    for (way, cosines) in cosines.iter().enumerate() {
        let own = made_by.iter().zip(*cosines).filter(|(by, _)| **by == Some(way));
        let mut distances: Vec<f64> = own.map(|(_, cosine)| 1.0 - cosine).collect();
        if distances.len() * 2 <= rows {
            continue;
        }
        distances.sort_by(f64::total_cmp);
        let bound = NOISE * quantile(&distances, 0.5).unwrap_or(0.0);
        let missed =
            made_by.iter_mut().zip(*cosines).filter(|(by, cosine)| by.is_none() && 1.0 - *cosine <= bound);
        missed.for_each(|(by, _)| *by = Some(way));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_goes_to_what_reproduces_it() {
        let one = [1.0, 0.9995, 0.1, 0.2];
        let other = [0.3, 0.4, 1.0, 0.99];
        assert_eq!(assign(&[&one, &other], 4), [Some(0), Some(0), Some(1), None]);
        assert_eq!(assign(&[], 2), [None, None]);
    }

    #[test]
    fn noise_does_not_part_one_way_into_several() {
        // Distances .0005 and .0004: not a quarter. The way with more rows takes them all.
        let one = [0.9995, 0.9996, 0.9995];
        let other = [0.9996, 0.9995, 0.5];
        assert_eq!(assign(&[&other, &one], 3), [Some(1), Some(1), Some(1)]);
    }

    #[test]
    fn a_way_that_is_clearly_nearer_wins_although_another_fits() {
        // Long texts hide a prompt: .9992 fits, and .99999 is what made them.
        let without = [0.9992, 0.9993, 0.9992, 1.0];
        let prompted = [0.99999, 0.99999, 0.99999, 0.7];
        assert_eq!(assign(&[&without, &prompted], 4), [Some(1), Some(1), Some(1), Some(0)]);
    }

    #[test]
    fn noise_does_not_stop_at_the_threshold() {
        // Usual distance .0008: .9986 is noise, .998 is not.
        let noisy = [0.9992, 0.9992, 0.9991, 0.9986, 0.998];
        assert_eq!(assign(&[&noisy], 5), [Some(0), Some(0), Some(0), Some(0), None]);
        let exact = [1.0, 1.0, 1.0, 0.9986, 0.998];
        assert_eq!(assign(&[&exact], 5), [Some(0), Some(0), Some(0), None, None]);
    }

    #[test]
    fn of_equal_ways_the_first_and_of_unequal_ones_the_nearer() {
        assert_eq!(assign(&[&[1.0, 1.0], &[1.0, 1.0]], 2), [Some(0), Some(0)]);
        assert_eq!(assign(&[&[0.9993, 0.9993], &[0.9996, 0.9996]], 2), [Some(1), Some(1)]);
    }
}
