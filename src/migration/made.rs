//! Which vectors of a migrated collection a projection made, and which are the target model's own.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::embedded::{Key, key, worth};
use super::sketch::{self, hash_id};
use super::{BATCH, EMBEDDED, SKETCHES};
use crate::context::Context;
use crate::error::Result;
use crate::platform::files;
use crate::store::{Collection, VectorStore};

/// Largest note that is read.
const MOST_BYTES: u64 = 1 << 34;

/// What [`Made::note`] noted in the folder of a migration; nothing if it noted nothing.
pub(super) fn noted(folder: &Path) -> Result<HashMap<u64, Key>> {
    let path = folder.join(EMBEDDED);
    let bytes = if path.is_file() { files::read_at_most(&path, MOST_BYTES)? } else { Vec::new() };
    let row = |row: &[u8; 24]| {
        let (id, key) = row.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*id), Key::from_le_bytes(*key.first_chunk()?)))
    };
    Ok(bytes.as_chunks().0.iter().filter_map(row).collect())
}

/// What the migration that a collection holds made of its records, by the hashes of their ids.
#[derive(Debug)]
pub(super) struct Made {
    /// Records that were there.
    records: HashSet<u64>,
    /// Those that have the model's own vectors, and of which texts.
    embedded: HashMap<u64, Key>,
}

impl Made {
    /// Of what `collection` holds; `None` if it cannot be told (any more).
    pub fn read(store: &dyn VectorStore, collection: &Collection) -> Result<Option<Made>> {
        let Some(migration) = &collection.migration else { return Ok(None) };
        let folder = store.state_folder().join(migration);
        if !folder.join(SKETCHES).is_file() {
            return Ok(None);
        }
        let sketches = files::read_at_most(&folder.join(SKETCHES), MOST_BYTES)?;
        let records = sketch::from_bytes(&sketches)?.iter().map(|sketch| sketch.id).collect();
        Ok(Some(Made { records, embedded: noted(&folder)? }))
    }

    /// Whether the vector of a record is what the model makes of its text, as far as an earlier run noted it.
    pub fn is_own(&self, id: u64, text: Key) -> bool {
        self.embedded.get(&id) == Some(&text)
    }

    /// Whether it is not: the migration made it otherwise, or the text changed. Of what was added since nothing is known.
    pub fn is_other(&self, id: u64, text: Key) -> bool {
        self.records.contains(&id) && !self.is_own(id, text)
    }

    /// How many texts are not known to be embedded; `is_made`: only those whose vector is known to be another.
    pub fn left(
        &self,
        (store, collection): (&dyn VectorStore, &Collection),
        is_made: bool,
        context: &Context<'_>,
    ) -> Result<u64> {
        let mut left = 0;
        let mut records = store.records(collection, true)?;
        while let Some(batch) = records.next_batch(BATCH)? {
            context.check()?;
            for (id, text) in batch.ids.iter().zip(&batch.texts) {
                let Some(text) = worth(text.as_deref()) else { continue };
                let (id, text) = (hash_id(id), key(text));
                left += u64::from(if is_made { self.is_other(id, text) } else { !self.is_own(id, text) });
            }
        }
        Ok(left)
    }

    /// Records with the model's own vectors, and of which texts.
    pub fn own(&self) -> impl Iterator<Item = (u64, Key)> {
        self.embedded.iter().map(|(id, key)| (*id, *key))
    }

    /// Notes in the folder of a migration which records have vectors of the model's own.
    pub fn note(folder: &Path, own: &HashMap<u64, Key>) -> Result<()> {
        let rows = own.iter().flat_map(|(id, key)| id.to_le_bytes().into_iter().chain(key.to_le_bytes()));
        files::write(&folder.join(EMBEDDED), &rows.collect::<Vec<u8>>())
    }
}
