//! What a migration does with each record on its way through the projection.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, ArrayView2};
use rayon::slice::ParallelSliceMut;

use super::exact::ExactSearch;
use super::fingerprint::Fingerprint;
use super::remembered::Remembered;
use super::sketch::{Sketch, Sketcher};
use crate::error::Result;
use crate::projection::Projection;
use crate::store::{Batch, Pass, Rounding};

/// Puts other vectors in the place of some that were projected; called from several threads at once.
pub(super) type Put<'a> = dyn Fn(&Batch, &mut Array2<f32>) -> Result<()> + Sync + 'a;

/// Vectors that are not the projection's.
#[derive(Clone, Copy)]
pub(super) struct Instead<'a> {
    pub put: &'a Put<'a>,
    /// Digest of the texts and metadata that they were made of: with others nothing is written.
    pub content: Option<&'a str>,
    /// Notes in the migration's folder what they are.
    pub note: &'a (dyn Fn(&Path) -> Result<()> + Sync + 'a),
}

impl Instead<'_> {
    /// None.
    pub const NONE: Instead<'static> = Instead { put: &|_, _| Ok(()), content: None, note: &|_| Ok(()) };
}

/// What one pass over the source records leaves.
#[derive(Default)]
pub(super) struct Applied {
    /// Of the new vectors, ordered by the hash of the record's id.
    pub sketches: Vec<Sketch>,
    /// Of ids and source vectors.
    pub source: Fingerprint,
    /// Records whose source vector was all zeros.
    pub zero_vectors: u64,
}

/// Projects, sketches and shows the source vectors to an exact search.
pub(super) struct Projecting<'a> {
    projection: &'a Projection,
    texts: Option<&'a Remembered>,
    instead: Instead<'a>,
    exact: Option<&'a ExactSearch>,
    sketcher: Sketcher,
    applied: Mutex<Applied>,
}

impl<'a> Projecting<'a> {
    pub fn new(
        projection: &'a Projection,
        texts: Option<&'a Remembered>,
        instead: Instead<'a>,
        exact: Option<&'a ExactSearch>,
    ) -> Self {
        let sketcher = Sketcher::new(projection.target().dimension);
        Projecting { projection, texts, instead, exact, sketcher, applied: Mutex::default() }
    }

    fn project(&self, batch: &Batch) -> Result<Array2<f32>> {
        let Some(texts) = self.texts else { return self.projection.apply(batch.vectors.view()) };
        let codes: Vec<&[u16]> = batch.ids.iter().map(|id| texts.codes(id)).collect();
        self.projection.apply_to_texts(batch.vectors.view(), &codes)
    }

    pub fn finish(self) -> Applied {
        let mut applied = self.applied.into_inner().unwrap_or_else(PoisonError::into_inner);
        applied.sketches.par_sort_unstable_by_key(|sketch| sketch.id);
        applied
    }
}

impl Pass for Projecting<'_> {
    fn vectors(&self, batch: &Batch, round: &Rounding<'_>) -> Result<Array2<f32>> {
        let mut new = self.project(batch)?;
        (self.instead.put)(batch, &mut new)?;
        let rows = new.rows_mut().into_iter().filter_map(ndarray::ArrayViewMut1::into_slice);
        rows.for_each(round);
        let mut part = Applied::default();
        for ((id, source), target) in batch.ids.iter().zip(batch.vectors.rows()).zip(new.rows()) {
            part.source.add(id, source);
            part.zero_vectors += u64::from(source.iter().all(|x| *x == 0.0));
            part.sketches.push(self.sketcher.sketch(id, target));
        }
        if let Some(exact) = self.exact {
            exact.add(&batch.ids, batch.vectors.view())?;
        }
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        applied.sketches.append(&mut part.sketches);
        applied.source.merge(&part.source);
        applied.zero_vectors += part.zero_vectors;
        drop(applied);
        Ok(new)
    }

    fn unowned(&self, vectors: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        self.projection.apply(vectors)
    }
}
