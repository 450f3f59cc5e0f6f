//! Real Chroma as the judge: a long-lived process that says which known state a folder is in.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::common;

pub struct Judge {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    /// The judge of a Chroma release; its copies go below `scratch`.
    pub fn new(release: &str, scratch: &Path) -> Judge {
        let mut process = Command::new(common::chroma_python(release))
            .arg(common::root().join("tests/python/judge.py"))
            .arg(scratch)
            .env("ANONYMIZED_TELEMETRY", "False")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Judge { process, orders, answers }
    }

    fn ask(&mut self, order: &Value) -> Value {
        let orders = self.orders.as_mut().unwrap();
        writeln!(orders, "{order}").unwrap();
        orders.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| json!({ "is": "neither", "why": "Chroma died" }))
    }

    /// Remembers the state of a folder under a name.
    pub fn learn(&mut self, name: &str, folder: &Path) {
        let answer = self.ask(&json!({ "learn": name, "folder": folder }));
        assert_eq!(answer["learned"], name, "{answer}");
    }

    /// The name of the state that a folder is in, or why it is in none.
    pub fn judge(&mut self, folder: &Path) -> Result<String, String> {
        let answer = self.ask(&json!({ "judge": folder }));
        match answer["is"].as_str() {
            Some("neither") | None => Err(answer["why"].as_str().unwrap_or("no answer").to_owned()),
            Some(name) => Ok(name.to_owned()),
        }
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}
