//! Command line program: parse, run one command, print its result or its error, exit code.

mod cli;
mod commands;
mod output;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use embedport::context::{Cancel, Context};
use embedport::error::{Error, Kind, Result};
use sha2::{Digest, Sha256};

use crate::cli::{Cli, Command};
use crate::output::Output;

static CANCEL: Cancel = Cancel::new();

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => return not_understood(&refused),
    };
    let output = Output { json: cli.json, quiet: cli.quiet };
    without_statistics();
    match run(cli, output) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// Stops SQLite from counting the memory that it takes: all threads would wait for each other to count.
#[allow(unsafe_code)]
fn without_statistics() {
    use rusqlite::ffi;
    // SAFETY: nothing of SQLite has been called before, and no other thread runs; this setting takes one integer.
    let _ = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0) };
}

/// Help and version, or arguments that make no sense: these get a document too if `--json` is among them.
fn not_understood(refused: &clap::Error) -> ExitCode {
    let _ = refused.print();
    if !refused.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let text = refused.render().to_string();
    let message = text.trim_start_matches("error: ").lines().take_while(|line| !line.is_empty());
    let error = Error::new(Kind::Usage, message.map(str::trim).collect::<Vec<_>>().join(" "))
        .hint("see `embedport --help`, or --help after the command");
    let json = std::env::args_os().any(|argument| argument == "--json");
    Output { json, quiet: false }.error_document(&error);
    ExitCode::from(error.kind().exit_code())
}

fn run(cli: Cli, output: Output) -> Result<ExitCode> {
    ctrlc::set_handler(|| CANCEL.raise())
        .map_err(|e| Error::new(Kind::Internal, "cannot watch for Ctrl-C").because(e))?;
    let entropy = Entropy::from_system()?;
    let progress = output.progress();
    let context = Context {
        seed: match &cli.command {
            Command::Train(args) => args.pairing.seed,
            Command::Bridge(args) => args.pairing.seed,
            Command::Evaluate(args) => args.seed,
            _ => 7,
        },
        progress: progress.as_ref(),
        cancel: &CANCEL,
        now: &jiff::Timestamp::now,
        entropy: &|| entropy.next(),
    };
    commands::run(cli.command, output, &context)
}

/// Unpredictable bytes: the system's, stretched by SHA-256 over a counter.
struct Entropy {
    key: [u8; 32],
    counter: AtomicU64,
}

impl Entropy {
    fn from_system() -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .map_err(|e| Error::new(Kind::Internal, "the system gave no random bytes").because(e))?;
        Ok(Entropy { key, counter: AtomicU64::new(0) })
    }

    fn next(&self) -> [u8; 16] {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let digest = Sha256::new().chain_update(self.key).chain_update(count.to_le_bytes()).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes
    }
}
