//! SQLite with the crate's errors: what every store that lies in SQLite files shares.

pub(in crate::store) mod rows_file;
pub(in crate::store) mod whole;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use crate::error::{Error, Kind, Result};
use crate::platform::fault;

/// How long a write of another process may take before the store counts as held.
const PATIENCE: Duration = Duration::from_secs(2);

/// Classes a failure of SQLite by its cause.
pub(in crate::store) trait Doing<T> {
    fn doing(self, doing: &str) -> Result<T>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &str) -> Result<T> {
        self.map_err(|cause| failure(doing, cause))
    }
}

fn failure(doing: &str, cause: rusqlite::Error) -> Error {
    let kind = kind_of(&cause);
    hinted(Error::new(kind, format!("cannot {doing} (SQLite)")).because(cause))
}

fn kind_of(cause: &rusqlite::Error) -> Kind {
    match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Kind::Locked,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::Damaged,
        Some(
            ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen,
        ) => Kind::CannotWrite,
        Some(ErrorCode::SystemIoFailure) => Kind::Io,
        Some(ErrorCode::OperationInterrupted) => Kind::Interrupted,
        Some(ErrorCode::ConstraintViolation) => Kind::Refused,
        // A table or column that is missing, or a value of the wrong type: not what such a store has.
        _ => Kind::Damaged,
    }
}

fn hinted(error: Error) -> Error {
    match error.kind() {
        Kind::Locked => error.hint("another program is at work on the database; stop it and try again"),
        Kind::Refused => error.hint("a constraint of the table stands in the way; nothing was changed"),
        Kind::CannotWrite => error.hint("check free space and permissions of the folder"),
        Kind::Damaged => error.hint("check the file with `sqlite3 FILE 'PRAGMA integrity_check'`"),
        _ => error,
    }
}

/// What lies beside a database under its name with a suffix, as the files that SQLite keeps there: `-wal`, `-journal`.
pub(in crate::store) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Opens an existing database. A journal that a killed program left behind is rolled back by the
/// first read, as any opener does; apart from that, `read_only` connections change nothing.
pub(in crate::store) fn open(database: &Path, read_only: bool) -> Result<Connection> {
    set_up(database, read_only).map_err(|cause| unopened(database, cause))
}

fn set_up(database: &Path, read_only: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(64);
    if read_only {
        connection.pragma_update(None, "query_only", true)?;
        // The last connection to close would move a log into the file. One without contents may go: there is nothing to move.
        if std::fs::metadata(beside(database, "-wal")).is_ok_and(|log| log.len() > 0) {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
    }
    // A larger page cache: 64 MiB (negative numbers are KiB), the default is 2. The first look at the file itself.
    connection.pragma_update(None, "cache_size", -65_536)?;
    Ok(connection)
}

/// Moves the write-ahead log that a killed run may have left into the file, unless others have it open.
pub(in crate::store) fn end_log(database: &Path) -> Result<()> {
    if !beside(database, "-wal").exists() {
        return Ok(());
    }
    // Done by the last connection to close, if it does not only read.
    open(database, false).map(drop)
}

/// What a failure to open means for who has the file.
fn unopened(database: &Path, cause: rusqlite::Error) -> Error {
    let (kind, name) = (kind_of(&cause), database.display());
    let found = match kind {
        Kind::Locked => format!("`{name}` is in use"),
        Kind::Damaged => format!("`{name}` is damaged: SQLite cannot read it"),
        _ => format!("`{name}` cannot be opened (SQLite)"),
    };
    let error = hinted(Error::new(kind, found).because(cause));
    match kind {
        Kind::CannotWrite => error.hint(
            "SQLite reads a file with a write-ahead log only where it can write beside it: make the folder writable, or \
             copy the file and what lies beside it elsewhere",
        ),
        _ => error,
    }
}

/// Commits. All pages are written before, so that a lack of room shows while nothing has happened yet.
pub(in crate::store) fn commit(connection: &Connection) -> Result<()> {
    let doing = "commit";
    let reach = |point: &str| {
        fault::reach(point).map_err(|e| Error::new(Kind::Io, "stopped before the commit").because(e))
    };
    reach("flush")?;
    connection.cache_flush().doing(doing)?;
    reach("commit")?;
    connection.execute_batch("COMMIT").doing(doing)?;
    // Nothing may fail from here on, but a test may end the process.
    let _ = fault::reach("committed");
    Ok(())
}

pub(in crate::store) fn has_table(connection: &Connection, name: &str) -> Result<bool> {
    holds(connection, "main", name)
}

/// Whether `schema` has a table `name`.
pub(in crate::store) fn holds(connection: &Connection, schema: &str, name: &str) -> Result<bool> {
    connection
        .query_row(
            &format!("SELECT 1 FROM {schema}.sqlite_master WHERE name = ?1 COLLATE NOCASE"),
            [name],
            |_| Ok(()),
        )
        .optional()
        .map(|found| found.is_some())
        .doing("list the tables")
}
