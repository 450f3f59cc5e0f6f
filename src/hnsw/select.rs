//! Which candidates become links: hnswlib's `getNeighborsByHeuristic2`.
//!
//! A candidate is taken unless it is nearer to one already taken than to the node itself, so that links
//! point in different directions (algorithm 4 of the paper, without extension, pruned ones dropped).

use super::links::Link;
use super::pool::order;

/// Buffers of [`select`].
#[derive(Default)]
pub(super) struct Selection {
    /// What was taken, nearest first.
    pub taken: Vec<Link>,
    rivals: Vec<u32>,
    distances: Vec<f32>,
}

/// Nearest first; of equally near ones the later node first, or a new copy would never be linked to.
pub(super) fn sort(candidates: &mut [Link]) {
    candidates.sort_unstable_by_key(|link| u64::from(order(link.distance)) << 32 | u64::from(!link.id));
}

/// Takes at most `limit` of `candidates`, which are sorted by [`sort`], into `selection.taken`.
///
/// Two candidates that are both `tested` need no new distance: neither drove the other out before.
/// `measure(node, others, out)` puts the distances of `others` from `node` into `out`.
pub(super) fn select(
    measure: impl Fn(u32, &[u32], &mut Vec<f32>),
    candidates: &[Link],
    limit: usize,
    selection: &mut Selection,
) {
    let Selection { taken, rivals, distances } = selection;
    taken.clear();
    for candidate in candidates {
        if taken.len() >= limit {
            break;
        }
        rivals.clear();
        rivals.extend(taken.iter().filter(|t| !(t.tested && candidate.tested)).map(|t| t.id));
        let redundant = rivals.chunks(4).any(|four| {
            measure(candidate.id, four, distances);
            distances.iter().any(|&d| d < candidate.distance)
        });
        if !redundant {
            taken.push(*candidate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::distance::{Distance, Kernel, KernelOp};
    use super::*;

    struct OnALine<'a>(&'a [f32], Vec<Link>, usize);

    impl KernelOp for OnALine<'_> {
        type Output = Vec<u32>;
        fn run<K: Kernel>(mut self, kernel: K) -> Vec<u32> {
            let mut selection = Selection::default();
            sort(&mut self.1);
            let row = |id: u32| &self.0[id as usize..][..1];
            let measure = |id, ids: &[u32], out: &mut Vec<f32>| kernel.many(row(id), ids, row, out);
            select(measure, &self.1, self.2, &mut selection);
            selection.taken.iter().map(|t| t.id).collect()
        }
    }

    fn candidates(positions: &[f32], tested: &[u32]) -> Vec<Link> {
        let link =
            |id: u32| Link { distance: positions[id as usize].powi(2), id, tested: tested.contains(&id) };
        (0..positions.len() as u32).map(link).collect()
    }

    #[test]
    fn one_link_per_direction() {
        // The node is at 0: 2 hides 3 and 5, -4 points elsewhere.
        let line = [2.0, 3.0, -4.0, 5.0];
        assert_eq!(Distance::L2.run(OnALine(&line, candidates(&line, &[]), 4)), [0, 2]);
        assert_eq!(Distance::L2.run(OnALine(&line, candidates(&line, &[]), 1)), [0]);
    }

    #[test]
    fn tested_pairs_are_not_tested_again() {
        let line = [2.0, 3.0];
        assert_eq!(Distance::L2.run(OnALine(&line, candidates(&line, &[0, 1]), 4)), [0, 1]);
    }

    #[test]
    fn equally_near_ones_come_later_first() {
        let line = [0.0, 0.0, 0.0];
        assert_eq!(
            Distance::L2.run(OnALine(&line, candidates(&line, &[]), 2)),
            [2, 1],
            "0 < 1 is never nearer"
        );
    }
}
