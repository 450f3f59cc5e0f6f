//! Reading the index's `index_metadata.pickle`: which record has which label.
//!
//! Reads the two forms that Chroma wrote (an instance of `PersistentData` up to 0.6, a plain dict since
//! 1.0) with a machine of just the opcodes needed for them: nothing is imported, nothing is called.
//! Every opcode costs from a budget set by the number of records, so memory is bounded.

use std::collections::{BTreeSet, HashMap};

use super::ids::hash;
use crate::error::{Error, Kind, Result};

const CLASS: (&str, &str) = ("chromadb.segment.impl.vector.local_persistent_hnsw", "PersistentData");

/// Opcodes that a file may use per record: three maps, each with two values and as many memo entries.
const OPCODES_PER_RECORD: u64 = 64;
const OPCODES_FREE: u64 = 65_536;

/// Maps whose entries nobody asks for, and the number of such a dict: there is no entry of the arena for it.
const UNUSED: [&str; 2] = ["label_to_id", "id_to_seq_id"];
const NOT_KEPT: usize = usize::MAX;

/// What the pickle says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexMetadata<Id = String> {
    /// Components of a vector; 1.x leaves it out.
    pub dimensionality: Option<u64>,
    /// Highest label that was ever given.
    pub total_elements_added: u64,
    /// How far the index has read the queue; only 0.4.
    pub max_seq_id: Option<i64>,
    /// Record id and label, each once.
    pub labels: Vec<(Id, u64)>,
}

impl IndexMetadata<&str> {
    /// The same without the file's bytes.
    pub fn into_owned(self) -> IndexMetadata {
        let IndexMetadata { dimensionality, total_elements_added, max_seq_id, labels } = self;
        let labels = labels.into_iter().map(|(id, label)| (id.to_owned(), label)).collect();
        IndexMetadata { dimensionality, total_elements_added, max_seq_id, labels }
    }
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Mark,
    None,
    Int(i64),
    Text(&'a str),
    EmptyTuple,
    Class,
    /// An entry of the arena; an instance is its dict.
    Dict(usize),
}

#[derive(Default)]
struct Machine<'a> {
    stack: Vec<Value<'a>>,
    /// Slots are given out one by one, so that most are in order ...
    memo: Vec<Value<'a>>,
    /// ... and any other here.
    others: HashMap<u32, Value<'a>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
}

/// Reads a pickle of an index that holds at most `records` records.
///
/// # Errors
/// [`Kind::Damaged`] for anything but the two known forms.
pub(super) fn read(bytes: &[u8], records: u64) -> Result<IndexMetadata<&str>> {
    let mut machine = Machine::default();
    let top = machine.run(bytes, records)?;
    let Value::Dict(top) = top else { return Err(damaged("holds no dict")) };
    let fields = machine.dicts.get(top).map(Vec::as_slice).unwrap_or_default();
    let mut found = IndexMetadata::default();
    let mut has_labels = false;
    for (key, value) in fields {
        let Value::Text(key) = key else { return Err(damaged("has a field whose name is no text")) };
        match (*key, value) {
            ("dimensionality" | "max_seq_id", Value::None) => {}
            ("dimensionality", Value::Int(n)) => found.dimensionality = Some(natural(*n)?),
            ("total_elements_added", Value::Int(n)) => found.total_elements_added = natural(*n)?,
            ("max_seq_id", Value::Int(n)) => found.max_seq_id = Some(*n),
            ("id_to_label", Value::Dict(entries)) => {
                found.labels = labels(machine.dicts.get(*entries).map(Vec::as_slice).unwrap_or_default())?;
                has_labels = true;
            }
            ("label_to_id" | "id_to_seq_id", Value::Dict(_)) => {}
            _ => return Err(damaged("has an unknown field or one of the wrong type")),
        }
    }
    if !has_labels {
        return Err(damaged("has no id_to_label"));
    }
    Ok(found)
}

fn labels<'a>(entries: &[(Value<'a>, Value<'a>)]) -> Result<Vec<(&'a str, u64)>> {
    let mut labels = Vec::with_capacity(entries.len());
    for (id, label) in entries {
        let (Value::Text(id), Value::Int(label)) = (id, label) else {
            return Err(damaged("maps something else than an id to a label"));
        };
        labels.push((*id, natural(*label)?));
    }
    // Sorting numbers is faster than a set of texts; equal hashes are looked at closely.
    let is_twice = is_any_twice(labels.iter().map(|(_, label)| *label))
        || is_any_twice(labels.iter().map(|(id, _)| hash(id)))
            && labels.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len() < labels.len();
    match is_twice {
        true => Err(damaged("gives an id or a label twice")),
        false => Ok(labels),
    }
}

fn is_any_twice(numbers: impl Iterator<Item = u64>) -> bool {
    let mut sorted: Vec<u64> = numbers.collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

impl<'a> Machine<'a> {
    fn run(&mut self, bytes: &'a [u8], records: u64) -> Result<Value<'a>> {
        let mut input = Input(bytes);
        let mut budget = records.saturating_mul(OPCODES_PER_RECORD).saturating_add(OPCODES_FREE);
        loop {
            budget = budget.checked_sub(1).ok_or_else(|| damaged("is longer than its index can need"))?;
            match input.byte()? {
                0x80 => match input.byte()? {
                    2..=5 => {}
                    _ => return Err(damaged("has an unknown protocol")),
                },
                0x95 => drop(input.take(8)?), // FRAME: the length is a reading hint only
                b'(' => self.stack.push(Value::Mark),
                b'N' => self.stack.push(Value::None),
                b')' => self.stack.push(Value::EmptyTuple),
                b'}' if matches!(self.stack.last(), Some(Value::Text(name)) if UNUSED.contains(name)) => {
                    self.stack.push(Value::Dict(NOT_KEPT));
                }
                b'}' => {
                    self.dicts.push(Vec::new());
                    self.stack.push(Value::Dict(self.dicts.len() - 1));
                }
                b'J' => self.push_int(i64::from(i32::from_le_bytes(input.array()?))),
                b'K' => self.push_int(i64::from(input.byte()?)),
                b'M' => self.push_int(i64::from(u16::from_le_bytes(input.array()?))),
                0x8a => {
                    let length = usize::from(input.byte()?);
                    let value = long(input.take(length)?)?;
                    self.push_int(value);
                }
                0x8c => {
                    let length = u64::from(input.byte()?);
                    self.push_text(input.text(length)?);
                }
                b'X' => {
                    let length = u64::from(u32::from_le_bytes(input.array()?));
                    self.push_text(input.text(length)?);
                }
                0x8d => {
                    let length = u64::from_le_bytes(input.array()?);
                    self.push_text(input.text(length)?);
                }
                0x94 => {
                    let slots = self.memo.len() + self.others.len();
                    self.remember(u32::try_from(slots).map_err(|_| damaged("has too many memo entries"))?)?;
                }
                b'q' => {
                    let slot = u32::from(input.byte()?);
                    self.remember(slot)?;
                }
                b'r' => {
                    let slot = u32::from_le_bytes(input.array()?);
                    self.remember(slot)?;
                }
                b'h' => {
                    let slot = u32::from(input.byte()?);
                    self.recall(slot)?;
                }
                b'j' => {
                    let slot = u32::from_le_bytes(input.array()?);
                    self.recall(slot)?;
                }
                b'c' => {
                    let (module, name) = (input.line()?, input.line()?);
                    self.class(module, name)?;
                }
                0x93 => match (self.pop()?, self.pop()?) {
                    (Value::Text(name), Value::Text(module)) => self.class(module, name)?,
                    _ => return Err(damaged("names a class by something else than text")),
                },
                0x81 => match (self.pop()?, self.pop()?) {
                    (Value::EmptyTuple, Value::Class) => {
                        self.dicts.push(Vec::new());
                        self.stack.push(Value::Dict(self.dicts.len() - 1));
                    }
                    _ => return Err(damaged("makes an object of another class")),
                },
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.entry(key, value)?;
                }
                b'u' => self.entries()?,
                b'b' => match (self.pop()?, self.stack.last()) {
                    (Value::Dict(state), Some(Value::Dict(object))) => {
                        let object = *object;
                        let state = self.dicts.get_mut(state).map(std::mem::take).unwrap_or_default();
                        if let Some(fields) = self.dicts.get_mut(object) {
                            fields.extend(state);
                        }
                    }
                    _ => return Err(damaged("builds something else than its one object")),
                },
                b'.' => return self.pop(),
                _ => return Err(damaged("uses an opcode that no Chroma release writes")),
            }
        }
    }

    fn push_int(&mut self, value: i64) {
        self.stack.push(Value::Int(value));
    }

    fn push_text(&mut self, text: &'a str) {
        self.stack.push(Value::Text(text));
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        self.stack.pop().ok_or_else(|| damaged("takes a value that was never given"))
    }

    fn remember(&mut self, slot: u32) -> Result<()> {
        let top = *self.stack.last().ok_or_else(|| damaged("remembers nothing"))?;
        if slot as usize == self.memo.len() {
            self.others.remove(&slot);
            self.memo.push(top);
        } else if let Some(place) = self.memo.get_mut(slot as usize) {
            *place = top;
        } else {
            self.others.insert(slot, top);
        }
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<()> {
        let value = self.memo.get(slot as usize).or_else(|| self.others.get(&slot));
        self.stack.push(*value.ok_or_else(|| damaged("recalls what it never remembered"))?);
        Ok(())
    }

    fn class(&mut self, module: &str, name: &str) -> Result<()> {
        if (module, name) != CLASS {
            return Err(damaged("names a class that is not Chroma's"));
        }
        self.stack.push(Value::Class);
        Ok(())
    }

    fn entry(&mut self, key: Value<'a>, value: Value<'a>) -> Result<()> {
        match self.stack.last() {
            Some(Value::Dict(at)) => {
                if let Some(entries) = self.dicts.get_mut(*at) {
                    entries.push((key, value));
                }
                Ok(())
            }
            _ => Err(damaged("sets an item of something else than a dict")),
        }
    }

    fn entries(&mut self) -> Result<()> {
        let mark = self
            .stack
            .iter()
            .rposition(|value| matches!(value, Value::Mark))
            .ok_or_else(|| damaged("sets items that were never given"))?;
        let items = self.stack.split_off(mark);
        let (pairs, rest) = items.get(1..).unwrap_or_default().as_chunks::<2>();
        if !rest.is_empty() {
            return Err(damaged("sets a key without a value"));
        }
        pairs.iter().try_for_each(|[key, value]| self.entry(*key, *value))
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| damaged("ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        <[u8; N]>::try_from(taken).map_err(|_| damaged("ends too early"))
    }

    fn text(&mut self, length: u64) -> Result<&'a str> {
        let length = usize::try_from(length).map_err(|_| damaged("ends too early"))?;
        std::str::from_utf8(self.take(length)?).map_err(|_| damaged("holds text that is not UTF-8"))
    }

    fn line(&mut self) -> Result<&'a str> {
        let end = self.0.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("ends too early"))?;
        let line = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| damaged("holds text that is not UTF-8"))
    }
}

/// A little-endian two's complement integer of at most 8 bytes.
fn long(bytes: &[u8]) -> Result<i64> {
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [fill; 8];
    wide.get_mut(..bytes.len())
        .ok_or_else(|| damaged("holds an integer over 64 bits"))?
        .copy_from_slice(bytes);
    Ok(i64::from_le_bytes(wide))
}

fn natural(n: i64) -> Result<u64> {
    u64::try_from(n).map_err(|_| damaged("holds a negative count or label"))
}

fn damaged(what: &str) -> Error {
    Error::new(Kind::Damaged, format!("index_metadata.pickle {what}"))
        .hint("restore the folder from a copy, or let Chroma write it again by opening the collection")
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
