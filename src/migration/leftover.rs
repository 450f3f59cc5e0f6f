//! Texts that a stopped run embedded and no collection holds yet: listed, and given up only where that is asked for.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::store::StoreDescription;

use super::embedded::{self, Embedded};
use super::made;
use super::plan::MigrationPlan;

/// One file of them.
#[derive(Clone, Debug, Serialize)]
pub struct LeftTexts {
    /// The file, beside the folders of the migrations.
    pub path: PathBuf,
    /// The collection's name; none if the store has no such collection any more.
    pub collection: Option<String>,
    /// The model; none if the file does not say.
    pub model: Option<String>,
    /// Texts whose vectors are there.
    pub texts: u64,
    /// Bytes on disk.
    pub bytes: u64,
    #[serde(skip)]
    digest: u64,
}

impl LeftTexts {
    /// Whether they are of the collection with this identifier.
    pub(super) fn is_of(&self, collection: &str) -> bool {
        self.digest == embedded::digest(collection)
    }

    /// Removes the file, if it is still as it was when this was made.
    ///
    /// # Errors
    /// [`Kind::Refused`] if it is not, and if it cannot be removed.
    pub(super) fn remove(&self) -> Result<bool> {
        let now = match read(&self.path, self.digest) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            now => now.map_err(|e| Error::io("read", &self.path, e))?,
        };
        if (now.bytes, &now.model) != (self.bytes, &self.model) {
            let found = format!("`{}` changed since the plan was made", self.path.display());
            return Err(Error::new(Kind::Refused, found)
                .hint("it was not touched; run the same command again for a plan of what is there now"));
        }
        files::remove_file(&self.path).map(|()| true)
    }
}

/// Every such file in a store's `state_folder` with the digest of its collection, in the order of their names.
fn listed(state_folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let failed = |cause| Error::io("list", state_folder, cause);
    let entries = match std::fs::read_dir(state_folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(digest) = embedded::collection_of(name).filter(|_| path.is_file()) {
            found.push((path, digest));
        }
    }
    found.sort();
    Ok(found)
}

/// Removes what a run had no time to remove: the file of which every text was noted in `folder`, that of the re-embedding of
/// `plan`, which is what its collection holds. A file that cannot be read or removed stays, and is listed.
pub(super) fn forget(state_folder: &Path, folder: &Path, plan: &MigrationPlan) {
    let Some(texts) = &plan.re_embeds else { return };
    let path = embedded::path(state_folder, &plan.collection_id, &texts.model_space);
    if let (true, Ok(noted)) = (path.is_file(), made::noted(folder))
        && let Ok(Some(left)) = Embedded::left(&path, &texts.model_space)
    {
        let _ = left.remove(&noted.into_values().collect());
    }
}

/// What is left of all collections.
///
/// # Errors
/// If the folder or a file cannot be read; a file that is damaged is listed with what is known of it.
pub(super) fn all(state_folder: &Path, description: &StoreDescription) -> Result<Vec<LeftTexts>> {
    let mut found = Vec::new();
    for (path, digest) in listed(state_folder)? {
        let mut left = match read(&path, digest) {
            // A run that is at work may remove it meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            left => left.map_err(|e| Error::io("read", &path, e))?,
        };
        left.collection = description.collections.iter().find(|c| left.is_of(&c.id)).map(|c| c.name.clone());
        found.push(left);
    }
    Ok(found)
}

/// What a file is now.
fn read(path: &Path, digest: u64) -> std::io::Result<LeftTexts> {
    let bytes = std::fs::metadata(path)?.len();
    // Only its owner may look into it; others see that it is there.
    let head = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => None,
        file => embedded::Head::at_the_start_of(&file?)?,
    };
    let texts = head.as_ref().map_or(0, |head| head.rows_in(bytes));
    let (path, model) = (path.to_path_buf(), head.map(|head| head.model));
    Ok(LeftTexts { path, collection: None, model, texts, bytes, digest })
}
