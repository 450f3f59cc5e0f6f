//! The varied passages that ship with embedport, for a training run without texts of one's own.

use std::path::Path;

use super::{TextSet, file};
use crate::error::Result;

const SAMPLE: &[u8] = include_bytes!("../../assets/texts/sample.jsonl");

/// The bundled passages; `assets/texts/README.md` names their sources and licences.
///
/// # Errors
/// Those of [`read`](super::read), which the tests rule out.
pub fn bundled() -> Result<TextSet> {
    let mut set = file::from_jsonl(SAMPLE, Path::new("assets/texts/sample.jsonl"), None)?;
    set.origin = format!("{} bundled passages", set.len());
    set.bundled = true;
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_passages_are_distinct_and_of_some_length() {
        let set = bundled().unwrap();
        assert_eq!((set.len(), set.empty, set.duplicates), (3000, 0, 0));
        assert!(set.texts.iter().all(|t| (40..=800).contains(&t.chars().count())));
        let ids: std::collections::HashSet<_> = set.ids.iter().collect();
        assert_eq!(ids.len(), set.len());
    }
}
