//! Delivery checks: what was put is what is there, record by record.

use std::sync::{Mutex, PoisonError};

use rayon::slice::ParallelSliceMut;

use crate::context::Context;
use crate::error::Result;
use crate::space::Space;
use crate::store::{Batch, Records, Rewrite, VectorStore};

use super::BATCH;
use super::judge::Judge;
use super::plan::MigrationPlan;
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
    /// Ordered by the hash of the record's id.
    pub sketches: Vec<Sketch>,
}

impl Delivered {
    /// Looks at some records.
    pub fn of(batch: &Batch, sketcher: &Sketcher, dimension: usize) -> Delivered {
        let mut found = Delivered { records: batch.ids.len() as u64, ..Delivered::default() };
        if batch.vectors.ncols() != dimension {
            found.wrong_dimension = found.records;
            return found;
        }
        for (id, row) in batch.ids.iter().zip(batch.vectors.rows()) {
            let sketch = sketcher.sketch(id, row);
            // A finite length has only finite components; a length beyond f32 may have.
            let is_finite = sketch.norm.is_finite() || row.iter().all(|x| x.is_finite());
            found.not_finite += u64::from(!is_finite);
            found.length_deviation = found.length_deviation.max((f64::from(sketch.norm) - 1.0).abs());
            found.sketches.push(sketch);
        }
        found
    }

    /// Adds what was found elsewhere.
    pub fn merge(&mut self, mut other: Delivered) {
        self.records += other.records;
        self.wrong_dimension += other.wrong_dimension;
        self.not_finite += other.not_finite;
        self.length_deviation = self.length_deviation.max(other.length_deviation);
        self.sketches.append(&mut other.sketches);
    }

    /// No more records come.
    pub fn finish(mut self) -> Delivered {
        self.sketches.par_sort_unstable_by_key(|sketch| sketch.id);
        self
    }
}

/// Reads at most about `most` records; shows them to the judge on the way.
pub fn read(
    records: &mut dyn Records,
    dimension: usize,
    judge: Option<&Judge>,
    most: u64,
    context: &Context<'_>,
) -> Result<Delivered> {
    let sketcher = Sketcher::new(dimension);
    let mut found = Delivered::default();
    while found.records < most
        && let Some(batch) = records.next_batch(BATCH)?
    {
        context.check()?;
        found.merge(Delivered::of(&batch, &sketcher, dimension));
        if let Some(judge) = judge {
            judge.see(&batch.ids, batch.vectors.view())?;
        }
        context.progress.advance(batch.ids.len() as u64);
    }
    Ok(found.finish())
}

/// Reads back everything that a sealed rewrite will make visible, and shows it to the judge.
pub fn read_back(
    rewrite: &dyn Rewrite,
    dimension: usize,
    judge: Option<&Judge>,
    context: &Context<'_>,
) -> Result<Delivered> {
    let sketcher = Sketcher::new(dimension);
    let found = Mutex::new(Delivered::default());
    rewrite.read_back(&|batch| {
        context.check()?;
        if let Some(judge) = judge.filter(|_| batch.vectors.ncols() == dimension) {
            judge.see(&batch.ids, batch.vectors.view())?;
        }
        let part = Delivered::of(batch, &sketcher, dimension);
        found.lock().unwrap_or_else(PoisonError::into_inner).merge(part);
        context.progress.advance(batch.ids.len() as u64);
        Ok(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner).finish())
}

/// Records that are looked at once more after the commit: what all of them hold was checked before, through the
/// same files; what is new is the way there.
const SECOND_LOOK: u64 = 4096;

/// Delivery checks of the committed result, as an opener finds it.
pub(super) fn look_again(
    plan: &MigrationPlan,
    store: &dyn VectorStore,
    put: &[Sketch],
    report: &mut VerificationReport,
    context: &Context<'_>,
) -> Result<()> {
    let collection = store.written(&plan.collection_id, put.len() as u64, plan.texts)?;
    let target = &plan.target;
    let mut records = store.records(&collection, false)?;
    let found = read(records.as_mut(), target.dimension, None, SECOND_LOOK, context)?;
    let mut equal = |name: &str, measured: u64, wanted: u64| {
        let name = format!("committed: {name}");
        report.check(Family::Delivery, name, measured as f64, Relation::Equal, wanted as f64);
    };
    equal("records", collection.count, put.len() as u64);
    equal("collection dimension", collection.dimension.unwrap_or(0) as u64, target.dimension as u64);
    // Those that are not there differ too.
    let looked_at = (found.sketches.len() as u64).max(SECOND_LOOK.min(put.len() as u64));
    let same = found.sketches.len() as u64 - strangers(&found.sketches, put);
    equal(&format!("different vectors among {looked_at}"), looked_at - same, 0);
    Ok(())
}

/// How many of `found` are not among `put`; both ordered by the hash of the id.
pub fn strangers(found: &[Sketch], put: &[Sketch]) -> u64 {
    let known = |sketch: &&Sketch| {
        let from = put.partition_point(|other| other.id < sketch.id);
        let same = put.get(from..).unwrap_or_default().iter().take_while(|other| other.id == sketch.id);
        same.into_iter().any(|other| other.agrees_with(sketch))
    };
    (found.len() - found.iter().filter(known).count()) as u64
}

/// Compares what was read with what was put, both ordered by the hash of the id. `stage` tells the checks of several
/// passes apart; `rounded`: the store rounds vectors, so that their lengths are not those of the space.
pub fn check(
    report: &mut VerificationReport,
    stage: &str,
    put: &[Sketch],
    found: &Delivered,
    target: &Space,
    rounded: bool,
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
    equal("ids that differ", differing(put, &found.sketches, |a, b| a.id == b.id), 0);
    equal("vectors read back different", differing(put, &found.sketches, Sketch::agrees_with), 0);
    if target.normalised == Some(true) && !rounded {
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
        check(&mut report, "written", &put, &found, &Space::named("x/y", 2), false);
        let failed: Vec<_> = report.failures().map(|c| c.name.as_str()).collect();
        assert_eq!(failed, ["written: vectors read back different"]);
    }
}
