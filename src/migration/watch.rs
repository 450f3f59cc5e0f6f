//! How long each stage took.

use jiff::Timestamp;

use crate::context::Context;

/// Seconds by stage, by the clock that was handed in.
pub(super) struct Watch<'a> {
    now: &'a (dyn Fn() -> Timestamp + Sync),
    last: Timestamp,
    pub laps: Vec<(&'static str, f64)>,
}

impl<'a> Watch<'a> {
    pub fn new(context: &Context<'a>) -> Self {
        Watch { now: context.now, last: (context.now)(), laps: Vec::new() }
    }

    pub fn lap(&mut self, stage: &'static str) {
        let now = (self.now)();
        self.laps.push((stage, now.duration_since(self.last).as_secs_f64()));
        self.last = now;
    }
}
