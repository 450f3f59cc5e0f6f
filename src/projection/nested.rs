//! Maps that are made of maps: how their tensors are named in files, and how they are put together again.
//!
//! The tensors of part N are called `N.NAME`. What is made of parts can be a part of something deeper only: see
//! [`Loader::depth`].

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use ndarray::{ArrayD, ArrayViewD};

use super::kind::{KINDS, Kind, Loader, Tensors};
use crate::error::{self, Error, Result};

/// How the kind called `name` is loaded.
pub(super) fn loader(name: &str) -> Option<&'static Loader> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// How deep maps lie in `kind`; 0: it is made of none.
pub(super) fn depth(kind: &dyn Kind) -> usize {
    loader(kind.name()).map_or(0, |loader| loader.depth)
}

/// Refuses what is made of more or fewer maps than wanted; `what` it is, such as "a chain".
pub(super) fn expect_count(what: &str, count: usize, wanted: RangeInclusive<usize>) -> Result<()> {
    if wanted.contains(&count) {
        return Ok(());
    }
    let found = format!("{what} of {count} maps, {} to {} are taken", wanted.start(), wanted.end());
    Err(Error::new(error::Kind::Refused, found))
}

/// Every tensor of a map by its name in files.
pub(super) fn stored(kind: &dyn Kind) -> Vec<(String, ArrayViewD<'_, f32>)> {
    let mut all: Vec<_> =
        kind.tensors().into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    for (number, part) in kind.parts().into_iter().enumerate() {
        all.extend(stored(part).into_iter().map(|(name, tensor)| (format!("{number}.{name}"), tensor)));
    }
    all
}

/// Whether a map that `loader` loads may have a tensor called `name`.
pub(super) fn knows(loader: &Loader, name: &str) -> bool {
    if loader.tensors.contains(&name) {
        return true;
    }
    // Each part has one name.
    let is_number = |text: &str| text.parse::<u8>().is_ok_and(|number| number.to_string() == text);
    let Some((_, name)) = name.split_once('.').filter(|(number, _)| is_number(number)) else { return false };
    KINDS.iter().any(|part| part.depth < loader.depth && knows(part, name))
}

/// The first `count` parts of a map of this depth; nothing else may be left.
pub(super) fn parts(mut tensors: Tensors, count: usize, depth: usize) -> Result<Vec<Box<dyn Kind>>> {
    let mut parts = Vec::new();
    for number in 0..count {
        let mut own = Tensors::new();
        while let Some((name, tensor)) = take_of(&mut tensors, number) {
            own.insert(name, tensor);
        }
        parts.push(part(own, depth)?);
    }
    match tensors.keys().next() {
        Some(name) => {
            let found = format!("tensor `{}` belongs to no part of the map", name.escape_debug());
            Err(Error::new(error::Kind::Damaged, found))
        }
        None => Ok(parts),
    }
}

/// One of the tensors of a part, without its number.
fn take_of(tensors: &mut Tensors, number: usize) -> Option<(String, ArrayD<f32>)> {
    let prefix = format!("{number}.");
    let name = tensors.range(prefix.clone()..).next().map(|(name, _)| name)?;
    let name = name.starts_with(&prefix).then(|| name.clone())?;
    let tensor = tensors.remove(&name)?;
    Some((name.strip_prefix(&prefix)?.to_owned(), tensor))
}

/// The map of the one kind, below this depth, that has just these tensors of its own.
fn part(tensors: Tensors, depth: usize) -> Result<Box<dyn Kind>> {
    let found: BTreeSet<&str> =
        tensors.keys().map(String::as_str).filter(|name| !name.contains('.')).collect();
    let same = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<&str>>() == found;
    let loader = KINDS.iter().find(|kind| kind.depth < depth && same(kind.tensors));
    let loader = loader.filter(|loader| tensors.keys().all(|name| knows(loader, name)));
    let loader = loader.ok_or_else(|| {
        Error::new(
            error::Kind::Damaged,
            format!("a part of {} tensors is no known kind of map", tensors.len()),
        )
    })?;
    (loader.load)(tensors)
}

/// The tensors of a map, as a file would give them back.
pub(super) fn tensors(kind: &dyn Kind) -> Tensors {
    stored(kind).into_iter().map(|(name, tensor)| (name, tensor.to_owned())).collect()
}

/// The same map again, by its tensors.
pub(super) fn copied(kind: &dyn Kind) -> Result<Box<dyn Kind>> {
    let loader = loader(kind.name())
        .ok_or_else(|| Error::new(error::Kind::Internal, "a kind of projection without a loader"))?;
    (loader.load)(tensors(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_have_the_same_tensors() {
        let sets: BTreeSet<BTreeSet<&str>> =
            KINDS.iter().map(|kind| kind.tensors.iter().copied().collect()).collect();
        assert_eq!(sets.len(), KINDS.len(), "parts are told apart by them");
        assert!(KINDS.iter().all(|kind| kind.tensors.iter().all(|name| !name.contains('.'))));
    }

    #[test]
    fn parts_lie_as_deep_as_their_kind_says() {
        let knows = |kind, name| knows(loader(kind).unwrap(), name);
        for (kind, name) in
            [("chain", "0.weight"), ("chain", "1.shares"), ("chain", "1.0.weight"), ("blend", "7.near")]
        {
            assert!(knows(kind, name), "{kind} {name}");
        }
        for (kind, name) in [
            ("affine", "0.weight"),
            ("blend", "0.shares"),
            ("blend", "0.0.weight"),
            ("chain", "0.lengths"),
            ("chain", "0.0.0.weight"),
            ("chain", "0.other"),
            ("chain", "x.weight"),
            ("chain", "+1.weight"),
            ("chain", "01.weight"),
        ] {
            assert!(!knows(kind, name), "{kind} {name}");
        }
    }
}
