//! The program under the preloaded shim: counting its durable steps, stopping it at one of them.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{self, Outcome};

/// What happens at the chosen step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// SIGKILL before it.
    Kill,
    /// Half of its bytes are written, then SIGKILL.
    Torn,
    /// It fails once with an input/output error.
    Eio,
    /// The disk is full from here on.
    Full,
}

impl Stop {
    pub const ALL: [Stop; 4] = [Stop::Kill, Stop::Torn, Stop::Eio, Stop::Full];

    pub fn name(self) -> &'static str {
        match self {
            Stop::Kill => "kill",
            Stop::Torn => "torn",
            Stop::Eio => "eio",
            Stop::Full => "enospc",
        }
    }

    /// Whether this stop differs from others at such a step: only writes can be torn, and a disk is found
    /// full where room is needed.
    pub fn applies(self, step: &Step) -> bool {
        match self {
            Stop::Kill | Stop::Eio => true,
            Stop::Torn => step.is_write,
            Stop::Full => step.needs_room,
        }
    }
}

/// One durable step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub number: usize,
    pub call: String,
    pub is_write: bool,
    pub needs_room: bool,
    /// Relative to the store's folder; `from -> to` for a rename.
    pub path: String,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub killed: bool,
    pub outcome: Outcome,
}

/// When a run takes place: its clock stands still then, and its random numbers follow from that, so that the same
/// run on the same bytes leaves the same bytes.
#[derive(Clone, Copy, Debug)]
pub enum Hour {
    Stopped = 1,
    Again,
    On,
}

/// The compiled shim.
pub struct Shim {
    library: PathBuf,
    /// After everything that the scene was made of, in seconds since 1970.
    noon: u64,
}

impl Shim {
    /// Compiles it into `folder`.
    ///
    /// # Panics
    /// Without a C compiler: the tests need one, as building SQLite does.
    pub fn compile(folder: &Path) -> Shim {
        let library = folder.join("libsteps.so");
        let sources =
            ["steps.c", "names.c", "fixed.c"].map(|name| common::root().join("tests/crash").join(name));
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let seen = common::outcome(
            Command::new(compiler)
                .args(["-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o"])
                .arg(&library)
                .args(sources)
                .arg("-ldl"),
        );
        assert_eq!(seen.code, 0, "the shim does not compile: {}", seen.stderr);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Shim { library, noon: now.as_secs() + 1 }
    }

    fn command(&self, folder: &Path, store: &Path, arguments: &[String], hour: Hour) -> Command {
        let mut command = common::program(folder);
        command
            .args(arguments)
            .env("RAYON_NUM_THREADS", "1")
            .env("LD_PRELOAD", &self.library)
            .env("STEPS_TIME", (self.noon + 3600 * hour as u64).to_string())
            // Temporary files of SQLite get random names: those of two workers must not meet.
            .env("SQLITE_TMPDIR", store.parent().unwrap())
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end and counts nothing.
    pub fn run(&self, folder: &Path, store: &Path, arguments: &[String], hour: Hour) -> Outcome {
        common::outcome(&mut self.command(folder, store, arguments, hour))
    }

    /// Runs to the end; returns the steps.
    pub fn count(&self, folder: &Path, store: &Path, arguments: &[String]) -> (Outcome, Vec<Step>) {
        let log = folder.join("steps.log");
        let _ = fs::remove_file(&log);
        let outcome = common::outcome(
            self.command(folder, store, arguments, Hour::Stopped)
                .env("STEPS_ROOT", store)
                .env("STEPS_LOG", &log),
        );
        let text = fs::read_to_string(log).unwrap();
        (outcome, text.lines().map(parse).collect())
    }

    /// Runs and stops at step `at`.
    pub fn stop(&self, folder: &Path, store: &Path, arguments: &[String], at: usize, how: Stop) -> Ended {
        let output = self
            .command(folder, store, arguments, Hour::Stopped)
            .env("STEPS_ROOT", store)
            .env("STEPS_AT", at.to_string())
            .env("STEPS_DO", how.name())
            .output()
            .unwrap();
        Ended {
            killed: output.status.signal() == Some(9),
            outcome: Outcome {
                code: output.status.code().unwrap_or(-1),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            },
        }
    }
}

fn parse(line: &str) -> Step {
    let fields: Vec<&str> = line.split('\t').collect();
    Step {
        number: fields[0].parse().unwrap(),
        call: fields[1].to_owned(),
        is_write: fields[2].contains('w'),
        needs_room: fields[2].contains('a'),
        path: fields[3].to_owned(),
    }
}
