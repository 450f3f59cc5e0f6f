//! What a file of embedded texts is: its name and its first line.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::space::Space;

/// Longest first line.
const MOST_LINE: u64 = 1 << 13;
/// Characters of a model's name that the line keeps.
const MOST_NAME: usize = 1000;

/// What a collection is known by in the names of files.
pub fn digest(collection: &str) -> u64 {
    xxh3_64(collection.as_bytes())
}

/// Where texts of `collection` lie that the model of the space with this fingerprint embedded.
pub fn path(folder: &Path, collection: &str, space: &str) -> PathBuf {
    folder.join(format!("embedded-{space}-{:016x}.bin", digest(collection)))
}

/// Of which collection a file of this name is, as [`digest`] says it.
pub fn collection_of(name: &str) -> Option<u64> {
    let (_, collection) = name.strip_prefix("embedded-")?.strip_suffix(".bin")?.rsplit_once('-')?;
    u64::from_str_radix(collection, 16).ok().filter(|_| collection.len() == 16)
}

/// What the first line of a file says.
pub struct Head {
    /// The model's name.
    pub model: String,
    /// Fingerprint of its space.
    pub space: String,
    /// Components of a vector.
    pub dimension: usize,
    /// Bytes of the line.
    pub bytes: u64,
}

impl Head {
    const FORMAT: &str = "embedport embedded 1 ";

    /// What is to be said of vectors of `space`, and the line that says it.
    pub fn of(space: &Space) -> (Head, String) {
        let model: String = space.model.chars().take(MOST_NAME).collect();
        let name = serde_json::Value::from(model.as_str());
        let line = format!("{}{} {} {name}\n", Self::FORMAT, space.fingerprint(), space.dimension);
        let bytes = line.len() as u64;
        let head = Head { model, space: space.fingerprint(), dimension: space.dimension, bytes };
        (head, line)
    }

    /// What the file says; none if it does not begin with such a line.
    pub fn at_the_start_of(file: &File) -> std::io::Result<Option<Head>> {
        let (mut file, mut start) = (file, Vec::new());
        file.seek(SeekFrom::Start(0))?;
        file.take(MOST_LINE).read_to_end(&mut start)?;
        let line = start.iter().position(|byte| *byte == b'\n').and_then(|end| start.get(..=end));
        Ok(line.and_then(Head::parse))
    }

    fn parse(line: &[u8]) -> Option<Head> {
        let text = std::str::from_utf8(line).ok()?.strip_prefix(Self::FORMAT)?.strip_suffix('\n')?;
        let mut parts = text.splitn(3, ' ');
        let (space, dimension, model) =
            (parts.next()?.to_owned(), parts.next()?.parse().ok()?, parts.next()?);
        let model = serde_json::from_str(model).ok()?;
        let head = Head { model, space, dimension, bytes: line.len() as u64 };
        (1..=Space::MOST_COMPONENTS).contains(&dimension).then_some(head)
    }

    /// Whole rows in a file of so many bytes.
    pub fn rows_in(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.bytes) / row_bytes(self.dimension)
    }
}

/// Bytes of a row.
pub fn row_bytes(dimension: usize) -> u64 {
    4 * dimension as u64 + 24
}
