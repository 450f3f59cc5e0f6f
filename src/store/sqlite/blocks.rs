//! Reading whole files so that a request to stop is heard meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::platform::files;

/// Bytes that are copied between two looks.
const BLOCK: u64 = 16 << 20;

/// How long one waits between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Copies some bytes of a file to the same place in its copy.
pub(super) fn copy(source: &File, target: &File, bytes: Range<u64>, context: &Context<'_>) -> Result<()> {
    let mut from = bytes.start;
    while from < bytes.end {
        context.check()?;
        let to = bytes.end.min(from + BLOCK);
        files::copy_range(source, target, from..to).map_err(cannot_write)?;
        from = to;
    }
    Ok(())
}

pub(super) fn cannot_write(cause: io::Error) -> Error {
    Error::new(Kind::CannotWrite, "cannot write the copy").because(cause)
}

/// Size and hash of a file on their way, by a thread of their own. It ends before this does: it has the file open.
pub(super) struct Hashing {
    thread: Option<JoinHandle<io::Result<(u64, String)>>>,
    stop: Arc<AtomicBool>,
}

impl Hashing {
    pub fn begin(file: Arc<File>) -> io::Result<Hashing> {
        let stop = Arc::new(AtomicBool::new(false));
        let stoppable = Stoppable { file, stop: Arc::clone(&stop) };
        let thread = Builder::new().spawn(move || files::hash_of(stoppable))?;
        Ok(Hashing { thread: Some(thread), stop })
    }

    /// Waits for them.
    pub fn finish(mut self, context: &Context<'_>) -> Result<io::Result<(u64, String)>> {
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            context.check()?;
            sleep(PAUSE);
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(hashed)) => Ok(hashed),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Err(Error::new(Kind::Internal, "a file was to be hashed twice")),
        }
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A file that cannot be read any more once nobody wants to.
struct Stoppable {
    file: Arc<File>,
    stop: Arc<AtomicBool>,
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::Other.into()),
            false => (&*self.file).read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Cancel;
    use crate::context::testing::context;

    /// So long that nobody waits for it.
    fn endless() -> (tempfile::NamedTempFile, File) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 42).unwrap();
        let opened = File::open(file.path()).unwrap();
        (file, opened)
    }

    #[test]
    fn a_request_to_stop_is_heard() {
        let cancel = Cancel::new();
        cancel.raise();
        let raised = Context { cancel: &cancel, ..context() };
        let (_file, source) = endless();
        let target = tempfile::tempfile().unwrap();
        let copied = copy(&source, &target, 0..1 << 42, &raised);
        assert_eq!(copied.unwrap_err().kind(), Kind::Interrupted);
        assert_eq!(target.metadata().unwrap().len(), 0);
        let source = Arc::new(source);
        let hashed = Hashing::begin(Arc::clone(&source)).unwrap().finish(&raised);
        assert_eq!(hashed.unwrap_err().kind(), Kind::Interrupted);
        drop(Hashing::begin(Arc::clone(&source)).unwrap());
        assert_eq!(Arc::strong_count(&source), 1, "a thread reads on");
    }

    #[test]
    fn what_lies_in_several_blocks_is_copied_to_its_place() {
        let (source, target) =
            (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        for place in [0, BLOCK - 1, BLOCK, 2 * BLOCK + 7] {
            files::write_all_at(source.as_file(), &[1 + (place % 250) as u8], place).unwrap();
        }
        copy(source.as_file(), target.as_file(), 1..2 * BLOCK + 8, &context()).unwrap();
        let mut wanted = std::fs::read(source.path()).unwrap();
        wanted[0] = 0;
        assert!(std::fs::read(target.path()).unwrap() == wanted);
    }
}
