//! A graph as the bytes of hnswlib: links of level 0 in their elements, and upper link lists.

use std::io::{self, Write};

use super::graph::Graph;

/// Puts count and links of `node` on level 0 (all little-endian) where an element of hnswlib's `data_level0_memory_` and
/// of Chroma's `data_level0.bin` begins; vector and label follow there.
pub fn put_links(graph: &Graph, node: u32, element: &mut [u8]) {
    for (place, word) in element.chunks_exact_mut(4).zip(graph.level0_words(node)) {
        place.copy_from_slice(&word.to_le_bytes());
    }
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
        record.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        out.write_all(&record)?;
    }
    Ok(())
}
