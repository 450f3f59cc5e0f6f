//! Length-sorted batches over several workers: bounded memory, rows in input order.
//!
//! On a CPU one single-threaded worker per core beats one worker with many threads, and small batches
//! beat large ones for long texts, because the activations then stay in the cache.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

use crate::context::Context;
use crate::error::{Error, Kind, Result};

/// Texts tokenised at a time; bounds the memory that token ids take.
const WINDOW: usize = 8192;

/// How large batches may be, and how many run at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Padded tokens of one batch.
    pub tokens: usize,
    /// Texts of one batch.
    pub texts: usize,
    /// Batches at once, each with one thread.
    pub workers: usize,
}

/// Runs `forward` over all `texts`. `encode` gives the token ids of a text; `forward` gets texts of
/// similar length as ids and returns one row of `dimension` for each.
pub(crate) fn run<E, F>(
    texts: &[&str],
    dimension: usize,
    plan: Plan,
    context: &Context<'_>,
    encode: E,
    forward: F,
) -> Result<Array2<f32>>
where
    E: Fn(&str) -> Result<Vec<u32>> + Sync,
    F: Fn(&[&[u32]]) -> Result<Array2<f32>> + Sync,
{
    let mut rows = Array2::zeros((texts.len(), dimension));
    for (index, window) in texts.chunks(WINDOW).enumerate() {
        context.check()?;
        let ids = window.par_iter().map(|text| encode(text)).collect::<Result<Vec<_>>>()?;
        let mut order: Vec<usize> = (0..ids.len()).collect();
        let length = |i: usize| ids.get(i).map_or(0, Vec::len);
        order.sort_by_key(|&i| std::cmp::Reverse(length(i)));
        let lengths: Vec<usize> = order.iter().map(|&i| length(i)).collect();
        let start = index * WINDOW;
        let target = rows.slice_mut(s![start..start + window.len(), ..]);
        let target = Mutex::new(target);
        let work = |batch: Range<usize>| -> Result<()> {
            let members = order.get(batch).unwrap_or(&[]);
            let inputs: Vec<&[u32]> = members.iter().filter_map(|&i| ids.get(i).map(Vec::as_slice)).collect();
            let output = forward(&inputs)?;
            if output.dim() != (members.len(), dimension) {
                return Err(Error::new(Kind::Internal, "a batch came back with another shape"));
            }
            let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
            for (&place, row) in members.iter().zip(output.rows()) {
                target.row_mut(place).assign(&row);
            }
            context.progress.advance(members.len() as u64);
            Ok(())
        };
        on_workers(&batches(&lengths, plan), plan.workers, context, work)?;
    }
    check_finite(rows.view())?;
    Ok(rows)
}

/// Cuts texts that are sorted by falling length into batches whose padded size fits the plan.
fn batches(lengths: &[usize], plan: Plan) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut start = 0;
    while let Some(&longest) = lengths.get(start) {
        let fit = (plan.tokens / longest.max(1)).clamp(1, plan.texts.max(1));
        let end = (start + fit).min(lengths.len());
        cuts.push(start..end);
        start = end;
    }
    cuts
}

/// Hands `batches` to workers; the first failure stops all.
fn on_workers<W>(batches: &[Range<usize>], workers: usize, context: &Context<'_>, work: W) -> Result<()>
where
    W: Fn(Range<usize>) -> Result<()> + Sync,
{
    let workers = workers.clamp(1, batches.len().max(1));
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let take_all = || -> Result<()> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|cause| {
            Error::new(Kind::Io, "cannot start a thread for the embedding model").because(cause)
        })?;
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let done = context.check().and_then(|()| pool.install(|| work(batch.clone())));
            if done.is_err() {
                stop.store(true, Ordering::Relaxed);
                return done;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(take_all)).collect();
        handles.into_iter().try_fold((), |(), handle| {
            handle.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "an embedding thread failed")))
        })
    })
}

/// Refuses rows that are not finite, naming how many.
pub(crate) fn check_finite(rows: ArrayView2<f32>) -> Result<()> {
    let broken = rows.rows().into_iter().filter(|row| !row.iter().all(|x| x.is_finite())).count();
    match broken {
        0 => Ok(()),
        _ => Err(Error::new(
            Kind::Damaged,
            format!("the model gave {broken} of {} vectors with values that are not finite", rows.nrows()),
        )
        .hint("its weights are damaged; load the model again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::context;
    use crate::context::{Cancel, Silent};

    const PLAN: Plan = Plan { tokens: 12, texts: 4, workers: 2 };

    fn encode(text: &str) -> Result<Vec<u32>> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn sums(batch: &[&[u32]]) -> Result<Array2<f32>> {
        Ok(Array2::from_shape_fn((batch.len(), 1), |(i, _)| batch[i].iter().sum::<u32>() as f32))
    }

    #[test]
    fn rows_come_back_in_input_order() {
        let texts: Vec<String> = (0..9000usize).map(|i| "ab".repeat(i * 7 % 5)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let rows = run(&texts, 1, PLAN, &context(), encode, sums).unwrap();
        for (i, row) in rows.rows().into_iter().enumerate() {
            assert_eq!(row[0], ((i * 7 % 5) * (97 + 98)) as f32);
        }
    }

    #[test]
    fn batches_fit_the_token_budget() {
        assert_eq!(batches(&[20, 6, 6, 6, 1, 1, 1, 1, 1], PLAN), [0..1, 1..3, 3..5, 5..9]);
        assert_eq!(batches(&[0, 0, 0], PLAN).first(), Some(&(0..3)));
        assert!(batches(&[], PLAN).is_empty());
    }

    #[test]
    fn values_that_are_not_finite_are_counted() {
        let nan = |batch: &[&[u32]]| Ok(Array2::from_elem((batch.len(), 1), f32::NAN));
        let error = run(&["a", "b"], 1, PLAN, &context(), encode, nan).unwrap_err();
        assert!(error.message().contains("2 of 2"));
    }

    #[test]
    fn a_raised_flag_stops_the_run() {
        let cancel = Cancel::new();
        cancel.raise();
        let context = Context { progress: &Silent, cancel: &cancel, ..context() };
        assert!(run(&["a"], 1, PLAN, &context, encode, sums).unwrap_err().is_interrupted());
    }

    #[test]
    fn the_first_failure_is_the_answer() {
        let fail = |_: &[&[u32]]| Err(Error::new(Kind::Damaged, "no"));
        assert_eq!(run(&["a"; 50], 1, PLAN, &context(), encode, fail).unwrap_err().kind(), Kind::Damaged);
    }
}
