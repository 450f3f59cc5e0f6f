//! Folders that belong to no collection.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::STATE;
use super::access::folder_bytes;
use crate::error::{Error, Result};
use crate::store::sql::Doing;
use crate::store::{Finding, Severity};

/// Files of embedport's state beyond this are not journals.
const LARGEST_JOURNAL: u64 = 1 << 24;

/// Folders named like segments that no segment is named like: embedport's own, and others.
pub(super) fn orphans(connection: &Connection, store: &Path) -> Result<Vec<Finding>> {
    let used = segments(connection)?;
    let mut orphans = Vec::new();
    for entry in std::fs::read_dir(store).map_err(|e| Error::io("list", store, e))?.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if uuid::Uuid::parse_str(&name).is_ok() && entry.path().is_dir() && !used.contains(&name) {
            orphans.push(name);
        }
    }
    orphans.sort();
    let journals = journals(&store.join(STATE));
    let (own, others): (Vec<_>, Vec<_>) =
        orphans.into_iter().partition(|name| journals.iter().any(|text| text.contains(name.as_str())));
    let kinds = [
        (
            "embedport_leftovers",
            own,
            "were left by an interrupted embedport",
            "the next migrate-collection or rollback of this store removes what it no longer needs",
            "run the interrupted command again; Chroma ignores these folders",
        ),
        (
            "orphan_folders",
            others,
            "belong to no collection",
            "leaves them alone",
            "Chroma ignores these folders (deleted collections leave them); remove them by hand to gain room",
        ),
    ];
    Ok(kinds
        .into_iter()
        .filter(|(_, names, ..)| !names.is_empty())
        .map(|(check, names, what, migration, advice)| {
            let bytes: u64 = names.iter().map(|name| folder_bytes(&store.join(name))).sum();
            Finding {
                check,
                collection: None,
                severity: Severity::Harmless,
                found: format!("{} folders with {bytes} bytes {what}", names.len()),
                records: names.len() as u64,
                examples: names.into_iter().take(Finding::EXAMPLES).collect(),
                migration,
                advice,
            }
        })
        .collect())
}

fn segments(connection: &Connection) -> Result<HashSet<String>> {
    let doing = "list the segments";
    let mut statement = connection.prepare("SELECT id FROM segments").doing(doing)?;
    let ids = statement.query_map([], |row| row.get(0)).doing(doing)?;
    ids.collect::<rusqlite::Result<_>>().doing(doing)
}

/// Texts of embedport's own records of its work, which name the folders that it made.
fn journals(state: &Path) -> Vec<String> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).map(|all| all.flatten().map(|e| e.path()).collect()).unwrap_or_default()
    };
    let folders = list(state);
    let files = folders.iter().cloned().chain(folders.iter().filter(|f| f.is_dir()).flat_map(|f| list(f)));
    files
        .filter(|path| path.extension().is_some_and(|e| e == "json" || e == "jsonl"))
        .filter(|path| path.metadata().is_ok_and(|m| m.is_file() && m.len() <= LARGEST_JOURNAL))
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect()
}
