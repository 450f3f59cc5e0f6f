//! Delivery checks: what was put is what is there, record by record.

use crate::context::Context;
use crate::error::Result;
use crate::space::Space;
use crate::store::Records;

use super::BATCH;
use super::meaning::ExactSearch;
use super::sketch::{Sketch, Sketcher};
use super::verification::{Family, Relation, VerificationReport};

/// Largest deviation from length 1 in a space of normalised vectors.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// What one pass over the records found.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    /// Records seen.
    pub records: u64,
    /// Records whose vector has another dimension than wanted.
    pub wrong_dimension: u64,
    /// Records with a component that is no finite number.
    pub not_finite: u64,
    /// Largest | length - 1 |.
    pub length_deviation: f64,
    /// Sketches in reading order.
    pub sketches: Vec<Sketch>,
}

/// Reads every record once; feeds the exact search on the way.
pub fn read_all(
    records: &mut dyn Records,
    dimension: usize,
    mut exact: Option<&mut ExactSearch>,
    context: &Context<'_>,
) -> Result<Delivered> {
    let sketcher = Sketcher::new(dimension);
    let mut found = Delivered::default();
    while let Some(batch) = records.next_batch(BATCH)? {
        context.check()?;
        found.records += batch.ids.len() as u64;
        if batch.vectors.ncols() != dimension {
            found.wrong_dimension += batch.ids.len() as u64;
            continue;
        }
        for (id, row) in batch.ids.iter().zip(batch.vectors.rows()) {
            let sketch = sketcher.sketch(id, row);
            if row.iter().any(|x| !x.is_finite()) {
                found.not_finite += 1;
            }
            found.length_deviation = found.length_deviation.max((f64::from(sketch.norm) - 1.0).abs());
            found.sketches.push(sketch);
        }
        if let Some(exact) = exact.as_deref_mut() {
            exact.add(&batch.ids, batch.vectors.view())?;
        }
        context.progress.advance(batch.ids.len() as u64);
    }
    Ok(found)
}

/// Compares what was read with what was put. `stage` tells the checks of several passes apart.
pub fn check(
    report: &mut VerificationReport,
    stage: &str,
    put: &[Sketch],
    found: &Delivered,
    target: &Space,
) {
    let mut equal = |name: &str, measured: u64, wanted: u64| {
        report.check(
            Family::Delivery,
            format!("{stage}: {name}"),
            measured as f64,
            Relation::Equal,
            wanted as f64,
        );
    };
    equal("records", found.records, put.len() as u64);
    equal("records of another dimension", found.wrong_dimension, 0);
    equal("records with a component that is not finite", found.not_finite, 0);
    equal("ids out of place", differing(put, &found.sketches, |a, b| a.id == b.id), 0);
    equal("vectors read back different", differing(put, &found.sketches, Sketch::agrees_with), 0);
    if target.normalised == Some(true) {
        report.check(
            Family::Delivery,
            format!("{stage}: largest deviation from length 1"),
            found.length_deviation,
            Relation::AtMost,
            LENGTH_TOLERANCE,
        );
    }
}

/// Positions at which the two differ, surplus positions included.
fn differing(a: &[Sketch], b: &[Sketch], same: impl Fn(&Sketch, &Sketch) -> bool) -> u64 {
    let inside = a.iter().zip(b).filter(|(a, b)| !same(a, b)).count();
    (inside + a.len().abs_diff(b.len())) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_swapped_pair_of_vectors_fails() {
        let s = Sketcher::new(2);
        let put = vec![s.sketch("a", array![1.0, 0.0].view()), s.sketch("b", array![0.0, 1.0].view())];
        let swapped = vec![s.sketch("a", array![0.0, 1.0].view()), s.sketch("b", array![1.0, 0.0].view())];
        let mut report = VerificationReport::default();
        let found = Delivered { records: 2, sketches: swapped, ..Delivered::default() };
        check(&mut report, "written", &put, &found, &Space::named("x/y", 2));
        let failed: Vec<_> = report.failures().map(|c| c.name.as_str()).collect();
        assert_eq!(failed, ["written: vectors read back different"]);
    }
}
