//! Which vectors of a migrated collection a projection made, and which are the target model's own.

use std::collections::HashSet;
use std::path::Path;

use super::sketch;
use super::{EMBEDDED, SKETCHES};
use crate::error::Result;
use crate::platform::files;
use crate::store::{Collection, VectorStore};

/// What the migration that a collection holds made of its records, by the hashes of their ids.
#[derive(Debug)]
pub(super) struct Made {
    /// Vectors that a projection made.
    pub projected: HashSet<u64>,
    /// Vectors of the model's own.
    pub embedded: HashSet<u64>,
}

impl Made {
    /// Of what `collection` holds; `None` if it cannot be told (any more).
    pub fn read(store: &dyn VectorStore, collection: &Collection) -> Result<Option<Made>> {
        let Some(migration) = &collection.migration else { return Ok(None) };
        let folder = store.state_folder().join(migration);
        if !folder.join(SKETCHES).is_file() {
            return Ok(None);
        }
        let bytes = |name: &str| files::read_at_most(&folder.join(name), 1 << 34);
        let all = sketch::from_bytes(&bytes(SKETCHES)?)?;
        let embedded = if folder.join(EMBEDDED).is_file() { bytes(EMBEDDED)? } else { Vec::new() };
        let embedded: HashSet<u64> =
            embedded.as_chunks().0.iter().map(|id| u64::from_le_bytes(*id)).collect();
        let projected = all.iter().map(|sketch| sketch.id).filter(|id| !embedded.contains(id)).collect();
        Ok(Some(Made { projected, embedded }))
    }

    /// Whether the vector of a record is not the projection's: embedded by an earlier run, or added since.
    pub fn is_own(&self, id: u64) -> bool {
        !self.projected.contains(&id)
    }

    /// Notes which records of the migration in `folder` have vectors of the model's own.
    pub fn note(folder: &Path, own: impl Iterator<Item = u64>) -> Result<()> {
        files::write(&folder.join(EMBEDDED), &own.flat_map(u64::to_le_bytes).collect::<Vec<u8>>())
    }
}
