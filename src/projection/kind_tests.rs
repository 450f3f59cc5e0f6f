//! Promises of the files of every kind of map, beyond those of all files.

use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::fit::testing::noise;
use super::kind::KINDS;
use super::*;
use crate::context::testing::context;

/// Pairs of a relation that no affine map follows.
fn curved() -> Pairs {
    let x = noise(500, 4, 1);
    let mut y = x.dot(&noise(4, 3, 2));
    for (mut y, x) in y.outer_iter_mut().zip(x.outer_iter()) {
        y[0] += 3.0 * x[0] * x[1];
        y[1] += 3.0 * (x[2] * x[3]).abs();
    }
    Pairs::new((0..500).map(|i| i.to_string()).collect(), x, y).unwrap()
}

/// A projection whose map is of this kind: by the method of the same name, or of two that are.
fn of(kind: &str) -> Projection {
    let pairs = curved();
    let projection = match kind {
        "affine" => fitted("ridge", &pairs, ["a", "c"]),
        "blend" => {
            let weights = vec![("kernel", 0.5), ("ridge", 0.25), ("nearest", 0.25)];
            told("blend", &pairs, ["a", "c"], &FitOptions { weights, ..FitOptions::default() })
        }
        "chain" => {
            let ids = pairs.ids().to_vec();
            let back = Pairs::new(ids, pairs.target().clone(), pairs.target() * 2.0 + 1.0).unwrap();
            let (first, second) = (fitted("kernel", &pairs, ["a", "b"]), fitted("ridge", &back, ["b", "c"]));
            first.then(&second, "a-to-c", &context()).unwrap()
        }
        method => fitted(method, &pairs, ["a", "c"]),
    };
    assert_eq!(projection.kind.name(), kind, "{:?}", projection.header.notes);
    projection
}

fn fitted(method: &str, pairs: &Pairs, spaces: [&str; 2]) -> Projection {
    told(method, pairs, spaces, &FitOptions::default())
}

fn told(method: &str, pairs: &Pairs, [from, to]: [&str; 2], options: &FitOptions) -> Projection {
    let (source, target) = pairs.dimensions();
    let subject = Subject {
        name: format!("{from}-to-{to}"),
        source: Space::named(from, source),
        target: Space::named(to, target),
        texts: "made by a test".into(),
    };
    Projection::fit(subject, pairs, method, None, options, None, &context()).unwrap()
}

/// The file with one of its tensors changed: shape and values in, shape and values out; left out if none.
fn changed(
    good: &[u8],
    name: &str,
    change: impl Fn(Vec<usize>, Vec<f32>) -> Option<(Vec<usize>, Vec<f32>)>,
) -> Vec<u8> {
    let (_, metadata) = SafeTensors::read_metadata(good).unwrap();
    let file = SafeTensors::deserialize(good).unwrap();
    let mut tensors = Vec::new();
    for (found, view) in file.iter() {
        let (mut shape, mut bytes) = (view.shape().to_vec(), view.data().to_vec());
        if found == name {
            let values = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            let Some((new_shape, values)) = change(shape, values) else { continue };
            shape = new_shape;
            bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(view.dtype(), Dtype::F32);
        }
        tensors.push((found.to_owned(), view.dtype(), shape, bytes));
    }
    let views = tensors.iter().map(|(n, t, s, b)| (n, TensorView::new(*t, s.clone(), b).unwrap()));
    safetensors::serialize(views, metadata.metadata().clone()).unwrap()
}

#[test]
fn every_kind_survives_its_file() {
    for kind in KINDS {
        let projection = of(kind.name);
        let names: Vec<&str> = projection.kind.tensors().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, kind.tensors);
        let loaded = Projection::from_bytes(&projection.to_bytes().unwrap()).unwrap();
        let x = noise(2500, 4, 9);
        assert_eq!(projection.apply(x.view()).unwrap(), loaded.apply(x.view()).unwrap());
        assert_eq!(loaded.apply(Array2::zeros((0, 4)).view()).unwrap().dim(), (0, 3));
    }
}

#[test]
fn tensors_that_are_missing_misshapen_or_not_finite_are_refused() {
    for kind in KINDS {
        let projection = of(kind.name);
        let good = projection.to_bytes().unwrap();
        for (name, _) in &nested::stored(projection.kind.as_ref()) {
            let damaged = |what: &str, bytes: Vec<u8>| {
                let error = Projection::from_bytes(&bytes).unwrap_err();
                assert_eq!(error.kind(), error::Kind::Damaged, "{} {name} {what}: {error}", kind.name);
            };
            assert!(Projection::from_bytes(&changed(&good, name, |s, v| Some((s, v)))).is_ok(), "the base");
            damaged("missing", changed(&good, name, |_, _| None));
            damaged("with an axis more", changed(&good, name, |s, v| Some(([vec![1], s].concat(), v))));
            let narrow = |mut shape: Vec<usize>, mut values: Vec<f32>| {
                *shape.last_mut().unwrap() -= 1;
                values.truncate(shape.iter().product());
                Some((shape, values))
            };
            damaged("with a column less", changed(&good, name, narrow));
            let broken = |shape, mut values: Vec<f32>| {
                values[0] = f32::NAN;
                Some((shape, values))
            };
            damaged("not finite", changed(&good, name, broken));
        }
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for (kind, name, value) in [
        ("kernel", "threshold", 2.0),
        ("kernel", "centres", 2.0),
        ("nearest", "near", 0.0),
        ("nearest", "near", 1.5),
        ("nearest", "near", 1e9),
        ("nearest", "near", -3.0),
        ("nearest", "directions", 2.0),
        ("mixture", "temperature", 0.0),
        ("mixture", "temperature", -1.0),
        ("mixture", "centres", 2.0),
    ] {
        let good = of(kind).to_bytes().unwrap();
        let filled = changed(&good, name, |shape, values| Some((shape, vec![value; values.len()])));
        let error = Projection::from_bytes(&filled).unwrap_err();
        assert_eq!(error.kind(), error::Kind::Damaged, "{kind} {name} {value}: {error}");
    }
}

#[test]
fn changed_bytes_of_any_kind_never_panic() {
    for kind in KINDS {
        let good = of(kind.name).to_bytes().unwrap();
        for at in (0..good.len()).step_by(good.len() / 150) {
            let mut changed = good.clone();
            changed[at] ^= 1 << (at % 8);
            if let Ok(projection) = Projection::from_bytes(&changed) {
                let _ = projection.apply(noise(2, projection.header.source.dimension, 1).view());
            }
        }
    }
}
