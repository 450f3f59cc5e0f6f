//! Everything about files in one place: what is here, and what the neighbours say of whole files, folders and hashes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(crate) use super::atomic::{persist, temporary_in, temporary_name};
pub use super::atomic::{remove_temporaries, write, write_atomically, write_hashed, write_json};
pub use super::hashing::{hash, hash_of, hex, shown};
pub use super::names::{
    create_folder, is_doomed, link, parent, remove_file, remove_folder, remove_whole_folder, rename,
    rename_if, sync_folder,
};
use crate::error::{Error, Kind, Result};

/// Reads the file at `path` if it holds at most `most` bytes.
///
/// # Errors
/// [`Kind::Damaged`] if it is larger or not a regular file, else by cause.
pub fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |cause| Error::io("read", path, cause);
    // Looked at before it is opened: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::new(Kind::Damaged, format!("`{}` is not a file", path.display())));
    }
    let too_large = |size: u64| {
        Error::new(
            Kind::Damaged,
            format!("`{}` holds {size} bytes or more, at most {most} are read", path.display()),
        )
    };
    if metadata.len() > most {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|f| f.take(most.saturating_add(1)).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Bytes that this process may still write to the file system of `path` (or of its nearest existing parent).
pub fn free_bytes(path: &Path) -> Result<u64> {
    let mut existing = path;
    while !existing.exists() {
        match existing.parent() {
            Some(above) if !above.as_os_str().is_empty() => existing = above,
            _ => existing = Path::new("."),
        }
    }
    fs4::available_space(existing).map_err(|e| Error::io("measure free space at", existing, e))
}

/// A file's first bytes in memory, read when they are looked at.
pub type Mapped = memmap2::Mmap;

/// Maps the first `bytes` of `file` into memory. The file must not be made shorter meanwhile: whoever maps
/// it holds the lock of the store that it belongs to, or looks only (a file cut under a reader ends the process).
///
/// # Errors
/// If the file is shorter than that.
#[allow(unsafe_code)]
pub fn map(file: &File, bytes: u64) -> io::Result<Mapped> {
    let length = usize::try_from(bytes).map_err(io::Error::other)?;
    if file.metadata()?.len() < bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: the map is read-only and as long as the file; that the file is not cut is the contract above.
    unsafe { memmap2::MmapOptions::new().len(length).map(file) }
}

/// Fills `buffer` from `offset` on without moving a shared cursor.
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
    }
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.seek_read(rest, offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(())
    }
}

/// Copies some bytes of one file to the same place in another; moves the cursors of both.
pub fn copy_range(from: &File, to: &File, bytes: Range<u64>) -> io::Result<()> {
    let length = bytes.end.saturating_sub(bytes.start);
    let (mut source, mut target) = (from, to);
    source.seek(SeekFrom::Start(bytes.start))?;
    target.seek(SeekFrom::Start(bytes.start))?;
    match io::copy(&mut source.take(length), &mut target)? == length {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes all of `bytes` from `offset` on without moving a shared cursor.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
    }
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match file.seek_write(rest, offset + done as u64)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => done += written,
            }
        }
        Ok(())
    }
}

/// The path without links, as far as it exists.
pub fn resolved(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
    for existing in absolute.ancestors() {
        if let (Ok(found), Ok(rest)) = (existing.canonicalize(), absolute.strip_prefix(existing)) {
            return Ok(found.join(rest));
        }
    }
    Ok(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positioned_reads_do_not_run_past_the_end() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("n");
        fs::write(&path, [1, 2, 3, 4]).expect("write");
        let file = File::open(&path).expect("open");
        let mut two = [0; 2];
        read_exact_at(&file, &mut two, 1).expect("inside");
        assert_eq!(two, [2, 3]);
        assert!(read_exact_at(&file, &mut two, 3).is_err());
    }
}
