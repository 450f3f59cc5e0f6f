//! Whether a path is a SQLite file that this store is for.

use std::io::Read;
use std::path::Path;
use std::sync::Mutex;

use super::settings::Wishes;
use super::{SqliteStore, vec0};
use crate::error::{Error, Kind, Result};
use crate::store::{Settings, VectorStore, sql};

/// First bytes of every SQLite file that is not encrypted.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Whether `path` is a SQLite file.
pub(in crate::store) fn recognises(path: &Path) -> bool {
    let mut head = [0; MAGIC.len()];
    path.is_file()
        && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && head == *MAGIC
}

/// Opens the file `path`; nothing is changed.
///
/// # Errors
/// [`Kind::NotFound`] without a file, [`Kind::Unsupported`] if it is no SQLite file, or encrypted, or Chroma's.
pub(in crate::store) fn open(path: &Path, settings: &Settings) -> Result<Box<dyn VectorStore>> {
    let wishes = Wishes::read(settings)?;
    vec0::register()?;
    let database = path.canonicalize().map_err(|e| Error::io("open", path, e))?;
    if !recognises(&database) {
        return Err(Error::new(Kind::Unsupported, format!("`{}` is not a SQLite file", path.display()))
            .hint("an encrypted one (SQLCipher, SEE) has to be decrypted first: embedport takes no keys"));
    }
    let store = SqliteStore {
        database,
        wishes,
        mixed: Mutex::default(),
        taken_back: Mutex::default(),
        seen: Mutex::default(),
    };
    let connection = store.read()?;
    if sql::has_table(&connection, "embeddings_queue")? && sql::has_table(&connection, "segments")? {
        return Err(Error::new(
            Kind::Unsupported,
            format!("`{}` belongs to a Chroma database", path.display()),
        )
        .hint("give the folder that it lies in: Chroma keeps its indexes beside it"));
    }
    Ok(Box::new(store))
}
