//! Rewriting a collection: what the caller gives, what the store does with it.

use std::path::PathBuf;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{Backup, Batch, Hit};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::space::Space;

/// What a rewrite is to produce.
#[derive(Clone, Debug)]
pub struct RewriteTarget {
    /// The space of the vectors to come; its dimension is the new dimension.
    pub space: Space,
    /// Identifier of the migration, for stamps and file names.
    pub migration: String,
    /// Folder that belongs to this migration alone; backups go into its `backup/`.
    pub folder: PathBuf,
    /// What is to become of the neighbour graph, if the store has one.
    pub index: IndexChoice,
    /// What is saved for the way back.
    pub backup: BackupChoice,
}

/// What is saved for the way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupChoice {
    /// What takes the least time.
    #[default]
    Auto,
    /// What the rewrite changes, and what later changes could be undone with.
    Rows,
    /// A whole copy of the store's tables, that opens without embedport.
    Full,
}

/// What is to become of a collection's neighbour graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexChoice {
    /// Keep it if it serves the new vectors as well as the ones before, else build anew.
    #[default]
    Auto,
    /// Keep the links, repaired if they serve the new vectors worse than the ones before; never build anew.
    Keep,
    /// Build anew.
    Rebuild,
}

/// Makes sure that `vectors` is what a pass had to give for `records` records.
pub(super) fn expect_shape(vectors: &Array2<f32>, records: usize, dimension: usize) -> Result<()> {
    if vectors.dim() == (records, dimension) {
        return Ok(());
    }
    let wanted = (records, dimension);
    Err(Error::new(Kind::Mismatch, format!("new vectors of shape {:?}, wanted {wanted:?}", vectors.dim())))
}

/// What was saved before anything became visible.
#[derive(Clone, Debug)]
pub struct Saved {
    /// What a restore needs.
    pub backup: Backup,
    /// A digest (hexadecimal) of ids, texts and metadata. See
    /// [`VectorStore::content_digest`](super::VectorStore::content_digest).
    pub content: String,
}

/// How an index over the new vectors came about, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexWay {
    /// The links of before, as they were.
    Kept,
    /// The links of before after one pass of repair.
    Repaired,
    /// Built from the vectors alone.
    Rebuilt,
    /// There is none: a search compares with every vector.
    None,
}

/// What the store makes of a vector's components by writing them down.
pub type Rounding<'a> = dyn Fn(&mut [f32]) + Sync + 'a;

/// The [`Rounding`] of a store that keeps f32.
pub(super) fn as_they_are(_: &mut [f32]) {}

/// What a rewrite asks for while it goes through the records; called from several threads at once.
pub trait Pass: Sync {
    /// New vectors of some records (one row each), rounded by `round`; each record is asked for once, in no fixed order.
    fn vectors(&self, batch: &Batch, round: &Rounding<'_>) -> Result<Array2<f32>>;

    /// New places for vectors that no record owns: what a kept graph still walks over after a deletion.
    fn unowned(&self, vectors: ArrayView2<'_, f32>) -> Result<Array2<f32>>;
}

/// A rewrite in progress. Nothing is visible before [`Rewrite::commit`]; dropping it aborts and
/// leaves the store as it was.
pub trait Rewrite {
    /// What [`VectorStore::sweep`](super::VectorStore::sweep) needs if this rewrite dies; written to the
    /// journal before the first byte of the rewrite.
    fn sweep_details(&self) -> serde_json::Value;

    /// The ways to an index that [`RewriteTarget::index`] and the state of the collection leave open,
    /// cheapest first; never empty.
    fn ways(&self) -> Vec<IndexWay>;

    /// Shows id and text of every record that has a text. Texts stay as they are up to the commit.
    fn texts(&self, look: &mut dyn FnMut(&str, &str)) -> Result<()>;

    /// Sends every record through `pass`, and meanwhile saves what a restore needs into the target's folder,
    /// durably. Memory does not grow with the vectors unless the only way is to build an index of them.
    ///
    /// `look` is shown id and text of every record that has a text, in key order. The store makes sure that ids, texts
    /// and metadata stay as they are up to the commit.
    fn transform(
        &mut self,
        pass: &dyn Pass,
        look: &mut dyn FnMut(&str, &str),
        context: &Context<'_>,
    ) -> Result<Saved>;

    /// Searches the index as it was before. Possible until [`Rewrite::seal`].
    fn search_before(&self, queries: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>>;

    /// Makes the index by `way`; still invisible. May be called again with a dearer way.
    fn seal(&mut self, way: IndexWay, context: &Context<'_>) -> Result<()>;

    /// Reads back what [`Rewrite::commit`] will make visible: each record once, in batches, in no fixed order, from
    /// several threads at once.
    fn read_back(&self, look: &(dyn Fn(&Batch) -> Result<()> + Sync)) -> Result<()>;

    /// Searches the sealed index as the store will. See [`VectorStore::search`](super::VectorStore::search).
    fn search(&self, queries: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>>;

    /// Makes every new file durable, then the new vectors visible in one instant, and stamps the space.
    fn commit(self: Box<Self>) -> Result<()>;
}
