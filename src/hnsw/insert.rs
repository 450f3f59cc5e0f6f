//! Insertion of one node into a graph that other threads insert into at the same time.
//!
//! A node looks for its neighbours on all its levels first, then writes its own lists, and only then
//! asks its neighbours to link back: whoever can see a node sees complete lists.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::codes::Codes;
use super::distance::Kernel;
use super::graph::{Graph, Parts};
use super::links::{Link, Links};
use super::select::{Selection, select, sort};
use super::walk::{Lists, Scratch, descend, explore};
use crate::error::Result;

/// A graph that grows.
pub(super) struct Growing<'a> {
    codes: &'a Codes,
    m: usize,
    ef_construction: usize,
    levels: Vec<u8>,
    /// Index in `upper` of each node's list of level 1.
    first_upper: Vec<usize>,
    level0: Links,
    upper: Links,
    /// Level of the entry and the entry: `level << 32 | id`.
    top: AtomicU64,
    /// Held by a node that becomes the entry.
    raising: Mutex<()>,
}

/// Buffers of one inserting thread.
#[derive(Default)]
pub(super) struct Inserter {
    scratch: Scratch,
    selection: Selection,
    candidates: Vec<Link>,
    chosen: Vec<(u8, Link)>,
}

impl<'a> Growing<'a> {
    /// A graph of which node 0 alone is inserted. `codes`: one row per node.
    pub fn new(codes: &'a Codes, levels: Vec<u8>, m: usize, ef_construction: usize) -> Result<Self> {
        let mut lists = 0usize;
        let mut first_upper = Vec::with_capacity(levels.len());
        for &level in &levels {
            first_upper.push(lists);
            lists += usize::from(level);
        }
        let level0 = Links::new(levels.len(), 2 * m)?;
        let upper = Links::new(lists, m)?;
        let top = AtomicU64::new(levels.first().map_or(0, |&level| u64::from(level) << 32));
        let raising = Mutex::new(());
        Ok(Growing { codes, m, ef_construction, levels, first_upper, level0, upper, top, raising })
    }

    /// Inserts `node`. Every node but 0 has to be inserted once.
    pub fn insert<K: Kernel>(&self, kernel: K, node: u32, inserter: &mut Inserter) {
        let Some(&level) = self.levels.get(node as usize) else { return };
        let mut top = self.top.load(Ordering::Acquire);
        let raising = if u64::from(level) > top >> 32 {
            let guard = self.raising.lock().unwrap_or_else(PoisonError::into_inner);
            top = self.top.load(Ordering::Acquire);
            Some(guard)
        } else {
            None
        };
        let (top_level, entry) = ((top >> 32) as u8, top as u32);

        self.find_neighbours(kernel, node, level, (top_level, entry), inserter);
        let Inserter { chosen, candidates, selection, .. } = inserter;
        for &(level, link) in chosen.iter() {
            self.link_back(kernel, level, link, node, candidates, selection);
        }
        if raising.is_some() && level > top_level {
            self.top.store(u64::from(level) << 32 | u64::from(node), Ordering::Release);
        }
    }

    /// Writes the lists of `node` and leaves their links in `inserter.chosen`.
    fn find_neighbours<K: Kernel>(
        &self,
        kernel: K,
        node: u32,
        level: u8,
        (top_level, entry): (u8, u32),
        inserter: &mut Inserter,
    ) {
        let Inserter { scratch, selection, candidates, chosen } = inserter;
        let between = |node: u32, ids: &[u32], out: &mut Vec<f32>| kernel.coded(self.codes, node, ids, out);
        let measure = |ids: &[u32], out: &mut Vec<f32>| between(node, ids, out);
        measure(&[entry], &mut scratch.distances);
        let mut nearest = (scratch.distances.first().copied().unwrap_or(f32::NAN), entry);
        for above in (level.saturating_add(1)..=top_level).rev() {
            nearest = descend(&measure, self, nearest, above, scratch);
        }
        chosen.clear();
        for level in (0..=level.min(top_level)).rev() {
            explore(&measure, self, nearest, level, self.ef_construction, scratch);
            candidates.clear();
            let found = scratch.pool.found().filter(|found| found.1 != node);
            candidates.extend(found.map(|(distance, id)| Link { distance, id, tested: false }));
            sort(candidates);
            let tested = candidates.len() >= self.m;
            let links = if tested {
                select(between, candidates, self.m, selection);
                &selection.taken
            } else {
                &*candidates
            };
            self.lists(level).lock(self.list(node, level)).set(links, tested);
            chosen.extend(links.iter().map(|link| (level, *link)));
            if let Some(first) = links.first() {
                nearest = (first.distance, first.id);
            }
        }
    }

    /// Adds `node` to the list of `link.id`; a full list is selected anew.
    fn link_back<K: Kernel>(
        &self,
        kernel: K,
        level: u8,
        link: Link,
        node: u32,
        candidates: &mut Vec<Link>,
        selection: &mut Selection,
    ) {
        let mut list = self.lists(level).lock(self.list(link.id, level));
        if list.push(link.distance, node) {
            return;
        }
        list.get(candidates);
        candidates.push(Link { distance: link.distance, id: node, tested: false });
        sort(candidates);
        let between = |node: u32, ids: &[u32], out: &mut Vec<f32>| kernel.coded(self.codes, node, ids, out);
        select(between, candidates, self.capacity(level), selection);
        list.set(&selection.taken, true);
    }

    fn capacity(&self, level: u8) -> usize {
        if level == 0 { 2 * self.m } else { self.m }
    }

    fn lists(&self, level: u8) -> &Links {
        if level == 0 { &self.level0 } else { &self.upper }
    }

    /// Index of a list in [`Growing::lists`].
    fn list(&self, node: u32, level: u8) -> usize {
        match level {
            0 => node as usize,
            _ => self.first_upper[node as usize] + usize::from(level) - 1,
        }
    }

    /// The graph as it is.
    pub fn finish(self) -> Result<Graph> {
        for (links, lists) in [(&self.level0, self.levels.len()), (&self.upper, self.upper_lists())] {
            for list in 0..lists {
                links.lock(list).clear_unused();
            }
        }
        let entry = self.top.into_inner() as u32;
        Graph::new(Parts {
            m: self.m,
            entry,
            levels: self.levels,
            level0: self.level0.into_words(),
            upper: self.upper.into_words(),
        })
    }

    fn upper_lists(&self) -> usize {
        self.levels.iter().map(|&level| usize::from(level)).sum()
    }
}

impl Lists for Growing<'_> {
    fn len(&self) -> usize {
        self.levels.len()
    }

    #[inline]
    fn links(&self, node: u32, level: u8) -> impl Iterator<Item = u32> + '_ {
        self.lists(level).read(self.list(node, level))
    }

    fn is_deleted(&self, _node: u32) -> bool {
        false
    }
}
