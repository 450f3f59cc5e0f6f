//! Finding a collection by what a person calls it.

use super::{Collection, StoreDescription};
use crate::error::{Error, Kind, Result};

/// Finds one collection by name, and by namespace where the name alone is not unique.
///
/// # Errors
/// [`Kind::NotFound`] with near names, [`Kind::Usage`] if several match.
pub fn find_collection<'a>(
    description: &'a StoreDescription,
    name: &str,
    namespace: Option<&str>,
) -> Result<&'a Collection> {
    let matches: Vec<_> = description
        .collections
        .iter()
        .filter(|c| c.name == name || c.id == name)
        .filter(|c| namespace.is_none_or(|n| c.namespace == n || c.namespace.ends_with(&format!("/{n}"))))
        .collect();
    match matches.as_slice() {
        [one] => Ok(one),
        [] => {
            let mut names: Vec<&str> = description.collections.iter().map(|c| c.name.as_str()).collect();
            names.sort_by_key(|n| edit_distance(n, name));
            names.dedup();
            names.truncate(5);
            let error = Error::new(
                Kind::NotFound,
                format!("no collection `{name}` among the {} of this store", description.collections.len()),
            );
            Err(match names.is_empty() {
                true => error.hint(description.overlooked().unwrap_or_else(|| "the store is empty".into())),
                false => error.hint(format!("nearest names: {}", names.join(", "))),
            })
        }
        several => {
            let places: Vec<_> = several.iter().map(|c| c.namespace.as_str()).collect();
            Err(Error::new(Kind::Usage, format!("{} collections are named `{name}`", several.len()))
                .hint(format!("choose one with --namespace: {}", places.join(", "))))
        }
    }
}

/// Levenshtein distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_by_hand() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("docs", "docs"), 0);
    }
}
