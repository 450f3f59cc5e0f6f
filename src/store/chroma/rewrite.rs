//! A rewrite in progress: one exclusive transaction from the first record read to the switch.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use ndarray::ArrayView2;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::catalog;
use super::kept::Kept;
use super::rebuilt::Rebuilt;
use super::release::Release;
use super::snapshot::Snapshot;
use super::source;
use super::stamp::Stamp;
use super::traces::Traces;
use super::{backup, fold, records};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::store::sql::{self, Doing};
use crate::store::{BackupChoice, Batch, Hit, IndexChoice, IndexWay, Pass, Rewrite, RewriteTarget, Saved};

/// See [`Rewrite`]. The transaction ends with the connection: dropping this rolls it back.
pub(super) struct ChromaRewrite {
    store: PathBuf,
    connection: Connection,
    release: Release,
    snapshot: Arc<Snapshot>,
    traces: Traces,
    target: RewriteTarget,
    vectors: Vectors,
    /// What the commit will make visible, as an opener will find it.
    sealed: Option<Snapshot>,
    /// Dropped after the connection: see [`backup::write`].
    open: Vec<File>,
}

/// Where the new vectors are.
enum Vectors {
    None,
    Kept(Kept),
    Rebuilt(Rebuilt),
}

impl ChromaRewrite {
    pub fn new(
        store: PathBuf,
        connection: Connection,
        release: Release,
        snapshot: Arc<Snapshot>,
        target: &RewriteTarget,
    ) -> ChromaRewrite {
        let entry = &snapshot.entry;
        let traces = Traces {
            collection: entry.id.clone(),
            migration: target.migration.clone(),
            folder: crate::store::backup::relative(&store, &target.folder),
            old_segment: entry.vector.clone(),
            new_segment: new_segment(&target.migration, &entry.vector),
        };
        let (target, vectors) = (target.clone(), Vectors::None);
        let (sealed, open) = (None, Vec::new());
        ChromaRewrite { store, connection, release, snapshot, traces, target, vectors, sealed, open }
    }

    fn sealed(&self) -> Result<&Snapshot> {
        self.sealed
            .as_ref()
            .ok_or_else(|| Error::new(Kind::Internal, "the new index was asked for before it was sealed"))
    }

    /// Waits until what was written is durable.
    fn sync(&mut self) -> Result<()> {
        match &mut self.vectors {
            Vectors::Kept(kept) => kept.sync(),
            Vectors::None | Vectors::Rebuilt(_) => Ok(()),
        }
    }

    fn folder(&self) -> PathBuf {
        self.store.join(&self.traces.new_segment)
    }

    /// Writes the files of the new index by `way`.
    fn write_index(&mut self, way: IndexWay, context: &Context<'_>) -> Result<()> {
        let folder = self.folder();
        if let (Vectors::Kept(kept), IndexWay::Rebuilt) = (&self.vectors, way) {
            self.vectors = Vectors::Rebuilt(Rebuilt::of_kept(kept, &self.snapshot, &folder)?);
        }
        match &mut self.vectors {
            Vectors::None => Err(Error::new(Kind::Internal, "an index was to be made before its vectors")),
            Vectors::Kept(kept) => {
                if way == IndexWay::Repaired {
                    kept.repair(&self.snapshot, context)?;
                }
                let seen = self.snapshot.entry.vector_seq.unwrap_or(0);
                kept.write(&self.snapshot, self.release.pickle(seen))
            }
            Vectors::Rebuilt(rebuilt) => {
                let form = self.release.pickle(self.snapshot.entry.last());
                rebuilt.write(&self.snapshot, form, context)
            }
        }
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
    fn sweep_details(&self) -> serde_json::Value {
        self.traces.to_json()
    }

    fn ways(&self) -> Vec<IndexWay> {
        let seen = self.snapshot.entry.vector_seq.unwrap_or(0);
        let keeps = self.snapshot.index().is_some_and(|index| index.ids().len() > 0)
            // A vector in a row that the index believes to have read would never be read again.
            && self.snapshot.waiting().first().is_none_or(|(seq, _)| *seq > seen);
        match self.target.index {
            _ if !keeps => vec![IndexWay::Rebuilt],
            IndexChoice::Auto => vec![IndexWay::Kept, IndexWay::Repaired, IndexWay::Rebuilt],
            IndexChoice::Keep => vec![IndexWay::Kept, IndexWay::Repaired],
            IndexChoice::Rebuild => vec![IndexWay::Rebuilt],
        }
    }

    fn texts(&self, look: &mut dyn FnMut(&str, &str)) -> Result<()> {
        records::texts(&self.connection, &self.snapshot, look)
    }

    fn transform(
        &mut self,
        pass: &dyn Pass,
        look: &mut dyn FnMut(&str, &str),
        context: &Context<'_>,
    ) -> Result<Saved> {
        let dimension = self.target.space.dimension;
        let full = self.target.backup == BackupChoice::Full;
        self.traces.discard_new(&self.connection, &self.store)?;
        let folder = self.folder();
        let mut vectors = match self.ways().first() {
            Some(IndexWay::Rebuilt) => Vectors::Rebuilt(Rebuilt::new(&self.snapshot, &folder, dimension)?),
            _ => Vectors::Kept(Kept::new(&self.snapshot, &folder, dimension)?),
        };
        let Self { connection, store, release, snapshot, traces, .. } = self;
        // The tables belong to this thread, the index files to the others.
        let (indexed, saved) = std::thread::scope(|scope| {
            let indexed = scope.spawn(|| match &mut vectors {
                Vectors::Kept(kept) => kept.take_index(snapshot, pass, context),
                Vectors::Rebuilt(rebuilt) => rebuilt.take_index(snapshot, pass, context),
                Vectors::None => Ok(()),
            });
            let saved = backup::write(connection, store, *release, snapshot, traces, full, look);
            (indexed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), saved)
        });
        let (saved, open) = saved?;
        self.open = open;
        indexed?;
        match &mut vectors {
            Vectors::Kept(kept) => kept.take_queue(&self.snapshot, &self.connection, pass, context)?,
            Vectors::Rebuilt(rebuilt) => {
                rebuilt.take_queue(&self.snapshot, &self.connection, pass, context)?;
            }
            Vectors::None => {}
        }
        self.vectors = vectors;
        Ok(saved)
    }

    fn search_before(&self, queries: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>> {
        if self.sealed.is_some() {
            return Err(Error::new(Kind::Internal, "the index of before was asked for after the seal"));
        }
        self.snapshot.search(&self.connection, queries, k)
    }

    fn seal(&mut self, way: IndexWay, context: &Context<'_>) -> Result<()> {
        let doing = "prepare the switch";
        if self.sealed.take().is_some() {
            self.connection.execute_batch("ROLLBACK TO switch; RELEASE switch").doing(doing)?;
        }
        self.sync()?;
        self.write_index(way, context)?;
        let stamp = Stamp {
            space: self.target.space.clone(),
            migration: self.target.migration.clone(),
            segment: self.traces.new_segment.clone(),
            last: None,
        };
        let tail = match &self.vectors {
            Vectors::Kept(kept) => Some(kept.tail.as_slice()),
            _ => None,
        };
        self.connection.execute_batch("SAVEPOINT switch").doing(doing)?;
        fold::switch(&self.connection, self.release, &self.snapshot.entry, &stamp, tail)?;
        let entry = catalog::find(&self.connection, self.release, &self.snapshot.entry.id)?;
        self.sealed = Some(Snapshot::open(&self.connection, &self.store, entry)?);
        Ok(())
    }

    fn read_back(&self, look: &(dyn Fn(&Batch) -> Result<()> + Sync)) -> Result<()> {
        source::each(self.sealed()?, &self.connection, look)
    }

    fn search(&self, queries: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>> {
        self.sealed()?.search(&self.connection, queries, k)
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        if self.sealed.take().is_none() {
            return Err(Error::new(Kind::Internal, "a rewrite was to be committed before it was sealed"));
        }
        self.sync()?;
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
        let _ = self.sync();
        // Asks the database first: after a commit, also one that reported a failure, the folder is in use.
        let _ = self.traces.discard_new(&self.connection, &self.store);
    }
}
