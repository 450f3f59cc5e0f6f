//! Rewriting a copy that takes the file's place by one rename: the file of before, as it is, becomes the backup, and no
//! page is written twice.
//!
//! A program that has the file open meanwhile goes on reading the vectors of before, and SQLite refuses what it writes
//! (`SQLITE_READONLY_DBMOVED`) until it opens the file anew. So this way is only taken where none is seen.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::access::{self, is_wal};
use super::details::Details;
use crate::error::{Error, Kind, Result};
use crate::platform::syncing::Syncing;
use crate::platform::{fault, files, holders, identity};
use crate::store::BackupFile;
use crate::store::backup::relative;
use crate::store::sql::{self, Doing};

/// Name of the copy, in the migration's own folder.
const COPY: &str = "rewritten.db";
/// What the file was left as, in the migration's own folder.
const LEFT: &str = "left.json";

/// Why the file has to be written itself, in words; none: a copy can take its place, as far as is known beforehand.
/// `own`: how often this process has it open.
pub(super) fn obstacle(database: &Path, connection: &Connection, own: usize) -> Result<Option<String>> {
    if is_wal(connection)? {
        return Ok(Some("it has a write-ahead log".into()));
    }
    if let Some(why) = identity::cannot_be_repeated(database) {
        return Ok(Some(why));
    }
    Ok(match holders::of_file(database) {
        None => Some("programs that have it open cannot be seen here".into()),
        Some(all) if !all.others.is_empty() => {
            let names: Vec<String> = all.others.iter().map(ToString::to_string).collect();
            Some(format!("it is open in {}", names.join(", ")))
        }
        Some(all) if all.own > own => Some("this program has it open elsewhere".into()),
        Some(_) => None,
    })
}

/// A copy on its way to the file's place.
pub(super) struct Exchange {
    database: PathBuf,
    copy: PathBuf,
    folder: PathBuf,
    /// The connection to the copy; none once it is in place.
    pub connection: Option<Connection>,
    kept: PathBuf,
    hash: Option<JoinHandle<std::io::Result<(u64, String)>>>,
    syncing: Option<Syncing>,
}

impl Exchange {
    /// Copies the file, which the caller has locked, into the migration's folder, and links it to where the backup is
    /// kept. `None` if this file system cannot do that. What is pushed to `open` has to stay open as long as the lock is to
    /// be held: closing a file lets go of every lock that this process has on it.
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
        // Beside the copying and all that follows.
        let hash = Builder::new().spawn(move || files::sha256_of(hashed.as_ref())).map_err(wrap)?;
        let copy = folder.join(COPY);
        fault::reach("copy").map_err(|e| Error::io("write", &copy, e))?;
        let mut made = identity::private(&copy).map_err(|e| Error::io("write", &copy, e))?;
        std::io::copy(&mut source.as_ref(), &mut made).map_err(|e| Error::io("write", &copy, e))?;
        if !identity::repeat(&source, &made) {
            std::fs::remove_file(&copy).map_err(|e| Error::io("remove", &copy, e))?;
            files::remove_file(&kept)?;
            return Ok(None);
        }
        let connection = sql::open(&copy, false)?;
        // Nobody sees the copy before it is whole and durable.
        access::alone(&connection, details.fire_triggers)?;
        connection.execute_batch("BEGIN IMMEDIATE").doing("begin to write")?;
        Ok(Some(Exchange {
            database: database.to_path_buf(),
            copy,
            folder,
            connection: Some(connection),
            kept,
            hash: Some(hash),
            syncing: None,
        }))
    }

    /// The connection to the copy.
    pub fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| Error::new(Kind::Internal, "the copy is in place already"))
    }

    /// The file of before, for the list of what is kept.
    pub fn backup(&mut self, base: &Path) -> Result<BackupFile> {
        let Some(hash) = self.hash.take() else {
            return Err(Error::new(Kind::Internal, "a file was to be hashed twice"));
        };
        let hashed = hash.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (bytes, sha256) = hashed.map_err(|e| Error::io("read", &self.kept, e))?;
        Ok(BackupFile { path: relative(base, &self.kept), bytes, sha256 })
    }

    /// Nothing more is written to the copy: it begins to go to the disk.
    pub fn seal(&mut self) -> Result<()> {
        self.connection()?.execute_batch("COMMIT").doing("write the copy")?;
        let file = File::open(&self.copy).map_err(|e| Error::io("read", &self.copy, e))?;
        self.syncing = Some(Syncing::begin(&file, &self.copy)?);
        Ok(())
    }

    /// Puts the copy in the place of the file. The caller still holds the lock on the one that was there.
    pub fn commit(mut self) -> Result<()> {
        let reach = |point: &str| fault::reach(point).map_err(|e| Error::io("rename", &self.copy, e));
        reach("flush")?;
        match self.connection.take() {
            Some(connection) => connection.close().map_err(|(_, e)| e).doing("close the copy")?,
            None => return Err(Error::new(Kind::Internal, "the copy is in place already")),
        }
        match self.syncing.take() {
            Some(syncing) => syncing.finish()?,
            None => return Err(Error::new(Kind::Internal, "a copy was to be put in place unsealed")),
        }
        let left = Left::of(&File::open(&self.copy).map_err(|e| Error::io("read", &self.copy, e))?);
        let left = left.map_err(|e| Error::io("read", &self.copy, e))?;
        let left = serde_json::to_vec(&left)
            .map_err(|e| Error::new(Kind::Internal, "cannot write as JSON").because(e))?;
        files::write(&self.folder.join(LEFT), &left)?;
        reach("commit")?;
        files::rename(&self.copy, &self.database)?;
        // Nothing may fail from here on, but a test may end the process.
        let _ = fault::reach("committed");
        Ok(())
    }
}

/// What tells a file that nobody wrote to since from any other: every transaction of SQLite changes its header, and every
/// write its time. A copy that keeps the time (`cp -p`) is the same.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    bytes: u64,
    /// Time of the last change of its contents: seconds, nanoseconds.
    modified: (i64, i64),
    header: String,
}

impl Left {
    fn of(file: &File) -> std::io::Result<Left> {
        let mut header = [0; 100];
        files::read_exact_at(file, &mut header, 0)?;
        let metadata = file.metadata()?;
        Ok(Left {
            bytes: metadata.len(),
            modified: identity::modified(&metadata),
            header: files::hex(&header),
        })
    }
}

/// Whether `file` is to the last byte what the migration of `details` left by an exchange.
pub(super) fn is_as_left(file: &File, base: &Path, details: &Details) -> Result<bool> {
    let path = base.join(&details.folder).join(LEFT);
    if !path.exists() {
        return Ok(false);
    }
    let left: Option<Left> = serde_json::from_slice(&files::read_at_most(&path, 1 << 16)?).ok();
    Ok(left.is_some() && left == Left::of(file).ok())
}

/// Puts the kept file back in the place of the one that is there, which the caller has locked.
pub(super) fn back(database: &Path, kept: &Path) -> Result<()> {
    fault::reach("commit").map_err(|e| Error::io("rename", kept, e))?;
    files::rename(kept, database)?;
    let _ = fault::reach("committed");
    Ok(())
}
