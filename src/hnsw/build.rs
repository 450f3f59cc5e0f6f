//! Building a graph over vectors with several threads.

use std::sync::atomic::{AtomicU32, Ordering};

use ndarray::ArrayView2;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use super::codes::Codes;
use super::distance::{Distance, Kernel, KernelOp};
use super::graph::{Graph, Parts};
use super::insert::{Growing, Inserter};
use super::pool::MAX_NODES;
use crate::context::Context;
use crate::error::{Error, Kind, Result};

/// Nodes that a thread inserts between two looks at cancellation.
const BLOCK: u32 = 64;

/// How a graph is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Links per node on levels above 0, half of those on level 0 (hnswlib's M): 2 to 10,000.
    pub m: usize,
    /// Candidates kept while neighbours are looked for; at least `m` are.
    pub ef_construction: usize,
    /// Seed of the levels. With one thread the same seed gives the same graph.
    pub seed: u64,
    /// Threads that insert; 0 counts as 1.
    pub threads: usize,
}

/// Builds a graph whose node i is row i of `vectors` (n x dimension), as [`build_coded`] does.
///
/// # Errors
/// As [`build_coded`].
pub fn build(
    vectors: ArrayView2<'_, f32>,
    distance: Distance,
    params: &Params,
    context: &Context<'_>,
) -> Result<Graph> {
    build_coded(&Codes::of(vectors)?, distance, params, context)
}

/// Builds a graph whose node i is row i of `codes`.
///
/// Reports each inserted record with [`Progress::advance`](crate::context::Progress::advance);
/// starting and finishing the stage is the caller's. Vectors have to be finite for the graph to be of use.
///
/// # Errors
/// [`Kind::Usage`] if `m` is out of range, [`Kind::Unsupported`] from 2^31 rows on, [`Kind::Refused`] if memory does
/// not suffice, [`Kind::Interrupted`] on cancellation.
pub fn build_coded(
    codes: &Codes,
    distance: Distance,
    params: &Params,
    context: &Context<'_>,
) -> Result<Graph> {
    let n = codes.len();
    let Params { m, seed, .. } = *params;
    if !(2..=10_000).contains(&m) {
        return Err(Error::new(Kind::Usage, format!("m is {m}, wanted 2 to 10000")));
    }
    if n >= MAX_NODES {
        return Err(Error::new(Kind::Unsupported, format!("{n} vectors in one graph, at most 2^31 - 1 fit")));
    }
    let ef_construction = params.ef_construction.max(m);
    if n == 0 {
        let (levels, level0, upper) = (Vec::new(), Vec::new(), Vec::new());
        return Graph::new(Parts { m, entry: 0, levels, level0, upper });
    }
    let growing = Growing::new(codes, draw_levels(n, m, seed), m, ef_construction)?;
    context.progress.advance(1);

    let next = AtomicU32::new(1);
    let work = || distance.run(Worker { growing: &growing, next: &next, end: n as u32, context });
    let helpers = params.threads.clamp(1, n.div_ceil(BLOCK as usize)) - 1;
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let own = work();
        helpers.into_iter().fold(own, |result, helper| {
            result.and(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    })?;
    growing.finish()
}

/// Level of each node: floor(-ln(u) / ln(m)) with u uniform in (0, 1] (section 4.1 of the paper).
fn draw_levels(n: usize, m: usize, seed: u64) -> Vec<u8> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let per_nat = 1.0 / (m as f64).ln();
    let mut draw = || {
        let uniform = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (-uniform.ln() * per_nat) as u8
    };
    (0..n).map(|_| draw()).collect()
}

/// One thread's share: blocks of nodes until none is left.
struct Worker<'a> {
    growing: &'a Growing<'a>,
    next: &'a AtomicU32,
    end: u32,
    context: &'a Context<'a>,
}

impl KernelOp for Worker<'_> {
    type Output = Result<()>;

    fn run<K: Kernel>(self, kernel: K) -> Result<()> {
        let mut inserter = Inserter::default();
        loop {
            self.context.check()?;
            let from = self.next.fetch_add(BLOCK, Ordering::Relaxed);
            if from >= self.end {
                return Ok(());
            }
            let to = from.saturating_add(BLOCK).min(self.end);
            for node in from..to {
                self.growing.insert(kernel, node, &mut inserter);
            }
            self.context.progress.advance(u64::from(to - from));
        }
    }
}
