//! The part of a projection file that belongs to texts: the table of words and the map that takes them.

use std::collections::BTreeMap;

use ndarray::{ArrayD, Ix1, Ix2};
use safetensors::tensor::Dtype;

use super::affine::take;
use super::assisted::Assisted;
use super::file::{Stored, damaged, halves, single};
use super::header::Header;
use super::kind::Tensors;
use super::nested;
use super::words::Words;
use crate::error::Result;

/// Key of the words, a JSON list, in the metadata.
pub(super) const KEY: &str = "embedport.words";
/// Word vectors, in half precision.
pub(super) const WORDS: &str = "texts.words";
const LENGTH: &str = "texts.length";
/// Before the names of the tensors of the map.
const MAP: &str = "texts.map.";

/// Adds the tensors of `assisted` to those that are stored.
pub(super) fn store(assisted: &Assisted, stored: &mut Vec<Stored>) {
    let vectors = assisted.words().vectors();
    // Exact: the table holds what half precision holds.
    stored.push((WORDS.into(), Dtype::F16, vectors.shape().to_vec(), halves(vectors)));
    stored.push((LENGTH.into(), Dtype::F32, vec![1], assisted.length().to_le_bytes().to_vec()));
    for (name, tensor) in nested::stored(assisted.kind()) {
        stored.push((format!("{MAP}{name}"), Dtype::F32, tensor.shape().to_vec(), single(tensor.iter())));
    }
}

/// Whether a file with this header may have a tensor called `name`.
pub(super) fn knows(header: &Header, name: &str) -> bool {
    let Some(kind) = &header.kind_with_texts else { return false };
    let of_map = |name| nested::loader(kind).is_some_and(|loader| nested::knows(loader, name));
    [WORDS, LENGTH].contains(&name) || name.strip_prefix(MAP).is_some_and(of_map)
}

/// Takes what belongs to texts out of `tensors`; none if the header knows nothing of it.
///
/// # Errors
/// [`Damaged`](crate::error::Kind::Damaged) on anything that is missing or contradicts itself.
pub(super) fn read(
    header: &Header,
    words: Option<&str>,
    tensors: &mut BTreeMap<String, ArrayD<f32>>,
) -> Result<Option<Assisted>> {
    let Some(kind) = &header.kind_with_texts else { return Ok(None) };
    let Some(loader) = nested::loader(kind) else {
        return Err(damaged(format!("unknown kind of projection `{}`", kind.escape_debug())));
    };
    let words: Vec<String> = words
        .and_then(|json| serde_json::from_str(json).ok())
        .ok_or_else(|| damaged("the list of words is missing or cannot be read"))?;
    let vectors = take::<Ix2>(tensors, WORDS)?;
    let length = take::<Ix1>(tensors, LENGTH)?.first().copied().unwrap_or(f32::NAN);
    let mut inner = Tensors::new();
    let of_map: Vec<String> = tensors.keys().filter(|name| name.starts_with(MAP)).cloned().collect();
    for full in of_map {
        if let (Some(name), Some(tensor)) = (full.strip_prefix(MAP), tensors.remove(&full)) {
            inner.insert(name.to_owned(), tensor);
        }
    }
    let map = (loader.load)(inner)?;
    if map.dimensions().1 != header.target.dimension {
        return Err(damaged(format!(
            "the map with texts gives {} components, the target space has {}",
            map.dimensions().1,
            header.target.dimension
        )));
    }
    let assisted = Words::new(words, vectors)
        .and_then(|words| Assisted::new(words, length, map, header.source.dimension))
        .map_err(|e| damaged(e.message()))?;
    Ok(Some(assisted))
}
