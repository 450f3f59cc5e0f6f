//! A copy of a whole database beside what a rewrite saves, usable without embedport.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::platform::files;
use crate::store::BackupFile;
use crate::store::backup::relative;

/// Copies the file `database`, and its write-ahead log if there is one, into `folder`; the copies are described as seen
/// from `base`. Nothing has been changed through the connection that holds the lock, so that the files are of one moment.
///
/// Ends early if `check` fails. Returns the open files: closing one would let go of every lock that this process has on it, so they have to
/// stay open until the transaction has ended.
pub(in crate::store) fn copy(
    database: &Path,
    base: &Path,
    folder: &Path,
    check: &dyn Fn() -> Result<()>,
) -> Result<(Vec<BackupFile>, Vec<File>)> {
    let (mut copies, mut open) = (Vec::new(), Vec::new());
    for suffix in ["", "-wal"] {
        let path = super::beside(database, suffix);
        let mut file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(|e| Error::io("read", &path, e))?,
        };
        let copy = folder.join(path.file_name().unwrap_or_default());
        let copied = files::write_atomically(&copy, |mut out| {
            io::copy(&mut Asking { file: &mut file, check }, &mut out).map(drop)
        });
        open.push(file);
        check()?;
        copied?;
        let name = relative(base, &copy);
        copies.push(BackupFile::of(&copy, name)?);
    }
    Ok((copies, open))
}

/// A file that is read on only as long as `check` allows it.
struct Asking<'a> {
    file: &'a mut File,
    check: &'a dyn Fn() -> Result<()>,
}

impl Read for Asking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.check)().map_err(|_| io::Error::from(io::ErrorKind::Other))?;
        self.file.read(buffer)
    }
}
