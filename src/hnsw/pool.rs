//! What one walk through a graph remembers: nodes seen, and the nearest found so far.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A node and its distance in one word that orders by distance, then id: `order << 32 | id << 1 | expanded`.
type Entry = u64;

/// Ids of nodes that fit an [`Entry`].
pub(super) const MAX_NODES: usize = 1 << 31;

/// Maps a distance to an integer of the same order; NaN sorts last.
#[inline]
pub(super) fn order(distance: f32) -> u32 {
    let bits = distance.to_bits();
    if distance.is_nan() {
        u32::MAX
    } else if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

/// Inverse of [`order`].
#[inline]
pub(super) fn unorder(order: u32) -> f32 {
    f32::from_bits(if order >> 31 == 1 { order ^ (1 << 31) } else { !order })
}

/// Marks of the nodes that a walk has seen; forgotten at once by a new walk.
#[derive(Default)]
pub(super) struct Seen {
    marks: Vec<u16>,
    walk: u16,
}

impl Seen {
    /// Forgets everything and makes room for `nodes`.
    pub fn begin(&mut self, nodes: usize) {
        self.marks.resize(nodes, 0);
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            self.marks.fill(0);
            self.walk = 1;
        }
    }

    /// Marks `node`. Whether it exists and was not marked before.
    #[inline]
    pub fn insert(&mut self, node: u32) -> bool {
        match self.marks.get_mut(node as usize) {
            Some(mark) if *mark != self.walk => {
                *mark = self.walk;
                true
            }
            _ => false,
        }
    }
}

/// The `ef` nearest live nodes found so far, nearest first, and deleted ones still to be walked through.
#[derive(Default)]
pub(super) struct Pool {
    entries: Vec<Entry>,
    ef: usize,
    /// All entries before this index are expanded.
    cursor: usize,
    deleted: BinaryHeap<Reverse<Entry>>,
}

impl Pool {
    /// Empties the pool.
    pub fn begin(&mut self, ef: usize) {
        self.entries.clear();
        self.deleted.clear();
        self.ef = ef;
        self.cursor = 0;
    }

    /// Takes a node unless it is too far.
    #[inline]
    pub fn offer(&mut self, distance: f32, id: u32, deleted: bool) {
        let order = order(distance);
        let full = self.entries.len() >= self.ef;
        if full && self.entries.last().is_none_or(|worst| order >= (worst >> 32) as u32) {
            return;
        }
        let entry = u64::from(order) << 32 | u64::from(id) << 1;
        if deleted {
            self.deleted.push(Reverse(entry));
            return;
        }
        let at = self.entries.partition_point(|e| *e < entry);
        if full {
            self.entries.pop();
        }
        self.entries.insert(at, entry);
        self.cursor = self.cursor.min(at);
    }

    /// The nearest node not yet expanded, which counts as expanded from now on;
    /// `None` when no node can lead to anything nearer.
    #[inline]
    pub fn next(&mut self) -> Option<u32> {
        while self.entries.get(self.cursor).is_some_and(|e| e & 1 == 1) {
            self.cursor += 1;
        }
        let live = self.entries.get(self.cursor).copied();
        if let Some(&Reverse(deleted)) = self.deleted.peek() {
            let full = self.entries.len() >= self.ef;
            let too_far = full && self.entries.last().is_some_and(|worst| deleted >> 32 > worst >> 32);
            if !too_far && live.is_none_or(|live| deleted < live) {
                self.deleted.pop();
                return Some((deleted as u32) >> 1);
            }
        }
        let entry = self.entries.get_mut(self.cursor)?;
        *entry |= 1;
        Some((*entry as u32) >> 1)
    }

    /// What was found, nearest first.
    pub fn found(&self) -> impl ExactSizeIterator<Item = (f32, u32)> + '_ {
        self.entries.iter().map(|e| (unorder((e >> 32) as u32), (*e as u32) >> 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_the_order_of_floats_and_turns_back() {
        let sorted = [f32::NEG_INFINITY, -2.0, -1e-30, 0.0, 1e-40, 1.0, f32::MAX, f32::INFINITY];
        assert!(sorted.is_sorted_by_key(|x| order(*x)));
        assert!(sorted.iter().all(|x| unorder(order(*x)) == *x));
        assert!(order(-f32::NAN) > order(f32::INFINITY));
    }

    #[test]
    fn keeps_the_nearest_and_expands_each_once() {
        let mut pool = Pool::default();
        pool.begin(2);
        for (d, id) in [(3.0, 3), (1.0, 1), (2.0, 2)] {
            pool.offer(d, id, false);
        }
        assert_eq!(pool.next(), Some(1));
        pool.offer(0.5, 9, false);
        assert_eq!(pool.next(), Some(9));
        assert_eq!(pool.next(), None);
        assert_eq!(pool.found().collect::<Vec<_>>(), [(0.5, 9), (1.0, 1)]);
    }

    #[test]
    fn deleted_nodes_are_walked_and_not_found() {
        let mut pool = Pool::default();
        pool.begin(1);
        pool.offer(5.0, 1, true);
        assert_eq!(pool.next(), Some(1));
        pool.offer(2.0, 2, false);
        pool.offer(1.0, 3, true);
        assert_eq!((pool.next(), pool.next(), pool.next()), (Some(3), Some(2), None));
        assert_eq!(pool.found().collect::<Vec<_>>(), [(2.0, 2)]);
    }

    #[test]
    fn marks_are_forgotten_even_when_the_counter_wraps() {
        let mut seen = Seen::default();
        for _ in 0..70_000 {
            seen.begin(2);
            assert!(seen.insert(1) && !seen.insert(1) && !seen.insert(2));
        }
    }
}
