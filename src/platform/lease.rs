//! Being the only one on this system who has a file open.
//!
//! Linux: a write lease (fcntl(2), `F_SETLEASE`). The kernel gives it only to the file's owner or root, only if there is no
//! other open file description of the file in any process, seen or unseen, and only on file systems of its own; whoever opens the
//! file meanwhile waits, and the lease no longer holds.

use std::fs::File;
use std::io;
use std::path::Path;

/// A lease; it ends when this is dropped.
#[derive(Debug)]
pub struct Lease {
    file: File,
}

impl Lease {
    /// `None`: somebody has the file open, this process included, or this system, file system or user cannot tell.
    ///
    /// This process must not have the file open where it would hold a lock on it: trying lets go of every such lock.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn take(path: &Path) -> io::Result<Option<Lease>> {
        let lease = Lease { file: File::open(path)? };
        Ok(lease.ask(true).then_some(lease))
    }

    /// The file that is leased.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether nobody has tried to open the file since.
    pub fn holds(&self) -> bool {
        self.ask(false)
    }

    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    fn ask(&self, wanted: bool) -> bool {
        use std::os::fd::AsRawFd;
        // asm-generic/fcntl.h; not in the crate.
        const F_SETSIG: libc::c_int = 10;
        let file = self.file.as_raw_fd();
        // SAFETY: fcntl on an open file with integer arguments alone. The signal that tells of another opener is one that is
        // ignored where nobody asks for it, instead of SIGIO, which would end the process.
        unsafe {
            if wanted {
                return libc::fcntl(file, F_SETSIG, libc::SIGURG) == 0
                    && libc::fcntl(file, libc::F_SETLEASE, libc::F_WRLCK) == 0;
            }
            libc::fcntl(file, libc::F_GETLEASE) == libc::F_WRLCK
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn ask(&self, _: bool) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::fs::OpenOptionsExt;

    #[test]
    fn one_who_is_not_alone_gets_none_and_an_opener_is_noticed() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "x").expect("write");
        let other = File::open(&path).expect("open");
        assert!(Lease::take(&path).expect("opened").is_none());
        drop(other);
        let lease = Lease::take(&path).expect("opened").expect("alone");
        assert!(lease.holds());
        let opened = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
        assert_eq!(opened.map(drop).map_err(|e| e.kind()), Err(io::ErrorKind::WouldBlock));
        assert!(!lease.holds());
        drop(lease);
        assert!(File::open(&path).is_ok() && Lease::take(&path).expect("opened").is_some());
    }
}
