//! Which other processes hold files of a folder open.
//!
//! Linux: the links of `/proc/*/fd`, complete for the caller's own processes (and for all, as root);
//! processes in other containers are invisible. Windows: a file that cannot be opened alone is held by
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
    match words.next().filter(|w| interpreter && !w.starts_with('-')) {
        Some(script) => format!("{program} {}", name(&script)),
        None => program,
    }
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
        let _own = std::fs::File::open(&file).expect("open");
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
}
