//! A copy of a whole database beside what a rewrite saves, usable without embedport.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};
use crate::platform::files;
use crate::store::BackupFile;
use crate::store::backup::relative;

/// Copies the file `database`, and its write-ahead log if there is one, into `folder`; the copies are described as seen
/// from `base`. Nothing has been changed through the connection that holds the lock, so that the files are of one moment.
///
/// Returns the open files: closing one would let go of every lock that this process has on it, so they have to
/// stay open until the transaction has ended.
pub(in crate::store) fn copy(
    database: &Path,
    base: &Path,
    folder: &Path,
) -> Result<(Vec<BackupFile>, Vec<File>)> {
    let (mut copies, mut open) = (Vec::new(), Vec::new());
    for suffix in ["", "-wal"] {
        let path = super::beside(database, suffix);
        let mut file = match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            file => file.map_err(|e| Error::io("read", &path, e))?,
        };
        let copy = folder.join(path.file_name().unwrap_or_default());
        let copied = files::write_atomically(&copy, |mut out| std::io::copy(&mut file, &mut out).map(drop));
        open.push(file);
        copied?;
        let name = relative(base, &copy);
        copies.push(BackupFile::of(&copy, name)?);
    }
    Ok((copies, open))
}
