//! A bridge: queries of a new model ask a collection that still holds the vectors of the old one.
//!
//! It is fitted to the pairs of the collection the other way round (new to old), by another loss than a projection: its
//! vectors find neighbours and are no likeness of what the old model would give, so that nothing may be stored of them.
//! A program maps each query at search time, one small matrix product:
//!
//! ```
//! # use embedport::{context::{Cancel, Context, Silent}, projection::{Pairs, Projection, Subject}, space::Space};
//! # use ndarray::Array2;
//! # let cancel = Cancel::new();
//! # let context = Context { seed: 7, progress: &Silent, cancel: &cancel, now: &jiff::Timestamp::now, entropy: &|| [0; 16] };
//! # let rows = |d: usize| Array2::from_shape_fn((90, d), |(i, j)| ((i * (j + 2)) as f32).sin());
//! # let (from, to) = (Space::named("the/new", 4), Space::named("the/old", 3));
//! # let subject = Subject { name: "bridge".into(), source: from, target: to, texts: "made".into() };
//! # let pairs = Pairs::new((0..90).map(|i| i.to_string()).collect(), rows(4), rows(3))?;
//! # let folder = std::env::temp_dir().join(format!("embedport-bridge-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let file = folder.join("bridge.safetensors");
//! # Projection::bridge(subject, &pairs, None, &context)?.save(&file)?;
//! // Once; by name: Registry::open("registry.json")?.resolve("NAME")?.projection
//! let (bridge, _sha256) = Projection::load(&file)?;
//! // For each query: its vector by the new model in, what to ask the old index with out.
//! let asked_with: Vec<f32> = bridge.apply_one(&[0.5, 0.5, -0.5, 0.5])?;
//! assert_eq!(asked_with.len(), bridge.target().dimension);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::fit::{self, FitOptions};
use super::header::FORMAT;
use super::{Header, HeldOut, Pairs, Projection, Role, Subject};
use crate::context::Context;
use crate::error::Result;
use crate::measure::{Estimate, overlap};

/// Hits of a query that are looked at.
const K: usize = 10;

/// What queries find over a bridge: held-out pairs ask the training pairs, which are records of the collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BridgeReport {
    /// Queries that asked.
    pub queries: usize,
    /// Records that were asked.
    pub records: usize,
    /// Share of the 10 records that the collection's own model finds for the same query, with 90 % interval.
    pub own: Estimate,
    /// Share of the 10 records that the query finds among vectors of its own model.
    pub native: Estimate,
    /// What the collection's own model finds of those: to keep its queries instead of a bridge.
    pub own_of_native: Estimate,
}

impl BridgeReport {
    /// `projected`: vectors of `held` queries, by the bridge.
    fn measure(held: &Pairs, records: &Pairs, projected: ArrayView2<'_, f32>, seed: u64) -> Result<Self> {
        let (query, own) = (held.source().view(), held.target().view());
        let (native, index) = (records.source().view(), records.target().view());
        let share =
            |asking: [ArrayView2<'_, f32>; 2], collections: [ArrayView2<'_, f32>; 2]| -> Result<Estimate> {
                let shares = overlap::found_of(asking, collections, K)?;
                Ok(shares.map(|shares| Estimate::mean(&shares, seed)).unwrap_or_default())
            };
        Ok(BridgeReport {
            queries: held.len(),
            records: records.len(),
            own: share([projected.view(), own.view()], [index.view(), index.view()])?,
            native: share([projected.view(), query.view()], [index.view(), native.view()])?,
            own_of_native: share([own.view(), query.view()], [index.view(), native.view()])?,
        })
    }

    /// What speaks against the bridge, in words.
    pub fn doubts(&self) -> Vec<String> {
        let (Some(native), Some(kept)) = (self.native.value, self.own_of_native.value) else {
            return vec![format!(
                "what the bridge finds was not measured: {} records have no {K} nearest",
                self.records
            )];
        };
        let mut doubts = Vec::new();
        if native < kept {
            doubts.push(format!(
                "queries of the collection's own model find {kept:.3} of the native top 10, over the bridge {native:.3}: as long \
                 as that model runs, ask with it"
            ));
        }
        doubts
    }
}

impl Projection {
    /// Fits a bridge. `subject` and `pairs` lead from the queries' model (source) to the collection's (target); vectors of
    /// documents stand for those of queries. `held_out` as in [`Projection::fit`].
    ///
    /// # Errors
    /// [`Mismatch`](crate::error::Kind::Mismatch) if the pairs do not have the dimensions of the spaces,
    /// [`Refused`](crate::error::Kind::Refused) if there are too few pairs or all of one side are equal.
    pub fn bridge(
        subject: Subject,
        pairs: &Pairs,
        held_out: Option<usize>,
        context: &Context<'_>,
    ) -> Result<Self> {
        subject.check(pairs)?;
        let held_out = held_out.unwrap_or_else(|| Pairs::default_held_out(pairs.len()));
        let (training, held) = pairs.split(held_out, context.seed)?;
        let fitted = fit::bridge::fit(&training, &FitOptions::default(), context)?;
        let mut header = Header::new(subject, METHOD, &fitted, &training, &held, context);
        header.format = FORMAT;
        header.role = Role::Queries;
        let mut projection =
            Projection { header, kind: fitted.kind, assisted: None, trust: None, held_out: None };
        let projected: Array2<f32> = projection.apply(held.source().view())?;
        let report = BridgeReport::measure(&held, &training, projected.view(), context.seed)?;
        projection.header.notes.extend(report.doubts());
        projection.header.bridge = Some(report);
        projection.held_out = Some(HeldOut::of(&held, None, &training));
        Ok(projection)
    }
}

/// The method that headers of bridges name.
const METHOD: &str = "bridge";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::context;
    use crate::matrix;
    use crate::random;
    use crate::space::Space;

    fn noise(n: usize, d: usize, seed: u64) -> Array2<f32> {
        let mut random = random::seeded(seed);
        Array2::from_shape_fn((n, d), |_| (random::unit(&mut random) - 0.4) as f32)
    }

    fn bridge() -> Projection {
        let x = noise(200, 6, 1);
        let y = matrix::normalised((x.dot(&noise(6, 5, 2)) + noise(200, 5, 3) * 0.2).view());
        let pairs = Pairs::new((0..200).map(|i| i.to_string()).collect(), x, y).unwrap();
        let mut target = Space::named("a/old", 5);
        target.normalised = Some(true);
        let subject =
            Subject { name: "over".into(), source: Space::named("a/new", 6), target, texts: "made".into() };
        Projection::bridge(subject, &pairs, None, &context()).unwrap()
    }

    #[test]
    fn a_bridge_finds_and_its_file_says_what_it_is() {
        let bridge = bridge();
        let report = bridge.header.bridge.clone().unwrap();
        assert_eq!((report.queries, report.records), (40, 160));
        // By chance 10 of 160 are found.
        assert!(report.own.low.unwrap() > 0.3 && report.native.low.unwrap() > 0.2, "{report:?}");
        let again = Projection::from_bytes(&bridge.to_bytes().unwrap()).unwrap();
        assert_eq!((again.header.role, again.header.format), (Role::Queries, FORMAT));
        assert_eq!(again.header.bridge, Some(report));
        let query = noise(1, 6, 9);
        let one = again.apply_one(query.as_slice().unwrap()).unwrap();
        assert_eq!(one, bridge.apply(query.view()).unwrap().row(0).to_vec());
        assert!(
            (one.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5,
            "as long as the vectors of the collection"
        );
        assert!(again.apply_one(&[1.0; 5]).unwrap_err().is_mismatch());
    }

    #[test]
    fn records_may_not_be_mapped_over_a_bridge() {
        let bridge = bridge();
        for refused in [bridge.check_maps_records(), bridge.check_source(bridge.source())] {
            let error = refused.unwrap_err();
            assert!(error.is_mismatch() && error.message().contains("is a bridge"), "{error:?}");
            assert!(
                error.hints().iter().any(|h| h.contains("embedport train --source-model a/old")),
                "{error:?}"
            );
        }
    }

    #[test]
    fn what_the_own_model_finds_better_is_said() {
        let share = |value| Estimate { value: Some(value), low: None, high: None };
        let report = |native| BridgeReport {
            queries: 9,
            records: 99,
            own: share(0.5),
            native: share(native),
            own_of_native: share(0.3),
        };
        assert!(report(0.4).doubts().is_empty());
        assert!(report(0.2).doubts()[0].contains("ask with it"));
        let nothing = BridgeReport { native: Estimate::default(), ..report(0.1) };
        assert!(nothing.doubts()[0].contains("not measured"));
    }
}
