//! One collection at one moment: tables, queue and index files seen together.

use std::collections::HashSet;
use std::path::Path;

use ndarray::ArrayView2;
use rayon::prelude::*;
use rusqlite::Connection;

use super::catalog::Entry;
use super::hnsw_files::LARGEST_DIMENSION;
use super::ids::Listed;
use super::index::{self, Index};
use super::queue::{self, Pending, Place};
use crate::error::{Error, Kind, Result};
use crate::hnsw::{self, Searcher};
use crate::store::sql::Doing;
use crate::store::{Hit, Metric};

/// A consistent view, valid as long as the connection's transaction.
pub(super) struct Snapshot {
    pub entry: Entry,
    index: Option<Index>,
    pending: Pending,
    /// Live records.
    pub count: u64,
    /// By element of the index: whether the vector of a live record is there.
    live: Vec<bool>,
    /// Live records whose vector is in the queue: number of the row and id, in the order of the rows.
    waiting: Vec<(i64, String)>,
}

impl Snapshot {
    /// Opens a collection of the database in `folder`.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if some records have no vector; [`Kind::Refused`] if writes are unfinished.
    pub fn open(connection: &Connection, folder: &Path, mut entry: Entry) -> Result<Snapshot> {
        // Vectors are allocated by it before any is read.
        if let Some(dimension) = entry.dimension.filter(|d| *d as u64 > LARGEST_DIMENSION) {
            let found = format!(
                "collection `{}` says {dimension} components, at most {LARGEST_DIMENSION} are read",
                entry.name
            );
            return Err(Error::new(Kind::Damaged, found)
                .hint("set `collections.dimension` back to what the vectors have, or restore the folder from a copy"));
        }
        // The tables belong to this thread, the index files to another.
        let (index, records) = std::thread::scope(|scope| {
            let index = scope.spawn(|| {
                Index::open(&folder.join(&entry.vector), entry.settings.metric, entry.dimension)
                    .map_err(|e| e.context(format_args!("collection `{}`", entry.name)))
            });
            let records = list_records(connection, &entry.metadata);
            (index.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), records)
        });
        let (index, records) = (index?, records?);
        // The table comes first: a release that keeps the number there leaves the pickle's as it was.
        entry.vector_seq = entry.vector_seq.or(index.as_ref().and_then(|index| index.max_seq_id));
        // Without index files nothing of the queue has been read, whatever the table says.
        let from = if index.is_some() { entry.vector_seq.unwrap_or(0) } else { 0 };
        let indexed = |id: &str| index.as_ref().is_some_and(|index| index.ids().element(id).is_some());
        let pending = Pending::read(connection, &entry, indexed, from)?;
        let mut snapshot =
            Snapshot { entry, index, pending, count: 0, live: Vec::new(), waiting: Vec::new() };
        let missing = snapshot.match_records(&records);
        let left = snapshot.pending.recover(connection, &snapshot.entry, &missing)?;
        snapshot.wait_for(missing);
        snapshot.refuse_missing(left)?;
        Ok(snapshot)
    }

    pub fn dimension(&self) -> usize {
        self.entry.dimension.unwrap_or(0)
    }

    /// M and ef_construction: of the index if there is one, else as configured.
    pub fn graph_settings(&self) -> (usize, usize) {
        let configured = (self.entry.settings.m, self.entry.settings.ef_construction);
        self.index.as_ref().map_or(configured, |index| {
            let ef = usize::try_from(index.header().ef_construction).unwrap_or(configured.1);
            (index.header().m, ef.clamp(10, 10_000))
        })
    }

    /// The index, if files of one are there.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// Whether a live record's vector is at `element` of the index.
    pub fn is_live(&self, element: u32) -> bool {
        self.live.get(element as usize).copied().unwrap_or(false)
    }

    /// Whether the vector of the record `id` is in the queue.
    pub fn is_waiting(&self, id: &str) -> bool {
        matches!(self.pending.place(id), Some(Place::Queued(_)))
    }

    /// Live records whose vector is in the queue: number of the row and id, in the order of the rows.
    pub fn waiting(&self) -> &[(i64, String)] {
        &self.waiting
    }

    /// Reads the vector of a live record, as the user gave it.
    pub fn vector(
        &self,
        connection: &Connection,
        id: &str,
        out: &mut [f32],
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        let found = match (self.pending.place(id), &self.index) {
            (Some(Place::Queued(seq)), _) => queue::vector(connection, seq, out).map(|()| true)?,
            (None, Some(index)) => index.vector(id, out, bytes)?,
            _ => false,
        };
        if !found {
            return Err(Error::new(Kind::Damaged, "a record has no vector"));
        }
        if out.iter().any(|x| !x.is_finite()) {
            return Err(Error::new(
                Kind::Damaged,
                format!("the vector of record `{}` is not finite", id.escape_default()),
            )
            .hint("delete that record or write it again with Chroma"));
        }
        Ok(())
    }

    /// The `k` nearest records per query, as Chroma would find them: through the graph, and one by
    /// one among the records that only the queue holds.
    pub fn search(
        &self,
        connection: &Connection,
        queries: ArrayView2<'_, f32>,
        k: usize,
    ) -> Result<Vec<Vec<Hit>>> {
        let dimension = self.dimension();
        if queries.ncols() != dimension {
            let found = format!("queries of dimension {} for a collection of {dimension}", queries.ncols());
            return Err(Error::new(Kind::Mismatch, found));
        }
        let metric = self.entry.settings.metric;
        let kind = index::distance(metric);
        let ef = self.entry.settings.ef_search.max(k);
        let queued = self.queued(connection)?;
        let loaded = self.index.as_ref().map(Index::load).transpose()?;
        let graph = loaded.as_ref().map(index::Loaded::graph).transpose()?;
        let rows: Vec<_> = queries.outer_iter().map(|row| row.to_vec()).collect();
        let threads = rayon::current_num_threads().max(1);
        let nearest = |rows: &[Vec<f32>]| -> Result<Vec<Vec<Hit>>> {
            let mut searcher = graph.as_ref().map(|graph| Searcher::new(graph, kind)).transpose()?;
            let mut answers = Vec::with_capacity(rows.len());
            for row in rows {
                let mut query = row.clone();
                if metric == Metric::Cosine {
                    index::normalise(&mut query);
                }
                let mut found: Vec<(f32, &str)> = Vec::new();
                if let (Some(searcher), Some(index)) = (&mut searcher, &self.index) {
                    // All that the search came upon: some may turn out to be deleted or rewritten since.
                    let hits = searcher.search(&query, ef, ef)?;
                    let named =
                        hits.into_iter().filter_map(|(d, element)| Some((d, index.ids().id(element)?)));
                    found.extend(named.filter(|(_, id)| self.pending.place(id).is_none()));
                }
                found.extend(queued.iter().map(|(id, vector)| (hnsw::distance(kind, &query, vector), *id)));
                found.sort_by(|a, b| a.0.total_cmp(&b.0));
                let hit = |(distance, id): (f32, &str)| Hit { id: id.to_owned(), distance };
                answers.push(found.into_iter().take(k).map(hit).collect());
            }
            Ok(answers)
        };
        let parts: Vec<_> =
            rows.par_chunks(rows.len().div_ceil(threads).max(1)).map(nearest).collect::<Result<_>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Vectors of the live records that only the queue holds, normalised where the metric wants it.
    fn queued(&self, connection: &Connection) -> Result<Vec<(&str, Vec<f32>)>> {
        let mut queued = Vec::new();
        for (seq, id) in &self.waiting {
            let mut vector = vec![0.0; self.dimension()];
            queue::vector(connection, *seq, &mut vector)?;
            if self.entry.settings.metric == Metric::Cosine {
                index::normalise(&mut vector);
            }
            queued.push((id.as_str(), vector));
        }
        Ok(queued)
    }

    /// Counts the live records and notes where the vector of each is; returns those whose vector is in neither place.
    fn match_records(&mut self, records: &Listed) -> HashSet<String> {
        self.count = records.len() as u64;
        self.live = vec![false; self.index.as_ref().map_or(0, |index| index.count() as usize)];
        let mut missing = HashSet::new();
        let (index, pending) = (self.index.as_ref(), &self.pending);
        let places: Vec<_> = records
            .par_iter()
            .map(|id| (pending.place(id), index.and_then(|index| index.ids().element(id))))
            .collect();
        for (at, (place, element)) in places.into_iter().enumerate() {
            let id = records.id(at);
            match (place, element.and_then(|element| self.live.get_mut(element as usize))) {
                (Some(Place::Queued(seq)), _) => self.waiting.push((seq, id.to_owned())),
                (None, Some(live)) => *live = true,
                _ => drop(missing.insert(id.to_owned())),
            }
        }
        missing
    }

    /// Records that turned out to be in the queue after all.
    fn wait_for(&mut self, records: HashSet<String>) {
        for id in records {
            if let Some(Place::Queued(seq)) = self.pending.place(&id) {
                self.waiting.push((seq, id));
            }
        }
        self.waiting.sort_unstable();
    }

    fn refuse_missing(&self, missing: u64) -> Result<()> {
        if missing == 0 {
            return Ok(());
        }
        let (count, name) = (self.count, &self.entry.name);
        Err(Error::new(
            Kind::Damaged,
            format!("{missing} of {count} records of collection `{name}` have no vector, neither in the index nor in the queue"),
        )
        .hint("write those records again with Chroma, or delete them, or restore the folder from a copy"))
    }
}

/// Ids of the live records.
fn list_records(connection: &Connection, segment: &str) -> Result<Listed> {
    let doing = "list the records";
    let mut statement = connection
        .prepare_cached("SELECT embedding_id FROM embeddings WHERE segment_id = ?1")
        .doing(doing)?;
    let mut rows = statement.query([segment]).doing(doing)?;
    let mut records = Listed::default();
    while let Some(row) = rows.next().doing(doing)? {
        let id = row.get_ref(0).doing(doing)?.as_str();
        records.push(id.map_err(|e| Error::new(Kind::Damaged, "a record's id is no text").because(e))?);
    }
    Ok(records)
}
