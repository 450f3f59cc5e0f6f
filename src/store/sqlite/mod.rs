//! Vectors in a SQLite file: in a column of any table.
//!
//! A collection is a table and one of its columns. It is rewritten by one transaction on the file itself, or by a copy that
//! takes the file's place, so that every opener finds the vectors of before or those of after.

mod access;
mod back;
mod blocks;
mod candidate;
mod columns;
mod condition;
mod describe;
mod details;
mod each;
mod encoding;
mod entry;
mod exact;
mod examine;
mod exchange;
mod find;
mod groups;
mod holder;
mod identifiers;
mod left;
mod npy;
mod obstacles;
mod open;
mod others;
mod overlooked;
mod pages;
mod parts;
mod pipeline;
mod put;
mod restore;
mod rewrite;
mod rows;
mod settings;
mod sink;
mod stamp;
mod table;
mod twin;
mod unstamped;
mod vec0;
mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ndarray::ArrayView2;
use rusqlite::Connection;

use self::describe::Seen;
use self::details::Details;
use self::find::Found;
use self::holder::Cursor;
use self::rewrite::SqliteRewrite;
use self::settings::Wishes;
use self::stamp::Noted;
use super::{
    Backup, BackupChoice, Batch, Capabilities, Changes, Collection, Examination, Hit, Records, Rewrite,
    RewriteTarget, Since, StoreDescription, VectorStore, find_collection,
};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::space::Space;
use crate::store::sql;

pub(super) use self::open::{open, recognises};

pub(super) const SCHEME: &str = "sqlite";

/// What is still known of a collection that was taken back.
struct TakenBack {
    /// How it was read: the stamp that knew it is gone.
    said: Wishes,
    /// The columns that it had then, if that was noted: others that came since are not its.
    others: Option<Vec<String>>,
}

struct SqliteStore {
    database: PathBuf,
    wishes: Wishes,
    /// Collections that were counted, and whether there are vectors of other dimensions in their columns.
    mixed: Mutex<BTreeMap<String, bool>>,
    taken_back: Mutex<BTreeMap<String, TakenBack>>,
    seen: Mutex<Option<Seen>>,
}

/// A stream of records.
struct Reader {
    connection: Connection,
    found: Found,
    cursor: Cursor,
    texts: bool,
}

impl Reader {
    fn new(connection: Connection, found: Found) -> Self {
        Reader { connection, found, cursor: Cursor::default(), texts: false }
    }
}

impl Records for Reader {
    fn next_batch(&mut self, max: usize) -> Result<Option<Batch>> {
        let Reader { connection, found, cursor, texts } = self;
        found.holder.next_batch(connection, &found.entry, cursor, max, *texts)
    }
}

impl VectorStore for SqliteStore {
    fn describe(&self) -> Result<StoreDescription> {
        self.described()
    }

    fn collection(&self, id: &str, _texts: Option<u64>) -> Result<Collection> {
        let mut description = self.described()?;
        match description.collections.iter().position(|collection| collection.id == id) {
            Some(at) => Ok(description.collections.swap_remove(at)),
            None => {
                // It says what there is instead.
                find_collection(&description, id, None)?;
                Err(Error::new(Kind::NotFound, format!("no collection `{id}`")))
            }
        }
    }

    fn written(&self, id: &str, records: u64, texts: u64) -> Result<Collection> {
        match self.all_rows(id, records, texts)? {
            Some(found) => Ok(found),
            None => self.collection(id, Some(texts)),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            in_place: true,
            transactional: true,
            changes_dimension: true,
            keeps_texts: true,
            searches: false,
            compares_contents: true,
        }
    }

    fn state_folder(&self) -> PathBuf {
        sql::beside(&self.database, ".embedport")
    }

    fn examine(&self, collection: Option<&Collection>, context: &Context<'_>) -> Result<Examination> {
        let connection = self.read()?;
        examine::examine(&connection, &self.wishes, &self.said(), collection, context)
    }

    /// Others may hold the file open: SQLite's own locks keep their writes and this store's apart, and none of them keeps
    /// vectors that it would write back.
    fn holders(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn beside(&self) -> Vec<PathBuf> {
        ["-wal", "-shm", "-journal"].map(|suffix| sql::beside(&self.database, suffix)).into()
    }

    fn records<'a>(&'a self, collection: &Collection, texts: bool) -> Result<Box<dyn Records + 'a>> {
        let (connection, found) = self.readable(collection)?;
        Ok(Box::new(Reader { texts, ..Reader::new(connection, found) }))
    }

    fn each(&self, collection: &Collection, look: &(dyn Fn(&Batch) -> Result<()> + Sync)) -> Result<()> {
        let (connection, found) = self.readable(collection)?;
        let more = self.more(&connection)?;
        let more = more.as_ref().map(|more| more as _);
        each::through_all(&connection, more, found.holder.as_ref(), &found.entry, look)
    }

    fn content_digest(&self, collection: &Collection) -> Result<String> {
        let (connection, mut found) = self.readable(collection)?;
        let taken_back = self.taken_back.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(then) = taken_back.get(&collection.id).and_then(|then| then.others.as_ref()) {
            found.entry.keep_others(then);
        }
        drop(taken_back);
        let mut ignore = |_: &str, _: &str| {};
        let mut contents = sink::Contents::new(&mut ignore);
        found.holder.contents(&connection, &found.entry, &mut contents)?;
        Ok(contents.finish())
    }

    fn search(&self, collection: &Collection, queries: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>> {
        let mut records = self.records(collection, false)?;
        exact::search(collection.metric, queries, k, || records.next_batch(1024))
    }

    fn rewrite_bytes(&self, collection: &Collection, dimension: usize) -> u64 {
        // The saved rows and SQLite's journal take about as much as the file each, what each record was left as 80
        // bytes; the new vectors come on top of the old ones' pages where they are longer.
        let components = collection.dimension.unwrap_or(dimension).max(1) as u64;
        let new = collection.bytes.saturating_mul(dimension as u64) / components;
        let grown = new.saturating_sub(collection.bytes);
        self.bytes().saturating_mul(2).saturating_add(grown).saturating_add(collection.count * 80 + (1 << 20))
    }

    fn check_target(&self, collection: &Collection, target: &Space) -> Result<()> {
        self.expect_writable()?;
        let (connection, found) = self.readable(collection)?;
        self.refuse_shared(&connection, &found.entry)?;
        self.expect_fit(&connection, &found, target.dimension)
    }

    fn side_effects(&self, collection: &Collection, _: &Space, backup: BackupChoice) -> Vec<String> {
        let mut all = vec![match self.wishes.no_stamp {
            false => {
                format!("the file gets a table `{}` that names the space of the new vectors", stamp::TABLE)
            }
            true => "nothing in the file names the space of the new vectors: that is noted beside it".into(),
        }];
        // What cannot be read now says so before anything is written.
        if self.exchanges(collection, backup).unwrap_or(false) {
            all.push(
                "the file is rewritten as a copy that takes its place; the file of before is the backup"
                    .to_owned(),
            );
        }
        all
    }

    fn rewrite<'a>(
        &'a mut self,
        collection: &Collection,
        target: &RewriteTarget,
    ) -> Result<Box<dyn Rewrite + 'a>> {
        let exchanged = self.exchanges(collection, target.backup)?;
        let connection = self.lock(false, self.wishes.fire_triggers)?;
        let found = self.formed(&connection, &collection.id, collection.dimension)?;
        if let Some(why) = &found.entry.unsupported {
            return Err(Error::new(Kind::Unsupported, format!("collection `{}`: {why}", found.entry.name)));
        }
        if collection.count == 0 {
            return Err(Error::new(
                Kind::Refused,
                format!("collection `{}` has no records", found.entry.name),
            )
            .hint("there is nothing to rewrite"));
        }
        self.refuse_shared(&connection, &found.entry)?;
        self.expect_fit(&connection, &found, target.space.dimension)?;
        let details = Details {
            collection: found.entry.id.clone(),
            migration: target.migration.clone(),
            folder: super::backup::relative(&self.base(), &target.folder),
            fire_triggers: found.entry.fire_triggers,
            unstamped: self.wishes.no_stamp.then_some(target.space.dimension),
            exchanged,
            others: Some(found.entry.others.clone()),
            grouped: Some(found.entry.grouped),
            // Also one that no longer holds: it is overwritten, and the way back leads to it.
            before: stamp::of(&connection, &found.entry.id)?.as_ref().map(Noted::of),
        };
        Ok(Box::new(SqliteRewrite {
            database: self.database.clone(),
            base: self.base(),
            exchange: None,
            connection,
            found,
            count: collection.count,
            target: target.clone(),
            details,
            written: false,
            sealed: false,
            open: Vec::new(),
        }))
    }

    fn changes_since(&self, backup: &Backup) -> Result<Changes> {
        self.changes(backup)
    }

    fn check_way_back(&self, backup: &Backup) -> Result<()> {
        let (details, connection) = (Details::parse(&backup.details)?, self.read()?);
        let found = self.formed(&connection, &details.collection, None)?;
        self.refuse_later(&connection, &found.entry, &details.migration)
    }

    fn missing_from(&self, backup: &Backup) -> Result<Vec<PathBuf>> {
        self.missing(backup)
    }

    fn backup_records<'a>(&'a self, backup: &'a Backup) -> Result<Box<dyn Records + 'a>> {
        Ok(Box::new(self.saved(backup)?))
    }

    fn restore(&mut self, backup: &Backup, since: Since) -> Result<()> {
        self.back(backup, since)
    }

    fn is_current(&self, collection: &str, migration: &str) -> Result<bool> {
        self.is_of(&self.read()?, collection, migration)
    }

    fn sweep(&mut self, migration: &str, details: &serde_json::Value) -> Result<()> {
        let details = Details::parse(details)?;
        if details.migration != migration {
            let found = format!("details of migration {}, wanted {migration}", details.migration);
            return Err(Error::new(Kind::Mismatch, found));
        }
        // Whatever a rewrite leaves outside of its own folder is in SQLite's journal, which the next opener rolls back.
        Ok(())
    }

    fn tidy(&mut self) -> Result<()> {
        sql::end_log(&self.database)
    }
}
