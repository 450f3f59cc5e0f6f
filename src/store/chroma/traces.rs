//! What a rewrite leaves in the file system, and the tidying after it: the same names serve the journal,
//! the backup and the way back.

use std::path::{Component, Path, PathBuf};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::store::sql::Doing;

/// The saved rows, inside the backup's folder.
pub(super) const ROWS: &str = "rows.bin";

/// Names of one rewrite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Traces {
    pub collection: String,
    pub migration: String,
    /// The migration's own folder, below the store's and relative to it.
    pub folder: PathBuf,
    /// VECTOR segments: before and after.
    pub old_segment: String,
    pub new_segment: String,
}

impl Traces {
    /// Reads what [`Traces::to_json`] wrote.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for anything else; segments have to be UUIDs since they name folders.
    pub fn parse(details: &serde_json::Value) -> Result<Traces> {
        let traces = Traces::deserialize(details)
            .map_err(|e| Error::new(Kind::Damaged, "the details of a rewrite are not complete").because(e))?;
        for segment in [&traces.old_segment, &traces.new_segment] {
            if uuid::Uuid::parse_str(segment).is_err() {
                return Err(Error::new(
                    Kind::Damaged,
                    "the details of a rewrite name a segment that is no UUID",
                ));
            }
        }
        // Read from files inside the store's folder: what they name must stay inside it too.
        if !traces.folder.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Error::new(
                Kind::Damaged,
                format!(
                    "the details of a rewrite name the folder `{}`, outside of the store",
                    traces.folder.display()
                ),
            )
            .hint("its journal was changed by something else; nothing was touched"));
        }
        Ok(traces)
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    /// Where the backup lies, given the store's folder.
    pub fn backup(&self, store: &Path) -> PathBuf {
        store.join(&self.folder).join("backup")
    }

    /// Where the folder of the segment before the rewrite goes.
    pub fn kept_segment(&self, store: &Path) -> PathBuf {
        self.backup(store).join("segment").join(&self.old_segment)
    }

    /// After the commit: takes the folder of the segment before out of Chroma's sight, into the backup,
    /// or removes it if there is none. Does nothing as long as the database still points to it.
    ///
    /// A crash before or in the middle of this leaves a folder that Chroma ignores; running it again ends it.
    pub fn settle(&self, connection: &Connection, store: &Path) -> Result<()> {
        let visible = store.join(&self.old_segment);
        if !visible.exists() || is_used(connection, &self.old_segment)? {
            return Ok(());
        }
        let backup = self.backup(store);
        if !backup.join(ROWS).exists() {
            return files::remove_folder(&visible);
        }
        let kept = self.kept_segment(store);
        if kept.exists() {
            return Ok(());
        }
        files::create_folder(&backup.join("segment"))?;
        files::rename(&visible, &kept)
    }

    /// Removes the folder of the new segment unless the database points to it.
    pub fn discard_new(&self, connection: &Connection, store: &Path) -> Result<()> {
        let folder = store.join(&self.new_segment);
        if folder.exists() && !is_used(connection, &self.new_segment)? {
            files::remove_folder(&folder)?;
        }
        Ok(())
    }
}

/// Whether the database points to a segment.
fn is_used(connection: &Connection, segment: &str) -> Result<bool> {
    let count: i64 = connection
        .query_row("SELECT count(*) FROM segments WHERE id = ?1", [segment], |row| row.get(0))
        .doing("look for a segment")?;
    Ok(count > 0)
}
