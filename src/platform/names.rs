//! Folders and the names in them: made, renamed and removed durably.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::fault;
use crate::error::{Error, Result};

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

/// The folder above; `.` for a bare name.
pub fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// What a test calls the step that does something to `path`.
pub(super) fn point(step: &str, path: &Path) -> String {
    format!("{step} {}", path.file_name().unwrap_or_default().display())
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
}
