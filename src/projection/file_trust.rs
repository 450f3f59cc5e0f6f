//! The part of a projection file that says how far records can be trusted.

use std::collections::BTreeMap;

use ndarray::{ArrayD, Ix1, Ix2};
use safetensors::tensor::Dtype;

use super::affine::take;
use super::file::{Stored, damaged, halves, single};
use super::fit::crossed::MOST_ROWS;
use super::header::Header;
use super::trust::Trust;
use crate::error::Result;

/// True target vectors, in half precision.
pub(super) const REFERENCE: &str = "trust.reference";
const COSINES: &str = "trust.cosines";
const WEIGHTS: &str = "trust.weights";
const ALL: [&str; 3] = [REFERENCE, COSINES, WEIGHTS];

/// Adds the tensors of `trust` to those that are stored.
pub(super) fn store(trust: &Trust, stored: &mut Vec<Stored>) {
    // Exact: the rows are what half precision holds.
    stored.push((
        REFERENCE.into(),
        Dtype::F16,
        trust.reference.shape().to_vec(),
        halves(trust.reference.view()),
    ));
    stored.push((COSINES.into(), Dtype::F32, vec![trust.cosines.len()], single(trust.cosines.iter())));
    stored.push((WEIGHTS.into(), Dtype::F32, vec![trust.weights.len()], single(trust.weights.iter())));
}

/// Whether a file may have a tensor called `name`.
pub(super) fn knows(name: &str) -> bool {
    ALL.contains(&name)
}

/// Takes it out of `tensors`; none where there is nothing of it, as in files of earlier releases.
///
/// # Errors
/// [`Damaged`](crate::error::Kind::Damaged) on anything that is missing or contradicts itself.
pub(super) fn read(header: &Header, tensors: &mut BTreeMap<String, ArrayD<f32>>) -> Result<Option<Trust>> {
    if !ALL.iter().any(|name| tensors.contains_key(*name)) {
        return Ok(None);
    }
    let reference = take::<Ix2>(tensors, REFERENCE)?;
    let cosines = take::<Ix1>(tensors, COSINES)?;
    let weights = take::<Ix1>(tensors, WEIGHTS)?;
    let (rows, components) = reference.dim();
    let of_target = rows == cosines.len() && components == header.target.dimension;
    if rows == 0 || rows > MOST_ROWS || !of_target || cosines.iter().any(|c| c.abs() > 1.01) {
        return Err(damaged(format!(
            "{} cosines for {rows} reference rows of {components} components, at most {MOST_ROWS} of {} are wanted",
            cosines.len(),
            header.target.dimension
        )));
    }
    let &[first, a, b, c] = weights.to_vec().as_slice() else {
        return Err(damaged(format!("{} weights of features, 4 are wanted", weights.len())));
    };
    Ok(Some(Trust { reference, cosines, weights: [first, a, b, c] }))
}
