//! A small vocabulary for tests that run the program.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod library;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

#[allow(unused_imports)]
pub use library::{context, static_model};

/// What a run of the program left.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The JSON document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON ({e}); stdout: {}\nstderr: {}", self.stdout, self.stderr))
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Fails with this code, says `wanted` and gives a hint.
    #[track_caller]
    pub fn fails(self, code: i32, wanted: &str) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(self.stderr.contains(wanted), "`{wanted}` is not in: {}", self.stderr);
        assert!(self.stderr.contains("hint: "), "no hint in: {}", self.stderr);
        self
    }
}

/// The program under test.
pub fn embedport<S: AsRef<std::ffi::OsStr>>(folder: &Path, arguments: &[S]) -> Outcome {
    outcome(program(folder).args(arguments))
}

/// The program under test, to be given arguments; no network, no user's cache.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_embedport"));
    command
        .current_dir(folder)
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", folder.join("no-hub-cache"))
        .env_remove("HF_TOKEN")
        .stdin(Stdio::null());
    command
}

pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The top of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Python of a real Chroma release. Fails, and does not skip, where it is missing.
#[track_caller]
pub fn chroma_python(release: &str) -> PathBuf {
    let venvs = std::env::var_os("EMBEDPORT_VENV").map_or_else(|| root().join(".venv"), PathBuf::from);
    let python = venvs.join(format!("chroma-{release}/bin/python"));
    assert!(python.exists(), "no chromadb {release} at {}; make it with tests/setup.sh", python.display());
    python
}

/// Runs a script of `tests/python` with a real Chroma release.
#[track_caller]
pub fn python<S: AsRef<std::ffi::OsStr>>(release: &str, script: &str, arguments: &[S]) -> Outcome {
    outcome(chroma_program(release, script).args(arguments).stdin(Stdio::null()))
}

/// A script of `tests/python` with a real Chroma release, to be given arguments.
#[track_caller]
pub fn chroma_program(release: &str, script: &str) -> Command {
    let mut command = Command::new(chroma_python(release));
    command
        .arg(root().join("tests/python").join(script))
        .env("ANONYMIZED_TELEMETRY", "False")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Copies a folder with all that is in it, as `cp -rp`: times of changes are kept.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
            let copy = std::fs::File::options().write(true).open(target).unwrap();
            copy.set_modified(entry.metadata().unwrap().modified().unwrap()).unwrap();
        }
    }
}

/// Every file below a folder with its content, for "nothing was changed".
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let content = std::fs::read(&path).unwrap();
                    found.push((path.strip_prefix(folder).unwrap().to_owned(), content));
                }
            }
        }
    }
    found.sort();
    found
}

/// Writes a float32 .npy file.
pub fn write_npy(path: &Path, rows: &[Vec<f32>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {columns}), }}", rows.len());
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(rows.iter().flatten().flat_map(|x| x.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

/// Reads a float32 .npy file of version 1.
pub fn read_npy(path: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..start]).into_owned();
    assert!(header.contains("<f4"), "{header}");
    let shape = header.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
    let columns: usize = shape.split(',').nth(1).unwrap().trim().parse().unwrap();
    let values: Vec<f32> =
        bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    values.chunks(columns).map(<[f32]>::to_vec).collect()
}

/// Seeded numbers in [-1, 1): the tests' only randomness.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn rows(&mut self, rows: usize, columns: usize) -> Vec<Vec<f32>> {
        (0..rows).map(|_| (0..columns).map(|_| self.next()).collect()).collect()
    }
}

/// `rows` times a fixed map to `columns` components, plus a little noise: what another model might say.
pub fn another_space(rows: &[Vec<f32>], columns: usize, numbers: &mut Numbers) -> Vec<Vec<f32>> {
    let map = numbers.rows(columns, rows[0].len());
    rows.iter()
        .map(|row| {
            map.iter()
                .map(|w| w.iter().zip(row).map(|(w, x)| w * x).sum::<f32>() + 0.05 * numbers.next())
                .collect()
        })
        .collect()
}
