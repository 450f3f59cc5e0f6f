//! Rewriting a copy that takes the file's place by one rename: the file of before, as it is, becomes the backup, and no
//! page is written twice.
//!
//! A program that has the file of before open would go on with it: it would read what is no longer there, and SQLite, which finds
//! journals by the file's name, could play those of the one into the other. So the rename happens under a lease, which the system
//! gives only to one who is alone with the file (see [`Lease`]).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::access;
use super::details::Details;
use crate::error::{Error, Kind, Result};
use crate::platform::lease::Lease;
use crate::platform::syncing::Syncing;
use crate::platform::{fault, files, holders, identity};
use crate::store::BackupFile;
use crate::store::backup::relative;
use crate::store::sql::{self, Doing};

/// Name of the copy, in the migration's own folder.
const COPY: &str = "rewritten.db";
/// What the file was left as, in the migration's own folder.
const LEFT: &str = "left.json";

/// Why the file has to be written itself, in words; none: a copy can take its place, as far as is known beforehand. This
/// process must hold no lock on the file.
pub(super) fn obstacle(database: &Path) -> Result<Option<String>> {
    if let Some(why) = identity::cannot_be_repeated(database) {
        return Ok(Some(why));
    }
    // Asked first: a lease lets go of locks, and names nobody.
    match holders::of_file(database) {
        Some(all) if all.own > 0 => return Ok(Some("this program has it open elsewhere".into())),
        Some(all) if !all.others.is_empty() => {
            let names: Vec<String> = all.others.iter().map(ToString::to_string).collect();
            return Ok(Some(format!("it is open in {}", names.join(", "))));
        }
        _ => {}
    }
    let wrap = |cause| Error::io("read", database, cause);
    let Some(lease) = Lease::take(database).map_err(wrap)? else {
        return Ok(Some("whether others have it open cannot be known".into()));
    };
    Ok(match Left::of(lease.file()) {
        Ok(left) if left.is_wal() => Some("it has a write-ahead log".into()),
        Ok(_) if !is_quiet(database) => Some("a journal lies beside it".into()),
        Ok(_) => None,
        Err(_) => Some("it has no header".into()),
    })
}

/// Whether no journal lies beside the file that SQLite would play into whatever has its name.
fn is_quiet(database: &Path) -> bool {
    ["-journal", "-wal"].iter().all(|suffix| {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        let mut head = [0; 8];
        match File::open(&path) {
            Err(e) => e.kind() == std::io::ErrorKind::NotFound,
            // One that was given up is empty, or begins with zeros.
            Ok(file) => files::read_exact_at(&file, &mut head, 0).is_err() || head == [0; 8],
        }
    })
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
    /// The connection to the copy; none once it is in place.
    pub connection: Option<Connection>,
    kept: PathBuf,
    hash: Hashing,
    syncing: Option<Syncing>,
    /// The file of before.
    was: Left,
    inode: u64,
}

/// A hash on its way. Its thread ends before this does: it has the file open.
struct Hashing(Option<JoinHandle<std::io::Result<(u64, String)>>>);

impl Drop for Hashing {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
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
        let was = Left::of(&source).map_err(wrap)?;
        let inode = identity::number(&source.metadata().map_err(wrap)?);
        // Beside the copying and all that follows.
        let hash = Builder::new().spawn(move || files::sha256_of(hashed.as_ref())).map_err(wrap)?;
        let hash = Hashing(Some(hash));
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
            hash,
            syncing: None,
            was,
            inode,
        }))
    }

    /// The connection to the copy.
    pub fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| Error::new(Kind::Internal, "the copy is in place already"))
    }

    /// The file of before, for the list of what is kept.
    pub fn backup(&mut self, base: &Path) -> Result<BackupFile> {
        let Some(hash) = self.hash.0.take() else {
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

    /// Puts the copy in the place of the file. `lock`: what holds the lock on the one that is there, and every file of it that
    /// this process has open; nobody else can have opened it before, or changed it since.
    pub fn commit(mut self, lock: (Connection, Vec<Arc<File>>)) -> Result<()> {
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
        drop(lock);
        let lease = alone(&self.database, &self.was, self.inode)?;
        files::rename(&self.copy, &self.database)?;
        if !lease.holds() {
            // Somebody waits for the file of before, and would go on with it: it comes back.
            files::rename(&self.kept, &self.database)?;
            return Err(opened(&self.database));
        }
        // Nothing may fail from here on, but a test may end the process.
        let _ = fault::reach("committed");
        Ok(())
    }
}

/// What tells a file that nobody wrote to since from any other: every transaction of SQLite changes its header, and every
/// write its time. A copy that keeps the time (`cp -p`) is the same.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Left {
    bytes: u64,
    /// Time of the last change of its contents: seconds, nanoseconds.
    modified: (i64, i64),
    header: String,
}

impl Left {
    /// SQLite's version numbers of such a file: see "The Database Header" of its file format.
    fn is_wal(&self) -> bool {
        self.header.get(36..40) == Some("0202")
    }

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

/// Whether `file` is what the migration of `details` left by an exchange, by size, time and header.
pub(super) fn is_as_left(file: &File, folder: &Path) -> Result<bool> {
    let path = folder.join(LEFT);
    if !path.exists() {
        return Ok(false);
    }
    let left: Option<Left> = serde_json::from_slice(&files::read_at_most(&path, 1 << 16)?).ok();
    Ok(left.is_some() && left == Left::of(file).ok())
}

/// Puts the kept file back in the place of the one that is there, with the permissions that this one has by now; `folder` is
/// the migration's own. `false`: others have the file open, or it is not as it was left.
pub(super) fn back(database: &Path, kept: &Path, folder: &Path) -> Result<bool> {
    let wrap = |cause| Error::io("read", database, cause);
    if obstacle(database)?.is_some() {
        return Ok(false);
    }
    let Some(lease) = Lease::take(database).map_err(wrap)? else { return Ok(false) };
    if !is_as_left(lease.file(), folder)? || !is_quiet(database) {
        return Ok(false);
    }
    if !identity::repeat(lease.file(), &File::open(kept).map_err(|e| Error::io("read", kept, e))?) {
        return Ok(false);
    }
    fault::reach("commit").map_err(|e| Error::io("rename", kept, e))?;
    files::rename(kept, database)?;
    let _ = fault::reach("committed");
    Ok(true)
}
