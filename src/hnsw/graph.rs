//! The finished graph, and what a searcher needs to see of any graph.
//!
//! Lists are stored as hnswlib stores them: one word with the number of links, then room for all
//! that the level allows, unused places zero.

use crate::error::{Error, Kind, Result};

/// A graph over vectors that may lie anywhere, a memory map included.
///
/// Contents are not trusted: [`search`](super::search()) skips links to nodes that do not exist and ends on cycles.
pub trait GraphView {
    /// Nodes, deleted ones included.
    fn len(&self) -> usize;
    /// Components of a vector.
    fn dimension(&self) -> usize;
    /// Where a search starts.
    fn entry(&self) -> u32;
    /// Level of the entry.
    fn max_level(&self) -> u8;
    /// Links of `node` on `level`; none where the node or the level does not exist.
    fn links(&self, node: u32, level: u8) -> impl Iterator<Item = u32> + '_;
    /// Vector of `node`, [`GraphView::dimension`] long; empty where the node does not exist.
    fn vector(&self, node: u32) -> &[f32];
    /// Whether `node` is walked through and never returned.
    fn is_deleted(&self, node: u32) -> bool {
        let _ = node;
        false
    }
    /// Whether there is nothing to find.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A hierarchical navigable small world graph without its vectors. Node i is row i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    m: usize,
    entry: u32,
    levels: Vec<u8>,
    level0: Vec<u32>,
    upper: Vec<u32>,
    /// Word offset of each node's first list in `upper`, and one past the last.
    upper_start: Vec<usize>,
}

/// What a [`Graph`] is made of; see the fields of the same names there.
pub(super) struct Parts {
    pub m: usize,
    pub entry: u32,
    pub levels: Vec<u8>,
    pub level0: Vec<u32>,
    pub upper: Vec<u32>,
}

impl Graph {
    /// Joins the parts. Fails if sizes, levels or links contradict each other.
    pub(super) fn new(parts: Parts) -> Result<Self> {
        let Parts { m, entry, levels, level0, upper } = parts;
        let mut upper_start = Vec::with_capacity(levels.len() + 1);
        let mut start = 0usize;
        upper_start.push(0);
        for &level in &levels {
            start += usize::from(level) * (1 + m);
            upper_start.push(start);
        }
        let graph = Graph { m, entry, levels, level0, upper, upper_start };
        graph.check()?;
        Ok(graph)
    }

    /// Nodes.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Links that a node may have on each level above 0 (hnswlib's M and maxM).
    pub fn m(&self) -> usize {
        self.m
    }

    /// Links that a node may have on level 0: twice [`Graph::m`] (hnswlib's maxM0).
    pub fn max_m0(&self) -> usize {
        2 * self.m
    }

    /// Where a search starts; 0 in an empty graph.
    pub fn entry(&self) -> u32 {
        self.entry
    }

    /// Level of the entry; 0 in an empty graph.
    pub fn max_level(&self) -> u8 {
        self.level(self.entry)
    }

    /// Highest level of `node`; 0 where the node does not exist.
    pub fn level(&self, node: u32) -> u8 {
        self.levels.get(node as usize).copied().unwrap_or(0)
    }

    /// Links of `node` on `level`; none where the node or the level does not exist.
    pub fn links(&self, node: u32, level: u8) -> &[u32] {
        let words = if level == 0 {
            self.level0_words(node)
        } else if level <= self.level(node) {
            let at = (usize::from(level) - 1) * (1 + self.m);
            self.upper_words(node).get(at..at + 1 + self.m).unwrap_or(&[])
        } else {
            &[]
        };
        match words.split_first() {
            Some((&count, ids)) => ids.get(..count as usize).unwrap_or(&[]),
            None => &[],
        }
    }

    /// Count and links of `node` on level 0, with the unused places.
    pub(super) fn level0_words(&self, node: u32) -> &[u32] {
        let stride = 1 + self.max_m0();
        let at = (node as usize).saturating_mul(stride);
        self.level0.get(at..at.saturating_add(stride)).unwrap_or(&[])
    }

    /// Counts and links of `node` on levels 1 and up, with the unused places.
    pub(super) fn upper_words(&self, node: u32) -> &[u32] {
        let node = node as usize;
        match (self.upper_start.get(node), self.upper_start.get(node + 1)) {
            (Some(&from), Some(&to)) => self.upper.get(from..to).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// Checks every invariant: sizes, the entry on the highest level, links in range, on their level,
    /// not to the node itself, and not more than allowed.
    ///
    /// # Errors
    /// [`Kind::Damaged`] with the first node that breaks one.
    pub fn check(&self) -> Result<()> {
        let damaged = |what: String| Err(Error::new(Kind::Damaged, format!("neighbour graph: {what}")));
        let (n, top) = (self.len(), self.max_level());
        if self.level0.len() != n * (1 + self.max_m0()) || self.upper_start.last() != Some(&self.upper.len())
        {
            return damaged(format!("size of the link lists does not fit {n} nodes"));
        }
        if n > 0 && self.entry as usize >= n {
            return damaged(format!("entry {} where there are {n} nodes", self.entry));
        }
        for (node, &level) in (0u32..).zip(&self.levels) {
            if level > top {
                return damaged(format!("node {node} is on level {level}, the entry on {top}"));
            }
            for l in 0..=level {
                let links = self.links(node, l);
                let list = match l {
                    0 => self.level0_words(node).first(),
                    _ => self.upper_words(node).get((usize::from(l) - 1) * (1 + self.m)),
                };
                if list != Some(&(links.len() as u32)) {
                    return damaged(format!("node {node} has more links on level {l} than fit"));
                }
                let bad = |&id: &u32| id == node || id as usize >= n || self.level(id) < l;
                if let Some(id) = links.iter().copied().find(bad) {
                    return damaged(format!("node {node} links to {id} on level {l}"));
                }
            }
        }
        Ok(())
    }
}

/// A [`Graph`] with its vectors.
#[derive(Clone, Copy)]
pub struct Indexed<'a> {
    graph: &'a Graph,
    vectors: &'a [f32],
    dimension: usize,
}

impl<'a> Indexed<'a> {
    /// `vectors`: row-major, one row per node.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if the number of components is no multiple of the number of nodes.
    pub fn new(graph: &'a Graph, vectors: &'a [f32]) -> Result<Self> {
        let n = graph.len();
        let dimension = vectors.len().checked_div(n).unwrap_or(0);
        if dimension * n != vectors.len() {
            let found = vectors.len();
            return Err(Error::new(Kind::Mismatch, format!("{found} components for {n} nodes of a graph")));
        }
        Ok(Indexed { graph, vectors, dimension })
    }
}

impl GraphView for Indexed<'_> {
    fn len(&self) -> usize {
        self.graph.len()
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn entry(&self) -> u32 {
        self.graph.entry()
    }

    fn max_level(&self) -> u8 {
        self.graph.max_level()
    }

    fn links(&self, node: u32, level: u8) -> impl Iterator<Item = u32> + '_ {
        self.graph.links(node, level).iter().copied()
    }

    fn vector(&self, node: u32) -> &[f32] {
        row(self.vectors, self.dimension, node)
    }
}

/// Row `node` of a row-major matrix; empty where there is none.
#[inline]
pub(super) fn row(vectors: &[f32], dimension: usize, node: u32) -> &[f32] {
    let at = (node as usize).wrapping_mul(dimension);
    vectors.get(at..at.wrapping_add(dimension)).unwrap_or(&[])
}
