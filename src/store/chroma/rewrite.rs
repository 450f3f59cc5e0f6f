//! A rewrite in progress: one exclusive transaction from the first record read to the switch.

use std::path::PathBuf;

use ndarray::{ArrayView2, Axis};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::records::{Cursor, Reader, Reads};
use super::release::Release;
use super::snapshot::Snapshot;
use super::stamp::Stamp;
use super::traces::Traces;
use super::{backup, digest, fold, index, index_write, sql};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::hnsw;
use crate::store::{Backup, Batch, Hit, Metric, Records, Rewrite, RewriteTarget};

/// See [`Rewrite`]. The transaction ends with the connection: dropping this rolls it back.
pub(super) struct ChromaRewrite {
    pub store: PathBuf,
    pub connection: Connection,
    pub release: Release,
    pub snapshot: Snapshot,
    pub traces: Traces,
    pub target: RewriteTarget,
    cursor: Cursor,
    /// Ids in key order, as handed out; the first `placed` have their new vector.
    ids: Vec<String>,
    placed: usize,
    /// New vectors, row-major; empty again once they are in the files.
    vectors: Vec<f32>,
    sealed: bool,
}

impl ChromaRewrite {
    pub fn new(
        store: PathBuf,
        connection: Connection,
        release: Release,
        snapshot: Snapshot,
        target: &RewriteTarget,
    ) -> ChromaRewrite {
        let entry = &snapshot.entry;
        let traces = Traces {
            collection: entry.id.clone(),
            migration: target.migration.clone(),
            folder: backup::relative(&store, &target.folder),
            old_segment: entry.vector.clone(),
            new_segment: new_segment(&target.migration, &entry.vector),
        };
        let target = target.clone();
        ChromaRewrite {
            store,
            connection,
            release,
            snapshot,
            traces,
            target,
            cursor: Cursor::start(),
            ids: Vec::new(),
            placed: 0,
            vectors: Vec::new(),
            sealed: false,
        }
    }

    fn files(&self) -> Result<Snapshot> {
        if !self.sealed {
            return Err(Error::new(Kind::Internal, "the new index was asked for before it was sealed"));
        }
        let (entry, segment) = (&self.snapshot.entry, &self.traces.new_segment);
        Snapshot::of_files(&self.connection, &self.store, entry, segment, self.target.space.dimension)
    }
}

/// The id of the new segment: known before anything is written (the journal names it), and the same again
/// for the same migration of the same segment.
fn new_segment(migration: &str, old: &str) -> String {
    let hash = Sha256::digest(format!("embedport segment\n{migration}\n{old}"));
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

impl Rewrite for ChromaRewrite {
    fn next_batch(&mut self, max: usize, texts: bool) -> Result<Option<Batch>> {
        let batch = self.cursor.next_batch(&self.connection, &self.snapshot, max, texts)?;
        if let Some(batch) = &batch {
            self.ids.extend_from_slice(&batch.ids);
        }
        Ok(batch)
    }

    fn sweep_details(&self) -> serde_json::Value {
        self.traces.to_json()
    }

    fn put(&mut self, ids: &[String], vectors: ArrayView2<f32>) -> Result<()> {
        let wanted = (ids.len(), self.target.space.dimension);
        if vectors.dim() != wanted {
            return Err(Error::new(
                Kind::Mismatch,
                format!("new vectors of shape {:?}, wanted {wanted:?}", vectors.dim()),
            ));
        }
        let expected = self.ids.get(self.placed..self.placed + ids.len());
        if expected != Some(ids) || self.sealed {
            return Err(Error::new(Kind::Internal, "new vectors came out of the order of their records"));
        }
        for (id, vector) in ids.iter().zip(vectors.axis_iter(Axis(0))) {
            if vector.iter().any(|x| !x.is_finite()) {
                let found = format!("the new vector of record `{}` is not finite", id.escape_default());
                return Err(Error::new(Kind::Damaged, found));
            }
            self.vectors.extend(vector.iter());
        }
        self.placed += ids.len();
        Ok(())
    }

    fn seal(&mut self, context: &Context<'_>) -> Result<()> {
        if self.placed as u64 != self.snapshot.count || self.sealed {
            let found = format!("{} of {} records have a new vector", self.placed, self.snapshot.count);
            return Err(Error::new(Kind::Internal, found));
        }
        let metric = self.snapshot.entry.settings.metric;
        let dimension = self.target.space.dimension;
        let mut vectors = std::mem::take(&mut self.vectors);
        let mut lengths = Vec::new();
        if metric == Metric::Cosine {
            lengths = vectors.chunks_exact_mut(dimension.max(1)).map(index::normalise).collect();
        }
        let view = ArrayView2::from_shape((self.placed, dimension), &vectors)
            .map_err(|e| Error::new(Kind::Internal, "the new vectors have the wrong shape").because(e))?;
        let (m, ef_construction) = self.snapshot.graph_settings();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let params = hnsw::Params { m, ef_construction, seed: context.seed, threads };
        context.progress.start("building the index", Some(self.placed as u64), "records");
        let graph = hnsw::build(view, index::distance(metric), &params, context);
        context.progress.finish();
        let graph = graph?;
        self.traces.discard_new(&self.connection, &self.store)?;
        let folder = self.store.join(&self.traces.new_segment);
        let form = self.release.pickle(self.snapshot.entry.last());
        index_write::write(&folder, &graph, view, &lengths, &self.ids, form)?;
        self.sealed = true;
        Ok(())
    }

    fn written<'b>(&'b self) -> Result<Box<dyn Records + 'b>> {
        Ok(Box::new(Reader {
            snapshot: self.files()?,
            connection: Reads::Borrowed(&self.connection),
            cursor: Cursor::start(),
            texts: false,
        }))
    }

    fn search(&self, queries: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>> {
        self.files()?.search(&self.connection, queries, k)
    }

    fn content_digest(&self) -> Result<String> {
        digest::content(&self.connection, self.release, &self.snapshot.entry.metadata)
    }

    fn back_up(&mut self) -> Result<Backup> {
        backup::write(&self.connection, &self.store, self.release, &self.snapshot, &self.traces)
    }

    fn commit(self: Box<Self>) -> Result<()> {
        if !self.sealed {
            return Err(Error::new(Kind::Internal, "a rewrite was to be committed before it was sealed"));
        }
        let stamp = Stamp {
            space: self.target.space.clone(),
            migration: self.target.migration.clone(),
            segment: self.traces.new_segment.clone(),
        };
        fold::switch(&self.connection, self.release, &self.snapshot.entry, &stamp)?;
        sql::commit(&self.connection)?;
        // From here on the new vectors are visible. What is left is tidying, which may fail or never
        // happen: Chroma ignores the folder, and the way back finds it in either place.
        let _ = self.traces.settle(&self.connection, &self.store);
        Ok(())
    }
}

impl Drop for ChromaRewrite {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        // Asks the database first: after a commit, also one that reported a failure, the folder is in use.
        let _ = self.traces.discard_new(&self.connection, &self.store);
    }
}
