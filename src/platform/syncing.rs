//! Making a file durable beside other work.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};

use super::fault;
use super::files::point;
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
