//! Making a file durable beside other work.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};

use super::fault;
use super::names::point;
use crate::error::{Error, Result};

/// A file on its way to the disk.
pub struct Syncing {
    path: PathBuf,
    thread: JoinHandle<io::Result<()>>,
}

impl Syncing {
    /// Begins to make what was written to `file` durable. `path` is its name for messages; its folder is left to the
    /// caller.
    pub fn begin(file: &File, path: &Path) -> Result<Syncing> {
        let wrap = |e| Error::io("fsync", path, e);
        fault::reach(&point("sync", path)).map_err(wrap)?;
        let file = file.try_clone().map_err(wrap)?;
        let thread = Builder::new().spawn(move || file.sync_all()).map_err(wrap)?;
        Ok(Syncing { path: path.to_path_buf(), thread })
    }

    /// Whether there is nothing left to wait for.
    pub fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the file is durable.
    pub fn finish(self) -> Result<()> {
        let synced = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        synced.map_err(|e| Error::io("fsync", &self.path, e))
    }
}

/// Writes to a file and has the disk begin with what is there, so that a long file is not all waited for at its end.
pub struct Early<'f> {
    file: &'f File,
    /// Bytes since the disk was last told to begin.
    since: usize,
    begun: Option<JoinHandle<io::Result<()>>>,
}

impl<'f> Early<'f> {
    /// Nothing was written yet.
    pub fn new(file: &'f File) -> Early<'f> {
        Early { file, since: 0, begun: None }
    }

    /// So many bytes were written to the file.
    ///
    /// # Errors
    /// What the disk said of those before.
    pub fn wrote(&mut self, bytes: usize) -> io::Result<()> {
        /// Less than this is written while it is waited for.
        const MUCH: usize = 8 << 20;
        self.since += bytes;
        if self.since >= MUCH && self.begun.as_ref().is_none_or(JoinHandle::is_finished) {
            self.wait()?;
            self.since = 0;
            let file = self.file.try_clone()?;
            self.begun = Some(Builder::new().spawn(move || file.sync_data())?);
        }
        Ok(())
    }

    /// Makes the file durable.
    pub fn finish(mut self) -> io::Result<()> {
        self.wait()?;
        self.file.sync_all()
    }

    /// The system tells of a failure once, so whoever began has to be heard.
    ///
    /// # Errors
    /// What the disk said of what it had begun with.
    pub fn wait(&mut self) -> io::Result<()> {
        let begun = self.begun.take().map(JoinHandle::join);
        begun.map_or(Ok(()), |synced| synced.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

impl Write for Early<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.file;
        let written = file.write(bytes)?;
        self.wrote(written).map(|()| written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
