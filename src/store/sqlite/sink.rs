//! Where a rewrite puts what is kept of each record, and what is found out on the way.

use rusqlite::types::{Value, ValueRef};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::error::Result;
use crate::platform::files;
use crate::store::sql::rows_file::Writer;

/// Length of the hashes that later tell whether a record was written again.
pub(super) const HASH: usize = 16;

/// Takes saved rows, hashes and contents while the records of a collection stream by.
pub(super) struct Sink<'a, 'o> {
    /// Saved rows, in tables of the holder's choice.
    pub rows: &'a mut Writer<'o>,
    /// One row for each record: its key, hash of what it holds beside the vector, hash of its new vector.
    pub written: &'a mut Writer<'o>,
    pub contents: Contents<'a>,
}

impl Sink<'_, '_> {
    /// Shows a record to the contents, and notes what it holds after the rewrite: the hashes of its values and of its vector.
    pub fn record(
        &mut self,
        (id, text): (&str, Option<&str>),
        key: &[Value],
        contents: &[u8; HASH],
        vector: &[u8; HASH],
    ) -> Result<()> {
        self.contents.hashed(id, text, contents);
        self.note(key, contents, vector)
    }

    /// Notes what a record holds after the rewrite.
    pub fn note(&mut self, key: &[Value], contents: &[u8; HASH], vector: &[u8; HASH]) -> Result<()> {
        note(self.written, key.iter().map(ValueRef::from), [contents, vector])
    }
}

/// Notes the key of a record and the hashes of what it holds, see [`Sink::written`].
pub(super) fn note<'v>(
    written: &mut Writer<'_>,
    mut key: impl Iterator<Item = ValueRef<'v>>,
    hashes: [&[u8; HASH]; 2],
) -> Result<()> {
    written.begin_row()?;
    key.try_for_each(|value| written.value(value))?;
    hashes.into_iter().try_for_each(|hash| written.value(ValueRef::Blob(hash)))
}

/// Everything that a rewrite must leave alone, as one digest. Records have to come in the order of their keys.
pub(super) struct Contents<'a> {
    hash: Xxh3,
    look: &'a mut dyn FnMut(&str, &str),
}

impl<'a> Contents<'a> {
    pub fn new(look: &'a mut dyn FnMut(&str, &str)) -> Self {
        Contents { hash: Xxh3::new(), look }
    }

    /// One record: its identifier, its text if it has one, and the values of all columns but the vector's.
    /// Returns the hash of these values.
    pub fn record(&mut self, id: &str, text: Option<&str>, values: &[ValueRef<'_>]) -> [u8; HASH] {
        let hash = hash_values(values.iter().copied());
        self.hashed(id, text, &hash);
        hash
    }

    /// As [`Contents::record`], the hash of the values given.
    pub fn hashed(&mut self, id: &str, text: Option<&str>, values: &[u8; HASH]) {
        if let Some(text) = text {
            (self.look)(id, text);
        }
        self.hash.update(values);
        self.hash.update(&(id.len() as u64).to_le_bytes());
        self.hash.update(id.as_bytes());
    }

    /// The digest, hexadecimal.
    pub fn finish(self) -> String {
        files::shown(&self.hash)
    }
}

/// Hash of values, each preceded by its type and length, so that no two lists give the same bytes. It tells whether a program
/// wrote others since, and no more: so it is a quick one (XXH3, 128 bits).
pub(super) struct ValuesHash(Vec<u8>);

impl ValuesHash {
    pub fn new() -> Self {
        // Put together first: the state of a hash that is fed in parts is larger than most rows.
        ValuesHash(Vec::with_capacity(256))
    }

    pub fn add(&mut self, value: ValueRef<'_>) {
        let mut give = |kind: u8, bytes: &[u8]| {
            self.0.push(kind);
            self.0.extend((bytes.len() as u64).to_le_bytes());
            self.0.extend(bytes);
        };
        match value {
            ValueRef::Null => self.0.push(b'n'),
            ValueRef::Integer(n) => give(b'i', &n.to_le_bytes()),
            ValueRef::Real(x) => give(b'f', &x.to_le_bytes()),
            ValueRef::Text(text) => give(b't', text),
            ValueRef::Blob(blob) => give(b'b', blob),
        }
    }

    pub fn finish(&self) -> [u8; HASH] {
        xxh3_128(&self.0).to_le_bytes()
    }
}

/// See [`ValuesHash`].
pub(super) fn hash_values<'v>(values: impl Iterator<Item = ValueRef<'v>>) -> [u8; HASH] {
    let mut hash = ValuesHash::new();
    values.for_each(|value| hash.add(value));
    hash.finish()
}
