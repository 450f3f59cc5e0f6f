//! What a power cut could take: names and bytes that no `fsync` had made durable when it mattered.

use std::collections::BTreeSet;

use crate::shim::Step;

/// Files and folders (`f:` and `d:`) that are not durable before step `until`; `exempt` need not be.
pub fn not_durable(steps: &[Step], until: usize, exempt: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut open: BTreeSet<String> = BTreeSet::new();
    let above = |path: &str| match path.rsplit_once('/') {
        Some((folder, _)) => format!("d:{folder}"),
        None => "d:.".to_owned(),
    };
    for step in steps.iter().filter(|s| s.number < until) {
        let path = step.path.as_str();
        // A file without a name is gone with its process, whatever of it reached the disk.
        if exempt(path) || path.ends_with(" (deleted)") {
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
