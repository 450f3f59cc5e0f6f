//! Chroma's local persistent database: `chroma.sqlite3` and one folder of index files per collection.
//!
//! A collection is rewritten by building a fresh index in a folder with a new name and pointing the
//! database to it in one transaction, so that there is no moment at which it is neither old nor new.

mod access;
mod backup;
mod catalog;
mod changes;
mod content;
mod digest;
mod doctor;
mod doctor_facts;
mod doctor_folders;
mod doctor_index;
mod doctor_records;
mod embedding_function;
mod fold;
mod guard;
mod hnsw_files;
mod ids;
mod index;
mod index_write;
mod kept;
mod pickle;
mod pickle_write;
mod queue;
mod rebuilt;
mod records;
mod release;
mod restore;
mod rewrite;
mod seen;
mod sequence;
mod settings;
mod snapshot;
mod source;
mod stamp;
mod tail;
mod traces;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use self::access::{folder_bytes, unsupported};
use self::catalog::Entry;
use self::embedding_function::EmbeddingFunction;
use self::records::{Cursor, Reader};
use self::release::Release;
use self::rewrite::ChromaRewrite;
use self::seen::Seen;
use self::snapshot::Snapshot;
use self::traces::{ROWS, Traces};
use super::{
    Backup, BackupChoice, Batch, Capabilities, Changes, Collection, Examination, Hit, Records, Rewrite,
    RewriteTarget, Settings, Since, StoreDescription, VectorStore,
};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::platform::{files, holders};
use crate::space::Space;
use crate::store::sql::{self, Doing};
use ndarray::ArrayView2;

pub(super) const SCHEME: &str = "chroma";
const DATABASE: &str = "chroma.sqlite3";
const STATE: &str = ".embedport";

/// Whether `path` is a folder with Chroma's database inside, or that database itself.
pub(super) fn recognises(path: &Path) -> bool {
    path.join(DATABASE).is_file() || path.ends_with(DATABASE) && path.is_file()
}

/// Opens the database in the folder `path`; nothing is changed.
///
/// # Errors
/// [`Kind::NotFound`] without a database, [`Kind::Unsupported`] if it is not Chroma's.
pub(super) fn open(path: &Path, settings: &Settings) -> Result<Box<dyn VectorStore>> {
    settings.expect(SCHEME, &[])?;
    // The file itself is a natural thing to name.
    let named = path.is_file() && path.ends_with(DATABASE);
    let folder = if named { files::parent(path) } else { path.to_path_buf() };
    let folder = folder.canonicalize().map_err(|e| Error::io("open", path, e))?;
    if !recognises(&folder) {
        return Err(Error::new(Kind::NotFound, format!("no {DATABASE} in `{}`", folder.display()))
            .hint("give the folder that was given to chromadb.PersistentClient"));
    }
    let store = ChromaStore { folder, seen: Mutex::default() };
    store.read()?;
    Ok(Box::new(store))
}

struct ChromaStore {
    folder: PathBuf,
    seen: Mutex<Option<Seen>>,
}

impl VectorStore for ChromaStore {
    fn describe(&self) -> Result<StoreDescription> {
        let (connection, release) = self.read()?;
        let collections: Vec<_> = catalog::read(&connection, release)?
            .into_iter()
            .map(|entry| self.describe_collection(&connection, entry, None))
            .collect::<Result<_>>()?;
        let indexes: u64 = std::fs::read_dir(&self.folder)
            .map_err(|e| Error::io("list", &self.folder, e))?
            .flatten()
            .filter(|entry| entry.file_name() != STATE)
            .map(|entry| folder_bytes(&entry.path()))
            .sum();
        Ok(StoreDescription {
            scheme: SCHEME,
            release: release.name(),
            path: self.folder.clone(),
            bytes: indexes + folder_bytes(&self.folder),
            unrecognised: Vec::new(),
            collections,
        })
    }

    fn collection(&self, id: &str, texts: Option<u64>) -> Result<Collection> {
        let (connection, release) = self.read()?;
        self.describe_collection(&connection, catalog::find(&connection, release, id)?, texts)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            in_place: true,
            transactional: true,
            changes_dimension: true,
            keeps_texts: true,
            searches: true,
            compares_contents: false,
        }
    }

    fn state_folder(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    fn examine(&self, collection: Option<&Collection>, context: &Context<'_>) -> Result<Examination> {
        doctor::examine(self, collection, context)
    }

    fn holders(&self) -> Result<Vec<String>> {
        Ok(holders::of_folder(&self.folder, &self.database()).iter().map(ToString::to_string).collect())
    }

    fn records<'a>(&'a self, collection: &Collection, texts: bool) -> Result<Box<dyn Records + 'a>> {
        let (connection, release) = self.read()?;
        let snapshot = self.snapshot(&connection, release, collection)?;
        Ok(Box::new(Reader { connection, snapshot, cursor: Cursor::start(), texts }))
    }

    fn each(&self, collection: &Collection, look: &(dyn Fn(&Batch) -> Result<()> + Sync)) -> Result<()> {
        let (connection, release) = self.read()?;
        let snapshot = self.snapshot(&connection, release, collection)?;
        source::each(&snapshot, &connection, look)
    }

    fn content_digest(&self, collection: &Collection) -> Result<String> {
        let (connection, release) = self.read()?;
        let entry = catalog::find(&connection, release, &collection.id)?;
        digest::content(&connection, release, &entry.metadata)
    }

    fn search(&self, collection: &Collection, queries: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>> {
        let (connection, release) = self.read()?;
        self.snapshot(&connection, release, collection)?.search(&connection, queries, k)
    }

    fn rewrite_bytes(&self, collection: &Collection, dimension: usize) -> u64 {
        // Index: vector, 32 links, label, length, and the id two or three times in the pickle; backup and
        // SQLite's journal: about what the rows of the records take, the queue's vectors twice.
        let dimension = dimension as u64;
        let record = 4 * dimension + 160 + 4 + 3 * 64;
        let rows = std::fs::metadata(self.database()).map_or(0, |m| m.len());
        collection.count.saturating_mul(record).saturating_add(rows.saturating_mul(2)).saturating_add(1 << 20)
    }

    fn side_effects(&self, collection: &Collection, target: &Space, _: BackupChoice) -> Vec<String> {
        let from = &collection.embedding_function;
        let entry = EmbeddingFunction::Known { name: from.clone(), config: serde_json::Map::new() };
        let known = !matches!(from.as_str(), "none" | "legacy" | "unknown");
        let mut effects = match entry.after(target).filter(|_| known) {
            None => Vec::new(),
            Some(Some(to)) => {
                let name = to.get("name").and_then(|n| n.as_str()).unwrap_or_default();
                vec![format!(
                    "the collection's embedding function changes from `{from}` to `{name}` ({})",
                    target.model
                )]
            }
            Some(None) => vec![format!(
                "the collection's embedding function `{from}` is removed: Chroma has none that gives {}; \
                 query with vectors of that model",
                target.model
            )],
        };
        effects.push(
            "the database gets a table `embedport_spaces` that names the space of the new vectors".into(),
        );
        effects
    }

    fn rewrite<'a>(
        &'a mut self,
        collection: &Collection,
        target: &RewriteTarget,
    ) -> Result<Box<dyn Rewrite + 'a>> {
        let (mut connection, release) = self.lock(false)?;
        guard::install(&mut connection)?;
        let entry = catalog::find(&connection, release, &collection.id)?;
        if let Some(why) = &entry.unsupported {
            return Err(unsupported(&entry.name, why));
        }
        if entry.dimension.is_none() {
            return Err(Error::new(Kind::Refused, format!("collection `{}` never got a record", entry.name))
                .hint("there is nothing to rewrite; the first record will set its dimension"));
        }
        let snapshot = self.see(&connection, entry)?;
        self.forget();
        if snapshot.count == 0 {
            return Err(Error::new(
                Kind::Refused,
                format!("collection `{}` has no records", snapshot.entry.name),
            )
            .hint("there is nothing to rewrite; delete the collection and create it again"));
        }
        Ok(Box::new(ChromaRewrite::new(self.folder.clone(), connection, release, snapshot, target)))
    }

    fn changes_since(&self, backup: &Backup) -> Result<Changes> {
        let traces = Traces::parse(&backup.details)?;
        let connection = sql::open(&self.database(), false)?;
        changes::attach(&connection)?;
        connection.execute_batch("BEGIN").doing("begin to read")?;
        let release = Release::read(&connection)?;
        let entry = catalog::find(&connection, release, &traces.collection)?;
        if changes::untouched(&connection, &entry)? {
            return Ok(Changes::default());
        }
        changes::load(&connection, "kept", &traces.backup(&self.folder).join(ROWS), true)?;
        changes::since(&connection, &entry)
    }

    fn missing_from(&self, backup: &Backup) -> Result<Vec<PathBuf>> {
        let traces = Traces::parse(&backup.details)?;
        restore::missing(&self.folder, backup, &traces)
    }

    fn backup_records<'a>(&'a self, backup: &'a Backup) -> Result<Box<dyn Records + 'a>> {
        let traces = Traces::parse(&backup.details)?;
        restore::check_files(&self.folder, backup, &traces)?;
        let (connection, release) = self.read()?;
        let now = catalog::find(&connection, release, &traces.collection)?;
        let rows = rusqlite::Connection::open("").doing("make room for the saved rows")?;
        for records in [false, true] {
            changes::load(&rows, "main", &traces.backup(&self.folder).join(ROWS), records)?;
        }
        let entry = Entry {
            dimension: Some(backup.dimension),
            vector_seq: catalog::max_seq_id(&rows, &traces.old_segment)?,
            vector: traces.old_segment.clone(),
            ..now
        };
        let kept = traces.kept_segment(&self.folder);
        let folder = kept.parent().filter(|_| kept.exists()).unwrap_or(&self.folder);
        let snapshot = Arc::new(Snapshot::open(&rows, folder, entry)?);
        Ok(Box::new(Reader { connection: rows, snapshot, cursor: Cursor::start(), texts: false }))
    }

    fn restore(&mut self, backup: &Backup, since: Since) -> Result<()> {
        let traces = Traces::parse(&backup.details)?;
        restore::check_files(&self.folder, backup, &traces)?;
        let rows = traces.backup(&self.folder).join(ROWS);
        let (connection, release) = self.lock(true)?;
        let entry = catalog::find(&connection, release, &traces.collection)?;
        if entry.vector != traces.old_segment {
            if entry.vector != traces.new_segment {
                return Err(Error::new(
                    Kind::Refused,
                    format!("the vectors of collection `{}` are not those of this migration", entry.name),
                )
                .hint("a later migration has to be rolled back first"));
            }
            restore::place_segment(&self.folder, &traces)?;
            restore::undo(&connection, release, &entry, &traces, &rows, since)?;
            sql::commit(&connection)?;
        } else {
            // Done before and cut short: only the tidying is left.
            connection.execute_batch("ROLLBACK").doing("end the transaction")?;
        }
        traces.discard_new(&connection, &self.folder)
    }

    fn is_current(&self, collection: &str, migration: &str) -> Result<bool> {
        let (connection, release) = self.read()?;
        let entry = match catalog::find(&connection, release, collection) {
            Ok(entry) => entry,
            Err(e) if e.is_not_found() => return Ok(false),
            // Unknown is not "no": whoever asks removes a backup on a "no".
            Err(e) => return Err(e),
        };
        let stamp = stamp::read(&connection, collection)?;
        Ok(stamp.is_some_and(|stamp| stamp.migration == migration && stamp.segment == entry.vector))
    }

    fn tidy(&mut self) -> Result<()> {
        sql::end_log(&self.database())
    }

    fn sweep(&mut self, migration: &str, details: &serde_json::Value) -> Result<()> {
        let traces = Traces::parse(details)?;
        if traces.migration != migration {
            let found = format!("details of migration {}, wanted {migration}", traces.migration);
            return Err(Error::new(Kind::Mismatch, found));
        }
        let (connection, _) = self.read()?;
        traces.discard_new(&connection, &self.folder)?;
        match self.is_current(&traces.collection, migration)? {
            true => traces.settle(&connection, &self.folder),
            false => Ok(()),
        }
    }
}
