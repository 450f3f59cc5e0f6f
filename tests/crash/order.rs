//! What a power cut could take: names and bytes that no `fsync` had made durable when it mattered.

use std::collections::BTreeSet;

use crate::shim::Step;

/// The file whose holder may die with it, and SQLite's own journals, which SQLite looks after.
const EXEMPT: [&str; 4] =
    [".embedport/lock", "chroma.sqlite3-journal", "chroma.sqlite3-wal", "chroma.sqlite3-shm"];

/// Files and folders (`f:` and `d:`) that are not durable before step `until`.
pub fn not_durable(steps: &[Step], until: usize) -> BTreeSet<String> {
    let mut open: BTreeSet<String> = BTreeSet::new();
    let above = |path: &str| match path.rsplit_once('/') {
        Some((folder, _)) => format!("d:{folder}"),
        None => "d:.".to_owned(),
    };
    for step in steps.iter().filter(|s| s.number < until) {
        let path = step.path.as_str();
        if EXEMPT.contains(&path) {
            continue;
        }
        match step.call.as_str() {
            "write" | "pwrite" | "writev" | "pwritev" | "ftruncate" | "fallocate" | "copy_file_range"
            | "sendfile" | "clone" | "empty" => {
                open.insert(format!("f:{path}"));
            }
            "fsync" | "fdatasync" => {
                open.remove(&format!("f:{path}"));
                open.remove(&format!("d:{path}"));
            }
            "create" => {
                open.extend([format!("f:{path}"), above(path)]);
            }
            "mkdir" | "link" | "symlink" => {
                open.insert(above(path));
            }
            "unlink" | "rmdir" => {
                open.retain(|entry| entry[2..] != *path && !entry[2..].starts_with(&format!("{path}/")));
                open.insert(above(path));
            }
            "rename" => {
                let (from, to) = path.split_once(" -> ").unwrap();
                if open.remove(&format!("f:{from}")) {
                    open.insert(format!("f:{to}"));
                }
                open.extend([above(from), above(to)]);
            }
            other => panic!("what does `{other}` do to durability?"),
        }
    }
    open
}

/// The step that makes the change of the database visible for good: SQLite removes its journal, or has
/// written its write-ahead log to the disk.
pub fn commit(steps: &[Step]) -> Option<usize> {
    let ends = |s: &&Step| {
        (s.path == "chroma.sqlite3-journal" && s.call == "unlink")
            || (s.path == "chroma.sqlite3-wal" && s.call == "fsync")
    };
    steps.iter().rfind(ends).map(|s| s.number)
}
