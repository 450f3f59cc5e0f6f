//! From A to B and from B to C: one projection from A to C.

use ndarray::Array1;

use super::header::FORMAT;
use super::kind::Kind;
use super::nested::copied;
use super::{Affine, Chain, Header, Projection};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::matrix;

/// The method that headers of composed projections name.
const METHOD: &str = "compose";

impl Projection {
    /// `self`, then `second`, as one projection called `name`: two affine maps become one if rows between them keep the length
    /// that they have, else both are kept and applied in sequence ([`Chain`]). Maps of vectors alone: what texts would add to
    /// either is left out. It has no held-out pairs and no report: no pair of A and C was seen.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if `second` does not start in the space that `self` leads to, or if one maps queries and
    /// the other records; [`Refused`](error::Kind::Refused) if they lead back to where they start or the chain is too long.
    pub fn then(&self, second: &Projection, name: &str, context: &Context<'_>) -> Result<Projection> {
        let (one, two) = (&self.header, &second.header);
        if one.role != two.role {
            return Err(Error::new(
                error::Kind::Mismatch,
                format!("of `{}` and `{}` one maps queries and the other records", one.name, two.name),
            )
            .hint("compose two bridges or two projections"));
        }
        second
            .check_source_space(&one.target)
            .map_err(|e| e.context(format!("`{}` after `{}`", two.name, one.name)))?;
        if one.source.compare(&two.target).is_compatible() {
            return Err(Error::new(
                error::Kind::Refused,
                format!(
                    "`{}` after `{}` leads back to {}, from where it starts",
                    two.name, one.name, one.source
                ),
            )
            .hint("compose projections between three spaces"));
        }
        let unit = one.target.normalised.or(two.source.normalised) == Some(true);
        let kind = composed(self.kind.as_ref(), second.kind.as_ref(), unit)?;
        let mut notes = vec![
            "not measured: no text was embedded by both its source and its target model; `embedport evaluate` measures what \
             projected vectors find, `embedport train --from STORE --collection NAME` fits and measures a direct projection"
                .to_owned(),
        ];
        if self.assisted.is_some() || second.assisted.is_some() {
            notes.push(
                "texts assist one of the two, and not what was composed: it goes by the vectors alone"
                    .to_owned(),
            );
        }
        let header = Header {
            format: FORMAT,
            role: one.role,
            texts: format!(
                "composed of `{}` ({}, {} pairs) and `{}` ({}, {} pairs)",
                one.name, one.method, one.training_pairs, two.name, two.method, two.training_pairs
            ),
            notes,
            ..Header::unfitted(name, (one.source.clone(), two.target.clone()), (kind.name(), METHOD), context)
        };
        Ok(Projection { header, kind, assisted: None, trust: None, held_out: None })
    }
}

/// One map for two; `unit`: rows get length 1 between them.
fn composed(one: &dyn Kind, two: &dyn Kind, unit: bool) -> Result<Box<dyn Kind>> {
    if let (Some(one), Some(two), false) = (Affine::as_is(one)?, Affine::as_is(two)?, unit) {
        return Ok(Box::new(product(&one, &two)?));
    }
    let mut stages = Vec::new();
    for (kind, after) in [(one, unit), (two, false)] {
        match kind.chain() {
            Some(chain) => stages.extend(
                chain.stages().map(|(stage, unit)| Ok((copied(stage)?, unit))).collect::<Result<Vec<_>>>()?,
            ),
            None => stages.push((copied(kind)?, false)),
        }
        if let Some(last) = stages.last_mut() {
            last.1 = after;
        }
    }
    Ok(Box::new(Chain::new(stages)?))
}

/// `W₂ (W₁ (x - a) + b - m) + t = W₂ W₁ (x - a) + (W₂ (b - m) + t)`, exactly.
fn product(one: &Affine, two: &Affine) -> Result<Affine> {
    let weight =
        matrix::times_transposed(two.weight().mapv(f64::from).view(), one.weight().mapv(f64::from).t())?;
    let between = &one.target_mean().mapv(f64::from) - &two.source_mean().mapv(f64::from);
    let mean: Array1<f64> = two.weight().mapv(f64::from).dot(&between) + two.target_mean().mapv(f64::from);
    Affine::new(weight.mapv(|v| v as f32), one.source_mean().to_owned(), mean.mapv(|v| v as f32))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::context::testing::context;
    use crate::projection::Role;
    use crate::projection::fit::{FitOptions, method};
    use crate::projection::{Pairs, Subject};
    use crate::random;
    use crate::space::Space;

    /// A projection between two models with this map.
    fn mapped(from: &str, to: &str, unit: Option<bool>, map: Affine) -> Projection {
        let (d, m) = map.dimensions();
        let mut target = Space::named(to, m);
        target.normalised = unit;
        let subject = Subject {
            name: format!("{from}-{to}"),
            source: Space::named(from, d),
            target,
            texts: "made".into(),
        };
        let mut random = random::seeded(3);
        let mut rows = |d| Array2::from_shape_fn((90, d), |_| (random::unit(&mut random) - 0.4) as f32);
        let pairs = Pairs::new((0..90).map(|i| i.to_string()).collect(), rows(d), rows(m)).unwrap();
        let mut made =
            Projection::fit(subject, &pairs, "ridge", None, &FitOptions::default(), None, &context())
                .unwrap();
        made.kind = Box::new(map);
        made
    }

    fn first() -> Affine {
        Affine::new(array![[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]], array![1.0, 1.0], array![0.0, 3.0, 1.0])
            .unwrap()
    }

    fn second() -> Affine {
        Affine::new(array![[1.0, 0.0, 2.0]], array![0.0, 1.0, 1.0], array![5.0]).unwrap()
    }

    #[test]
    fn two_affine_maps_become_one_by_hand() {
        let (one, two) = (mapped("a/a", "b/b", None, first()), mapped("b/b", "c/c", None, second()));
        let both = one.then(&two, "a-c", &context()).unwrap();
        assert_eq!((both.header.kind.as_str(), both.kind.dimensions()), ("affine", (2, 1)));
        // (3, 2) -> (2, 1) centred -> (4, 1, 3) + (0, 3, 1) = (4, 4, 4) -> (4, 3, 3) centred -> 4 + 6 + 5 = 15.
        assert_eq!(both.apply(array![[3.0, 2.0]].view()).unwrap(), array![[15.0]]);
        let (source, target) = (&both.header.source.model, &both.header.target.model);
        assert_eq!((source.as_str(), target.as_str()), ("a/a", "c/c"));
    }

    #[test]
    fn with_length_one_between_them_both_are_kept() {
        let (one, two) = (mapped("a/a", "b/b", Some(true), first()), mapped("b/b", "c/c", None, second()));
        let both = one.then(&two, "a-c", &context()).unwrap();
        assert_eq!(both.header.kind, "chain");
        // (4, 4, 4) / √48 = 0.57735 each -> (u, u - 1, u - 1) -> 3 u - 2 + 5.
        let out = both.apply(array![[3.0, 2.0]].view()).unwrap()[(0, 0)];
        assert!((out - (3.0 / 3f32.sqrt() + 3.0)).abs() < 1e-5, "{out}");
        let again = Projection::from_bytes(&both.to_bytes().unwrap()).unwrap();
        assert_eq!(again.apply(array![[3.0, 2.0]].view()).unwrap()[(0, 0)], out);

        // A third link lengthens the chain; what it has is what the links give one after the other.
        let last = Affine::new(array![[2.0], [-1.0]], array![0.5], array![1.0, 0.0]).unwrap();
        let three = both.then(&mapped("c/c", "d/d", Some(true), last), "a-d", &context()).unwrap();
        let found = three.apply(array![[3.0, 2.0]].view()).unwrap();
        let raw = [2.0 * (out - 0.5) + 1.0, 0.5 - out];
        let length = (raw[0] * raw[0] + raw[1] * raw[1]).sqrt();
        assert!(
            (found[(0, 0)] - raw[0] / length).abs() < 1e-5 && (found[(0, 1)] - raw[1] / length).abs() < 1e-5
        );
        assert_eq!(three.kind.chain().unwrap().stages().count(), 3);
    }

    #[test]
    fn what_was_never_measured_says_so() {
        let both = mapped("a/a", "b/b", None, first()).then(
            &mapped("b/b", "c/c", None, second()),
            "a-c",
            &context(),
        );
        let header = both.unwrap().header;
        assert_eq!((header.training_pairs, header.held_out_pairs, header.report.figures.len()), (0, 0, 0));
        assert!(header.notes[0].starts_with("not measured"), "{:?}", header.notes);
        assert!(header.texts.contains("`a/a-b/b` (ridge, 70 pairs)"), "{}", header.texts);
        assert!(method(&header.method).is_err(), "no method of fitting is called so");
    }

    #[test]
    fn spaces_and_roles_have_to_follow_each_other() {
        let (one, two) = (mapped("a/a", "b/b", None, first()), mapped("b/b", "c/c", None, second()));
        let error = two.then(&one, "x", &context()).unwrap_err();
        assert!(error.is_mismatch() && error.to_string().contains("a/a"), "{error}");
        let back =
            Affine::new(array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], array![0.0, 0.0, 0.0], array![0.0, 0.0]);
        let error = one.then(&mapped("b/b", "a/a", None, back.unwrap()), "x", &context()).unwrap_err();
        assert!(error.kind() == error::Kind::Refused && error.message().contains("leads back"), "{error:?}");
        let mut bridge = mapped("b/b", "c/c", None, second());
        bridge.header.role = Role::Queries;
        assert!(one.then(&bridge, "x", &context()).unwrap_err().to_string().contains("one maps queries"));
    }
}
