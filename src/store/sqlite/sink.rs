//! Where a rewrite puts what is kept of each record, and what is found out on the way.

use rusqlite::types::{Value, ValueRef};
use sha2::{Digest, Sha256};
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
    /// Notes what a record holds after the rewrite.
    pub fn note(&mut self, key: &[Value], contents: &[u8; HASH], vector: &[u8; HASH]) -> Result<()> {
        self.written.begin_row()?;
        key.iter().try_for_each(|value| self.written.value(value.into()))?;
        self.written.value(ValueRef::Blob(contents))?;
        self.written.value(ValueRef::Blob(vector))
    }
}

/// Everything that a rewrite must leave alone, as one digest. Records have to come in the order of their keys.
pub(super) struct Contents<'a> {
    hash: Sha256,
    buffer: Vec<u8>,
    look: &'a mut dyn FnMut(&str, &str),
}

impl<'a> Contents<'a> {
    pub fn new(look: &'a mut dyn FnMut(&str, &str)) -> Self {
        Contents { hash: Sha256::new(), buffer: Vec::new(), look }
    }

    /// One record: its identifier, its text if it has one, and the values of all columns but the vector's.
    /// Returns the hash of these values.
    pub fn record(&mut self, id: &str, text: Option<&str>, values: &[ValueRef<'_>]) -> [u8; HASH] {
        self.buffer.clear();
        values.iter().for_each(|value| put(&mut self.buffer, *value));
        let hash = short_hash(&self.buffer);
        self.hashed(id, text, &hash);
        hash
    }

    /// As [`Contents::record`], the hash of the values given.
    pub fn hashed(&mut self, id: &str, text: Option<&str>, values: &[u8; HASH]) {
        if let Some(text) = text {
            (self.look)(id, text);
        }
        self.hash.update(values);
        self.hash.update((id.len() as u64).to_le_bytes());
        self.hash.update(id);
    }

    /// The digest, hexadecimal.
    pub fn finish(self) -> String {
        files::hex(&self.hash.finalize())
    }
}

/// Hash of what a record holds beside its vector: of values, each preceded by its type and length, so that no two lists
/// give the same bytes.
pub(super) fn hash_values<'v>(values: impl Iterator<Item = ValueRef<'v>>) -> [u8; HASH] {
    let mut buffer = Vec::new();
    values.for_each(|value| put(&mut buffer, value));
    short_hash(&buffer)
}

/// Hash of the values of a vector. It tells whether a program wrote another one since, and no more: so it is a quick one
/// (XXH3, 128 bits).
pub(super) fn hash_vector<'v>(values: impl Iterator<Item = ValueRef<'v>>) -> [u8; HASH] {
    let mut hash = Xxh3::new();
    values.for_each(|value| feed(value, &mut |bytes| hash.update(bytes)));
    hash.digest128().to_le_bytes()
}

/// As [`hash_vector`], of what a record holds beside its vector.
pub(super) fn short_hash(bytes: &[u8]) -> [u8; HASH] {
    xxh3_128(bytes).to_le_bytes()
}

/// Appends a value, preceded by its type and length.
pub(super) fn put(buffer: &mut Vec<u8>, value: ValueRef<'_>) {
    feed(value, &mut |bytes| buffer.extend(bytes));
}

fn feed(value: ValueRef<'_>, to: &mut dyn FnMut(&[u8])) {
    let mut give = |kind: u8, bytes: &[u8]| {
        to(&[kind]);
        to(&(bytes.len() as u64).to_le_bytes());
        to(bytes);
    };
    match value {
        ValueRef::Null => to(b"n"),
        ValueRef::Integer(n) => give(b'i', &n.to_le_bytes()),
        ValueRef::Real(x) => give(b'f', &x.to_le_bytes()),
        ValueRef::Text(text) => give(b't', text),
        ValueRef::Blob(blob) => give(b'b', blob),
    }
}
