//! Rewriting a copy that takes the file's place by one rename: the file of before, as it is, becomes the backup, and no
//! page is written twice.
//!
//! A program that has the file of before open would go on with it: it would read what is no longer there, and SQLite, which finds
//! journals by the file's name, could play those of the one into the other. So the rename happens under a lease, which the system
//! gives only to one who is alone with the file (see [`Lease`]).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::access;
use super::blocks::{self, Hashing};
use super::details::Details;
use super::left::{self, Left, is_as_left, is_quiet};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::platform::lease::Lease;
use crate::platform::syncing::Syncing;
use crate::platform::{fault, files, holders, identity};
use crate::store::BackupFile;
use crate::store::backup::relative;
use crate::store::sql::{self, Doing};

/// Name of the copy, in the migration's own folder.
const COPY: &str = "rewritten.db";

/// A lease on the file, if another can take its place now; none: the file has to be written itself. What this process
/// has open of it is left alone, but it must hold no lock on it that [`holders::open_here`] does not see.
pub(super) fn lease(database: &Path) -> Result<Option<Lease>> {
    // Asked first: trying to get a lease lets go of locks.
    if holders::open_here(database) || !identity::can_be_repeated(database) {
        return Ok(None);
    }
    let lease = Lease::take(database).map_err(|cause| Error::io("read", database, cause))?;
    let fits = |lease: &Lease| Left::of(lease.file()).is_ok_and(|left| !left.is_wal()) && is_quiet(database);
    Ok(lease.filter(fits))
}

/// How often, and how many milliseconds apart, one tries to be alone with the file.
const TRIES: (u32, u64) = (40, 50);

/// A lease on the file, which is as `was`.
fn alone(database: &Path, was: &Left, inode: u64) -> Result<Lease> {
    let wrap = |cause| Error::io("read", database, cause);
    for _ in 0..TRIES.0 {
        let Some(lease) = Lease::take(database).map_err(wrap)? else {
            std::thread::sleep(std::time::Duration::from_millis(TRIES.1));
            continue;
        };
        let same = identity::number(&lease.file().metadata().map_err(wrap)?) == inode
            && Left::of(lease.file()).map_err(wrap)? == *was
            && is_quiet(database);
        return match same {
            true => Ok(lease),
            false => Err(Error::new(
                Kind::Refused,
                format!("`{}` was changed by another program meanwhile", database.display()),
            )
            .hint("run the same command again")),
        };
    }
    Err(opened(database))
}

fn opened(database: &Path) -> Error {
    Error::new(Kind::Locked, format!("another program opened `{}` meanwhile", database.display()))
        .hint("stop it and run the same command again, or rewrite the file itself: --backup rows")
}

/// A copy on its way to the file's place.
pub(super) struct Exchange {
    database: PathBuf,
    copy: PathBuf,
    folder: PathBuf,
    /// The file of before, and the copy.
    files: (Arc<File>, File),
    /// The connection to the copy; none before it is whole, and once it is in place.
    connection: Option<Connection>,
    fire_triggers: bool,
    kept: PathBuf,
    hash: Option<Hashing>,
    syncing: Option<Syncing>,
    /// The file of before.
    was: Left,
}

impl Exchange {
    /// Makes room for the copy of the file, which the caller has locked, in the migration's folder, and links the file to
    /// where the backup is kept. `None` if this file system cannot do that. What is pushed to `open` has to stay open as
    /// long as the lock is to be held: closing a file lets go of every lock that this process has on it.
    pub fn begin(
        database: &Path,
        base: &Path,
        details: &Details,
        open: &mut Vec<Arc<File>>,
    ) -> Result<Option<Exchange>> {
        let (folder, backup) = (base.join(&details.folder), details.backup(base));
        let kept = backup.join(database.file_name().unwrap_or_default());
        if !files::link(database, &kept)? {
            return Ok(None);
        }
        let wrap = |cause| Error::io("read", database, cause);
        let opened = || File::open(database).map(Arc::new).map_err(wrap);
        let (source, hashed) = (opened()?, opened()?);
        open.extend([source.clone(), hashed.clone()]);
        let was = Left::of(&source).map_err(wrap)?;
        // Beside all that follows.
        let hash = Some(Hashing::begin(hashed).map_err(wrap)?);
        let copy = folder.join(COPY);
        fault::reach("copy").map_err(|e| Error::io("write", &copy, e))?;
        let made = identity::private(&copy).map_err(|e| Error::io("write", &copy, e))?;
        if !identity::repeat(&source, &made) {
            std::fs::remove_file(&copy).map_err(|e| Error::io("remove", &copy, e))?;
            files::remove_file(&kept)?;
            return Ok(None);
        }
        Ok(Some(Exchange {
            database: database.to_path_buf(),
            copy,
            folder,
            files: (source, made),
            connection: None,
            fire_triggers: details.fire_triggers,
            kept,
            hash,
            syncing: None,
            was,
        }))
    }

    /// The file of before, and the copy as long as nothing is in it.
    pub fn files(&self) -> (&File, &File) {
        (&self.files.0, &self.files.1)
    }

    /// The connection to the copy, which holds at least what the file held before.
    pub fn whole(&mut self, context: &Context<'_>) -> Result<&Connection> {
        if self.connection.is_none() {
            let (source, made) = self.files();
            let bytes = source.metadata().map_err(|e| Error::io("read", &self.database, e))?.len();
            blocks::copy(source, made, 0..bytes, context)?;
            self.open()?;
        }
        self.connection()
    }

    /// As [`Exchange::whole`], for a copy that somebody else has filled.
    pub fn filled(&mut self) -> Result<()> {
        let connection = self.open()?;
        // Written again, it makes SQLite count a change, as after every other write.
        let doing = "write the copy";
        let own: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).doing(doing)?;
        connection.pragma_update(None, "user_version", own).doing(doing)
    }

    fn open(&mut self) -> Result<&Connection> {
        let connection = sql::open(&self.copy, false)?;
        // Nobody sees the copy before it is durable.
        access::alone(&connection, self.fire_triggers)?;
        connection.execute_batch("BEGIN IMMEDIATE").doing("begin to write")?;
        Ok(self.connection.insert(connection))
    }

    /// The connection to the copy.
    pub fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| Error::new(Kind::Internal, "the copy is not there"))
    }

    /// Another connection to the copy, which is sealed.
    pub fn read(&self) -> Result<Connection> {
        access::read(&self.copy)
    }

    /// The file of before, for the list of what is kept.
    pub fn backup(&mut self, base: &Path, context: &Context<'_>) -> Result<BackupFile> {
        let Some(hash) = self.hash.take() else {
            return Err(Error::new(Kind::Internal, "a file was to be hashed twice"));
        };
        let (bytes, xxh3) = hash.finish(context)?.map_err(|e| Error::io("read", &self.kept, e))?;
        Ok(BackupFile { path: relative(base, &self.kept), bytes, xxh3 })
    }

    /// Nothing more is written to the copy: it begins to go to the disk.
    pub fn seal(&mut self) -> Result<()> {
        // From now on it is read by several.
        self.connection()?
            .execute_batch("COMMIT; PRAGMA locking_mode = NORMAL; SELECT 1 FROM sqlite_master")
            .doing("write the copy")?;
        let file = File::open(&self.copy).map_err(|e| Error::io("read", &self.copy, e))?;
        self.syncing = Some(Syncing::begin(&file, &self.copy)?);
        Ok(())
    }

    /// Puts the copy in the place of the file. `lock`: what holds the lock on the one that is there, and every file of it that
    /// this process has open; nobody else can have opened it before, or changed it since.
    pub fn commit(mut self, lock: (Connection, Vec<Arc<File>>)) -> Result<()> {
        let reach = |point: &str| fault::reach(point).map_err(|e| Error::io("rename", &self.copy, e));
        reach("flush")?;
        match self.connection.take() {
            Some(connection) => connection.close().map_err(|(_, e)| e).doing("close the copy")?,
            None => return Err(Error::new(Kind::Internal, "the copy is not there")),
        }
        match self.syncing.take() {
            Some(syncing) => syncing.finish()?,
            None => return Err(Error::new(Kind::Internal, "a copy was to be put in place unsealed")),
        }
        left::note(&self.copy, &self.folder)?;
        reach("commit")?;
        let before = self.files.0.metadata().map_err(|e| Error::io("read", &self.database, e))?;
        drop((lock, self.files));
        let lease = alone(&self.database, &self.was, identity::number(&before))?;
        if !files::rename_if(&self.copy, &self.database, || lease.holds())? {
            // Somebody waits for the file of before, and would go on with it: it comes back.
            files::rename(&self.kept, &self.database)?;
            return Err(opened(&self.database));
        }
        // Nothing may fail from here on, but a test may end the process.
        let _ = fault::reach("committed");
        Ok(())
    }
}

/// Puts the kept file back in the place of the one that is there, with the permissions that this one has by now; `folder` is
/// the migration's own. `false`: others have the file open, or it is not as it was left.
pub(super) fn back(database: &Path, kept: &Path, folder: &Path) -> Result<bool> {
    let Some(lease) = lease(database)? else { return Ok(false) };
    if !is_as_left(lease.file(), folder)? {
        return Ok(false);
    }
    if !identity::repeat(lease.file(), &File::open(kept).map_err(|e| Error::io("read", kept, e))?) {
        return Ok(false);
    }
    fault::reach("commit").map_err(|e| Error::io("rename", kept, e))?;
    // Somebody who waits for the file that is there would go on with it, where nobody else finds it any more.
    let aside = files::temporary_name(folder, "migrated");
    if !files::link(database, &aside)? {
        return Ok(false);
    }
    if !files::rename_if(kept, database, || lease.holds())? {
        // Where the kept file cannot get its name again, it stays in its old place.
        let undone = files::link(database, kept)?;
        if undone {
            files::rename(&aside, database)?;
        }
        return Ok(!undone);
    }
    let _ = fault::reach("committed");
    // If not now, the next run removes it.
    let _ = files::remove_file(&aside);
    Ok(true)
}
