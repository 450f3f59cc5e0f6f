//! One embedport at a time: an advisory lock on a file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::files;
use crate::error::{Error, Kind, Result};

/// A held lock; dropping it (or the death of the process) releases it. The file stays.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing is not enough: a child that another thread is just starting shares the open file
    /// until it runs its own program, and would hold the lock for that long.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Takes the lock `path`, whose folder is created if missing. `purpose` is written into the file
/// (one line, for whoever is refused).
///
/// # Errors
/// [`Kind::Locked`] if another process holds it.
pub fn acquire(path: &Path, purpose: &str) -> Result<Lock> {
    if let Some(folder) = path.parent() {
        files::create_folder(folder)?;
    }
    let wrap = |cause| Error::io("lock", path, cause);
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(wrap)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Some systems forbid reading a locked file; then the holder stays unnamed.
            let _ = (&mut file).take(200).read_to_string(&mut holder);
            let line = holder.lines().next().unwrap_or("unknown process").to_owned();
            return Err(Error::new(Kind::Locked, format!("another embedport is at work here ({line})"))
                .hint("wait for it to end, or stop it"));
        }
        Err(TryLockError::Error(cause)) => return Err(wrap(cause)),
    }
    file.set_len(0).map_err(wrap)?;
    file.rewind().map_err(wrap)?;
    writeln!(file, "process {}: {purpose}", std::process::id()).map_err(wrap)?;
    Ok(Lock { file })
}

/// Whether a process holds the lock `path` now. One that takes it in the same instant may be refused.
pub fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    match file.try_lock_shared() {
        Ok(()) => {
            let _ = file.unlock();
            false
        }
        Err(held) => matches!(held, TryLockError::WouldBlock),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("state").join("lock");
        let first = acquire(&path, "rewrite of docs").expect("free");
        let second = acquire(&path, "rollback").expect_err("held");
        assert!(second.is_locked());
        assert!(second.message().contains("rewrite of docs"), "{}", second.message());
        assert!(is_held(&path));
        drop(first);
        assert!(!is_held(&path) && !is_held(&path.with_extension("none")));
        acquire(&path, "rollback").expect("free again");
    }
}
