//! Texts that a stopped run embedded and no collection holds yet: listed, and given up only where that is asked for.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::space::Space;
use crate::store::StoreDescription;

use super::embedded::{self, Embedded};
use super::made;

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
}

/// Every such file in a store's `state_folder` with the digest of its collection, in the order of their names.
fn files(state_folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
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

/// Removes what a run that re-embedded the texts of `collection` with the model of `space` had no time to remove: files of which
/// every text was noted in `folder`, that of its migration, which is committed.
///
/// # Errors
/// If a file cannot be read or removed.
pub(super) fn forget(state_folder: &Path, folder: &Path, collection: &str, space: &Space) -> Result<()> {
    let of_it = |(_, digest): &(PathBuf, u64)| *digest == embedded::digest(collection);
    for (path, _) in files(state_folder)?.into_iter().filter(of_it) {
        if let Some(left) = Embedded::left(&path)?.filter(|left| left.is_of(space)) {
            left.remove(&made::noted(folder)?.into_values().collect())?;
        }
    }
    Ok(())
}

/// What is left of all collections.
///
/// # Errors
/// If the folder or a file cannot be read; a file that is damaged is listed with what is known of it.
pub(super) fn all(state_folder: &Path, description: &StoreDescription) -> Result<Vec<LeftTexts>> {
    let mut found = Vec::new();
    for (path, digest) in files(state_folder)? {
        let mut left = read(&path, digest).map_err(|e| Error::io("read", &path, e))?;
        left.collection = description.collections.iter().find(|c| left.is_of(&c.id)).map(|c| c.name.clone());
        found.push(left);
    }
    Ok(found)
}

fn read(path: &Path, digest: u64) -> std::io::Result<LeftTexts> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let head = embedded::Head::at_the_start_of(&file)?;
    let texts = head.as_ref().map_or(0, |head| head.rows_in(bytes));
    let (path, model) = (path.to_path_buf(), head.map(|head| head.model));
    Ok(LeftTexts { path, collection: None, model, texts, bytes, digest })
}
