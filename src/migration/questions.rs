//! Questions to a rewritten collection: true vectors of the target model, of records of this very collection.

use std::collections::HashMap;

use ndarray::{Array2, Axis};

use crate::context::Context;
use crate::embed::{Embedder, Role};
use crate::error::Result;
use crate::projection::{Projection, text_hash, text_hash_of_key};

/// Queries asked at most.
pub(super) const QUERIES: usize = 100;
/// Records whose text is embedded with the target model, where that model can run here.
const EMBEDDED_PROBES: usize = 100;

/// Target-space vectors of records of this very collection.
#[derive(Debug)]
pub struct Probes {
    /// Record that each vector belongs to.
    pub ids: Vec<String>,
    /// One row each.
    pub vectors: Array2<f32>,
    /// Where they came from, in words.
    pub origin: String,
}

/// Collects probes while records stream by.
pub struct ProbeCollector {
    /// Rows of held-out pairs by the hash of their text.
    held_out: HashMap<[u8; 8], usize>,
    matched: Vec<(String, usize)>,
    texts: Vec<(String, String)>,
    stride: usize,
    seen: usize,
}

impl ProbeCollector {
    /// For a collection in which `texts` records have a text.
    pub fn new(projection: &Projection, texts: u64) -> Self {
        let held_out = projection.held_out.iter().flat_map(|h| h.ids.iter().enumerate());
        ProbeCollector {
            held_out: held_out.filter_map(|(row, id)| Some((text_hash_of_key(id)?, row))).collect(),
            matched: Vec::new(),
            texts: Vec::new(),
            stride: (texts as usize / EMBEDDED_PROBES).max(1),
            seen: 0,
        }
    }

    /// Looks at a record and its text.
    pub fn look(&mut self, id: &str, text: &str) {
        self.seen += 1;
        if text.is_empty() {
            return;
        }
        if !self.held_out.is_empty()
            && self.matched.len() < QUERIES
            && let Some(row) = self.held_out.get(&text_hash(text))
        {
            self.matched.push((id.to_owned(), *row));
        }
        if self.seen.is_multiple_of(self.stride) && self.texts.len() < EMBEDDED_PROBES {
            self.texts.push((id.to_owned(), text.to_owned()));
        }
    }

    /// The probes: true target vectors of held-out pairs if enough of their texts are here, else texts
    /// of the collection embedded now, else none.
    pub fn finish(
        self,
        projection: &Projection,
        target_model: Option<&dyn Embedder>,
        context: &Context<'_>,
    ) -> Result<Option<Probes>> {
        const ENOUGH: usize = 20;
        if self.matched.len() >= ENOUGH
            && let Some(held_out) = &projection.held_out
        {
            let rows: Vec<usize> = self.matched.iter().map(|(_, row)| *row).collect();
            return Ok(Some(Probes {
                vectors: held_out.target.select(Axis(0), &rows),
                origin: format!("{} held-out pairs whose texts are in the collection", rows.len()),
                ids: self.matched.into_iter().map(|(id, _)| id).collect(),
            }));
        }
        let Some(model) = target_model.filter(|_| !self.texts.is_empty()) else { return Ok(None) };
        let texts: Vec<&str> = self.texts.iter().map(|(_, text)| text.as_str()).collect();
        context.progress.start("embedding probes", Some(texts.len() as u64), "texts");
        let vectors = model.embed(&texts, Role::Document, context)?;
        context.progress.finish();
        Ok(Some(Probes {
            vectors,
            origin: format!("{} records, their texts embedded now with the target model", texts.len()),
            ids: self.texts.into_iter().map(|(id, _)| id).collect(),
        }))
    }
}
