//! Which record each element of an index belongs to: compact, since there may be millions.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

/// Record ids by element and elements by record id: about 24 bytes a record beside the ids themselves.
#[derive(Debug, Default)]
pub(super) struct Ids {
    text: String,
    /// End of each element's id in `text`; an element without a record has an empty range.
    ends: Vec<u64>,
    /// Hash and element, sorted.
    by_hash: Vec<(u64, u32)>,
}

impl Ids {
    /// `named`: record ids with their elements, each element once, sorted by element; `count` elements in all.
    pub fn new(named: &[(u32, &str)], count: usize) -> Ids {
        let mut ids = Ids {
            text: String::with_capacity(named.iter().map(|(_, id)| id.len()).sum()),
            ends: Vec::with_capacity(count),
            by_hash: named.par_iter().map(|(element, id)| (hash(id), *element)).collect(),
        };
        for (element, id) in named {
            ids.ends.resize(*element as usize, ids.text.len() as u64);
            ids.text.push_str(id);
            ids.ends.push(ids.text.len() as u64);
        }
        ids.ends.resize(count, ids.text.len() as u64);
        ids.by_hash.par_sort_unstable();
        ids
    }

    /// Elements that a record owns.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// The id of the record that owns `element`. An id may be the empty text, so that ownership is asked by
    /// [`Ids::element`].
    fn text(&self, element: u32) -> Option<&str> {
        let end = *self.ends.get(element as usize)?;
        let start = (element as usize).checked_sub(1).and_then(|before| self.ends.get(before)).unwrap_or(&0);
        self.text.get(usize::try_from(*start).ok()?..usize::try_from(end).ok()?)
    }

    /// The id of the record that owns `element`; `None` if no record does.
    pub fn id(&self, element: u32) -> Option<&str> {
        let text = self.text(element)?;
        if text.is_empty() {
            return (self.element("") == Some(element)).then_some("");
        }
        Some(text)
    }

    /// The element that the record `id` owns.
    pub fn element(&self, id: &str) -> Option<u32> {
        let hash = hash(id);
        let from = first_from(&self.by_hash, hash);
        let same = self.by_hash.get(from..).unwrap_or_default().iter().take_while(|entry| entry.0 == hash);
        same.map(|entry| entry.1).find(|element| self.text(*element) == Some(id))
    }

    /// Elements and their records, in the order of the elements.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..self.ends.len()).filter_map(|element| {
            let element = u32::try_from(element).ok()?;
            Some((element, self.id(element)?))
        })
    }
}

/// Where in `sorted` hashes the first lies that is `hash` or more. Hashes are spread evenly: it is looked for from where it
/// should be.
fn first_from(sorted: &[(u64, u32)], hash: u64) -> usize {
    let below = |at: usize| sorted.get(at).is_some_and(|entry| entry.0 < hash);
    let guess = ((u128::from(hash) * sorted.len() as u128) >> 64) as usize;
    let (mut low, mut high) = (guess, guess);
    let mut step = 1;
    if below(guess) {
        // All up to `low` are below.
        while below(high) {
            low = high + 1;
            high = (high + step).min(sorted.len());
            step *= 2;
        }
    } else {
        // None from `high` on is below.
        while low > 0 && !below(low) {
            high = low;
            low = low.saturating_sub(step);
            step *= 2;
        }
    }
    let between = sorted.get(low..high).unwrap_or_default();
    low + between.partition_point(|entry| entry.0 < hash)
}

/// Record ids one after the other.
#[derive(Debug, Default)]
pub(super) struct Listed {
    text: String,
    ends: Vec<usize>,
}

impl Listed {
    pub fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn par_iter(&self) -> impl IndexedParallelIterator<Item = &str> {
        (0..self.ends.len()).into_par_iter().map(|at| self.id(at))
    }

    pub fn id(&self, at: usize) -> &str {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).unwrap_or(&0);
        let range = self.ends.get(at).map(|end| *start..*end);
        range.and_then(|range| self.text.get(range)).unwrap_or_default()
    }
}

/// The same for the same id.
pub(super) fn hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_found_wherever_it_lies() {
        let even: Vec<(u64, u32)> = (0..200u64).map(|n| (xxh3_64(&n.to_le_bytes()), 0)).collect();
        let uneven = (0..200u64).map(|n| (n * n, 0)).collect();
        let same = vec![(u64::MAX, 0); 5];
        for mut hashes in [even, uneven, same, Vec::new()] {
            hashes.sort_unstable();
            let near = |hash: u64| [hash.wrapping_sub(1), hash, hash.wrapping_add(1)];
            let asked = hashes.iter().flat_map(|entry| near(entry.0)).chain([0, 1, u64::MAX / 2, u64::MAX]);
            for hash in asked {
                assert_eq!(
                    first_from(&hashes, hash),
                    hashes.partition_point(|entry| entry.0 < hash),
                    "{hash}"
                );
            }
        }
    }

    #[test]
    fn elements_without_a_record_and_an_empty_id() {
        let ids = Ids::new(&[(1, "a"), (3, ""), (4, "\u{1f600}")], 6);
        assert_eq!(
            (0..6).map(|e| ids.id(e)).collect::<Vec<_>>(),
            [None, Some("a"), None, Some(""), Some("\u{1f600}"), None]
        );
        assert_eq!([ids.element("a"), ids.element(""), ids.element("b")], [Some(1), Some(3), None]);
        assert_eq!(ids.iter().collect::<Vec<_>>(), [(1, "a"), (3, ""), (4, "\u{1f600}")]);
        assert_eq!(ids.len(), 3);
    }
}
