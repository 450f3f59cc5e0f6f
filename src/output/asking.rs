//! A question to a person, who may rather stop the program.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use embedport::context::Context;
use embedport::error::Result;

use super::Output;

/// How long a wish to stop may go unseen.
const LOOK: Duration = Duration::from_millis(50);

impl Output {
    /// Whether a person can be asked.
    pub fn can_ask(self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks a yes/no question; anything but `y` or `yes` is no.
    ///
    /// # Errors
    /// [`Interrupted`](embedport::error::Kind::Interrupted) instead of an answer.
    pub fn ask(self, question: &str, context: &Context<'_>) -> Result<bool> {
        let say = |text: &str| {
            let mut stderr = std::io::stderr().lock();
            let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
        };
        say(&format!("{question} [y/N] "));
        let read = || {
            let mut answer = String::new();
            // What cannot be read is no yes.
            std::io::stdin().read_line(&mut answer).map_or_else(|_| String::new(), |_| answer)
        };
        let answer = unless_stopped(read, context).inspect_err(|_| say("\n"))?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}

/// What `read` gives. A read cannot be called off: if a stop is asked for it is left waiting, and ends with the program.
fn unless_stopped(read: impl FnOnce() -> String + Send + 'static, context: &Context<'_>) -> Result<String> {
    let (give, take) = channel();
    std::thread::spawn(move || give.send(read()));
    loop {
        context.check()?;
        match take.recv_timeout(LOOK) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Disconnected) => return Ok(String::new()),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
