//! The queue: what was written since the index files were last brought up to date.

use std::collections::{HashMap, HashSet};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::catalog::Entry;
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;

/// Id of the record that the remaining queue row deletes.
const NOBODY: &str = "__none__";
const DELETE: i64 = 3;

/// Where the newest vector of a record is, if not in the index files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue row of this sequence number.
    Queued(i64),
    /// Nowhere: the record was deleted.
    Gone,
}

/// The unread part of a collection's queue, by record.
#[derive(Debug, Default)]
pub(super) struct Pending {
    places: HashMap<String, Place>,
}

impl Pending {
    /// Replays the rows that the index has not read. `indexed` tells whether the index files hold an id.
    ///
    /// # Errors
    /// [`Kind::Refused`] if the metadata tables have not read all of the queue themselves.
    pub fn read(
        connection: &Connection,
        entry: &Entry,
        indexed: impl Fn(&str) -> bool,
        from: i64,
    ) -> Result<Pending> {
        if entry.queue_last.is_some_and(|last| entry.metadata_seq.is_none_or(|seq| seq < last)) {
            return Err(Error::new(
                Kind::Refused,
                format!("collection `{}` has writes that its tables have not taken in yet", entry.name),
            )
            .hint("open it once with Chroma (`get_collection` and `count()`), which finishes them, then try again"));
        }
        let doing = "read the queue";
        let mut statement = connection
            .prepare(
                "SELECT seq_id, operation, id, vector IS NOT NULL FROM embeddings_queue \
                 WHERE topic = ?1 AND seq_id > ?2 ORDER BY seq_id",
            )
            .doing(doing)?;
        let mut rows = statement.query(params![entry.topic, from]).doing(doing)?;
        let mut places = HashMap::new();
        while let Some(row) = rows.next().doing(doing)? {
            let seq: i64 = row.get(0).doing(doing)?;
            let operation: i64 = row.get(1).doing(doing)?;
            let id: String = row.get(2).doing(doing)?;
            let has_vector: bool = row.get(3).doing(doing)?;
            replay(&mut places, &indexed, seq, operation, id, has_vector)?;
        }
        Ok(Pending { places })
    }

    /// Looks for records that live without a vector in the rows that the index has read already, and takes
    /// the newest vector there; returns how many are left without one.
    ///
    /// 0.4 loses a record from its index that is deleted and added again within one batch. Its queue is
    /// never purged, so the vector is still there.
    pub fn recover(
        &mut self,
        connection: &Connection,
        entry: &Entry,
        missing: &HashSet<String>,
    ) -> Result<u64> {
        if missing.is_empty() {
            return Ok(0);
        }
        let doing = "read the queue";
        let mut left: HashSet<&str> = missing.iter().map(String::as_str).collect();
        let mut statement = connection
            .prepare(
                "SELECT seq_id, id FROM embeddings_queue \
                 WHERE topic = ?1 AND operation IN (0, 1, 2) AND vector IS NOT NULL ORDER BY seq_id DESC",
            )
            .doing(doing)?;
        let mut rows = statement.query([&entry.topic]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let id: String = row.get(1).doing(doing)?;
            if left.remove(id.as_str()) {
                self.places.insert(id, Place::Queued(row.get(0).doing(doing)?));
            }
        }
        Ok(left.len() as u64)
    }

    /// Where the newest vector of `id` is; `None`: in the index files, if anywhere.
    pub fn place(&self, id: &str) -> Option<Place> {
        self.places.get(id).copied()
    }

    /// Records whose newest vector is in the queue, live or not.
    pub fn queued(&self) -> impl Iterator<Item = (&str, i64)> {
        self.places.iter().filter_map(|(id, place)| match place {
            Place::Queued(seq) => Some((id.as_str(), *seq)),
            Place::Gone => None,
        })
    }
}

/// One row, as Chroma's index takes it: an add of a present id and an update of an absent one do nothing.
fn replay(
    places: &mut HashMap<String, Place>,
    indexed: impl Fn(&str) -> bool,
    seq: i64,
    operation: i64,
    id: String,
    has_vector: bool,
) -> Result<()> {
    let present = match places.get(&id) {
        Some(Place::Queued(_)) => true,
        Some(Place::Gone) => false,
        None => indexed(&id),
    };
    let place = match operation {
        0 if !present && has_vector => Place::Queued(seq),
        1 if present && has_vector => Place::Queued(seq),
        2 if has_vector => Place::Queued(seq),
        3 if present => Place::Gone,
        0..=3 => return Ok(()),
        _ => {
            return Err(Error::new(
                Kind::Damaged,
                format!("queue row {seq} has the unknown operation {operation}"),
            ));
        }
    };
    places.insert(id, place);
    Ok(())
}

/// Reads the vector of a queue row.
///
/// # Errors
/// [`Kind::Damaged`] if it is not `out.len()` float32.
pub(super) fn vector(connection: &Connection, seq: i64, out: &mut [f32]) -> Result<()> {
    let doing = "read a queued vector";
    let fits = connection
        .prepare_cached("SELECT vector, encoding FROM embeddings_queue WHERE seq_id = ?1")
        .doing(doing)?
        .query_row([seq], |row| match (row.get_ref(0)?, row.get_ref(1)?) {
            (ValueRef::Blob(bytes), ValueRef::Text(b"FLOAT32")) => Ok(decode(bytes, out)),
            _ => Ok(false),
        })
        .doing(doing)?;
    if fits {
        return Ok(());
    }
    Err(Error::new(Kind::Damaged, format!("queue row {seq} holds no vector of {} float32", out.len()))
        .hint("the collection has vectors of more than one dimension, or a damaged queue"))
}

/// Leaves one row of `topic` at `last`, or behind the last row of all if that number is taken; returns its number.
pub(super) fn sentinel(connection: &Connection, topic: &str, last: i64) -> Result<i64> {
    let doing = "fold the queue";
    let last = connection
        .query_row(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM embeddings_queue WHERE seq_id = ?1) \
             THEN (SELECT max(seq_id) + 1 FROM embeddings_queue) ELSE ?1 END",
            [last],
            |row| row.get(0),
        )
        .doing(doing)?;
    connection
        .execute(
            "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (?1, ?2, ?3, ?4)",
            params![last, DELETE, topic, NOBODY],
        )
        .doing(doing)?;
    Ok(last)
}

/// Little-endian float32 into `out`; false if the lengths differ.
pub(super) fn decode(bytes: &[u8], out: &mut [f32]) -> bool {
    let (values, rest) = bytes.as_chunks::<4>();
    if values.len() != out.len() || !rest.is_empty() {
        return false;
    }
    for (value, bytes) in out.iter_mut().zip(values) {
        *value = f32::from_le_bytes(*bytes);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rows: &[(i64, &str, bool)], indexed: &[&str]) -> Vec<(String, Place)> {
        let mut places = HashMap::new();
        for (seq, (operation, id, has_vector)) in (1..).zip(rows) {
            replay(&mut places, |id| indexed.contains(&id), seq, *operation, (*id).into(), *has_vector)
                .expect("known");
        }
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort_by(|a, b| a.0.cmp(&b.0));
        places
    }

    #[test]
    fn the_last_vector_wins_and_rows_without_one_change_nothing() {
        let rows = [(0, "a", true), (1, "a", true), (1, "a", false), (2, "b", true), (1, "b", false)];
        assert_eq!(after(&rows, &[]), [("a".into(), Place::Queued(2)), ("b".into(), Place::Queued(4))]);
    }

    #[test]
    fn adding_what_is_there_and_updating_what_is_not_do_nothing() {
        assert_eq!(after(&[(0, "a", true), (1, "b", true), (3, "c", false)], &["a"]), []);
        assert_eq!(after(&[(0, "a", true), (0, "a", true)], &[]), [("a".into(), Place::Queued(1))]);
    }

    #[test]
    fn deleted_and_added_again_is_the_new_one() {
        assert_eq!(after(&[(3, "a", false)], &["a"]), [("a".into(), Place::Gone)]);
        assert_eq!(after(&[(3, "a", false), (0, "a", true)], &["a"]), [("a".into(), Place::Queued(2))]);
        assert_eq!(
            after(&[(2, "a", true), (3, "a", false), (1, "a", true)], &["a"]),
            [("a".into(), Place::Gone)]
        );
    }

    #[test]
    fn decoding_wants_the_very_length() {
        let mut out = [0.0; 2];
        assert!(decode(&[0, 0, 128, 63, 0, 0, 0, 64], &mut out));
        assert_eq!(out, [1.0, 2.0]);
        assert!(!decode(&[0; 9], &mut out));
        assert!(!decode(&[0; 4], &mut out));
    }
}
