//! Vectors and disk: reading and rewriting collections in place.
//!
//! A store is one entry of [`SCHEMES`] and one file or folder beside this one. Nothing here knows
//! projections or embedding models: a rewrite is handed finished vectors.

mod backup;
mod chroma;
mod examination;
mod find;
mod location;
mod rewriting;
mod sql;
mod sqlite;

use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use self::location::Location;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::space::Space;

pub use backup::{Backup, BackupFile, Changes, Since};
pub use examination::{Examination, Finding, Severity};
pub use find::find_collection;
pub use location::{Settings, with_settings};
pub use rewriting::{BackupChoice, IndexChoice, IndexWay, Pass, Rewrite, RewriteTarget, Rounding, Saved};

/// How a store measures closeness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Squared Euclidean distance.
    L2,
    /// 1 - cosine of the angle.
    Cosine,
    /// 1 - inner product.
    Ip,
}

impl Metric {
    /// Name as stores write it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::Cosine => "cosine",
            Metric::Ip => "ip",
        }
    }
}

/// What a store can do, so that a plan can refuse in its first second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Rewrites without a second store beside it.
    pub in_place: bool,
    /// The switch to the new vectors is one instant.
    pub transactional: bool,
    /// The new vectors may have another dimension.
    pub changes_dimension: bool,
    /// Keeps the texts beside the vectors.
    pub keeps_texts: bool,
    /// Searches by itself (has an index whose quality must be measured).
    pub searches: bool,
    /// [`VectorStore::changes_since`] compares texts and metadata record by record.
    pub compares_contents: bool,
}

/// One collection as found, without reading a vector.
#[derive(Clone, Debug, Serialize)]
pub struct Collection {
    /// The store's own identifier.
    pub id: String,
    /// Name given by the user.
    pub name: String,
    /// What the name is unique in; Chroma: `tenant/database`.
    pub namespace: String,
    /// Live records.
    pub count: u64,
    /// Components of a vector; `None` until the first record came.
    pub dimension: Option<usize>,
    /// How closeness is measured.
    pub metric: Metric,
    /// Records that keep their text.
    pub texts: u64,
    /// Space that embedport stamped on it at its last migration.
    pub stamped: Option<Space>,
    /// Model that the store's own configuration names (embedding function), canonical if known.
    pub configured_model: Option<String>,
    /// The store's configuration entry behind `configured_model`, in words ("none", "default", "openai").
    pub embedding_function: String,
    /// Migration that made the current vectors, if it was embedport.
    pub migration: Option<String>,
    /// Bytes of the vectors and index on disk.
    pub bytes: u64,
    /// How it lies in the store, in words, where the store leaves a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// What the store rounds the components of vectors to, in words; none: it keeps them as f32 at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounded_to: Option<String>,
    /// Why it cannot be rewritten, if it cannot.
    pub unsupported: Option<String>,
}

impl Collection {
    /// Model that made the vectors, as far as the store records it: by stamp, else by its configuration.
    pub fn recorded_model(&self) -> Option<&str> {
        self.stamped.as_ref().map(|s| s.model.as_str()).or(self.configured_model.as_deref())
    }
}

/// The whole store as found.
#[derive(Clone, Debug, Serialize)]
pub struct StoreDescription {
    /// Entry of [`SCHEMES`].
    pub scheme: &'static str,
    /// Release family, in words ("chroma 1.3 or later").
    pub release: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// Where there is no collection, what may hold vectors all the same, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrecognised: Vec<String>,
    /// Its collections, ordered by namespace and name.
    pub collections: Vec<Collection>,
}

impl StoreDescription {
    /// What may hold vectors, and what to do about it, for a hint.
    pub fn overlooked(&self) -> Option<String> {
        (!self.unrecognised.is_empty()).then(|| {
            format!(
                "not recognised as vectors: {}; if they are, say so with --table, --vector-column and --encoding",
                self.unrecognised.join(", ")
            )
        })
    }
}

/// Some records, in the store's stable key order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Identifiers.
    pub ids: Vec<String>,
    /// `ids.len()` x dimension, as the user gave them (not as an index normalised them).
    pub vectors: Array2<f32>,
    /// Texts, if they were asked for; else empty.
    pub texts: Vec<Option<String>>,
}

/// One record that a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Identifier.
    pub id: String,
    /// Distance by the collection's metric, as the store reports it.
    pub distance: f32,
}

/// Reads records in a stable order.
pub trait Records {
    /// The next at most `max` records, `None` after the last.
    fn next_batch(&mut self, max: usize) -> Result<Option<Batch>>;
}

/// An open store.
pub trait VectorStore {
    /// What is there, without reading vectors; but where the store does not say which columns hold some, as many values of
    /// each are looked at as tell it, and rows are counted one by one.
    fn describe(&self) -> Result<StoreDescription>;

    /// One collection by its id, as [`VectorStore::describe`] has it. `texts`: how many records have a text, if that is
    /// known; counting them can take longest of all.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::error::Kind::NotFound) if it is not there (any more).
    fn collection(&self, id: &str, texts: Option<u64>) -> Result<Collection> {
        let found = find_collection(&self.describe()?, id, None)?.clone();
        Ok(Collection { texts: texts.unwrap_or(found.texts), ..found })
    }

    /// As [`VectorStore::collection`], just after each of its `records` was written and read back, `texts` of them with a text:
    /// what only a look at every one of them tells need not be found out again. What other programs did to vectors since then may
    /// not be seen.
    ///
    /// # Errors
    /// As [`VectorStore::collection`], and those of reading a vector.
    fn written(&self, id: &str, records: u64, texts: u64) -> Result<Collection> {
        let _ = records;
        self.collection(id, Some(texts))
    }

    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Folder of embedport's own state for this store (journals, backups, lock). Not created here.
    fn state_folder(&self) -> PathBuf;

    /// Files beside the store that belong to it, there or not: nothing else may be written to them.
    fn beside(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Looks for everything that is not as it should be: in one collection, or in all of the store. Changes
    /// nothing, and goes on after the first finding.
    ///
    /// # Errors
    /// Only what makes looking itself impossible, such as a database that cannot be read.
    fn examine(&self, collection: Option<&Collection>, context: &Context<'_>) -> Result<Examination>;

    /// Processes that hold the store open, in words; empty if none was seen.
    fn holders(&self) -> Result<Vec<String>>;

    /// The records of a collection, as committed.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if vectors and records do not fit each other.
    fn records<'a>(&'a self, collection: &Collection, texts: bool) -> Result<Box<dyn Records + 'a>>;

    /// Shows every record once, without texts: in batches, in no fixed order, from several threads at once.
    ///
    /// # Errors
    /// As [`VectorStore::records`], and whatever `look` says.
    fn each(&self, collection: &Collection, look: &(dyn Fn(&Batch) -> Result<()> + Sync)) -> Result<()>;

    /// A digest (hexadecimal) of ids, texts and metadata of a collection: everything that a rewrite
    /// must leave alone.
    fn content_digest(&self, collection: &Collection) -> Result<String>;

    /// Searches through the store's own index files as the store would (its own search width):
    /// for each row of `queries` the `k` nearest records, nearest first.
    fn search(&self, collection: &Collection, queries: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>>;

    /// Bytes that a rewrite to `dimension` will need beside what is there, index included.
    fn rewrite_bytes(&self, collection: &Collection, dimension: usize) -> u64;

    /// Refuses what is known beforehand to stand in the way of a rewrite to `target`. Changes nothing.
    ///
    /// # Errors
    /// [`Kind::Refused`] with the reason.
    fn check_target(&self, _collection: &Collection, _target: &Space) -> Result<()> {
        Ok(())
    }

    /// What a rewrite to `target` will change beside the vectors, one line each
    /// (such as the embedding function's configuration).
    fn side_effects(&self, collection: &Collection, target: &Space, backup: BackupChoice) -> Vec<String>;

    /// Locks the store and begins a rewrite of `collection`. No other writer gets in until it is committed or dropped, and no
    /// reader can mix the vectors of before with those of after: it waits, is refused, or (a SQLite file with a write-ahead log)
    /// goes on with what was before.
    ///
    /// # Errors
    /// [`Kind::Locked`] if another process holds it; [`Kind::Unsupported`]; [`Kind::CannotWrite`].
    fn rewrite<'a>(
        &'a mut self,
        collection: &Collection,
        target: &RewriteTarget,
    ) -> Result<Box<dyn Rewrite + 'a>>;

    /// What changed in the collection since the commit that `backup` belongs to.
    fn changes_since(&self, backup: &Backup) -> Result<Changes>;

    /// Refuses what is known beforehand to stand in the way of [`VectorStore::restore`] where the collection changed since.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) with the reason.
    fn check_way_back(&self, _backup: &Backup) -> Result<()> {
        Ok(())
    }

    /// Puts back exactly what `backup` holds, in one visible instant. Checks sizes and hashes first.
    ///
    /// # Errors
    /// [`Kind::Refused`] if records changed since and `since` is [`Since::Refuse`].
    fn restore(&mut self, backup: &Backup, since: Since) -> Result<()>;

    /// Files of `backup` that are not there or have another size. Reads no content.
    fn missing_from(&self, backup: &Backup) -> Result<Vec<PathBuf>>;

    /// The records that `backup` holds, with the vectors of then.
    fn backup_records<'a>(&'a self, backup: &'a Backup) -> Result<Box<dyn Records + 'a>>;

    /// Whether the collection's visible vectors are those of this migration: the truth after a crash.
    fn is_current(&self, collection: &str, migration: &str) -> Result<bool>;

    /// Ends what a killed run left to be ended by the next one that writes, whichever it is, such as a database's log.
    fn tidy(&mut self) -> Result<()> {
        Ok(())
    }

    /// Removes what an unfinished rewrite of `migration` left behind outside its own folder.
    /// Never touches anything visible.
    fn sweep(&mut self, migration: &str, details: &serde_json::Value) -> Result<()>;
}

/// One kind of store.
pub struct Scheme {
    /// Name in `SCHEME:PATH` and in reports.
    pub name: &'static str,
    /// Whether the path looks like such a store (cheap, reads next to nothing).
    pub recognises: fn(&Path) -> bool,
    /// Opens it, to be read as the settings say; nothing is changed by opening.
    pub open: fn(&Path, &Settings) -> Result<Box<dyn VectorStore>>,
}

/// Every store that embedport knows.
pub const SCHEMES: &[Scheme] = &[
    Scheme { name: chroma::SCHEME, recognises: chroma::recognises, open: chroma::open },
    Scheme { name: sqlite::SCHEME, recognises: sqlite::recognises, open: sqlite::open },
];

/// Opens the store at `location`: `PATH`, or `SCHEME:PATH` to skip recognition, or `SCHEME:PATH?setting=value&...` to say
/// how it is to be read.
///
/// # Errors
/// [`Kind::NotFound`] if nothing is there, [`Kind::CannotWrite`] if it may not be read, [`Kind::Unsupported`] if it is no
/// store that embedport knows, [`Kind::Usage`] for settings that the store does not have.
pub fn open(location: &str) -> Result<Box<dyn VectorStore>> {
    let Location { scheme, path, settings } = Location::parse(location)?;
    let path = Path::new(path.as_ref());
    location::may_be_read(path)?;
    if let Some(scheme) = scheme {
        return (scheme.open)(path, &settings);
    }
    let give = "give the folder that holds chroma.sqlite3, or a SQLite file";
    if !path.exists() {
        return Err(Error::new(Kind::NotFound, format!("no store at `{location}`")).hint(give));
    }
    match SCHEMES.iter().find(|scheme| (scheme.recognises)(path)) {
        Some(scheme) => (scheme.open)(path, &settings),
        None => {
            let known: Vec<_> = SCHEMES.iter().map(|s| s.name).collect();
            Err(Error::new(Kind::Unsupported, format!("`{location}` is not a store that embedport knows"))
                .hint(format!("known stores: {}; {give}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_store_says_what_to_give() {
        let Err(error) = open("/no/such/folder") else { panic!("nothing is there") };
        assert!(error.is_not_found());
        assert!(!error.hints().is_empty());
    }
}
