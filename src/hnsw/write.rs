//! A graph as the bytes of hnswlib: level-0 records with vectors and labels, and upper link lists.

use std::io::{self, Write};

use ndarray::ArrayView2;

use super::graph::Graph;

/// Writes one record per node: link count, links, vector, label (all little-endian), as hnswlib's
/// `data_level0_memory_` and Chroma's `data_level0.bin` have it.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if there is not one row per node; failures of `out`.
pub fn write_level0(
    graph: &Graph,
    vectors: ArrayView2<'_, f32>,
    label: impl Fn(u32) -> u64,
    out: &mut impl Write,
) -> io::Result<()> {
    if vectors.nrows() != graph.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not one vector per node of the graph"));
    }
    let mut record = Vec::with_capacity(4 * (1 + graph.max_m0() + vectors.ncols()) + 8);
    for (node, vector) in (0u32..).zip(vectors.rows()) {
        record.clear();
        extend_words(&mut record, graph.level0_words(node));
        record.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        record.extend(label(node).to_le_bytes());
        out.write_all(&record)?;
    }
    Ok(())
}

/// Writes for each node the byte length of its lists on levels 1 and up, then the lists, as hnswlib's
/// index file and Chroma's `link_lists.bin` have it.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if the lists of a node exceed 4 GiB; failures of `out`.
pub fn write_link_lists(graph: &Graph, out: &mut impl Write) -> io::Result<()> {
    let mut record = Vec::new();
    for node in 0..graph.len() as u32 {
        let words = graph.upper_words(node);
        let bytes =
            u32::try_from(words.len() * 4).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        record.clear();
        record.extend(bytes.to_le_bytes());
        extend_words(&mut record, words);
        out.write_all(&record)?;
    }
    Ok(())
}

fn extend_words(record: &mut Vec<u8>, words: &[u32]) {
    record.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}
