//! Collections and the whole file in words that every store has.

use super::find::Found;
use super::{SCHEME, SqliteStore};
use crate::store::sql;
use crate::store::{Collection, StoreDescription};

impl SqliteStore {
    /// Bytes of the file and its log.
    pub(super) fn bytes(&self) -> u64 {
        let files = [self.database.clone(), sql::beside(&self.database, "-wal")];
        files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|found| found.len()).sum()
    }

    pub(super) fn described(&self, found: &[Found]) -> StoreDescription {
        StoreDescription {
            scheme: SCHEME,
            release: format!("SQLite, read with {}", rusqlite::version()),
            path: self.database.clone(),
            bytes: self.bytes(),
            collections: found.iter().map(|found| self.collection_of(found)).collect(),
        }
    }

    pub(super) fn collection_of(&self, found: &Found) -> Collection {
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
