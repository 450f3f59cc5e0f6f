//! Collections and the whole file in words that every store has.

use std::fs::Metadata;
use std::sync::PoisonError;

use super::find::Found;
use super::holder::Cursor;
use super::{SCHEME, SqliteStore, overlooked, stamp};
use crate::error::Result;
use crate::platform::identity;
use crate::store::sql;
use crate::store::{Collection, StoreDescription};

/// What the files were when they were described.
#[derive(Debug)]
pub(super) struct Seen {
    state: [Option<identity::State>; 2],
    description: StoreDescription,
}

impl SqliteStore {
    /// The file and its log, as far as they are there.
    fn files(&self) -> [Option<Metadata>; 2] {
        [self.database.clone(), sql::beside(&self.database, "-wal")].map(|path| std::fs::metadata(path).ok())
    }

    /// Bytes of the file and its log.
    pub(super) fn bytes(&self) -> u64 {
        self.files().iter().flatten().map(Metadata::len).sum()
    }

    /// The whole file, counted, unless nobody wrote to it since that was done.
    pub(super) fn described(&self) -> Result<StoreDescription> {
        let state = self.files().map(|file| file.as_ref().map(identity::state));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.as_ref().filter(|seen| seen.state == state) {
            return Ok(seen.description.clone());
        }
        let connection = self.read()?;
        let found = self.counted(&connection)?;
        let unrecognised = match found.as_slice() {
            [] => overlooked::columns(&connection, &found)?,
            _ => Vec::new(),
        };
        let description = StoreDescription {
            scheme: SCHEME,
            release: format!("SQLite, read with {}", rusqlite::version()),
            path: self.database.clone(),
            bytes: self.bytes(),
            unrecognised,
            collections: found.iter().map(|found| self.collection_of(found)).collect(),
        };
        let records: u64 = found.iter().map(|found| found.count).sum();
        // With a log, others may write while it is counted.
        *seen = (records >= identity::MANY && self.files()[1].is_none())
            .then(|| Seen { state, description: description.clone() });
        Ok(description)
    }

    /// A stamped collection that is known to have so many `records`, if its table has as many rows: each is then taken for one
    /// of them, with a vector as the first one has it. A count of rows does not read what they hold.
    pub(super) fn all_rows(&self, id: &str, records: u64, texts: u64) -> Result<Option<Collection>> {
        let connection = self.read()?;
        let Some(stamp) = stamp::of(&connection, id)? else { return Ok(None) };
        let mut found = self.formed(&connection, id, Some(stamp.space.dimension))?;
        let entry = &found.entry;
        if entry.grouped || entry.condition.is_some() || entry.unsupported.is_some() || found.stamp.is_none()
        {
            return Ok(None);
        }
        // Others are rows without a vector, or of somebody else.
        if found.holder.rows(&connection, entry)? != records {
            return Ok(None);
        }
        // Of another dimension than the stamp says, this is an error.
        if found.holder.next_batch(&connection, entry, &mut Cursor::default(), 1, false)?.is_none() {
            return Ok(None);
        }
        (found.count, found.texts) = (records, texts);
        Ok(Some(self.collection_of(&found)))
    }

    fn collection_of(&self, found: &Found) -> Collection {
        let entry = &found.entry;
        let (stamped, migration) = found.stamp.clone().map(|stamp| (stamp.space, stamp.migration)).unzip();
        let components = entry.dimension.unwrap_or(0);
        let mut layout = format!(
            "table {}, key {}, vectors as {} in {}",
            entry.table,
            entry.id_columns().join(" and "),
            entry.encoding.name(),
            entry.vector
        );
        if let Some(text) = &entry.text_column {
            layout.push_str(&format!(", texts in {text}"));
        }
        if found.strange > 0 {
            layout.push_str(&format!("; {} values are no vectors, and are left alone", found.strange));
        }
        Collection {
            id: entry.id.clone(),
            name: entry.name.clone(),
            namespace: "main".to_owned(),
            count: found.count,
            dimension: entry.dimension,
            metric: entry.metric,
            texts: found.texts,
            stamped,
            configured_model: None,
            embedding_function: "none".to_owned(),
            migration,
            bytes: found.count * entry.encoding.length(components).unwrap_or(12 * components) as u64,
            layout: Some(layout),
            rounded_to: (!entry.encoding.is_exact()).then(|| entry.encoding.name().to_owned()),
            unsupported: entry.unsupported.clone(),
        }
    }
}
