//! Texts as words, and the words that many texts use.

use std::collections::{HashMap, HashSet};

use unicode_segmentation::UnicodeSegmentation;

/// Longer words are names, keys and noise: no model knows them.
const LONGEST_WORD: usize = 40;
/// Texts in which a word stands, at least.
const FEWEST_TEXTS: u32 = 2;

/// The words of `text` in their order, in lower case: as Unicode Standard Annex 29 parts them (scripts without spaces by
/// character), and at every sign inside that is neither letter nor digit.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.unicode_words()
        .flat_map(|word| word.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty() && word.len() <= LONGEST_WORD)
        .map(str::to_lowercase)
}

/// The words that a collection uses, and how rare they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vocabulary {
    /// The words that stand in most texts first; of as many, in alphabetical order.
    pub words: Vec<String>,
    /// ln((1 + texts) / (1 + texts with the word)), one a word (Spärck Jones, 1972).
    pub rarity: Vec<f32>,
}

impl Vocabulary {
    /// Of the words that stand in two of `texts` or more, the `most` that stand in most of them.
    pub fn count<'a>(texts: impl IntoIterator<Item = &'a str>, most: usize) -> Vocabulary {
        let (mut counts, mut total) = (HashMap::<String, u32>::new(), 0u32);
        for text in texts {
            total = total.saturating_add(1);
            let distinct: HashSet<String> = words(text).collect();
            for word in distinct {
                *counts.entry(word).or_default() += 1;
            }
        }
        let mut counted: Vec<(String, u32)> =
            counts.into_iter().filter(|(_, n)| *n >= FEWEST_TEXTS).collect();
        counted.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
        counted.truncate(most);
        let rarity = |n: u32| ((1.0 + f64::from(total)) / (1.0 + f64::from(n))).ln() as f32;
        let (words, rarity) = counted.into_iter().map(|(word, n)| (word, rarity(n))).unzip();
        Vocabulary { words, rarity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn words_are_parted_at_signs_and_scripts_without_spaces_by_character() {
        assert_eq!(
            split("Don't run `git-commit --amend`, v1.2!"),
            ["don", "t", "run", "git", "commit", "amend", "v1", "2"]
        );
        assert_eq!(split("snake_case Straße"), ["snake", "case", "straße"]);
        assert_eq!(split("検索 する"), ["検", "索", "す", "る"]);
        assert_eq!(split(&format!("{} a", "x".repeat(41))), ["a"]);
        assert!(split(" --- ").is_empty());
    }

    #[test]
    fn the_vocabulary_counts_texts_and_not_occurrences() {
        let found = Vocabulary::count(["b a a", "a b", "A c c c", "d"], 10);
        assert_eq!(found.words, ["a", "b"]);
        assert_eq!(found.rarity, [(5.0f64 / 4.0).ln() as f32, (5.0f64 / 3.0).ln() as f32]);
        assert_eq!(Vocabulary::count(["b a a", "a b", "A c c c", "d"], 1).words, ["a"]);
        assert_eq!(Vocabulary::count([], 5), Vocabulary::default());
    }
}
