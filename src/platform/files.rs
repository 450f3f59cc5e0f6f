//! Durable names, positioned reading and writing, free space, file hashes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

pub(crate) use super::atomic::{persist, temporary_in, temporary_name};
pub use super::atomic::{remove_temporaries, write, write_atomically, write_hashed, write_json};
use super::fault;
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

/// Makes the entries of a folder durable (created, renamed and removed names).
/// Systems without such a call do nothing here.
pub fn sync_folder(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io("fsync", folder, e))?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Creates a folder and its missing parents, durably.
pub fn create_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = parent(folder);
    create_folder(&above)?;
    fault::reach(&point("create", folder)).map_err(|e| Error::io("create", folder, e))?;
    match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(e) => Err(Error::io("create", folder, e)),
        Ok(()) => sync_folder(&above),
    }
}

/// Renames durably. Both ends must lie on one file system.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    rename_if(from, to, || true).map(drop)
}

/// As [`rename`], if `fits` holds once it is done: else `false`, and it is for the caller to undo it. Nothing lies between the
/// two.
pub fn rename_if(from: &Path, to: &Path, fits: impl FnOnce() -> bool) -> Result<bool> {
    fault::reach(&point("rename", from))
        .and_then(|()| fs::rename(from, to))
        .map_err(|e| Error::io("rename", from, e))?;
    if !fits() {
        return Ok(false);
    }
    sync_folder(&parent(to))?;
    sync_folder(&parent(from)).map(|()| true)
}

/// Gives the file `path` a second name, durably. `false` if this file system cannot.
pub fn link(path: &Path, name: &Path) -> Result<bool> {
    match fault::reach(&point("link", path)).and_then(|()| fs::hard_link(path, name)) {
        Ok(()) => sync_folder(&parent(name)).map(|()| true),
        Err(e) => match e.kind() {
            io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::CrossesDevices
            | io::ErrorKind::TooManyLinks => Ok(false),
            _ => Err(Error::io("link", path, e)),
        },
    }
}

/// Removes a file, durably.
pub fn remove_file(path: &Path) -> Result<()> {
    fault::reach(&point("remove", path))
        .and_then(|()| fs::remove_file(path))
        .map_err(|e| Error::io("remove", path, e))?;
    sync_folder(&parent(path))
}

/// Removes a folder with everything in it, durably. Nothing there is fine.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match fault::reach(&point("remove", folder)).and_then(|()| fs::remove_dir_all(folder)) {
        Ok(()) => sync_folder(&parent(folder)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("remove", folder, e)),
    }
}

/// What a folder is called from the moment on at which it is given up.
const DOOMED: &str = "doomed";

/// As [`remove_folder`], and at no moment is the folder there under its name in part only: it is renamed
/// first. Whoever finds a name for which [`is_doomed`] holds ends what was begun.
pub fn remove_whole_folder(folder: &Path) -> Result<()> {
    let Some(name) = folder.file_name().filter(|_| folder.exists()) else { return Ok(()) };
    let mut doomed = name.to_owned();
    doomed.push(format!(".{DOOMED}"));
    let doomed = folder.with_file_name(doomed);
    remove_folder(&doomed)?;
    rename(folder, &doomed)?;
    remove_folder(&doomed)
}

/// Whether a folder was given up by [`remove_whole_folder`].
pub fn is_doomed(folder: &Path) -> bool {
    folder.extension().is_some_and(|e| e == DOOMED)
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

/// Size in bytes and XXH3 (128 bits, hexadecimal, as `xxhsum -H2` prints it) of a file. It tells every accident; who wants to
/// deceive could change the note of it as well.
pub fn hash(path: &Path) -> Result<(u64, String)> {
    File::open(path).and_then(hash_of).map_err(|cause| Error::io("read", path, cause))
}

/// As [`hash`], of what is left of an open file.
pub fn hash_of(mut file: impl Read) -> io::Result<(u64, String)> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0u8; 1 << 18];
    let mut bytes = 0u64;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, shown(&hash)));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}

/// A hash as it is noted.
pub fn shown(hash: &Xxh3) -> String {
    format!("{:032x}", hash.digest128())
}

/// Bytes as lower case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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

pub(super) fn point(step: &str, path: &Path) -> String {
    format!("{step} {}", path.file_name().unwrap_or_default().display())
}

/// The folder above; `.` for a bare name.
pub fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above.to_path_buf(),
        _ => PathBuf::from("."),
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
    fn a_folder_that_is_given_up_is_whole_or_doomed_and_what_was_begun_can_be_ended() {
        let above = tempfile::tempdir().expect("folder");
        let folder = above.path().join("m1");
        fs::create_dir_all(folder.join("backup")).expect("create");
        fs::create_dir(above.path().join("m1.doomed")).expect("left by a crash");
        assert!(is_doomed(&above.path().join("m1.doomed")) && !is_doomed(&folder));
        remove_whole_folder(&folder).expect("removed");
        remove_whole_folder(&folder).expect("nothing there is fine");
        assert_eq!(fs::read_dir(above.path()).expect("list").count(), 0);
    }

    #[test]
    fn hash_of_abc_is_the_published_one() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("abc");
        fs::write(&path, "abc").expect("write");
        let (bytes, found) = hash(&path).expect("hash");
        assert_eq!(bytes, 3);
        // XXH3 of 128 bits: `printf abc | xxhsum -H2`
        assert_eq!(found, "06b05ab6733a618578af5f94892f3950");
    }

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
