//! What the records' texts say, read before the vectors are: vectors come in the order of an index, texts in that of a table.

use std::collections::HashMap;

use rayon::prelude::*;

use super::sketch::hash_id;
use crate::error::Result;
use crate::projection::{Codes, Words};
use crate::store::Rewrite;

/// Texts that are looked at together, at most, and bytes of them from which it is enough.
const TEXTS: usize = 4096;
const BYTES: usize = 1 << 24;

/// The known words of each record's text, two bytes a word: a few dozen to 256 bytes a record.
#[derive(Default)]
pub(super) struct Remembered {
    codes: Vec<u16>,
    /// Where the codes of a record begin and how many there are, by the hash of its id.
    places: HashMap<u64, (usize, usize)>,
}

impl Remembered {
    /// Of all records that `rewrite` is about.
    ///
    /// # Errors
    /// Those of [`Rewrite::texts`].
    pub fn of(rewrite: &dyn Rewrite, words: &Words) -> Result<Remembered> {
        let (mut remembered, mut waiting) = (Remembered::default(), Vec::with_capacity(TEXTS));
        let mut bytes = 0;
        rewrite.texts(&mut |id, text| {
            waiting.push((hash_id(id), text.to_owned()));
            bytes += text.len();
            if waiting.len() == TEXTS || bytes >= BYTES {
                bytes = 0;
                remembered.take(&mut waiting, words);
            }
        })?;
        remembered.take(&mut waiting, words);
        Ok(remembered)
    }

    fn take(&mut self, waiting: &mut Vec<(u64, String)>, words: &Words) {
        let codes: Vec<Codes> = waiting.par_iter().map(|(_, text)| words.codes(text)).collect();
        for ((id, _), codes) in waiting.drain(..).zip(codes) {
            self.places.insert(id, (self.codes.len(), codes.len()));
            self.codes.extend(codes);
        }
    }

    /// The known words of a record's text; none if it has no text or none of its words is known.
    pub fn codes(&self, id: &str) -> &[u16] {
        let place = self.places.get(&hash_id(id));
        place.and_then(|(from, count)| self.codes.get(*from..from + count)).unwrap_or_default()
    }

    /// Records whose text has known words.
    pub fn known(&self) -> u64 {
        self.places.values().filter(|(_, count)| *count > 0).count() as u64
    }
}
