//! Named points before every durable step, at which a test can make the step fail or the process die.
//! Nothing is installed outside tests; reaching a point then costs one thread-local look-up.

use std::cell::RefCell;
use std::io;

type Hook = Box<dyn FnMut(&str) -> io::Result<()>>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Calls `hook` at every point that this thread reaches from now on, `None` no more.
pub fn install(hook: Option<Hook>) {
    HOOK.with_borrow_mut(|installed| *installed = hook);
}

/// The step named `point` is about to be taken.
///
/// # Errors
/// Whatever the hook wants the step to fail with.
pub fn reach(point: &str) -> io::Result<()> {
    HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook(point)))
}
