//! One pass of repair over level 0 of a graph whose vectors were exchanged.
//!
//! After a change of space the neighbours of a node are still near, and no longer the nearest. Each node looks
//! at its links and at the links of the nearest of them, selects from these as insertion does, and offers itself
//! to those that it selected. Compare NN-descent (Dong, Moses and Li 2011): neighbours of neighbours.

use rayon::prelude::*;

use super::distance::{Distance, Kernel, KernelOp};
use super::graph::GraphView;
use super::links::Link;
use super::pool::{MAX_NODES, Seen, order};
use super::select::{Selection, select, sort};
use crate::context::Context;
use crate::error::{Error, Kind, Result};

/// Nodes that a thread handles between two looks at cancellation.
const BLOCK: usize = 256;
/// Links whose links are looked at, nearest first.
const EXPANDED: usize = 8;
/// Nearest candidates that the selection looks at.
const CONSIDERED: usize = 48;

/// New level-0 lists for every node of `view`: for each node the number of links, then `2 * m` places.
/// The same graph gives the same lists, whatever the number of threads.
///
/// # Errors
/// [`Kind::Unsupported`] from 2^31 nodes on, [`Kind::Interrupted`] on cancellation.
pub fn repair<V: GraphView + Sync>(
    view: &V,
    distance: Distance,
    m: usize,
    context: &Context<'_>,
) -> Result<Vec<u32>> {
    let n = view.len();
    if n >= MAX_NODES {
        return Err(Error::new(
            Kind::Unsupported,
            format!("graph of {n} nodes, at most 2^31 - 1 are repaired"),
        ));
    }
    let empty = Link { distance: 0.0, id: u32::MAX, tested: true };
    let mut chosen = room(n, m, empty)?;
    chosen.par_chunks_mut(m * BLOCK).enumerate().try_for_each(|(block, out)| {
        context.check()?;
        let nodes = out.len() / m;
        distance.run(Choose { view, m, first: block * BLOCK, out });
        context.progress.advance(nodes as u64);
        Ok(())
    })?;
    let offers = Offers::collect(&chosen, n, m);
    let mut lists = room(n, 1 + 2 * m, 0u32)?;
    lists.par_chunks_mut((1 + 2 * m) * BLOCK).enumerate().try_for_each(|(block, out)| {
        context.check()?;
        distance.run(Join { view, m, first: block * BLOCK, chosen: &chosen, offers: &offers, out });
        Ok(())
    })?;
    Ok(lists)
}

/// `n` times `each` places.
fn room<T: Clone>(n: usize, each: usize, value: T) -> Result<Vec<T>> {
    let none = || Error::new(Kind::Refused, format!("no memory to repair a graph of {n} nodes"));
    let places = n.checked_mul(each).ok_or_else(none)?;
    let mut room = Vec::new();
    room.try_reserve_exact(places).map_err(|e| none().because(e))?;
    room.resize(places, value);
    Ok(room)
}

/// Selects at most `m` links for each node of a block.
struct Choose<'a, V> {
    view: &'a V,
    m: usize,
    first: usize,
    out: &'a mut [Link],
}

impl<V: GraphView> KernelOp for Choose<'_, V> {
    type Output = ();

    fn run<K: Kernel>(self, kernel: K) {
        let Choose { view, m, first, out } = self;
        let (mut seen, mut selection) = (Seen::default(), Selection::default());
        let (mut ids, mut distances, mut candidates) = (Vec::new(), Vec::new(), Vec::new());
        for (node, out) in (first as u32..).zip(out.chunks_mut(m)) {
            let query = view.vector(node);
            seen.begin(view.len());
            seen.insert(node);
            candidates.clear();
            ids.clear();
            ids.extend(view.links(node, 0).filter(|&id| seen.insert(id)));
            let mut measure = |ids: &[u32], candidates: &mut Vec<Link>| {
                kernel.many(query, ids, |id| view.vector(id), &mut distances);
                let found = ids.iter().zip(&distances);
                candidates.extend(found.map(|(&id, &distance)| Link { distance, id, tested: false }));
            };
            measure(&ids, &mut candidates);
            sort(&mut candidates);
            ids.clear();
            for near in candidates.iter().take(EXPANDED) {
                ids.extend(view.links(near.id, 0).filter(|&id| seen.insert(id)));
            }
            measure(&ids, &mut candidates);
            if candidates.len() > CONSIDERED {
                candidates.select_nth_unstable_by_key(CONSIDERED, |link| order(link.distance));
                candidates.truncate(CONSIDERED);
            }
            sort(&mut candidates);
            select(between(kernel, view), &candidates, m, &mut selection);
            for (place, link) in out.iter_mut().zip(&selection.taken) {
                *place = Link { tested: true, ..*link };
            }
        }
    }
}

/// Distances between nodes, as [`select`] wants them.
fn between<K: Kernel>(kernel: K, view: &impl GraphView) -> impl Fn(u32, &[u32], &mut Vec<f32>) {
    move |node, ids, out| kernel.many(view.vector(node), ids, |id| view.vector(id), out)
}

/// For each node, who selected it.
struct Offers {
    starts: Vec<usize>,
    from: Vec<(u32, f32)>,
}

impl Offers {
    fn collect(chosen: &[Link], n: usize, m: usize) -> Offers {
        let mut starts = vec![0usize; n + 1];
        for link in chosen.iter().filter(|link| link.id != u32::MAX) {
            if let Some(count) = starts.get_mut(link.id as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut from = vec![(0u32, 0f32); sum];
        let mut next = starts.clone();
        for (node, links) in (0u32..).zip(chosen.chunks(m)) {
            for link in links.iter().filter(|link| link.id != u32::MAX) {
                let Some(at) = next.get_mut(link.id as usize) else { continue };
                if let Some(place) = from.get_mut(*at) {
                    *place = (node, link.distance);
                }
                *at += 1;
            }
        }
        Offers { starts, from }
    }

    fn of(&self, node: usize) -> &[(u32, f32)] {
        match (self.starts.get(node), self.starts.get(node + 1)) {
            (Some(&from), Some(&to)) => self.from.get(from..to).unwrap_or(&[]),
            _ => &[],
        }
    }
}

/// Joins what a node selected with those that selected it.
struct Join<'a, V> {
    view: &'a V,
    m: usize,
    first: usize,
    chosen: &'a [Link],
    offers: &'a Offers,
    out: &'a mut [u32],
}

impl<V: GraphView> KernelOp for Join<'_, V> {
    type Output = ();

    fn run<K: Kernel>(self, kernel: K) {
        let Join { view, m, first, chosen, offers, out } = self;
        let (mut selection, mut links) = (Selection::default(), Vec::new());
        for (node, list) in (first..).zip(out.chunks_mut(1 + 2 * m)) {
            links.clear();
            links.extend(chosen.iter().skip(node * m).take(m).filter(|link| link.id != u32::MAX));
            for &(id, distance) in offers.of(node) {
                if !links.iter().any(|link: &Link| link.id == id) {
                    links.push(Link { distance, id, tested: false });
                }
            }
            sort(&mut links);
            let kept = if links.len() > 2 * m {
                select(between(kernel, view), &links, 2 * m, &mut selection);
                &selection.taken
            } else {
                &links
            };
            // Links of before go into the places that are left: the far ones among them hold the graph together.
            let before = view.links(node as u32, 0).filter(|id| !kept.iter().any(|link| link.id == *id));
            if let Some((count, places)) = list.split_first_mut() {
                let links = kept.iter().map(|link| link.id).chain(before);
                *count = places.iter_mut().zip(links).map(|(place, id)| *place = id).count() as u32;
            }
        }
    }
}
