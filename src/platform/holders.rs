//! Which other processes hold files of a folder open.
//!
//! Linux: the links of `/proc/*/fd`, complete for the caller's own processes (and for all, as root);
//! processes in other containers are invisible, and so are other hosts: see [`blind_spot`]. Windows: a file that cannot be opened alone is held by
//! somebody, unnamed. Elsewhere nothing is seen and the list is empty: the caller has to rely on locks.

use std::path::Path;

/// A process that holds at least one file below the folder open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process number; `None` where the system does not tell.
    pub pid: Option<u32>,
    /// Program as the system names it.
    pub program: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "{} (process {pid})", self.program),
            None => f.write_str(&self.program),
        }
    }
}

/// What is seen and what is not, in two sentences for users.
pub const SIGHT: &str = "Programs that hold the database open are found on Linux among the processes of this user \
(of all users, for root), `chroma run` servers included. Not seen are processes of other users without root, in \
containers with process numbers of their own, on other hosts that share the folder, and all of them on macOS: stop \
those yourself.";

/// What to stop and how, for users.
pub const HOW_TO_STOP: &str = "stop every program that uses the database (Chroma keeps collections in memory and would \
write them back): end `chroma run` with Ctrl-C where it runs, or its service or container; end programs that use \
PersistentClient";

/// Whether the answer can tell this process from others. If not, ask only before opening anything.
pub const KNOWS_ITSELF: bool = !cfg!(windows);

/// Other processes that hold files in `folder` open, ordered by number; `main` is its most telling file.
#[cfg(target_os = "linux")]
pub fn of_folder(folder: &Path, _main: &Path) -> Vec<Holder> {
    use std::fs;
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let own = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<Holder> = processes
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let mut open = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
            (pid != own && open.any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(&folder))))
                .then(|| Holder { pid: Some(pid), program: program_of(&entry.path()) })
        })
        .collect();
    found.sort_by_key(|holder| holder.pid);
    found
}

/// Whether this process has the file `path` (its canonical name) open, or may have it open, where the system does not tell.
pub fn open_here(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return true };
        open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == path))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        true
    }
}

/// The command line's program and, for interpreters, what it runs; never its other arguments.
#[cfg(target_os = "linux")]
fn program_of(process: &Path) -> String {
    let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let mut words = command.split(|b| *b == 0).map(String::from_utf8_lossy).filter(|w| !w.is_empty());
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let Some(program) = words.next().map(|w| name(&w)) else {
        let short = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
        return if short.trim().is_empty() { "unknown program".into() } else { short.trim().to_owned() };
    };
    let interpreter = ["python", "node", "ruby", "java"].iter().any(|i| program.starts_with(i));
    let script = words.next();
    // The server is a script of Python, or a program of its own.
    let runs = |w: &str| name(w) == "chroma";
    let first = match &script {
        Some(script) if interpreter && runs(script) => words.next(),
        _ if runs(&program) => script.clone(),
        _ => None,
    };
    if first.is_some_and(|argument| argument == "run") {
        return SERVER.into();
    }
    match script.filter(|w| interpreter && !w.starts_with('-')) {
        Some(script) => format!("{program} {}", name(&script)),
        None => program,
    }
}

/// How Chroma's server is named.
pub const SERVER: &str = "the server `chroma run`";

/// File systems on which other hosts or containers may be at work, unseen; by their names in `mountinfo`.
#[cfg(target_os = "linux")]
const SHARED: [(&str, &str); 14] = [
    ("nfs", "a network file system"),
    ("nfs4", "a network file system"),
    ("cifs", "a network file system"),
    ("smb3", "a network file system"),
    ("smbfs", "a network file system"),
    ("afs", "a network file system"),
    ("ceph", "a network file system"),
    ("glusterfs", "a network file system"),
    ("lustre", "a network file system"),
    ("gpfs", "a network file system"),
    ("ocfs2", "a shared file system"),
    ("9p", "a file system shared with a host"),
    ("virtiofs", "a file system shared with a host"),
    ("overlay", "the file system of a container"),
];

/// Why holders of `path` may be invisible from here: it lies on a network or shared file system. `None` where
/// nothing speaks for it; always `None` where the system does not tell.
pub fn blind_spot(path: &Path) -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        said_of(&mounts, path.canonicalize().ok()?.to_str()?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        None
    }
}

/// As [`blind_spot`], by the lines of `mountinfo`.
#[cfg(target_os = "linux")]
fn said_of(mounts: &str, path: &str) -> Option<String> {
    let kind = file_system(mounts, path)?;
    let what = shared_kind(&kind)?;
    Some(format!(
        "the store lies on {what} ({kind}): programs on other hosts or in other containers that use it are not seen; \
         make sure that none does"
    ))
}

#[cfg(target_os = "linux")]
fn shared_kind(kind: &str) -> Option<&'static str> {
    match kind.strip_prefix("fuse.").or((kind == "fuse").then_some("fuse")) {
        Some(_) => Some("a file system of a user's program (FUSE), often a network one"),
        None => SHARED.iter().find(|(name, _)| *name == kind).map(|(_, what)| *what),
    }
}

/// Whether other hosts may write to the file system that `path` lies on, as far as is known. That of a container is its own.
#[cfg(target_os = "linux")]
pub(super) fn is_shared(path: &Path) -> bool {
    let kind = || {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        file_system(&mounts, path.canonicalize().ok()?.to_str()?)
    };
    kind().is_some_and(|kind| kind != "overlay" && shared_kind(&kind).is_some())
}

/// Type of the file system that `path` lies on, by the lines of `mountinfo`: see proc(5). The longest mount point
/// that leads to the path counts, of equal ones the last.
#[cfg(target_os = "linux")]
fn file_system(mounts: &str, path: &str) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else { continue };
        let point = unescaped(point);
        let leads = Path::new(path).starts_with(&point);
        if leads && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

/// Spaces and the like are written as octal escapes there.
#[cfg(target_os = "linux")]
fn unescaped(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(point.to_owned(), |text, (code, character)| text.replace(code, character))
}

/// Other processes that hold `main` open: at most one entry, unnamed.
#[cfg(windows)]
pub fn of_folder(_folder: &Path, main: &Path) -> Vec<Holder> {
    use std::os::windows::fs::OpenOptionsExt;
    const SHARING_VIOLATION: i32 = 32;
    match std::fs::OpenOptions::new().read(true).share_mode(0).open(main) {
        Err(e) if e.raw_os_error() == Some(SHARING_VIOLATION) => {
            vec![Holder { pid: None, program: "another program".into() }]
        }
        _ => Vec::new(),
    }
}

/// Nothing is known on this system.
#[cfg(not(any(target_os = "linux", windows)))]
pub fn of_folder(_folder: &Path, _main: &Path) -> Vec<Holder> {
    Vec::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn another_process_is_named_and_this_one_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("held");
        std::fs::write(&file, "x").expect("write");
        assert!(!open_here(&file));
        let _own = std::fs::File::open(&file).expect("open");
        assert!(open_here(&file.canonicalize().expect("there")));
        assert_eq!(of_folder(folder.path(), &file), []);
        let mut other = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(std::fs::File::open(&file).expect("open")))
            .spawn()
            .expect("sleep");
        let found = of_folder(folder.path(), &file);
        other.kill().expect("kill");
        other.wait().expect("wait");
        assert_eq!(found, [Holder { pid: Some(other.id()), program: "sleep".into() }]);
        assert_eq!(of_folder(folder.path(), &file), []);
    }

    #[test]
    fn the_file_system_is_that_of_the_longest_mount_point() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      30 22 0:40 / /srv/data\\040base rw - nfs4 host:/export rw,vers=4.2\n\
                      31 22 0:41 / /home/a rw - fuse.sshfs host: rw\n\
                      32 22 0:42 / /home/a rw - tmpfs tmpfs rw\n";
        let of = |path: &str| file_system(mounts, path).expect("a file system");
        assert_eq!(of("/srv/data base/chroma"), "nfs4");
        assert_eq!(of("/srv/data"), "ext4");
        assert_eq!(of("/home/abc"), "ext4");
        assert_eq!(of("/home/a/db"), "tmpfs", "the later mount covers the earlier one");
        assert_eq!(file_system("nonsense", "/"), None);
    }

    #[test]
    fn a_local_folder_has_no_blind_spot_and_a_shared_one_is_named() {
        let mounts = "22 1 0:30 / / rw - overlay overlay rw\n\
                      23 22 8:1 / /data rw - ext4 /dev/sda1 rw\n\
                      24 22 0:42 / /dev/shm rw - tmpfs tmpfs rw\n\
                      30 22 0:40 / /srv rw - nfs4 host:/export rw\n\
                      31 22 0:41 / /home/a rw - fuse.sshfs host: rw\n";
        for local in ["/data/db", "/dev/shm/db"] {
            assert_eq!(said_of(mounts, local), None, "{local}");
        }
        for (path, what) in [
            ("/srv/db", "a network file system (nfs4)"),
            ("/home/a/db", "(FUSE), often a network one (fuse.sshfs)"),
            ("/opt/db", "the file system of a container (overlay)"),
        ] {
            assert!(said_of(mounts, path).is_some_and(|said| said.contains(what)), "{path}");
        }
        assert_eq!(blind_spot(Path::new("/no/such/folder")), None);
    }
}
