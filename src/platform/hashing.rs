//! Hashes of whole files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};

/// Size in bytes and XXH3 (128 bits, hexadecimal, as `xxhsum -H2` prints it) of a file. It tells every accident; who wants to
/// deceive could change the note of it as well.
pub fn hash(path: &Path) -> Result<(u64, String)> {
    File::open(path).and_then(hash_of).map_err(|cause| Error::io("read", path, cause))
}

/// As [`hash`], of what is left of an open file.
pub fn hash_of(mut file: impl Read) -> io::Result<(u64, String)> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0u8; 1 << 18];
    let mut bytes = 0u64;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, shown(&hash)));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}

/// A hash as it is noted.
pub fn shown(hash: &Xxh3) -> String {
    format!("{:032x}", hash.digest128())
}

/// Bytes as lower case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hashes what passes on its way to `out`.
pub(super) struct Hashing<W> {
    out: W,
    bytes: u64,
    hash: Xxh3,
}

impl<W> Hashing<W> {
    pub fn new(out: W) -> Self {
        Hashing { out, bytes: 0, hash: Xxh3::new() }
    }

    /// What [`hash`] says of a file with just what passed.
    pub fn finish(self) -> (u64, String) {
        (self.bytes, shown(&self.hash))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn hash_of_abc_is_the_published_one() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("abc");
        fs::write(&path, "abc").expect("write");
        let (bytes, found) = hash(&path).expect("hash");
        assert_eq!(bytes, 3);
        // XXH3 of 128 bits: `printf abc | xxhsum -H2`
        assert_eq!(found, "06b05ab6733a618578af5f94892f3950");
    }
}
