//! Pairs: the same texts in two spaces, from which a projection is fitted and by which it is judged.

use std::collections::HashSet;
use std::sync::Arc;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use sha2::{Digest, Sha256};

use super::assisted;
use super::words::Words;
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::{matrix, random};

/// Row i of `source` and row i of `target` are the same text. No id and no source row occurs twice.
#[derive(Clone, Debug)]
pub struct Pairs {
    ids: Vec<String>,
    source: Array2<f32>,
    target: Array2<f32>,
    removed: usize,
    texts: Option<TextRows>,
}

/// What the words of the pairs' texts say.
#[derive(Clone, Debug)]
pub(super) struct TextRows {
    /// The table.
    pub words: Arc<Words>,
    /// One row a pair, of length 1 or 0.
    pub rows: Array2<f32>,
}

/// Id of a pair whose text is known: the same text has the same id in training and in any store, and the id does
/// not tell the text. Eight bytes of its SHA-256.
pub fn text_key(text: &str) -> String {
    format!("text:{}", files::hex(&text_hash(text)))
}

/// The eight bytes of a [`text_key`].
pub fn text_hash(text: &str) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    first
}

/// The bytes that [`text_hash`] gives, of a [`text_key`]; `None` if it is none.
pub fn text_hash_of_key(key: &str) -> Option<[u8; 8]> {
    let digits = key.strip_prefix("text:").filter(|digits| digits.len() == 16 && digits.is_ascii())?;
    Some(u64::from_str_radix(digits, 16).ok()?.to_be_bytes())
}

impl Pairs {
    /// Pairs of `source` (n x source dimension) and `target` (n x target dimension), one id per row.
    ///
    /// A row whose id or whose source vector (bit for bit: the same text) occurred before is removed,
    /// so that no text can be in the training rows and in the held-out rows.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if the numbers of rows differ, [`Kind::Damaged`] on a value that is not finite,
    /// [`Kind::Refused`] without rows or without components.
    pub fn new(ids: Vec<String>, source: Array2<f32>, target: Array2<f32>) -> Result<Self> {
        let n = ids.len();
        if source.nrows() != n || target.nrows() != n {
            return Err(Error::new(
                Kind::Mismatch,
                format!(
                    "{n} ids, {} source vectors and {} target vectors do not pair up",
                    source.nrows(),
                    target.nrows()
                ),
            ));
        }
        if n == 0 || source.ncols() == 0 || target.ncols() == 0 {
            return Err(Error::new(
                Kind::Refused,
                format!(
                    "no pairs to learn from: {n} rows of {} and {} components",
                    source.ncols(),
                    target.ncols()
                ),
            ));
        }
        for (side, rows) in [("source", &source), ("target", &target)] {
            if let Some((count, first)) = matrix::not_finite(rows.view()) {
                return Err(Error::new(
                    Kind::Damaged,
                    format!("{count} of {n} {side} vectors hold values that are not finite, the first is row {first}"),
                )
                .hint("leave these rows out and train again"));
            }
        }
        let (mut seen_ids, mut seen_rows) = (HashSet::new(), HashSet::new());
        let keep: Vec<usize> = (0..n)
            .filter(|&i| {
                let new_row = seen_rows.insert(digest(source.row(i)));
                let new_id = ids.get(i).is_some_and(|id| seen_ids.insert(id.as_str()));
                new_row && new_id
            })
            .collect();
        let removed = n - keep.len();
        if removed == 0 {
            return Ok(Pairs { ids, source, target, removed, texts: None });
        }
        let mut kept = Pairs { ids, source, target, removed: 0, texts: None }.select(&keep);
        kept.removed = removed;
        Ok(kept)
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Never true: a constructor refuses it.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Id of each row.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Source vectors, n x source dimension.
    pub fn source(&self) -> &Array2<f32> {
        &self.source
    }

    /// Target vectors, n x target dimension.
    pub fn target(&self) -> &Array2<f32> {
        &self.target
    }

    /// With what `words` say of the text of each pair, in the order of [`Pairs::ids`]: a projection is then fitted to both.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if there is not one text a pair.
    pub fn with_texts<S: AsRef<str> + Sync>(self, words: Words, texts: &[S]) -> Result<Pairs> {
        if texts.len() != self.len() {
            let found = format!("{} pairs and {} texts do not fit", self.len(), texts.len());
            return Err(Error::new(Kind::Mismatch, found));
        }
        let rows = words.rows_of(texts);
        Ok(Pairs { texts: Some(TextRows { words: Arc::new(words), rows }), ..self })
    }

    /// The table of words, if the pairs have texts.
    pub fn words(&self) -> Option<&Words> {
        self.texts.as_ref().map(|texts| texts.words.as_ref())
    }

    /// What the words of the texts say, pairs x components of a word, if the pairs have texts.
    pub fn word_rows(&self) -> Option<ArrayView2<'_, f32>> {
        self.texts.as_ref().map(|texts| texts.rows.view())
    }

    /// Words and rows, if the pairs have texts.
    pub(super) fn texts(&self) -> Option<&TextRows> {
        self.texts.as_ref()
    }

    /// How long rows of words are to be to lie as far from each other as the source vectors. None without words that tell
    /// texts apart.
    pub(super) fn text_length(&self) -> Option<f32> {
        let spread = |rows: &Array2<f32>| {
            let mean = matrix::column_means(rows.view());
            matrix::centred(rows.view(), mean.view()).iter().map(|v| v * v).sum::<f64>()
        };
        let length = (spread(&self.source) / spread(&self.texts.as_ref()?.rows)).sqrt() as f32;
        (length.is_finite() && length > 0.0).then_some(length)
    }

    /// The pairs with source rows that are followed by those of the words, of this length; none without words.
    pub(super) fn widened(&self, length: f32) -> Result<Option<Pairs>> {
        let Some(texts) = &self.texts else { return Ok(None) };
        let source = assisted::wide(self.source.view(), texts.rows.view(), length)?;
        let (ids, target) = (self.ids.clone(), self.target.clone());
        Ok(Some(Pairs { ids, source, target, removed: self.removed, texts: None }))
    }

    /// Rows that the constructor removed because their id or source vector occurred before.
    pub fn removed(&self) -> usize {
        self.removed
    }

    /// Components of a source and of a target vector.
    pub fn dimensions(&self) -> (usize, usize) {
        (self.source.ncols(), self.target.ncols())
    }

    /// How many of `n` pairs to hold out: a fifth, at least 20 and at most 500, never more than half.
    pub fn default_held_out(n: usize) -> usize {
        (n / 5).clamp(20, 500).min(n / 2)
    }

    /// Splits into training pairs and `held_out` held-out pairs, disjoint, drawn by `seed`.
    ///
    /// # Errors
    /// [`Kind::Refused`] if fewer than 2 rows would be left on either side.
    pub fn split(&self, held_out: usize, seed: u64) -> Result<(Pairs, Pairs)> {
        let n = self.len();
        if held_out < 2 || held_out.saturating_add(2) > n {
            return Err(Error::new(
                Kind::Refused,
                format!("{n} pairs cannot be split into training pairs and {held_out} held-out pairs"),
            )
            .hint(
                "give more pairs: 1,000 or more are wanted, fewer than 100 rarely make a usable projection",
            ));
        }
        let order = random::shuffled(n, seed);
        let (held, train) = order.split_at(held_out);
        let (mut held, mut train) = (held.to_vec(), train.to_vec());
        held.sort_unstable();
        train.sort_unstable();
        Ok((self.select(&train), self.select(&held)))
    }

    /// SHA-256 over the sorted ids, each with its length before it: the same rows give the same digest.
    pub fn ids_sha256(&self) -> String {
        let mut ids: Vec<&str> = self.ids.iter().map(String::as_str).collect();
        ids.sort_unstable();
        let mut hash = Sha256::new();
        for id in ids {
            hash.update((id.len() as u64).to_le_bytes());
            hash.update(id);
        }
        files::hex(&hash.finalize())
    }

    pub(super) fn select(&self, rows: &[usize]) -> Pairs {
        Pairs {
            ids: rows.iter().filter_map(|&i| self.ids.get(i).cloned()).collect(),
            source: self.source.select(Axis(0), rows),
            target: self.target.select(Axis(0), rows),
            removed: 0,
            texts: self
                .texts
                .as_ref()
                .map(|texts| TextRows { words: texts.words.clone(), rows: texts.rows.select(Axis(0), rows) }),
        }
    }
}

fn digest(row: ArrayView1<'_, f32>) -> [u8; 32] {
    let mut hash = Sha256::new();
    row.iter().for_each(|v| hash.update(v.to_le_bytes()));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("id{i}")).collect()
    }

    fn numbered(n: usize) -> Pairs {
        let rows = Array2::from_shape_fn((n, 2), |(i, j)| (i * 2 + j) as f32);
        Pairs::new(ids(n), rows.clone(), rows).unwrap()
    }

    #[test]
    fn repeated_texts_and_ids_are_removed_first() {
        let source = array![[1.0], [2.0], [1.0], [3.0]];
        let names = vec!["a".into(), "b".into(), "c".into(), "a".into()];
        let pairs = Pairs::new(names, source.clone(), source).unwrap();
        assert_eq!(pairs.ids(), ["a", "b"]);
        assert_eq!(pairs.source(), array![[1.0], [2.0]]);
        assert_eq!(pairs.removed(), 2);
    }

    #[test]
    fn a_split_is_disjoint_complete_and_seeded() {
        let pairs = numbered(50);
        let (train, held) = pairs.split(10, 3).unwrap();
        assert_eq!((train.len(), held.len()), (40, 10));
        let all: HashSet<&String> = train.ids().iter().chain(held.ids()).collect();
        assert_eq!(all.len(), 50);
        assert_eq!(held.ids(), pairs.split(10, 3).unwrap().1.ids());
        assert_ne!(held.ids(), pairs.split(10, 4).unwrap().1.ids());
        for (id, row) in held.ids().iter().zip(held.source().rows()) {
            assert_eq!(*id, format!("id{}", row[0] / 2.0), "ids stay with their rows");
        }
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        assert_eq!(numbered(10).split(9, 1).unwrap_err().kind(), Kind::Refused);
        assert_eq!(numbered(10).split(usize::MAX, 1).unwrap_err().kind(), Kind::Refused);
        assert_eq!(Pairs::default_held_out(1000), 200);
        assert_eq!(Pairs::default_held_out(10_000), 500);
        assert_eq!(Pairs::default_held_out(60), 20);
        assert_eq!(Pairs::default_held_out(30), 15);
    }

    #[test]
    fn the_digest_of_ids_does_not_depend_on_their_order() {
        let rows = array![[1.0], [2.0]];
        let of = |names: [&str; 2]| {
            Pairs::new(names.map(String::from).to_vec(), rows.clone(), rows.clone()).unwrap().ids_sha256()
        };
        assert_eq!(of(["ab", "c"]), of(["c", "ab"]));
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
    }

    #[test]
    fn values_that_are_not_finite_are_counted_and_refused() {
        let bad = array![[1.0], [f32::NAN], [f32::INFINITY]];
        let error = Pairs::new(ids(3), array![[1.0], [2.0], [3.0]], bad).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged);
        assert_eq!(
            error.message(),
            "2 of 3 target vectors hold values that are not finite, the first is row 1"
        );
    }
}
