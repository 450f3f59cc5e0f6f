//! The only place that prints: results to standard output, everything else to standard error.

mod advice;
mod asking;
mod backups;
mod bar;
mod bridge;
mod demo;
mod detection;
mod evaluation;
mod examination;
mod html;
mod identification;
mod migration;
mod store;
mod training;

use std::io::Write;
use std::process::ExitCode;

use embedport::context::Progress;
use embedport::error::{Error, Result};
use serde::Serialize;

pub use advice::Advised;
pub use bar::Bar;
pub use demo::{Answer, DemoReport};
pub use detection::Detected;
pub use evaluation::Evaluated;
pub use examination::Deep;
pub use identification::Identified;
pub use training::{Applied, Checked, CheckedEntry, Composed, Listing, Shown, Threshold, Trained};

/// How results are shown.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// One JSON document instead of text.
    pub json: bool,
    /// No notes.
    pub quiet: bool,
}

/// A result that can be shown to a person.
pub trait Show: Serialize {
    /// Writes it as text, without a trailing empty line.
    fn show(&self, out: &mut dyn Write) -> std::io::Result<()>;
}

impl Output {
    /// Prints a result to standard output.
    pub fn result(self, value: &dyn ShowJson) -> Result<()> {
        let mut text = Vec::new();
        let written = match self.json {
            true => value.json(&mut text),
            false => value.text(&mut text),
        };
        print(written.map(|()| text))
    }

    /// Prints bytes as they are to standard output.
    pub fn raw(self, bytes: &[u8]) -> Result<ExitCode> {
        print(Ok(bytes.to_vec()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Prints text that belongs to a person, such as a plan before a question, to standard error.
    pub fn aside(self, value: &dyn ShowJson) {
        let mut text = Vec::new();
        if value.text(&mut text).is_ok() {
            let _ = std::io::stderr().lock().write_all(&text);
        }
    }

    /// Prints what a user has to know even of a run that is to be quiet, to standard error.
    pub fn warn(self, warnings: &[String]) {
        let mut stderr = std::io::stderr().lock();
        for warning in warnings {
            let _ = writeln!(stderr, "warning: {warning}");
        }
    }

    /// Prints an error: to standard error as text and, with `--json`, to standard output as JSON.
    pub fn error(self, error: &Error) {
        let _ = write_error(&mut std::io::stderr().lock(), error);
        self.error_document(error);
    }

    /// With `--json`, the error's document to standard output.
    pub fn error_document(self, error: &Error) {
        if self.json {
            let document = serde_json::json!({ "error": {
                "kind": error.kind().name(),
                "message": error.message(),
                "causes": causes(error),
                "hints": error.hints(),
                "exit_code": error.kind().exit_code(),
            }});
            let _ = writeln!(std::io::stdout().lock(), "{document:#}");
        }
    }

    /// Where progress goes.
    pub fn progress(self) -> Box<dyn Progress> {
        Box::new(Bar::new(self.quiet))
    }
}

/// [`Show`] behind a pointer.
pub trait ShowJson {
    /// One indented JSON document.
    fn json(&self, out: &mut Vec<u8>) -> std::io::Result<()>;
    /// Text.
    fn text(&self, out: &mut Vec<u8>) -> std::io::Result<()>;
}

impl<T: Show> ShowJson for T {
    fn json(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.push(b'\n');
        Ok(())
    }

    fn text(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        self.show(out)
    }
}

/// To standard output. A reader that has seen enough is no failure.
fn print(text: std::io::Result<Vec<u8>>) -> Result<()> {
    let write = |text: Vec<u8>| {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&text).and_then(|()| stdout.flush())
    };
    match text.and_then(write) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", std::path::Path::new("standard output"), e))
        }
        _ => Ok(()),
    }
}

fn write_error(out: &mut dyn Write, error: &Error) -> std::io::Result<()> {
    writeln!(out, "error: {}", error.message())?;
    for cause in causes(error) {
        writeln!(out, "  caused by: {cause}")?;
    }
    if !error.hints().is_empty() {
        writeln!(out)?;
    }
    for hint in error.hints() {
        writeln!(out, "hint: {hint}")?;
    }
    Ok(())
}

fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

/// Bytes as a person reads them, in units of 1000.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Seconds as a person reads them.
pub(crate) fn seconds(s: f64) -> String {
    match s {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A value that may be missing.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |v| format!("{v:.3}"))
}

/// The path as it must be typed in a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_by_hand() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(8_100_000), "8.1 MB");
        assert_eq!(seconds(0.25), "250 ms");
        assert_eq!(seconds(600.0), "10 min");
    }

    #[test]
    fn a_command_can_be_pasted() {
        assert_eq!(quoted("/a/b.c"), "/a/b.c");
        assert_eq!(quoted("my db"), "'my db'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
