//! What is kept for the way back, and what may have happened since.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::platform::files;

/// What was kept for the way back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// Entry of [`SCHEMES`].
    pub scheme: String,
    /// The collection's own identifier.
    pub collection: String,
    /// Records at the time of the backup.
    pub count: u64,
    /// Dimension at the time of the backup.
    pub dimension: usize,
    /// Files, relative to the migration's folder (or to the store, as the store says), with sizes and hashes.
    pub files: Vec<BackupFile>,
    /// Whatever else the store needs to find its way back.
    pub details: serde_json::Value,
}

/// One file of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupFile {
    /// Relative to the store's folder.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// XXH3 (128 bits), hexadecimal.
    pub xxh3: String,
}

impl BackupFile {
    /// Describes what lies at `path`, as `name`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn of(path: &Path, name: PathBuf) -> Result<BackupFile> {
        Ok(BackupFile::written(name, files::hash(path)?))
    }

    /// Describes a file as `name` by what [`files::write_hashed`] said of it.
    pub(super) fn written(name: PathBuf, (bytes, xxh3): (u64, String)) -> BackupFile {
        BackupFile { path: name, bytes, xxh3 }
    }

    /// Whether a file of this size lies at `path`. Reads no content.
    pub(super) fn lies_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == self.bytes)
    }

    /// Makes sure that what lies at `path` is this file, unchanged.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if it is another.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let (bytes, xxh3) = files::hash(path).map_err(|e| e.context("the backup is not complete"))?;
        let found = match (bytes == self.bytes, xxh3 == self.xxh3) {
            (true, true) => return Ok(()),
            (true, false) => "its content is not what was saved (XXH3)".to_owned(),
            (false, _) => format!("{bytes} bytes, wanted {}", self.bytes),
        };
        Err(Error::new(Kind::Damaged, format!("`{}` of the backup has changed: {found}", path.display()))
            .hint("the collection was left as it is; nothing can be restored from this backup"))
    }
}

/// `path` as seen from `folder`: relative if it lies below.
pub(super) fn relative(folder: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_path_buf()
}

/// What to do with records that came after the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Since {
    /// Any change since: do nothing and say so.
    Refuse,
    /// Go back to exactly what was; records added or changed since are lost.
    Drop,
}

/// What changed in a collection since a migration was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Records that were not there.
    pub added: u64,
    /// Records that are gone.
    pub removed: u64,
    /// Records written again (vector, text or metadata).
    pub updated: u64,
}

impl Changes {
    /// Nothing changed.
    pub fn is_none(&self) -> bool {
        *self == Changes::default()
    }
}
