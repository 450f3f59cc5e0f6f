//! What a rewrite notes down about itself: for the journal, the backup and the way back.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::find::Found;
use super::stamp::Noted;
use crate::error::{Error, Kind, Result};

/// What is kept for the way back, in a migration's own folder.
pub(super) const BACKUP: &str = "backup";

/// Names of one rewrite.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Details {
    pub collection: String,
    pub migration: String,
    /// The migration's own folder, relative to that of the file.
    pub folder: PathBuf,
    pub fire_triggers: bool,
    /// A copy took the file's place, and the file of before was kept.
    #[serde(default)]
    pub exchanged: bool,
    /// The other columns of the table then; none: it was not noted.
    #[serde(default)]
    pub others: Option<Vec<String>>,
    /// The column had vectors of other dimensions too, which are not the collection's; none: it was not noted.
    #[serde(default)]
    pub grouped: Option<bool>,
    /// Components of the new vectors, where no stamp says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unstamped: Option<usize>,
    /// The stamp of before, if there was one.
    pub before: Option<Noted>,
}

impl Details {
    /// The collection as it was then, of what is still there: columns that came since are not its, and stay as they are.
    pub fn as_then(&self, mut found: Found) -> Found {
        if let Some(others) = &self.others {
            found.entry.keep_others(others);
        }
        // Where nothing lay there with another number of components, what does now came later.
        found.entry.grouped = self.grouped.unwrap_or(found.entry.grouped);
        found
    }

    /// # Errors
    /// [`Kind::Damaged`] for anything but what [`Details::to_json`] wrote.
    pub fn parse(json: &serde_json::Value) -> Result<Details> {
        let details = Details::deserialize(json)
            .map_err(|e| Error::new(Kind::Damaged, "the details of a rewrite are not complete").because(e))?;
        inside(&details.folder)?;
        inside(Path::new(&details.migration))?;
        Ok(details)
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    /// Where the backup lies, given the folder of the file.
    pub fn backup(&self, base: &Path) -> PathBuf {
        base.join(&self.folder).join(BACKUP)
    }
}

/// Refuses names that lead elsewhere: they are read from files that something else may have changed.
pub(super) fn inside(path: &Path) -> Result<()> {
    if path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Damaged,
        format!("the details of a rewrite name `{}`, outside of the file's folder", path.display()),
    )
    .hint("its journal was changed by something else; nothing was touched"))
}
