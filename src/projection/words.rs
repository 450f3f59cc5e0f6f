//! What the words of a text say of its place in the target space: a table of word vectors, and their weighted means.
//!
//! `w(t) = Σ ln(1 + Σ 1 / (1 + p / 20)) r_v e_v`, scaled to length 1: over the words v of t, the places p at which v stands,
//! counted from 0 among the known words, and the word's rarity r_v. e_v is what the target model itself makes of the word
//! alone. The first words of a text tell most of its vector; the constant 20 was picked on two pairs of spaces and is flat
//! around it (10 to 40).

use std::collections::HashMap;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis, s};

use super::file::in_halves;
use crate::error::{Error, Kind, Result};
use crate::matrix;
use crate::texts::{self, Vocabulary};

/// Words of a table, at most: a word is known by two bytes.
pub const MOST_WORDS: usize = 1 << 16;
/// Known words of a text that count, from its beginning.
const MOST_PLACES: usize = 128;
/// The place at which a word counts half.
const HALF_AT: f32 = 20.0;
/// Components of a word vector, at most.
const MOST_COMPONENTS: usize = 320;

/// Words and their vectors, times their rarity.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    words: Vec<String>,
    /// m x components, in half precision as in files.
    vectors: Array2<f32>,
    places: HashMap<String, u16>,
}

/// The known words of a text in their order: what is kept of a text until its record comes.
pub type Codes = Vec<u16>;

impl Words {
    /// A table. `vectors`: one row a word.
    ///
    /// # Errors
    /// [`Kind::Mismatch`] if the numbers differ, [`Kind::Damaged`] on repeated words, too many, or none, or on values that
    /// are not finite in half precision.
    pub fn new(words: Vec<String>, vectors: Array2<f32>) -> Result<Words> {
        if words.len() != vectors.nrows() || vectors.ncols() == 0 {
            let found = format!("{} words and word vectors of {:?} do not fit", words.len(), vectors.dim());
            return Err(Error::new(Kind::Mismatch, found));
        }
        let vectors = in_halves(vectors.view())?;
        let places: HashMap<String, u16> =
            (0..=u16::MAX).zip(&words).map(|(at, word)| (word.clone(), at)).collect();
        if places.len() != words.len() || words.is_empty() || matrix::not_finite(vectors.view()).is_some() {
            let found = format!(
                "{} words, {} of them known, or word vectors that are not finite; 1 to {MOST_WORDS} distinct words are wanted",
                words.len(),
                places.len()
            );
            return Err(Error::new(Kind::Damaged, found));
        }
        Ok(Words { words, vectors: vectors.as_standard_layout().into_owned(), places })
    }

    /// The table for a `vocabulary` whose words have these vectors in the target space (m x target dimension), reduced to
    /// the directions in which `texts` differ.
    ///
    /// # Errors
    /// As [`Words::new`].
    pub fn of<S: AsRef<str> + Sync>(
        vocabulary: &Vocabulary,
        vectors: ArrayView2<'_, f32>,
        texts: &[S],
    ) -> Result<Words> {
        let mean = matrix::column_means(vectors).mapv(|v| v as f32);
        let mut weighted = &vectors - &mean;
        for (mut row, rarity) in weighted.outer_iter_mut().zip(&vocabulary.rarity) {
            row *= *rarity;
        }
        let whole = Words::new(vocabulary.words.clone(), weighted)?;
        let rows = whole.rows_of(texts);
        let mean = matrix::column_means(rows.view());
        let (_, directions) = matrix::principal(matrix::centred(rows.view(), mean.view()).view())?;
        let kept = directions.ncols().min(MOST_COMPONENTS);
        let directions = directions.slice(s![.., ..kept]).mapv(|v| v as f32);
        let reduced = matrix::times_transposed(whole.vectors.view(), directions.t())?;
        Words::new(whole.words, reduced)
    }

    /// The words, in the order of [`Words::vectors`].
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Word vectors times rarity, words x components.
    pub fn vectors(&self) -> ArrayView2<'_, f32> {
        self.vectors.view()
    }

    /// Components of a row.
    pub fn dimension(&self) -> usize {
        self.vectors.ncols()
    }

    /// The known words of `text`.
    pub fn codes(&self, text: &str) -> Codes {
        texts::words(text).filter_map(|word| self.places.get(&word).copied()).take(MOST_PLACES).collect()
    }

    /// Puts what known words say into `out`: of length 1, or zeros if they say nothing.
    fn row(&self, codes: &[u16], out: &mut [f32]) {
        out.fill(0.0);
        let weight = |place: usize| 1.0 / (1.0 + place as f32 / HALF_AT);
        let mut counted: Vec<(u16, f32)> =
            codes.iter().enumerate().map(|(place, code)| (*code, weight(place))).collect();
        counted.sort_unstable_by_key(|(code, _)| *code);
        for same in counted.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((code, _)) = same.first() else { continue };
            let factor = same.iter().map(|(_, weight)| weight).sum::<f32>().ln_1p();
            let from = usize::from(*code) * self.dimension();
            let vector = self.vectors.as_slice().and_then(|all| all.get(from..from + self.dimension()));
            for (out, value) in out.iter_mut().zip(vector.unwrap_or_default()) {
                *out += factor * value;
            }
        }
        let length = out.iter().map(|v| v * v).sum::<f32>().sqrt();
        if length > 0.0 {
            out.iter_mut().for_each(|v| *v /= length);
        }
    }

    /// What known words say, one row for those of each text.
    pub fn rows<C: AsRef<[u16]> + Sync>(&self, codes: &[C]) -> Array2<f32> {
        let mut rows = Array2::zeros((codes.len(), self.dimension()));
        rows.axis_iter_mut(Axis(0)).into_par_iter().zip(codes).for_each(|(mut row, codes)| {
            if let Some(row) = row.as_slice_mut() {
                self.row(codes.as_ref(), row);
            }
        });
        rows
    }

    /// What the words of each text say, texts x components.
    pub fn rows_of<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Array2<f32> {
        let codes: Vec<Codes> = texts.par_iter().map(|text| self.codes(text.as_ref())).collect();
        self.rows(&codes)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn table() -> Words {
        Words::new(
            vec!["git".into(), "commit".into(), "file".into()],
            array![[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]],
        )
        .unwrap()
    }

    #[test]
    fn a_row_is_the_weighted_mean_of_its_words() {
        let row = table().rows_of(&["Commit unknown git, commit"]).row(0).to_owned();
        let weight = |places: &[f32]| (1.0 + places.iter().map(|p| 1.0 / (1.0 + p / 20.0)).sum::<f32>()).ln();
        let (git, commit) = (weight(&[1.0]), 2.0 * weight(&[0.0, 2.0]));
        let length = (git * git + commit * commit).sqrt();
        assert!((row[0] - git / length).abs() < 1e-6 && (row[1] - commit / length).abs() < 1e-6, "{row}");
    }

    #[test]
    fn a_text_without_known_words_says_nothing() {
        assert_eq!(table().rows_of(&["", "unknown"]), Array2::<f32>::zeros((2, 2)));
        assert_eq!(table().codes("file unknown GIT"), [2, 0]);
        assert_eq!(table().codes(&"git ".repeat(500)).len(), MOST_PLACES);
    }

    #[test]
    fn reducing_keeps_all_where_few_directions_differ() {
        let vocabulary =
            Vocabulary { words: ["a", "b", "c"].map(String::from).to_vec(), rarity: vec![1.0, 2.0, 0.5] };
        let vectors = array![[1.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.0, 5.0], [0.0, 0.0, 1.0, 5.0]];
        let texts = ["a b", "b c", "c", "a", "b a c"];
        let words = Words::of(&vocabulary, vectors.view(), &texts).unwrap();
        let whole = (&vectors - &vectors.mean_axis(Axis(0)).unwrap()) * array![[1.0], [2.0], [0.5]];
        let whole = Words::new(vocabulary.words, whole).unwrap().rows_of(&texts);
        let rows = words.rows_of(&texts);
        let difference = rows.dot(&rows.t()) - whole.dot(&whole.t());
        assert!(difference.iter().all(|d| d.abs() < 2e-3), "{difference}");
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let words = |names: &[&str]| names.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        assert!(Words::new(words(&["a"]), Array2::ones((2, 2))).unwrap_err().is_mismatch());
        assert!(Words::new(words(&["a", "a"]), Array2::ones((2, 2))).is_err());
        assert!(Words::new(words(&["a"]), array![[f32::NAN]]).is_err());
        assert!(Words::new(words(&["a"]), array![[1e9]]).is_err(), "half precision ends at 65,504");
        assert!(Words::new(Vec::new(), Array2::ones((0, 2))).is_err());
    }
}
