//! Promises of projections and their files, over every method and kind.

use ndarray::{Array2, array};
use proptest::prelude::*;

use super::fit::METHODS;
use super::*;
use crate::context::testing::context;
use crate::random;

fn noise(n: usize, d: usize, seed: u64) -> Array2<f32> {
    let mut random = random::seeded(seed);
    Array2::from_shape_fn((n, d), |_| (random::unit(&mut random) - 0.4) as f32)
}

fn subject() -> Subject {
    let mut target = Space::named("b/target", 3);
    target.normalised = Some(true);
    Subject {
        name: "a-to-b".into(),
        source: Space::named("a/source", 4),
        target,
        texts: "made by a test".into(),
    }
}

fn pairs(n: usize) -> Pairs {
    let x = noise(n, 4, 1);
    let y = matrix::normalised((x.dot(&noise(4, 3, 2)) + 0.3).view());
    Pairs::new((0..n).map(|i| i.to_string()).collect(), x, y).unwrap()
}

fn fitted(method: &str) -> Projection {
    let options = FitOptions { epochs: 20, ..FitOptions::default() };
    Projection::fit(subject(), &pairs(80), method, None, &options, None, &context()).unwrap()
}

#[test]
fn every_method_gives_a_projection_that_survives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    for method in METHODS {
        let projection = fitted(method.name);
        let path = folder.path().join(method.name);
        let sha256 = projection.save(&path).unwrap();
        let (loaded, found) = Projection::load(&path).unwrap();
        assert_eq!(sha256, found);
        let x = noise(10, 4, 9);
        assert_eq!(projection.apply(x.view()).unwrap(), loaded.apply(x.view()).unwrap());
        let (before, after) = (&projection.header, &loaded.header);
        assert_eq!(serde_json::to_value(before).unwrap(), serde_json::to_value(after).unwrap());
        assert_eq!((before.training_pairs, before.held_out_pairs), (60, 20));
        assert_eq!(before.method, method.name);
        let (held, kept) = (projection.held_out.unwrap(), loaded.held_out.unwrap());
        assert!((&held.target - &kept.target).iter().all(|d| d.abs() < 1e-3), "half precision");
        assert_eq!(held.training_mean, kept.training_mean);
    }
}

#[test]
fn ridge_learns_and_its_report_says_so() {
    let report = fitted("ridge").header.report;
    assert_eq!(report.pairs, 20);
    let cosine = report.figure("cosine_mean").unwrap();
    assert!(
        cosine.value.unwrap() > 0.97
            && cosine.value > cosine.mean_vector
            && cosine.value > cosine.padded_source
    );
}

#[test]
fn output_has_length_one_only_where_the_target_is_known_to_be_normalised() {
    let mut projection = fitted("ridge");
    let x = noise(5, 4, 9);
    assert!(
        matrix::row_norms(projection.apply(x.view()).unwrap().view()).iter().all(|n| (n - 1.0).abs() < 1e-6)
    );
    projection.header.target.normalised = None;
    assert!(
        matrix::row_norms(projection.apply(x.view()).unwrap().view()).iter().any(|n| (n - 1.0).abs() > 1e-3)
    );
}

#[test]
fn wrong_dimensions_and_values_that_are_not_finite_are_refused() {
    let projection = fitted("ridge");
    assert!(projection.apply(noise(2, 3, 1).view()).unwrap_err().is_mismatch());
    let mut x = noise(6, 4, 1);
    (x[(2, 1)], x[(5, 0)]) = (f32::NAN, f32::INFINITY);
    let error = projection.apply(x.view()).unwrap_err();
    assert_eq!(error.kind(), error::Kind::Damaged);
    assert_eq!(error.message(), "2 of 6 source vectors hold values that are not finite, the first is row 2");
    let huge = Array2::from_elem((1, 4), f32::MAX);
    let wide = Affine::new(array![[9.0, 9.0, 9.0, 9.0]], array![0.0, 0.0, 0.0, 0.0], array![0.0]).unwrap();
    let mut projection = projection;
    (projection.kind, projection.header.target.dimension) = (Box::new(wide), 1);
    assert!(projection.apply(huge.view()).unwrap_err().message().contains("projected vectors"));
    assert_eq!(projection.apply(Array2::zeros((0, 4)).view()).unwrap().dim(), (0, 1));
}

#[test]
fn the_wrong_direction_is_named() {
    let projection = fitted("ridge");
    assert!(projection.check_source(&Space::named("a/source", 4)).is_ok());
    let error = projection.check_source(&Space::named("b/target", 3)).unwrap_err();
    assert!(error.is_mismatch());
    assert_eq!(
        error.message(),
        "the projection maps a/source to b/target; this collection holds b/target; the reverse direction is wanted"
    );
    assert!(error.hints()[0].contains("--source-model b/target --target-model a/source"));
    let error = projection.check_source(&Space::named("c/other", 4)).unwrap_err();
    assert!(error.message().contains("model is `c/other`, `a/source` is wanted"), "{error}");
}

#[test]
fn unknown_methods_and_wrong_pairs_are_refused() {
    let run = |method: &str, pairs: &Pairs| {
        Projection::fit(subject(), pairs, method, None, &FitOptions::default(), None, &context()).unwrap_err()
    };
    assert!(run("magic", &pairs(80)).is_not_found());
    let narrow = Pairs::new(vec!["a".into()], noise(1, 2, 1), noise(1, 3, 1)).unwrap();
    assert!(run("ridge", &narrow).is_mismatch());
    assert_eq!(run("ridge", &pairs(3)).kind(), error::Kind::Refused);
}

/// A file of `header` (JSON) and tensors: name, type, shape, bytes.
fn file(header: &str, tensors: &[(&str, safetensors::Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(n, t, s, b)| (*n, safetensors::tensor::TensorView::new(*t, s.clone(), b).unwrap()));
    let metadata = [("embedport.projection".to_owned(), header.to_owned())].into();
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[test]
fn hostile_files_are_refused() {
    use safetensors::Dtype::{F16, F32};
    let header = serde_json::to_value(&fitted("ridge").header).unwrap();
    let with = |path: &str, value: serde_json::Value| {
        let mut changed = header.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed.to_string()
    };
    let weight = |v: f32| ("weight", F32, vec![3usize, 4], v.to_le_bytes().repeat(12));
    let means = || [("source_mean", F32, vec![4], vec![0; 16]), ("target_mean", F32, vec![3], vec![0; 12])];
    let good = || [vec![weight(1.0)], means().to_vec()].concat();
    assert!(
        Projection::from_bytes(&file(&header.to_string(), &good())).is_ok(),
        "the base of all that follows"
    );

    let refused = |bytes: &[u8]| Projection::from_bytes(bytes).unwrap_err();
    let damaged = |what: &str, bytes: Vec<u8>| {
        let error = refused(&bytes);
        assert_eq!(error.kind(), error::Kind::Damaged, "{what}: {error}");
    };
    let newer = refused(&file(&with("/format", 4.into()), &good()));
    assert_eq!(newer.kind(), error::Kind::Unsupported);
    damaged("format 0", file(&with("/format", 0.into()), &good()));
    damaged("unknown kind", file(&with("/kind", "magic".into()), &good()));
    damaged("dimension 0", file(&with("/source/dimension", 0.into()), &good()));
    damaged("huge dimension", file(&with("/target/dimension", u64::MAX.into()), &good()));
    damaged("contradicting dimension", file(&with("/source/dimension", 5.into()), &good()));
    damaged("control characters", file(&with("/name", "a\u{1b}[2J".into()), &good()));
    damaged("not JSON", file("{", &good()));
    let tensors = |list: Vec<_>| file(&header.to_string(), &list);
    damaged("missing tensor", tensors(good()[..2].to_vec()));
    damaged("extra tensor", tensors([good(), vec![("extra", F32, vec![1], vec![0; 4])]].concat()));
    damaged("not finite", tensors([vec![weight(f32::NAN)], means().to_vec()].concat()));
    damaged(
        "overflow",
        tensors(
            [
                vec![weight(f32::MAX)],
                vec![("source_mean", F32, vec![4], 9f32.to_le_bytes().repeat(4))],
                means()[1..].to_vec(),
            ]
            .concat(),
        ),
    );
    damaged(
        "wrong type",
        tensors([vec![("weight", F16, vec![3, 4], vec![0; 24])], means().to_vec()].concat()),
    );
    damaged(
        "wrong shape",
        tensors([vec![("weight", F32, vec![4, 3], vec![0; 48])], means().to_vec()].concat()),
    );
    damaged("wrong axes", tensors([vec![("weight", F32, vec![12], vec![0; 48])], means().to_vec()].concat()));
    damaged(
        "half a held-out set",
        tensors([good(), vec![("held_out.source", F16, vec![20, 4], vec![0; 160])]].concat()),
    );
    damaged(
        "no projection",
        safetensors::serialize(Vec::<(&str, safetensors::tensor::TensorView)>::new(), None).unwrap(),
    );
    damaged("huge header", [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat());
    damaged("nothing", Vec::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Projection::from_bytes(&bytes).is_err());
    }

    #[test]
    fn a_changed_file_never_panics(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
        static GOOD: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let good = GOOD.get_or_init(|| fitted("ridge").to_bytes().unwrap());
        let mut changed = good.clone();
        let at = at.index(good.len());
        changed[at] ^= 1 << bit;
        if let Ok(projection) = Projection::from_bytes(&changed) {
            let _ = projection.apply(noise(2, projection.header.source.dimension, 1).view());
        }
        prop_assert!(Projection::from_bytes(&good[..cut.index(good.len())]).is_err(), "cut short");
    }
}

#[test]
fn what_is_known_of_trust_survives_the_file_and_earlier_files_lack_it() {
    let mut projection = fitted("ridge");
    assert_eq!(projection.header.format, header::FORMAT);
    let loaded = Projection::from_bytes(&projection.to_bytes().unwrap()).unwrap();
    let x = noise(5, 4, 9);
    let told = projection.confidence(x.view()).unwrap();
    assert_eq!(told, loaded.confidence(x.view()).unwrap());
    assert!(told.iter().all(|c| *c > 0.9), "a linear relation is found: {told}");
    projection.trust = None;
    let earlier = Projection::from_bytes(&projection.to_bytes().unwrap()).unwrap();
    let error = earlier.confidence(x.view()).unwrap_err();
    assert_eq!(error.kind(), error::Kind::Refused);
    assert!(earlier.apply(x.view()).is_ok());
}

#[test]
fn trust_that_contradicts_itself_is_damaged() {
    let damage: [fn(&mut Trust); 4] = [
        |trust| trust.cosines = Array1::zeros(3),
        |trust| trust.cosines[0] = 2.0,
        |trust| trust.reference = Array2::ones((60, 2)),
        |trust| {
            trust.reference = Array2::ones((2001, 3));
            trust.cosines = Array1::zeros(2001);
        },
    ];
    for damage in damage {
        let mut projection = fitted("ridge");
        damage(projection.trust.as_mut().unwrap());
        let error = Projection::from_bytes(&projection.to_bytes().unwrap()).unwrap_err();
        assert_eq!(error.kind(), error::Kind::Damaged, "{error}");
    }
}
