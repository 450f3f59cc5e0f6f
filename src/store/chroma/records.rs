//! Streaming the records of a collection in the order of their keys.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::snapshot::Snapshot;
use crate::error::{Error, Kind, Result};
use crate::store::sql::Doing;
use crate::store::{Batch, Records};
use ndarray::Array2;

/// Where a stream of records stands; the key is `embeddings.id`.
pub(super) struct Cursor {
    after: i64,
}

impl Cursor {
    pub fn start() -> Cursor {
        Cursor { after: i64::MIN }
    }

    /// The next at most `max` records.
    pub fn next_batch(
        &mut self,
        connection: &Connection,
        snapshot: &Snapshot,
        max: usize,
        texts: bool,
    ) -> Result<Option<Batch>> {
        let doing = "read records";
        let text = match texts {
            true => {
                "(SELECT string_value FROM embedding_metadata WHERE id = e.id AND key = 'chroma:document')"
            }
            false => "NULL",
        };
        // `+segment_id`: walk the keys in order instead of sorting what the other index gives.
        let sql = format!(
            "SELECT e.id, e.embedding_id, {text} FROM embeddings e \
             WHERE e.id > ?1 AND +e.segment_id = ?2 ORDER BY e.id LIMIT ?3"
        );
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let limit = i64::try_from(max.max(1)).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![self.after, snapshot.entry.metadata, limit]).doing(doing)?;
        let mut batch = Batch { ids: Vec::new(), vectors: Array2::zeros((0, 0)), texts: Vec::new() };
        while let Some(row) = rows.next().doing(doing)? {
            self.after = row.get(0).doing(doing)?;
            batch.ids.push(row.get(1).doing(doing)?);
            if texts {
                batch.texts.push(row.get(2).doing(doing)?);
            }
        }
        if batch.ids.is_empty() {
            return Ok(None);
        }
        let dimension = snapshot.dimension();
        let mut vectors = vec![0.0; batch.ids.len() * dimension];
        let mut bytes = Vec::new();
        for (id, vector) in batch.ids.iter().zip(vectors.chunks_exact_mut(dimension.max(1))) {
            snapshot.vector(connection, id, vector, &mut bytes)?;
        }
        batch.vectors = Array2::from_shape_vec((batch.ids.len(), dimension), vectors)
            .map_err(|e| Error::new(Kind::Internal, "a batch of records has the wrong shape").because(e))?;
        Ok(Some(batch))
    }
}

/// Shows id and text of every record of the collection that has a text.
pub(super) fn texts(
    connection: &Connection,
    snapshot: &Snapshot,
    look: &mut dyn FnMut(&str, &str),
) -> Result<()> {
    let doing = "read texts";
    let sql = "SELECT e.embedding_id, m.string_value FROM embeddings e JOIN embedding_metadata m \
               ON m.id = e.id AND m.key = 'chroma:document' \
               WHERE +e.segment_id = ?1 AND m.string_value IS NOT NULL ORDER BY e.id";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let mut rows = statement.query(params![snapshot.entry.metadata]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let text = |column: usize| row.get_ref(column).ok().and_then(|value| value.as_str().ok());
        if let (Some(id), Some(text)) = (text(0), text(1)) {
            look(id, text);
        }
    }
    Ok(())
}

/// A stream of records.
pub(super) struct Reader {
    pub connection: Connection,
    pub snapshot: Arc<Snapshot>,
    pub cursor: Cursor,
    pub texts: bool,
}

impl Records for Reader {
    fn next_batch(&mut self, max: usize) -> Result<Option<Batch>> {
        self.cursor.next_batch(&self.connection, &self.snapshot, max, self.texts)
    }
}
