//! Whether records are found by what the target model makes of their texts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, s};

use super::exact::Queries;
use super::questions::Probes;
use crate::error::{Error, Kind, Result};
use crate::store::{Hit, Metric};

/// Probes, and how far from each its own record turns out to be. Takes records from several threads at once.
pub struct OwnFirst {
    queries: Queries,
    /// Rows of the probes by record.
    rows: HashMap<String, Vec<usize>>,
    own: Mutex<Vec<Option<f32>>>,
    /// Where the probes came from, in words.
    pub origin: String,
}

impl OwnFirst {
    /// Has seen no record yet.
    ///
    /// # Errors
    /// [`Kind::Internal`] if the probes have fewer vectors than ids.
    pub fn new(metric: Metric, probes: &Probes) -> Result<OwnFirst> {
        if probes.vectors.nrows() < probes.ids.len() {
            return Err(Error::new(Kind::Internal, "there are fewer probes than records they are of"));
        }
        let mut rows: HashMap<String, Vec<usize>> = HashMap::new();
        for (row, id) in probes.ids.iter().enumerate() {
            rows.entry(id.clone()).or_default().push(row);
        }
        Ok(OwnFirst {
            queries: Queries::new(metric, probes.vectors.slice(s![..probes.ids.len(), ..])),
            own: Mutex::new(vec![None; probes.ids.len()]),
            rows,
            origin: probes.origin.clone(),
        })
    }

    /// The queries, as they are asked.
    pub fn queries(&self) -> ArrayView2<'_, f32> {
        self.queries.view()
    }

    /// Considers some records.
    pub fn add(&self, ids: &[String], vectors: ArrayView2<f32>) {
        for (id, vector) in ids.iter().zip(vectors.rows()) {
            for &row in self.rows.get(id).into_iter().flatten() {
                let product = self.queries.view().row(row).dot(&vector);
                let distance = self.queries.distance(product, vector.dot(&vector), row);
                let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(own) = own.get_mut(row) {
                    *own = Some(distance);
                }
            }
        }
    }

    /// Share of the probes that find their own record first: no other record that the store found is nearer. With many
    /// copies of one vector the record itself need not be among the hits.
    pub fn share(&self, hits: &[Vec<Hit>]) -> f64 {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = own.iter().zip(hits).enumerate();
        let first = rows.filter(|(row, (own, hits))| match (own, hits.first()) {
            (Some(own), Some(best)) => *own <= best.distance + self.queries.tie(*row, best.distance),
            _ => false,
        });
        first.count() as f64 / own.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    fn hit(id: &str, distance: f32) -> Hit {
        Hit { id: id.into(), distance }
    }

    fn asked(own: &str, ids: &[&str], vectors: Array2<f32>) -> OwnFirst {
        let probes = Probes { ids: vec![own.into()], vectors: array![[1.0, 0.0]], origin: String::new() };
        let asked = OwnFirst::new(Metric::Cosine, &probes).unwrap();
        let ids: Vec<String> = ids.iter().map(|id| (*id).into()).collect();
        asked.add(&ids, vectors.view());
        asked
    }

    #[test]
    fn copies_of_a_record_do_not_hide_it() {
        let asked = asked("b", &["a", "b"], array![[2.0, 0.1], [2.0, 0.1]]);
        let of_the_copy = 1.0 - 2.0 / 4.01f32.sqrt();
        assert_eq!(asked.share(&[vec![hit("a", of_the_copy)]]), 1.0);
    }

    #[test]
    fn a_nearer_record_of_another_text_counts_against() {
        let asked = asked("b", &["a", "b"], array![[1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(asked.share(&[vec![hit("a", 0.0), hit("b", 1.0)]]), 0.0);
        assert_eq!(asked.share(&[Vec::new()]), 0.0);
    }
}
