//! Writing a fresh index: graph, vectors, lengths, labels 1..=n.

use std::path::Path;

use ndarray::ArrayView2;

use super::hnsw_files::Header;
use super::index;
use super::pickle_write::{self, Form, Named};
use crate::error::{Error, Kind, Result};
use crate::hnsw::{self, Graph};
use crate::platform::files;

/// Writes the five files into `folder`, durably. Row i of `vectors` is element i and has the label i + 1;
/// `lengths` are those before normalising, empty where the metric does not normalise.
///
/// # Errors
/// [`Kind::CannotWrite`] without room.
pub(super) fn write(
    folder: &Path,
    graph: &Graph,
    vectors: ArrayView2<'_, f32>,
    lengths: &[f32],
    ids: &[String],
    form: Form,
) -> Result<()> {
    let (count, dimension) = vectors.dim();
    if graph.len() != count || ids.len() != count {
        return Err(Error::new(
            Kind::Internal,
            format!("{} of {count} vectors are in the graph", graph.len()),
        ));
    }
    files::create_folder(folder)?;
    files::write_atomically(&folder.join(index::LEVEL0), |mut out| {
        hnsw::write_level0(graph, vectors, |element| u64::from(element) + 1, &mut out)
    })?;
    files::write_atomically(&folder.join(index::LENGTHS), |out| {
        (0..count).try_for_each(|i| out.write_all(&lengths.get(i).copied().unwrap_or(0.0).to_le_bytes()))
    })?;
    files::write_atomically(&folder.join(index::LINKS), |mut out| hnsw::write_link_lists(graph, &mut out))?;
    let header = Header {
        count: count as u64,
        capacity: count as u64,
        dimension,
        m: graph.m(),
        ef_construction: graph.ef_construction() as u64,
        max_level: i32::from(graph.max_level()),
        entry: graph.entry(),
    };
    files::write_atomically(&folder.join(index::HEADER), |out| out.write_all(&header.to_bytes()))?;
    let entries: Vec<_> = ids.iter().map(String::as_str).zip(1..).collect();
    let named = Named { entries: &entries, total: count as u64, dimension, form };
    files::write_atomically(&folder.join(index::METADATA), |out| pickle_write::write(out, &named))
}
