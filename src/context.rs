//! What the library is handed instead of taking it: seed, clock, randomness, progress, cancellation.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Kind, Result};

/// Receives progress. The library reports, the caller draws (or does not).
pub trait Progress: Sync {
    /// A stage begins. `total` counts `unit`s ("records", "texts", "bytes"); `None` if unknown.
    fn start(&self, stage: &str, total: Option<u64>, unit: &'static str);
    /// `count` more units of the current stage are done.
    fn advance(&self, count: u64);
    /// The current stage is over.
    fn finish(&self);
    /// A message for the user: lower case, no full stop.
    fn note(&self, message: &str);
}

/// Draws nothing.
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: Option<u64>, _: &'static str) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
    fn note(&self, _: &str) {}
}

/// A flag that asks a running operation to stop at its next safe point.
#[derive(Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// A flag that is not raised.
    pub const fn new() -> Self {
        Cancel(AtomicBool::new(false))
    }

    /// Asks to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything an operation needs from outside: handed down, never taken.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Seed of every pseudo-random choice: the same seed and input give the same result.
    pub seed: u64,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// Raised when the operation is to stop.
    pub cancel: &'a Cancel,
    /// The current time.
    pub now: &'a (dyn Fn() -> jiff::Timestamp + Sync),
    /// Sixteen unpredictable bytes, for identifiers.
    pub entropy: &'a (dyn Fn() -> [u8; 16] + Sync),
}

impl Context<'_> {
    /// Fails with [`Kind::Interrupted`] once cancellation was asked for. Call it at safe points.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_raised() {
            return Err(Error::new(Kind::Interrupted, "stopped on request")
                .hint("run the same command again to start over"));
        }
        Ok(())
    }

    /// A new random (version 4) identifier.
    pub fn new_uuid(&self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes((self.entropy)()).into_uuid()
    }

    /// Current time in seconds precision, RFC 3339, UTC.
    pub fn timestamp(&self) -> String {
        let now = (self.now)();
        jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    static CANCEL: Cancel = Cancel::new();
    static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

    fn now() -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_700_000_000).expect("in range")
    }

    fn entropy() -> [u8; 16] {
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [7u8; 16];
        bytes[8..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        bytes
    }

    /// A context for unit tests: fixed clock, silent, never cancelled.
    pub(crate) fn context() -> Context<'static> {
        Context { seed: 7, progress: &Silent, cancel: &CANCEL, now: &now, entropy: &entropy }
    }
}
