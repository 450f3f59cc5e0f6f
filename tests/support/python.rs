//! Running the programs of `tests/python` with a release of chromadb.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The interpreter with chromadb `release`, or of the environment `sqlite` or `sqlite-old`.
///
/// # Panics
/// If it is not there: a test that needs a real library must not pass without it.
pub fn python(release: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("EMBEDPORT_VENV").map_or_else(|| root.join(".venv"), PathBuf::from);
    let environment =
        if release.starts_with("sqlite") { release.to_owned() } else { format!("chroma-{release}") };
    let python = folder.join(environment).join("bin/python");
    assert!(python.exists(), "no {}: run tests/setup.sh", python.display());
    python
}

/// Runs a program and returns its last line of output.
pub fn run(release: &str, program: &str, arguments: &[&str]) -> String {
    try_run(release, program, arguments).unwrap_or_else(|e| panic!("{program} {arguments:?}: {e}"))
}

/// Runs a program; its output and errors if it does not end well.
pub fn try_run(release: &str, program: &str, arguments: &[&str]) -> Result<String, String> {
    thread_local! {
        // Importing chromadb takes longer than most of what is asked of it.
        static SERVERS: RefCell<HashMap<String, Server>> = RefCell::default();
    }
    SERVERS.with_borrow_mut(|servers| {
        servers.entry(release.to_owned()).or_insert_with(|| Server::new(release)).run(program, arguments)
    })
}

/// A process of `serve.py`.
struct Server {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn new(release: &str) -> Server {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/serve.py");
        let mut process = Command::new(python(release))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // Small matrices: threads of the linear algebra only get in the way of the other tests.
            .env("OPENBLAS_NUM_THREADS", "1")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Server { process, input, output }
    }

    fn run(&mut self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let request = serde_json::json!([&[program], arguments].concat());
        writeln!(self.input.as_mut().expect("open"), "{request}").map_err(|e| e.to_string())?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|e| e.to_string())?;
        let (status, output, errors): (i64, String, String) =
            serde_json::from_str(&line).map_err(|e| format!("{e}: `{line}`"))?;
        match status {
            0 => Ok(output.lines().last().unwrap_or_default().to_owned()),
            _ => Err(format!("status {status}: {output}\n{errors}")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}
