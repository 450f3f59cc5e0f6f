//! What a file is beside its bytes: owner, permissions, names, attributes; and what another has to be like to take its
//! place unnoticed.

use std::fs::{File, Metadata, OpenOptions};
use std::path::Path;

/// Whether this process may write to what lies at `path`; also `true` where the system does not tell beforehand. The file is
/// not opened: closing it would let go of every lock that this process has on it.
pub fn is_writable(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        let refused = rustix::fs::access(path, rustix::fs::Access::WRITE_OK);
        !matches!(refused, Err(Errno::ACCESS | Errno::ROFS | Errno::PERM))
    }
    #[cfg(not(target_os = "linux"))]
    {
        std::fs::metadata(path).map_or(true, |found| found.is_dir() || !found.permissions().readonly())
    }
}

/// Fails if this process may not read the file at `path`. Where the system tells it beforehand, the file is not opened: see
/// [`is_writable`].
pub fn expect_readable(path: &Path) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        Ok(rustix::fs::access(path, rustix::fs::Access::READ_OK)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        File::open(path).map(drop)
    }
}

/// Whether another file can be like the one at `path` in all that others see: one name, no attributes, on a file system
/// of this host's own. `false` where the system does not tell.
pub fn can_be_repeated(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        let is_one = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.nlink() == 1);
        if !is_one || super::holders::is_shared(path) {
            return false;
        }
        let mut names = Vec::with_capacity(4096);
        match rustix::fs::listxattr(path, rustix::buffer::spare_capacity(&mut names)) {
            Err(rustix::io::Errno::NOTSUP) => true,
            // A label of SELinux is given to every new file by its folder.
            Ok(_) => names.split(|byte| *byte == 0).all(|n| n.is_empty() || n == b"security.selinux"),
            Err(_) => false,
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

/// A new file that only its owner can read.
///
/// # Errors
/// Also if there is one at `path`.
pub fn private(path: &Path) -> std::io::Result<File> {
    for_its_owner(OpenOptions::new().write(true).create_new(true)).open(path)
}

/// Opens the file at `path` to read and write; a new one can be read by its owner only.
pub fn open_private(path: &Path) -> std::io::Result<File> {
    for_its_owner(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(path)
}

/// A file that is new can be read by its owner only.
fn for_its_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Gives `other` the owner and the permissions of `file`; whether it worked.
pub fn repeat(file: &File, other: &File) -> bool {
    let done = || -> std::io::Result<()> {
        let metadata = file.metadata()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let made = other.metadata()?;
            if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
                std::os::unix::fs::fchown(other, Some(metadata.uid()), Some(metadata.gid()))?;
            }
        }
        other.set_permissions(metadata.permissions())
    };
    done().is_ok()
}

/// What the system numbers a file by.
pub fn number(metadata: &Metadata) -> u64 {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::ino(metadata)
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        0
    }
}

/// Whether two paths lead to one file, links followed. `false` where the system does not tell.
pub fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let number = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
        matches!((number(a), number(b)), (Ok(a), Ok(b)) if a == b)
    }
    #[cfg(not(unix))]
    {
        let _ = (a, b);
        false
    }
}

/// Lets in to `folder` who may read `file`, and nobody else.
pub fn only_readers_of(file: &Path, folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file)?.permissions().mode();
        let mut allowed = 0o700;
        for bits in [0o050, 0o005] {
            if mode & bits & 0o044 != 0 {
                allowed |= bits;
            }
        }
        let now = std::fs::metadata(folder)?.permissions().mode() & 0o777;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(now & allowed | 0o700))?;
    }
    #[cfg(not(unix))]
    let _ = (file, folder);
    Ok(())
}

/// What changes when somebody writes to a file: its number, its bytes, and when its contents last changed.
pub type State = (u64, u64, (i64, i64));

/// See [`State`]. Two writes within one step of the file system's clock look like one.
pub fn state(metadata: &Metadata) -> State {
    (number(metadata), metadata.len(), modified(metadata))
}

/// Records that take longer to read than the clock of a file system takes for a step: somebody who writes behind the reader
/// gives the file another [`State`].
pub const MANY: u64 = 100_000;

/// When a file's contents last changed: seconds, nanoseconds.
pub fn modified(metadata: &Metadata) -> (i64, i64) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (metadata.mtime(), metadata.mtime_nsec())
    }
    #[cfg(not(unix))]
    {
        let since = metadata.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or((0, 0), |since| (since.as_secs().cast_signed(), i64::from(since.subsec_nanos())))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn links_and_what_is_not_there_cannot_be_repeated() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "a").expect("write");
        assert!(can_be_repeated(&path("a")));
        std::os::unix::fs::symlink(path("a"), path("b")).expect("link");
        std::fs::hard_link(path("a"), path("c")).expect("link");
        for name in ["a", "b", "d"] {
            assert!(!can_be_repeated(&path(name)), "{name}");
        }
    }

    #[test]
    fn a_copy_gets_the_permissions_and_was_private_before() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("a"), "a").expect("write");
        let file = File::open(folder.path().join("a")).expect("open");
        file.set_permissions(std::fs::Permissions::from_mode(0o640)).expect("set");
        let other = private(&folder.path().join("b")).expect("made");
        let mode = || other.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        assert!(repeat(&file, &other));
        assert_eq!(mode(), 0o640);
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).expect("made");
        std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o755)).expect("set");
        only_readers_of(&folder.path().join("a"), &inner).expect("set");
        assert_eq!(std::fs::metadata(&inner).expect("there").permissions().mode() & 0o777, 0o750);
        assert!(private(&folder.path().join("b")).is_err(), "it is there already");
    }
}
