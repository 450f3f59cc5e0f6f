//! What a file is left as: how is told that nobody wrote to it since.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::platform::{files, identity};
use crate::store::sql;

/// Name of the note, in the migration's own folder.
const NAME: &str = "left.json";

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
    pub fn is_wal(&self) -> bool {
        self.header.get(36..40) == Some("0202")
    }

    pub fn of(file: &File) -> std::io::Result<Left> {
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

/// Notes down in `folder`, the migration's own, as what `file` will be left.
pub(super) fn note(file: &Path, folder: &Path) -> Result<()> {
    let left = File::open(file).and_then(|file| Left::of(&file)).map_err(|e| Error::io("read", file, e))?;
    files::write_json(&folder.join(NAME), &left)
}

/// Whether `file` is what the migration of this folder left by an exchange.
pub(super) fn is_as_left(file: &File, folder: &Path) -> Result<bool> {
    let path = folder.join(NAME);
    if !path.exists() {
        return Ok(false);
    }
    let left: Option<Left> = serde_json::from_slice(&files::read_at_most(&path, 1 << 16)?).ok();
    Ok(left.is_some() && left == Left::of(file).ok())
}

/// Whether no journal lies beside the file that SQLite would play into whatever has its name.
pub(super) fn is_quiet(database: &Path) -> bool {
    ["-journal", "-wal"].iter().all(|suffix| {
        let mut head = [0; 8];
        let file = File::open(sql::beside(database, suffix));
        match file.and_then(|file| files::read_exact_at(&file, &mut head, 0)) {
            // One that was given up is empty, or begins with zeros. What cannot be read may be one that counts.
            Ok(()) => head == [0; 8],
            Err(e) => matches!(e.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_journal_that_was_given_up_is_quiet() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        assert!(is_quiet(&database));
        let journal = sql::beside(&database, "-journal");
        for (bytes, quiet) in [(&b""[..], true), (&[0; 512], true), (&[0xd9; 512], false)] {
            std::fs::write(&journal, bytes).unwrap();
            assert_eq!(is_quiet(&database), quiet, "{bytes:?}");
        }
        // A folder can be opened and not be read.
        std::fs::remove_file(&journal).unwrap();
        std::fs::create_dir(&journal).unwrap();
        assert!(!is_quiet(&database));
    }
}
