//! Progress of a transfer from the hub, as hf-hub reports it, handed on to the caller.

use crate::context::Context;

/// Reports a transfer in bytes.
pub(crate) struct Bar<'a> {
    pub context: &'a Context<'a>,
    pub name: String,
    pub begun: bool,
}

impl hf_hub::api::Progress for Bar<'_> {
    fn init(&mut self, size: usize, _: &str) {
        if !self.begun {
            self.begun = true;
            self.context.progress.start(&self.name, Some(size as u64), "bytes");
        }
    }

    fn update(&mut self, size: usize) {
        self.context.progress.advance(size as u64);
    }

    fn finish(&mut self) {
        if self.begun {
            self.begun = false;
            self.context.progress.finish();
        }
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        hf_hub::api::Progress::finish(self);
    }
}
