//! Who asks the index before and the index after, and knows the right answers.

use ndarray::{ArrayView2, s};

use super::exact::{ExactSearch, K, Queries};
use super::own::OwnFirst;
use super::questions::{Probes, QUERIES};
use crate::error::Result;
use crate::projection::HeldOut;
use crate::store::{Hit, Metric};

/// Knows the exact neighbours of the projection's held-out pairs on both sides, and where the probes belong.
pub struct Judge {
    /// The collection's metric.
    pub metric: Metric,
    /// Neighbours of held-out source vectors among the source vectors; `None` without such pairs.
    pub source: Option<ExactSearch>,
    /// Neighbours of the same pairs' target vectors among the new vectors; without such pairs those of the probes.
    target: Option<ExactSearch>,
    own: Option<OwnFirst>,
    /// Without an index there is nothing to be asked: what would answer is exact search itself.
    indexed: bool,
}

/// Asks an index: the nearest so many records of each query.
pub type Search<'a> = dyn Fn(ArrayView2<f32>, usize) -> Result<Vec<Vec<Hit>>> + 'a;

/// What an index of the new vectors is worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// Recall@[`K`] against exact search.
    pub recall: Option<f64>,
    /// Share of the probes that find their own record first, and where the probes came from.
    pub own_first: Option<(f64, String)>,
}

impl Judge {
    /// For a collection that is searched by `metric`, with an index or without, and a projection with these pairs.
    pub fn new(pairs: Option<&HeldOut>, metric: Metric, indexed: bool) -> Judge {
        let pairs = pairs.filter(|pairs| indexed && pairs.target.nrows() > 0);
        let exact = |vectors: ArrayView2<'_, f32>| {
            let most = vectors.nrows().min(QUERIES);
            ExactSearch::new(Queries::new(metric, vectors.slice(s![..most, ..])))
        };
        Judge {
            metric,
            source: pairs.map(|pairs| exact(pairs.source.view())),
            target: pairs.map(|pairs| exact(pairs.target.view())),
            own: None,
            indexed,
        }
    }

    /// Adds probes to what will be asked. To be called before the first [`Judge::see`].
    ///
    /// # Errors
    /// Those of [`OwnFirst::new`].
    pub fn ask(&mut self, probes: Option<&Probes>) -> Result<()> {
        let Some(probes) = probes else { return Ok(()) };
        self.own = Some(OwnFirst::new(self.metric, probes)?);
        if self.target.is_none() {
            self.target = Some(ExactSearch::new(Queries::new(self.metric, probes.vectors.view())));
        }
        Ok(())
    }

    /// Is shown new vectors of some records; each record once.
    pub fn see(&self, ids: &[String], vectors: ArrayView2<'_, f32>) -> Result<()> {
        if let Some(own) = &self.own {
            own.add(ids, vectors);
        }
        self.target.as_ref().map_or(Ok(()), |target| target.add(ids, vectors))
    }

    /// Recall@[`K`] of the index of the source vectors; `None`: not measured.
    pub fn before(&self, search: &Search<'_>) -> Result<Option<f64>> {
        self.source.as_ref().map(|exact| Ok(exact.recall(&search(exact.queries(), K)?))).transpose()
    }

    /// Asks an index of the new vectors.
    pub fn after(&self, search: &Search<'_>) -> Result<Answers> {
        if !self.indexed {
            let hits = |own: &OwnFirst| Some((own.share(&self.target.as_ref()?.hits()), own.origin.clone()));
            return Ok(Answers { recall: None, own_first: self.own.as_ref().and_then(hits) });
        }
        let recall =
            self.target.as_ref().map(|exact| Ok(exact.recall(&search(exact.queries(), K)?))).transpose()?;
        let own_first = self.own.as_ref();
        let own_first = own_first.map(|own| Ok((own.share(&search(own.queries(), K)?), own.origin.clone())));
        Ok(Answers { recall, own_first: own_first.transpose()? })
    }
}
