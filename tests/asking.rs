//! A person at a terminal who is asked, and stops the program instead of an answer.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use common::*;
use tempfile::TempDir;

const PROJECTION: &str = "all-minilm-l6-v2--static-256";

/// Starts the program at a terminal of its own and waits for its question.
#[allow(unsafe_code)]
fn asked(folder: &Path, arguments: &[&str]) -> (Child, File) {
    let (mut ours, mut its) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: two places for descriptors and no settings; both descriptors are new and owned here alone.
    let (mut ours, its) = unsafe {
        assert_eq!(libc::openpty(&mut ours, &mut its, none, none.cast(), none.cast()), 0);
        (File::from_raw_fd(ours), OwnedFd::from_raw_fd(its))
    };
    let child = program(folder).args(arguments).stdin(its.try_clone().unwrap()).stderr(its).spawn().unwrap();
    let (mut seen, mut some) = (Vec::new(), [0; 4096]);
    while !seen.ends_with(b"[y/N] ") {
        let read = ours.read(&mut some).unwrap_or(0);
        assert!(read > 0, "no question in: {}", String::from_utf8_lossy(&seen));
        seen.extend(&some[..read]);
    }
    (child, ours)
}

/// The exit code, within seconds.
fn ended(mut child: Child) -> Option<i32> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    panic!("it still waits for an answer");
}

#[test]
#[allow(unsafe_code)]
fn a_signal_ends_every_question_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
    let migrate = ["migrate-collection", "--store", "db", "--collection", "tldr", "--projection", PROJECTION];
    let prune = ["backups", "prune", "--store", "db", "--all"];
    for arguments in [&migrate[..], &prune[..]] {
        let before = contents(folder.path());
        for signal in [libc::SIGINT, libc::SIGTERM] {
            let (child, _terminal) = asked(folder.path(), arguments);
            // SAFETY: a signal to a child that was not waited for yet.
            assert_eq!(unsafe { libc::kill(child.id().cast_signed(), signal) }, 0);
            assert_eq!(ended(child), Some(130), "{arguments:?}");
        }
        assert!(contents(folder.path()) == before, "{arguments:?}");
        // An answer is an answer still.
        let (child, mut terminal) = asked(folder.path(), arguments);
        terminal.write_all(b"n\n").unwrap();
        assert_eq!(ended(child), Some(8), "{arguments:?}");
        if arguments == migrate {
            embedport(folder.path(), &[arguments, &["--yes"]].concat()).succeeds();
        }
    }
}
