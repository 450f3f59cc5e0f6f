//! Projection files: safetensors whose metadata hold the header as JSON. Everything read is taken as hostile.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use half::f16;
use ndarray::{Array1, Array2, ArrayD, ArrayView2, Ix1, Ix2, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::header::{FORMAT, Header};
use super::{HeldOut, Projection, file_texts, file_trust, nested};
use crate::error::{self, Error, Result};
use crate::platform::{bytes, files};
use crate::space::Space;

/// Largest file that is read.
pub const MOST_BYTES: u64 = 1 << 30;
/// Largest safetensors header that is read.
const MOST_HEADER_BYTES: u64 = 1 << 23;
/// Key of the header in the metadata.
const KEY: &str = "embedport.projection";
/// Key of the ids of the held-out pairs, a JSON list, in the metadata.
const HELD_IDS: &str = "embedport.held_out_ids";
const HELD_SOURCE: &str = "held_out.source";
const HELD_TARGET: &str = "held_out.target";
const HELD_MEAN: &str = "held_out.training_mean";
const HELD_WORDS: &str = "held_out.words";

/// A tensor on its way into a file: name, type, shape, bytes.
pub(super) type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

impl Projection {
    /// Writes the projection to `path`, whole or not at all. Returns the SHA-256 of the file.
    ///
    /// # Errors
    /// [`CannotWrite`](error::Kind::CannotWrite), [`NotFound`](error::Kind::NotFound) or
    /// [`Io`](error::Kind::Io) by cause.
    pub fn save(&self, path: &Path) -> Result<String> {
        let bytes = self.to_bytes()?;
        files::write(path, &bytes)?;
        Ok(files::hex(&Sha256::digest(&bytes)))
    }

    /// Reads a projection and the SHA-256 of its file.
    ///
    /// # Errors
    /// As [`Projection::from_bytes`], and [`NotFound`](error::Kind::NotFound) or [`Io`](error::Kind::Io).
    pub fn load(path: &Path) -> Result<(Self, String)> {
        let bytes = files::read_at_most(path, MOST_BYTES)?;
        let projection = Self::from_bytes(&bytes)
            .map_err(|e| e.context(format!("projection file `{}`", path.display())))
            .map_err(|e| e.hint("nothing was opened or changed; get the file again, or train it again"))?;
        Ok((projection, files::hex(&Sha256::digest(&bytes))))
    }

    /// The file as bytes.
    ///
    /// # Errors
    /// [`Internal`](error::Kind::Internal) if the projection cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let internal = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(error::Kind::Internal, "the projection cannot be serialised").because(cause)
        };
        let header = serde_json::to_string(&self.header).map_err(|e| internal(e.into()))?;
        let mut stored: Vec<Stored> = nested::stored(self.kind.as_ref())
            .into_iter()
            .map(|(name, t)| (name, Dtype::F32, t.shape().to_vec(), single(t.iter())))
            .collect();
        if let Some(assisted) = &self.assisted {
            file_texts::store(assisted, &mut stored);
        }
        if let Some(trust) = &self.trust {
            file_trust::store(trust, &mut stored);
        }
        if let Some(held) = &self.held_out {
            let words = held.words.iter().map(|words| (HELD_WORDS, words));
            for (name, rows) in
                [(HELD_SOURCE, &held.source), (HELD_TARGET, &held.target)].into_iter().chain(words)
            {
                let (dtype, bytes) = match half(rows) {
                    Some(bytes) => (Dtype::F16, bytes),
                    None => (Dtype::F32, single(rows.iter())),
                };
                stored.push((name.into(), dtype, rows.shape().to_vec(), bytes));
            }
            let mean = &held.training_mean;
            stored.push((HELD_MEAN.into(), Dtype::F32, vec![mean.len()], single(mean.iter())));
        }
        let views = stored
            .iter()
            .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| internal(e.into()))?;
        let mut metadata = HashMap::from([(KEY.to_owned(), header)]);
        if let Some(held) = &self.held_out {
            let ids = serde_json::to_string(&held.ids).map_err(|e| internal(e.into()))?;
            metadata.insert(HELD_IDS.to_owned(), ids);
        }
        if let Some(assisted) = &self.assisted {
            let words = serde_json::to_string(assisted.words().words()).map_err(|e| internal(e.into()))?;
            metadata.insert(file_texts::KEY.to_owned(), words);
        }
        safetensors::serialize(views, Some(metadata)).map_err(|e| internal(e.into()))
    }

    /// A projection from the bytes of a file. Nothing in them is trusted.
    ///
    /// # Errors
    /// [`Damaged`](error::Kind::Damaged) on anything that breaks the format or contradicts itself,
    /// [`Unsupported`](error::Kind::Unsupported) if a newer release wrote it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let header_bytes = match bytes.first_chunk::<8>() {
            Some(length) => u64::from_le_bytes(*length),
            None => return Err(damaged(format!("{} bytes are no safetensors file", bytes.len()))),
        };
        if header_bytes > MOST_HEADER_BYTES || bytes.len() as u64 > MOST_BYTES {
            return Err(damaged(format!(
                "a header of {header_bytes} bytes in a file of {}, at most {MOST_HEADER_BYTES} and {MOST_BYTES} are read",
                bytes.len()
            )));
        }
        let broken = |e: safetensors::SafeTensorError| damaged("not a safetensors file").because(e);
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let json =
            metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or_else(|| {
                damaged(format!("a safetensors file without the entry `{KEY}`, no projection"))
            })?;
        let header = read_header(json)?;
        let Some(loader) = nested::loader(&header.kind) else {
            return Err(damaged(format!("unknown kind of projection `{}`", header.kind.escape_debug())));
        };
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let held = [HELD_SOURCE, HELD_TARGET, HELD_MEAN, HELD_WORDS].contains(&name);
            let of_map = nested::knows(loader, name);
            let extra = file_texts::knows(&header, name) || file_trust::knows(name);
            if !held && !of_map && !extra {
                return Err(damaged(format!("unexpected tensor `{}`", name.escape_debug())));
            }
            tensors.insert(name.to_owned(), read_tensor(name, &view)?);
        }
        let ids = metadata.metadata().as_ref().and_then(|m| m.get(HELD_IDS));
        let held_out = read_held_out(&header, ids.map(String::as_str), &mut tensors)?;
        let words = metadata.metadata().as_ref().and_then(|m| m.get(file_texts::KEY));
        let assisted = file_texts::read(&header, words.map(String::as_str), &mut tensors)?;
        let of_words = |held: &HeldOut| held.words.as_ref().map(Array2::ncols);
        let (wanted, found) =
            (assisted.as_ref().map(|a| a.words().dimension()), held_out.as_ref().map(of_words));
        if found.is_some_and(|found| found != wanted) {
            return Err(damaged("held-out pairs and the table of words do not fit each other"));
        }
        let trust = file_trust::read(&header, &mut tensors)?;
        let kind = (loader.load)(tensors)?;
        let wanted = (header.source.dimension, header.target.dimension);
        if kind.dimensions() != wanted {
            let found = kind.dimensions();
            return Err(damaged(format!(
                "weights map {} to {} components, the spaces have {} and {}",
                found.0, found.1, wanted.0, wanted.1
            )));
        }
        Ok(Projection { header, kind, assisted, trust, held_out })
    }
}

fn read_header(json: &str) -> Result<Header> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let broken =
        |e: serde_json::Error| damaged("the description of the projection cannot be read").because(e);
    let Version { format } = serde_json::from_str(json).map_err(broken)?;
    if format > FORMAT {
        return Err(Error::new(
            error::Kind::Unsupported,
            format!("projection format {format}, this release reads up to {FORMAT}"),
        )
        .hint("use a newer embedport, or train the projection again"));
    }
    if format == 0 {
        return Err(damaged("projection format 0"));
    }
    let header: Header = serde_json::from_str(json).map_err(broken)?;
    for space in [&header.source, &header.target] {
        if space.dimension == 0 || space.dimension > Space::MOST_COMPONENTS {
            return Err(damaged(format!("a space of {} components", space.dimension)));
        }
    }
    if header.name.is_empty() || header.name.len() > 200 || header.name.chars().any(char::is_control) {
        return Err(damaged("the name of the projection is empty, too long or holds control characters"));
    }
    Ok(header)
}

fn read_tensor(name: &str, view: &TensorView<'_>) -> Result<ArrayD<f32>> {
    let data = view.data();
    let half = name.starts_with("held_out.") || [file_texts::WORDS, file_trust::REFERENCE].contains(&name);
    let values: Vec<f32> = match (view.dtype(), half) {
        (Dtype::F32, _) => data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        (Dtype::F16, true) => bytes::halves(data),
        (other, _) => return Err(damaged(format!("tensor `{name}` has type {other:?}, F32 is wanted"))),
    };
    if let Some(bad) = values.iter().position(|v| !v.is_finite()) {
        return Err(damaged(format!("tensor `{name}` holds a value that is not finite, element {bad}")));
    }
    ArrayD::from_shape_vec(IxDyn(view.shape()), values)
        .map_err(|_| damaged(format!("tensor `{name}` does not have the shape {:?}", view.shape())))
}

fn read_held_out(
    header: &Header,
    ids: Option<&str>,
    tensors: &mut BTreeMap<String, ArrayD<f32>>,
) -> Result<Option<HeldOut>> {
    let held = (tensors.remove(HELD_SOURCE), tensors.remove(HELD_TARGET), tensors.remove(HELD_MEAN));
    let (source, target, mean) = match held {
        (None, None, None) => return Ok(None),
        (Some(source), Some(target), Some(mean)) => (source, target, mean),
        _ => return Err(damaged("one of the three tensors of held-out pairs is missing")),
    };
    let wrong = |_| damaged("held-out pairs are not matrices");
    let words = tensors
        .remove(HELD_WORDS)
        .map(|words| words.into_dimensionality::<Ix2>().map_err(wrong))
        .transpose()?;
    let source: Array2<f32> = source.into_dimensionality::<Ix2>().map_err(wrong)?;
    let target: Array2<f32> = target.into_dimensionality::<Ix2>().map_err(wrong)?;
    let training_mean: Array1<f32> = mean.into_dimensionality::<Ix1>().map_err(wrong)?;
    let n = header.held_out_pairs;
    if words.as_ref().is_some_and(|words| words.nrows() != n) {
        return Err(damaged(format!("the words of held-out pairs are not those of {n} pairs")));
    }
    if source.dim() != (n, header.source.dimension)
        || target.dim() != (n, header.target.dimension)
        || training_mean.len() != header.target.dimension
    {
        return Err(damaged(format!(
            "held-out pairs of {:?} and {:?} contradict {n} pairs of {} and {} components",
            source.dim(),
            target.dim(),
            header.source.dimension,
            header.target.dimension
        )));
    }
    let ids: Vec<String> = ids
        .and_then(|json| serde_json::from_str(json).ok())
        .filter(|ids: &Vec<String>| ids.len() == n)
        .ok_or_else(|| damaged(format!("the held-out pairs do not have {n} ids")))?;
    Ok(Some(HeldOut { ids, source, target, words, training_mean }))
}

pub(super) fn single<'a>(values: impl Iterator<Item = &'a f32>) -> Vec<u8> {
    values.flat_map(|v| v.to_le_bytes()).collect()
}

/// Half precision, unless a value is too large for it.
fn half(rows: &Array2<f32>) -> Option<Vec<u8>> {
    let made = halves(rows.view());
    let finite = |two: &[u8; 2]| f16::from_le_bytes(*two).is_finite();
    made.as_chunks().0.iter().all(finite).then_some(made)
}

/// Half precision, row by row.
pub(super) fn halves(rows: ArrayView2<'_, f32>) -> Vec<u8> {
    bytes::of_halves(rows.as_standard_layout().as_slice().unwrap_or_default())
}

/// What half precision holds of `rows`.
pub(super) fn in_halves(rows: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
    Array2::from_shape_vec(rows.dim(), bytes::halves(&halves(rows)))
        .map_err(|e| Error::new(error::Kind::Internal, "a rounded matrix has another shape").because(e))
}

pub(super) fn damaged(message: impl Into<String>) -> Error {
    Error::new(error::Kind::Damaged, message)
}
