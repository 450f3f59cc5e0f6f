//! Files that are either wholly there or not at all.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::fault;
use super::hashing::Hashing;
use super::names::{parent, point, sync_folder};
use super::syncing::Early;
use crate::error::{Error, Kind, Result};

/// Writes a file that is either wholly there or not at all: a temporary file in the same folder,
/// fsync, rename, fsync of the folder. A file already at `path` is replaced. The writer is buffered.
///
/// # Errors
/// [`Kind::CannotWrite`] without room or permission; nothing is left behind.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    put(path, |out| write(out))
}

/// As [`write_atomically`]; returns what [`hash`](super::hashing::hash) says of the file.
pub fn write_hashed(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(u64, String)> {
    let mut found = Hashing::new(io::sink()).finish();
    put(path, |out| {
        let mut hashing = Hashing::new(out);
        write(&mut hashing)?;
        found = hashing.finish();
        Ok(())
    })?;
    Ok(found)
}

/// As [`write_atomically`], for bytes that are there already.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    put(path, |out| out.write_all(bytes))
}

/// As [`write`], of a value as JSON.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_vec(value).map_err(|e| {
        Error::new(Kind::Internal, format!("cannot write `{}` as JSON", path.display())).because(e)
    })?;
    write(path, &json)
}

fn put(path: &Path, write: impl FnOnce(&mut BufWriter<Early<'_>>) -> io::Result<()>) -> Result<()> {
    let folder = parent(path);
    let wrap = |cause| Error::io("write", path, cause);
    fault::reach(&point("write", path)).map_err(wrap)?;
    let temporary = temporary_in(&folder).map_err(wrap)?;
    let mut out = BufWriter::with_capacity(1 << 18, Early::new(temporary.as_file()));
    write(&mut out).map_err(wrap)?;
    out.into_inner().map_err(io::IntoInnerError::into_error).and_then(Early::finish).map_err(wrap)?;
    persist(temporary, path).map_err(wrap)?;
    sync_folder(&folder)
}

/// Names of temporary files.
const PREFIX: &str = ".embedport-";
const SUFFIX: &str = ".tmp";

/// Gives a complete file its name. On Unix through the C library, where a test can see and stop it.
#[cfg(unix)]
pub(crate) fn persist(temporary: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    let temporary = temporary.into_temp_path();
    fs::rename(&temporary, path)?;
    temporary.keep().map(drop).map_err(|e| e.error)
}

#[cfg(not(unix))]
pub(crate) fn persist(temporary: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    temporary.persist(path).map(drop).map_err(|e| e.error)
}

/// A name in `folder` for what [`remove_temporaries`] is to remove after a kill.
pub(crate) fn temporary_name(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{name}{SUFFIX}"))
}

/// An empty file in `folder`, removed when it is dropped.
pub(crate) fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    // As any other new file, not private to the owner: the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Removes what killed runs of [`write_atomically`] left in `folder`. The caller knows that none is running.
pub fn remove_temporaries(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && path.is_file() {
            fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_file_that_was_there_and_no_other() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.json");
        write_atomically(&path, |out| out.write_all(b"one")).expect("write");
        let failed = write_atomically(&path, |out| {
            out.write_all(b"two")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.map_err(|e| e.kind()), Err(Kind::CannotWrite));
        assert_eq!(fs::read(&path).expect("read"), b"one");
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn what_is_written_is_hashed_on_the_way() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a");
        for size in [0, 3, 1 << 19] {
            let bytes = vec![7; size];
            let written =
                write_hashed(&path, |out| bytes.chunks(1000).try_for_each(|part| out.write_all(part)));
            assert_eq!(
                written.expect("written"),
                super::super::hashing::hash(&path).expect("read"),
                "{size}"
            );
            assert_eq!(fs::metadata(&path).expect("there").len(), size as u64);
        }
    }

    #[test]
    fn temporary_files_of_killed_runs_go_and_others_stay() {
        let folder = tempfile::tempdir().expect("folder");
        let names = [".embedport-a1b2c3.tmp", "notes.tmp", ".embedport-notes"];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "x").expect("write"));
        remove_temporaries(folder.path()).expect("removed");
        let left = names.map(|name| folder.path().join(name).exists());
        assert_eq!(left, [false, true, true]);
    }
}
