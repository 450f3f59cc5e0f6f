//! One thread reads and writes the file, all of them work on what was read.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;

use crate::error::{Error, Kind, Result};

/// Pieces that are read ahead where reading has a thread of its own.
const AHEAD: usize = 4;

/// The two ends that belong to the thread of the connection.
pub(super) trait Ends {
    type In: Send;
    type Out: Send;

    /// The next piece of work; `None` behind the last.
    fn next(&mut self) -> Result<Option<Self::In>>;

    /// What became of a piece. They come in the order in which they were given out.
    fn take(&mut self, done: Self::Out) -> Result<()>;
}

/// Sends everything that `ends` gives through `work`. So many pieces are under way that every thread has one; which call
/// follows which does not depend on how fast they are.
pub(super) fn run<E: Ends>(ends: &mut E, work: &(dyn Fn(E::In) -> Result<E::Out> + Sync)) -> Result<()> {
    let most = rayon::current_num_threads() + 2;
    rayon::in_place_scope(|scope| {
        let (done, results) = mpsc::channel();
        let mut early = BTreeMap::new();
        let (mut given, mut taken, mut more) = (0usize, 0usize, true);
        while more || taken < given {
            if more && given - taken < most {
                match ends.next()? {
                    None => more = false,
                    Some(piece) => {
                        let (number, done) = (given, done.clone());
                        given += 1;
                        scope.spawn(move |_| {
                            // A panic has to reach who waits for the piece.
                            let result = catch_unwind(AssertUnwindSafe(|| work(piece)));
                            // Nobody waits for it if another piece failed.
                            let _ = done.send((number, result.unwrap_or_else(|_| Err(lost()))));
                        });
                    }
                }
                continue;
            }
            while !early.contains_key(&taken) {
                let (number, result) = wait(&results)?;
                early.insert(number, result);
            }
            if let Some(result) = early.remove(&taken) {
                ends.take(result?)?;
                taken += 1;
            }
        }
        Ok(())
    })
}

/// The next result. A thread of the pool works meanwhile: it may be the only one.
fn wait<T>(results: &Receiver<T>) -> Result<T> {
    loop {
        match results.try_recv() {
            Ok(result) => return Ok(result),
            Err(TryRecvError::Empty) if rayon::yield_now() == Some(rayon::Yield::Executed) => {}
            // Others have all that is under way.
            Err(_) => return results.recv().map_err(|_| lost()),
        }
    }
}

fn lost() -> Error {
    Error::new(Kind::Internal, "a piece of work was lost")
}

/// Lets a thread of its own read ahead of `run`, which takes the pieces. `read` gives each of them away, and ends when it is
/// told that nobody takes them any more; returns what it returns.
pub(super) fn ahead<T: Send, R: Send>(
    read: impl FnOnce(&dyn Fn(T) -> bool) -> Result<R> + Send,
    run: impl FnOnce(Receiver<T>) -> Result<()>,
) -> Result<R> {
    thread::scope(|scope| {
        let (give, take) = mpsc::sync_channel(AHEAD);
        let reader = scope.spawn(move || read(&|piece| give.send(piece).is_ok()));
        // The other end of the channel is gone when this returns: the reader then ends, and can be waited for.
        let done = run(take);
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.and(read)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbers {
        next: u32,
        taken: Vec<u32>,
    }

    impl Ends for Numbers {
        type In = u32;
        type Out = u32;
        fn next(&mut self) -> Result<Option<u32>> {
            self.next += 1;
            Ok((self.next <= 100).then_some(self.next))
        }
        fn take(&mut self, done: u32) -> Result<()> {
            self.taken.push(done);
            Ok(())
        }
    }

    #[test]
    fn pieces_come_back_in_their_order() {
        let mut ends = Numbers { next: 0, taken: Vec::new() };
        run(&mut ends, &|n| {
            thread::sleep(std::time::Duration::from_micros(u64::from(n * 7919 % 500)));
            Ok(2 * n)
        })
        .unwrap();
        assert_eq!(ends.taken, (1..=100).map(|n| 2 * n).collect::<Vec<_>>());
    }

    #[test]
    fn a_failure_ends_everything() {
        let mut ends = Numbers { next: 0, taken: Vec::new() };
        let failed = run(&mut ends, &|n| match n {
            30 => Err(Error::new(Kind::Refused, "thirty")),
            n => Ok(n),
        });
        assert_eq!(failed.unwrap_err().message(), "thirty");
        assert_eq!(ends.taken, (1..30).collect::<Vec<_>>());
    }

    /// What `call` returns, if it does so in time.
    fn in_time<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        thread::spawn(move || done.send(call()));
        result.recv_timeout(std::time::Duration::from_secs(20)).expect("it ends")
    }

    #[test]
    fn a_panic_ends_everything_too() {
        let failed = in_time(|| {
            let mut ends = Numbers { next: 0, taken: Vec::new() };
            run(&mut ends, &|n| if n == 30 { panic!("thirty") } else { Ok(n) }).map(|()| ends.taken.len())
        });
        assert_eq!(failed.unwrap_err().kind(), Kind::Internal);
    }

    #[test]
    fn the_only_thread_of_a_pool_does_the_work_itself() {
        let taken = in_time(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let mut ends = Numbers { next: 0, taken: Vec::new() };
            pool.install(|| run(&mut ends, &Ok)).unwrap();
            ends.taken
        });
        assert_eq!(taken.len(), 100);
    }
}
