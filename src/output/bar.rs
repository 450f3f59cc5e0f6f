//! Progress on standard error: a bar on a terminal, nothing on a pipe.

use std::io::Write;
use std::sync::Mutex;

use embedport::context::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Draws one stage at a time.
pub struct Bar {
    quiet: bool,
    current: Mutex<Option<ProgressBar>>,
}

impl Bar {
    /// `quiet`: draws and notes nothing.
    pub fn new(quiet: bool) -> Self {
        Bar { quiet, current: Mutex::new(None) }
    }

    fn with(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        // A panic while drawing must not take the work down with it.
        act(&mut self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }
}

impl Progress for Bar {
    fn start(&self, stage: &str, total: Option<u64>, unit: &'static str) {
        if self.quiet {
            return;
        }
        let bar = match total {
            Some(total) => ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()),
            None => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
        };
        let template = match total {
            Some(_) => "{msg:26} {bar:30} {human_pos}/{human_len} {prefix} {per_sec} {eta}",
            None => "{msg:26} {spinner} {human_pos} {prefix} {per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(stage.to_owned());
        bar.set_prefix(unit);
        self.with(|current| *current = Some(bar));
    }

    fn advance(&self, count: u64) {
        self.with(|current| {
            if let Some(bar) = current {
                bar.inc(count);
            }
        });
    }

    fn finish(&self) {
        self.with(|current| {
            if let Some(bar) = current.take() {
                bar.finish_and_clear();
            }
        });
    }

    fn note(&self, message: &str) {
        if self.quiet {
            return;
        }
        let say = || {
            let _ = writeln!(std::io::stderr().lock(), "note: {message}");
        };
        self.with(|current| match current {
            Some(bar) => bar.suspend(say),
            None => say(),
        });
    }
}
