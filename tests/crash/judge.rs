//! A program that knows the store as the judge: a long-lived process that says which known state a folder is in, is
//! proven to tell right from wrong every now and then, and is replaced before it has opened too many.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::subjects::{Form, Subject};

/// Folders between two proofs, and in the life of one process.
const PROOF_EVERY: usize = 150;
const LIFE: usize = 600;
/// How long an answer may take: over some damaged folders Chroma goes round in circles for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// One process of the program.
struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: mpsc::Receiver<String>,
    opened: usize,
    is_alive: bool,
}

impl Process {
    /// A process for a form of a store; its copies go below `scratch`.
    fn new(subject: &Subject, form: &Form, scratch: &Path) -> Process {
        let mut child = (subject.judge)(form)
            .arg(scratch)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let orders = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, answers) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        Process { child, orders, answers, opened: 0, is_alive: true }
    }

    fn ask(&mut self, order: &Value) -> Value {
        let orders = self.orders.as_mut().unwrap();
        let _ = writeln!(orders, "{order}").and_then(|()| orders.flush());
        let answer = self.answers.recv_timeout(PATIENCE).ok();
        answer.and_then(|line| serde_json::from_str(&line).ok()).unwrap_or_else(|| {
            self.is_alive = false;
            let _ = self.child.kill();
            json!({ "is": "neither", "why": "the judge died, or did not answer for a minute" })
        })
    }

    /// The name of the state that a folder is in, or why it is in none.
    fn judge(&mut self, folder: &Path) -> Result<String, String> {
        self.opened += 1;
        let answer = self.ask(&json!({ "judge": folder }));
        match answer["is"].as_str() {
            Some("neither") | None => Err(answer["why"].as_str().unwrap_or("no answer").to_owned()),
            Some(name) => Ok(name.to_owned()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// A judge who knows some states by their folders, and some folders that are in none.
pub struct Judge {
    subject: &'static Subject,
    form: &'static Form,
    scratch: PathBuf,
    states: Vec<(&'static str, PathBuf)>,
    wrong: Vec<PathBuf>,
    process: Option<Process>,
}

impl Judge {
    pub fn new(
        subject: &'static Subject,
        form: &'static Form,
        scratch: &Path,
        states: Vec<(&'static str, PathBuf)>,
        wrong: Vec<PathBuf>,
    ) -> Judge {
        Judge { subject, form, scratch: scratch.to_owned(), states, wrong, process: None }
    }

    /// The name of the state that a folder is in, or why it is in none.
    pub fn judge(&mut self, folder: &Path) -> Result<String, String> {
        self.process_to_trust().judge(folder)
    }

    fn process_to_trust(&mut self) -> &mut Process {
        if let Some(mut process) = self.process.take() {
            let is_due = process.opened % PROOF_EVERY == PROOF_EVERY - 1;
            if is_due {
                self.prove(&mut process);
            }
            if process.opened < LIFE && process.is_alive {
                return self.process.insert(process);
            }
        }
        let mut process = self.learned();
        self.prove(&mut process);
        // A wrong folder may have been the end of it.
        let process = if process.is_alive { process } else { self.learned() };
        self.process.insert(process)
    }

    fn learned(&self) -> Process {
        let mut process = Process::new(self.subject, self.form, &self.scratch);
        for (name, folder) in &self.states {
            let answer = process.ask(&json!({ "learn": name, "folder": folder }));
            assert_eq!(answer["learned"], *name, "{answer}");
        }
        process
    }

    /// Has it recognise every state and none in a folder that is damaged or half of each; else all that it said
    /// since the last proof is worth nothing.
    fn prove(&self, process: &mut Process) {
        for (name, folder) in &self.states {
            assert_eq!(process.judge(folder).as_deref(), Ok(*name), "after {} folders", process.opened);
        }
        for folder in &self.wrong {
            let seen = process.judge(folder);
            assert!(seen.is_err(), "after {} folders {} is {seen:?}", process.opened, folder.display());
            if !process.is_alive {
                return;
            }
        }
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take().filter(|_| !std::thread::panicking()) {
            self.prove(&mut process);
        }
    }
}
