//! The way back: by the file that an exchange kept, or by saved rows.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use rayon::prelude::*;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tempfile::TempPath;

use super::back::{self, ROWS, WRITTEN};
use super::details::{self, Details};
use super::find::Found;
use super::holder::Sides;
use super::settings::Wishes;
use super::sink::{Contents, Sink};
use super::unstamped::Unstamped;
use super::{Reader, SqliteStore, TakenBack, access, exchange, left, stamp};
use crate::context::{Cancel, Context, Silent};
use crate::error::{Error, Kind, Result};
use crate::platform::{files, holders};
use crate::store::sql::rows_file::{self, Writer};
use crate::store::sql::{self, Doing};
use crate::store::{Backup, BackupFile, Batch, Changes, Since, VectorStore};

/// Components of the vectors that a rewrite left, if they are its.
fn dimension_of(connection: &Connection, details: &Details) -> Result<Option<usize>> {
    if details.unstamped.is_some() {
        return Ok(details.unstamped);
    }
    Ok(stamp::of(connection, &details.collection)?.map(|stamp| stamp.space.dimension))
}

impl SqliteStore {
    /// The folder of a migration: beside the file as it is called now, whatever it was called then.
    fn own(&self, details: &Details) -> PathBuf {
        self.state_folder().join(&details.migration)
    }

    fn backup_of(&self, details: &Details) -> PathBuf {
        self.own(details).join(details::BACKUP)
    }

    /// Where a file of a backup lies.
    fn place(&self, details: &Details, file: &BackupFile) -> Result<PathBuf> {
        details::inside(&file.path)?;
        Ok(self.backup_of(details).join(file.path.file_name().unwrap_or_default()))
    }

    fn check_files(&self, details: &Details, backup: &Backup) -> Result<()> {
        backup.files.par_iter().try_for_each(|file| file.check(&self.place(details, file)?))
    }

    /// Where an exchange keeps the file of before.
    fn kept(&self, details: &Details, backup: &Backup) -> Result<PathBuf> {
        let beside = |file: &&BackupFile| [ROWS, WRITTEN].iter().any(|name| file.path.ends_with(name));
        match backup.files.iter().find(|file| !beside(file)) {
            Some(file) => self.place(details, file),
            None => Err(Error::new(Kind::Damaged, "the backup does not name the file of before")),
        }
    }

    /// Whether the vectors of `collection` are those that `migration` left.
    pub(super) fn is_of(&self, connection: &Connection, collection: &str, migration: &str) -> Result<bool> {
        if let Some(stamp) = stamp::of(connection, collection)? {
            return Ok(stamp.migration == migration);
        }
        details::inside(Path::new(migration))?;
        let note = Unstamped::of(collection, &self.state_folder().join(migration))?;
        note.map_or(Ok(false), |note| note.holds(connection))
    }

    pub(super) fn missing(&self, backup: &Backup) -> Result<Vec<PathBuf>> {
        let details = Details::parse(&backup.details)?;
        let mut missing = Vec::new();
        for file in &backup.files {
            if !file.lies_at(&self.place(&details, file)?) {
                missing.push(file.path.clone());
            }
        }
        Ok(missing)
    }

    pub(super) fn changes(&self, backup: &Backup) -> Result<Changes> {
        let details = Details::parse(&backup.details)?;
        // Opening and closing the file would let go of locks that this process has on it.
        if details.exchanged && !holders::open_here(&self.database) {
            let wrap = |cause| Error::io("read", &self.database, cause);
            let file = File::open(&self.database).map_err(wrap)?;
            if left::is_as_left(&file, &self.own(&details))? {
                return Ok(Changes::default());
            }
        }
        let connection = sql::open(&self.database, false)?;
        back::attach(&connection)?;
        connection.execute_batch("BEGIN").doing("begin to read")?;
        let found = self.formed(&connection, &details.collection, dimension_of(&connection, &details)?)?;
        let found = details.as_then(found);
        back::changes(&connection, &found.entry, &self.backup_of(&details).join(WRITTEN))
    }

    /// What the backup holds, to be read.
    pub(super) fn saved(&self, backup: &Backup) -> Result<Reader> {
        let details = Details::parse(&backup.details)?;
        self.check_files(&details, backup)?;
        let now = details.as_then(self.formed(&self.read()?, &details.collection, Some(backup.dimension))?);
        let then = now.entry.with_dimension(backup.dimension);
        let (connection, entry) = match details.exchanged {
            true => (sql::open(&self.kept(&details, backup)?, true)?, then),
            false => {
                let connection = Connection::open("").doing("make room for the saved rows")?;
                let rows = self.backup_of(&details).join(ROWS);
                rows_file::load(&connection, "main", &rows, |_| true)?;
                let entry = now.holder.saved(&connection, &then)?;
                (connection, entry)
            }
        };
        Ok(Reader::new(connection, Found { entry, ..now }))
    }

    pub(super) fn back(&self, backup: &Backup, since: Since) -> Result<()> {
        let details = Details::parse(&backup.details)?;
        let connection = self.read()?;
        let now = dimension_of(&connection, &details)?.or(Some(backup.dimension));
        if let Ok(found) = self.formed(&connection, &details.collection, now) {
            let then = TakenBack { said: Wishes::read(&found.settings())?, others: details.others.clone() };
            let mut taken_back = self.taken_back.lock().unwrap_or_else(PoisonError::into_inner);
            taken_back.insert(details.collection.clone(), then);
        }
        if self.is_back(&connection, &details)? {
            return Ok(()); // done before and cut short
        }
        drop(connection);
        self.check_files(&details, backup)?;
        let folder = self.own(&details);
        if details.exchanged && exchange::back(&self.database, &self.kept(&details, backup)?, &folder)? {
            return Unstamped::forget(&folder);
        }
        let connection = self.lock(true, details.fire_triggers)?;
        if self.is_back(&connection, &details)? {
            return Ok(());
        }
        let found = self.formed(&connection, &details.collection, dimension_of(&connection, &details)?)?;
        let found = details.as_then(found);
        let Changes { added, removed, updated } =
            back::changes(&connection, &found.entry, &self.backup_of(&details).join(WRITTEN))?;
        let changed = added + removed + updated > 0;
        if changed {
            self.refuse_later(&connection, &found.entry, &details.migration)?;
        }
        if changed && since == Since::Refuse {
            return Err(Error::new(
                Kind::Refused,
                format!(
                    "collection `{}` changed since the migration: {added} records added, {removed} removed, {updated} updated",
                    found.entry.name
                ),
            )
            .hint("lose them: --since drop; keep them: --since keep --reverse-projection P"));
        }
        if changed {
            // Rows are taken out and put in as a program would: what its triggers keep in step stays so.
            connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true)
                .doing("set up the tables")?;
        }
        match details.exchanged {
            true => {
                let rows = rows_of(&self.kept(&details, backup)?, &folder, &found, backup.dimension)?;
                rows_file::load(&connection, "kept", &rows, |_| true)?;
                drop(rows);
                files::sync_folder(&folder)?;
            }
            false => rows_file::load(&connection, "kept", &self.backup_of(&details).join(ROWS), |_| true)?,
        }
        found.holder.restore(&connection, &found.entry, changed).map_err(|e| {
            e.hint(format!("what was to come back is kept in `{}`", self.backup_of(&details).display()))
        })?;
        match &details.before {
            Some(before) => stamp::write(&connection, &before.stamp(&details.collection)?)?,
            None => stamp::remove(&connection, &details.collection)?,
        }
        sql::commit(&connection)?;
        Unstamped::forget(&folder)
    }

    /// Whether the collection is what it was before the migration.
    ///
    /// # Errors
    /// [`Kind::Refused`] if it is neither that nor what the migration left.
    fn is_back(&self, connection: &Connection, details: &Details) -> Result<bool> {
        if self.is_of(connection, &details.collection, &details.migration)? {
            return Ok(false);
        }
        let stamp = stamp::of(connection, &details.collection)?.map(|stamp| stamp.migration);
        if stamp == details.before.as_ref().map(|before| before.migration.clone()) {
            return Ok(true);
        }
        Err(Error::new(
            Kind::Refused,
            format!("the vectors of `{}` are not those of this migration", details.collection),
        )
        .hint("a later migration has to be rolled back first"))
    }
}

/// What a rewrite inside the file would have saved of `kept`, the file of before, as a temporary file in `folder`: rows
/// can be put back one by one where more than the collection has changed since.
fn rows_of(kept: &Path, folder: &Path, found: &Found, dimension: usize) -> Result<TempPath> {
    let wrap = |cause| Error::io("write", folder, cause);
    let scratch = files::temporary_in(folder).map_err(wrap)?.into_temp_path();
    std::fs::copy(kept, &scratch).map_err(wrap)?;
    let connection = sql::open(&scratch, false)?;
    access::alone(&connection, false)?;
    connection.execute_batch("BEGIN IMMEDIATE").doing("begin to write")?;
    let mut rows = files::temporary_in(folder).map_err(wrap)?;
    let mut ignore = |_: &str, _: &str| {};
    let mut nowhere = std::io::sink();
    let (mut writer, mut written) = (Writer::new(rows.as_file_mut())?, Writer::new(&mut nowhere)?);
    let mut sink = Sink { rows: &mut writer, written: &mut written, contents: Contents::new(&mut ignore) };
    let calm = Context {
        seed: 0,
        progress: &Silent,
        cancel: &Cancel::new(),
        now: &|| jiff::Timestamp::UNIX_EPOCH,
        entropy: &|| [0; 16],
    };
    let entry = found.entry.with_dimension(dimension);
    let same = |batch: &Batch| Ok(batch.vectors.clone());
    found.holder.transform(&mut Sides::Same(&connection), &entry, dimension, &same, &mut sink, &calm)?;
    writer.finish()?;
    Ok(rows.into_temp_path())
}
