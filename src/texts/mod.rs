//! Texts to train on: read from a file, or the sample that ships with embedport; their words; and judgements of which text
//! answers which query.

mod bundled;
mod file;
mod judgements;
mod words;

pub use bundled::bundled;
pub use file::{MOST_BYTES, MOST_LINE_BYTES, read};
pub use judgements::Judgements;
pub use words::{Vocabulary, words};

/// Distinct, non-empty texts with their identifiers, in the order of their source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextSet {
    /// Identifier of each text; unique where its source made it so.
    pub ids: Vec<String>,
    /// The texts.
    pub texts: Vec<String>,
    /// Where they came from, in words.
    pub origin: String,
    /// Whether these are the passages that ship with embedport.
    pub bundled: bool,
    /// Lines or records without a text, which were left out.
    pub empty: usize,
    /// Repeated texts, which were left out.
    pub duplicates: usize,
}

impl TextSet {
    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

/// Collects texts, leaves out empty and repeated ones and counts them.
struct Collector {
    seen: std::collections::HashSet<[u8; 32]>,
    set: TextSet,
}

impl Collector {
    fn new(origin: String) -> Self {
        Collector { seen: Default::default(), set: TextSet { origin, ..TextSet::default() } }
    }

    fn add(&mut self, id: String, text: String) {
        use sha2::Digest;
        if text.trim().is_empty() {
            self.set.empty += 1;
        } else if self.seen.insert(sha2::Sha256::digest(text.as_bytes()).into()) {
            self.set.ids.push(id);
            self.set.texts.push(text);
        } else {
            self.set.duplicates += 1;
        }
    }

    fn finish(self) -> TextSet {
        self.set
    }
}
