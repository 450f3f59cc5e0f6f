//! Link lists that many threads read while others change them.
//!
//! Readers take no lock: ids and counts are atomics, and whatever mixture of an earlier and a later
//! list a reader meets, every id in it is a node whose own lists are complete. Writers of one list
//! exclude each other with the list's lock, which also guards the distances and the tested prefix.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind, Result};

/// Lists of at most `capacity` links.
pub(super) struct Links {
    capacity: usize,
    /// Per list: number of links, then ids.
    words: Vec<AtomicU32>,
    /// Per list: bits of the distance from the list's owner, beside each id.
    distances: Vec<AtomicU32>,
    /// Per list: how many of its first links passed the selection against each other.
    tested: Vec<Mutex<u16>>,
}

/// A link with what the selection needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Link {
    pub distance: f32,
    pub id: u32,
    /// Passed the selection against every other link that is tested.
    pub tested: bool,
}

impl Links {
    /// `lists` empty lists.
    pub fn new(lists: usize, capacity: usize) -> Result<Self> {
        let too_many =
            || Error::new(Kind::Refused, format!("no memory for {lists} lists of {capacity} links"));
        let words = lists.checked_mul(1 + capacity).ok_or_else(too_many)?;
        let mut links = Links { capacity, words: Vec::new(), distances: Vec::new(), tested: Vec::new() };
        links.words.try_reserve_exact(words).map_err(|e| too_many().because(e))?;
        links.distances.try_reserve_exact(lists * capacity).map_err(|e| too_many().because(e))?;
        links.tested.try_reserve_exact(lists).map_err(|e| too_many().because(e))?;
        links.words.resize_with(words, || AtomicU32::new(0));
        links.distances.resize_with(lists * capacity, || AtomicU32::new(0));
        links.tested.resize_with(lists, || Mutex::new(0));
        Ok(links)
    }

    /// Ids in `list`, without waiting; none if there is no such list.
    #[inline]
    pub fn read(&self, list: usize) -> impl Iterator<Item = u32> + '_ {
        let at = list.saturating_mul(1 + self.capacity);
        let words = self.words.get(at..at.saturating_add(1 + self.capacity)).unwrap_or(&[]);
        let count = words.first().map_or(0, |count| count.load(Ordering::Acquire) as usize);
        words.iter().skip(1).take(count).map(|id| id.load(Ordering::Acquire))
    }

    /// Waits for the right to change `list`.
    pub fn lock(&self, list: usize) -> Locked<'_> {
        Locked {
            tested: self.tested[list].lock().unwrap_or_else(PoisonError::into_inner),
            words: &self.words[list * (1 + self.capacity)..][..1 + self.capacity],
            distances: &self.distances[list * self.capacity..][..self.capacity],
        }
    }

    /// All lists, one after the other.
    pub fn into_words(self) -> Vec<u32> {
        self.words.into_iter().map(AtomicU32::into_inner).collect()
    }
}

/// The right to change one list.
pub(super) struct Locked<'a> {
    tested: MutexGuard<'a, u16>,
    words: &'a [AtomicU32],
    distances: &'a [AtomicU32],
}

impl Locked<'_> {
    fn count(&self) -> usize {
        self.words[0].load(Ordering::Relaxed) as usize
    }

    /// Puts `links` into `into`, in stored order.
    pub fn get(&self, into: &mut Vec<Link>) {
        let tested = usize::from(*self.tested);
        into.clear();
        into.extend(self.words[1..].iter().zip(self.distances).take(self.count()).enumerate().map(
            |(i, (id, distance))| Link {
                distance: f32::from_bits(distance.load(Ordering::Relaxed)),
                id: id.load(Ordering::Relaxed),
                tested: i < tested,
            },
        ));
    }

    /// Appends a link, if there is room.
    pub fn push(&mut self, distance: f32, id: u32) -> bool {
        let count = self.count();
        if count >= self.distances.len() {
            return false;
        }
        self.distances[count].store(distance.to_bits(), Ordering::Relaxed);
        self.words[1 + count].store(id, Ordering::Release);
        self.words[0].store(count as u32 + 1, Ordering::Release);
        true
    }

    /// Replaces the list by `links`, as many as there is room for. `tested`: they passed the selection.
    pub fn set(&mut self, links: &[Link], tested: bool) {
        let count = links.len().min(self.distances.len());
        for (i, link) in links.iter().take(count).enumerate() {
            self.distances[i].store(link.distance.to_bits(), Ordering::Relaxed);
            self.words[1 + i].store(link.id, Ordering::Release);
        }
        self.words[0].store(count as u32, Ordering::Release);
        *self.tested = if tested { count as u16 } else { 0 };
    }

    /// Zeroes the unused places, so that the bytes of a graph depend on its links alone.
    pub fn clear_unused(&mut self) {
        for word in &self.words[1 + self.count()..] {
            word.store(0, Ordering::Relaxed);
        }
    }
}
