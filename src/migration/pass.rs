//! What a migration does with each record on its way through the projection.

use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, ArrayView2};

use super::exact::ExactSearch;
use super::fingerprint::Fingerprint;
use super::sketch::{Sketch, Sketcher};
use crate::error::Result;
use crate::projection::Projection;
use crate::store::{Batch, Pass};

/// New vectors for some records; called from several threads at once.
pub(super) type VectorsOf<'a> = dyn Fn(&Batch) -> Result<Array2<f32>> + Sync + 'a;

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
    vectors_of: &'a VectorsOf<'a>,
    projection: &'a Projection,
    exact: Option<&'a ExactSearch>,
    sketcher: Sketcher,
    applied: Mutex<Applied>,
}

impl<'a> Projecting<'a> {
    pub fn new(
        vectors_of: &'a VectorsOf<'a>,
        projection: &'a Projection,
        exact: Option<&'a ExactSearch>,
    ) -> Self {
        let sketcher = Sketcher::new(projection.target().dimension);
        Projecting { vectors_of, projection, exact, sketcher, applied: Mutex::default() }
    }

    pub fn finish(self) -> Applied {
        let mut applied = self.applied.into_inner().unwrap_or_else(PoisonError::into_inner);
        applied.sketches.sort_unstable_by_key(|sketch| sketch.id);
        applied
    }
}

impl Pass for Projecting<'_> {
    fn vectors(&self, batch: &Batch) -> Result<Array2<f32>> {
        let new = (self.vectors_of)(batch)?;
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
