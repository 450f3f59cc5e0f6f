//! Promises of the registry.

use ndarray::Array2;

use super::*;
use crate::context::testing::context;
use crate::projection::fit::FitOptions;
use crate::projection::{Pairs, Subject};
use crate::random;

fn projection(name: &str, source: Space, target: Space) -> Projection {
    let mut random = random::seeded(1);
    let mut noise = |d| Array2::from_shape_fn((30, d), |_| random::unit(&mut random) as f32);
    let (x, y) = (noise(source.dimension), noise(target.dimension));
    let pairs = Pairs::new((0..30).map(|i| i.to_string()).collect(), x, y).unwrap();
    let subject = Subject { name: name.into(), source, target, texts: "made by a test".into() };
    Projection::fit(subject, &pairs, "ridge", None, &FitOptions::default(), None, &context()).unwrap()
}

/// A registry with the projections a-to-b and b-to-a, all spaces of the same dimension.
fn registry() -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("projections")).unwrap();
    let mut registry = Registry::open_or_empty(folder.path().join("registry.json")).unwrap();
    for (name, source, target) in [("a-to-b", "x/a", "x/b"), ("b-to-a", "x/b", "x/a")] {
        let projection = projection(name, Space::named(source, 4), Space::named(target, 4));
        let file = folder.path().join("projections").join(name);
        projection.save(&file).unwrap();
        registry.add(&projection, &file).unwrap();
    }
    (folder, registry)
}

fn own(registry: &Registry) -> Vec<&str> {
    registry.own.iter().map(|e| e.name.as_str()).collect()
}

#[test]
fn what_was_added_is_there_when_it_is_opened_again() {
    let (folder, registry) = registry();
    let again = Registry::open(folder.path().join("registry.json")).unwrap();
    assert_eq!(again.own, registry.own);
    assert_eq!(again.own[0].file, "projections/a-to-b");
    assert_eq!(again.resolve("a-to-b").unwrap().projection.header.name, "a-to-b");
    assert!(again.check().iter().all(|status| status.problem.is_none()));
    let file = folder.path().join("projections/b-to-a");
    assert_eq!(again.resolve(file.to_str().unwrap()).unwrap().projection.header.name, "b-to-a", "by file");
}

#[test]
fn look_up_is_by_space_and_never_by_dimension() {
    let (_folder, registry) = registry();
    let names = |source: &Space, target: Option<&Space>| -> Vec<String> {
        registry.find(source, target).iter().map(|e| e.name.clone()).collect()
    };
    let (a, b, c) = (Space::named("x/a", 4), Space::named("x/b", 4), Space::named("x/c", 4));
    assert_eq!(names(&a, None), ["a-to-b"]);
    assert_eq!(names(&b, Some(&a)), ["b-to-a"]);
    assert!(names(&c, None).is_empty() && names(&a, Some(&c)).is_empty());
    let mut pooled = a.clone();
    pooled.pooling = Some("cls".into());
    assert_eq!(names(&pooled, None), ["a-to-b"], "not known is no contradiction");
}

#[test]
fn the_nearest_agreement_comes_first() {
    let (folder, mut registry) = registry();
    let mut source = Space::named("x/a", 4);
    source.pooling = Some("mean".into());
    let exact = projection("exact", source.clone(), Space::named("x/b", 4));
    let file = folder.path().join("exact");
    exact.save(&file).unwrap();
    registry.add(&exact, &file).unwrap();
    let names: Vec<&str> = registry.find(&source, None).iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["exact", "a-to-b"]);
}

#[test]
fn an_entry_of_the_same_name_is_replaced() {
    let (folder, mut registry) = registry();
    let other = projection("a-to-b", Space::named("x/a", 5), Space::named("x/b", 4));
    let file = folder.path().join("other");
    other.save(&file).unwrap();
    registry.add(&other, &file).unwrap();
    assert_eq!(own(&registry), ["a-to-b", "b-to-a"]);
    assert_eq!(registry.resolve("a-to-b").unwrap().projection.header.source.dimension, 5);
}

#[test]
fn a_changed_or_missing_file_is_found_out() {
    let (folder, registry) = registry();
    let file = |name: &str| folder.path().join("projections").join(name);
    std::fs::copy(file("b-to-a"), file("a-to-b")).unwrap();
    std::fs::remove_file(file("b-to-a")).unwrap();
    assert!(registry.resolve("a-to-b").unwrap_err().message().contains("SHA-256 differs"));
    let kinds: Vec<Kind> =
        registry.check().into_iter().filter(|s| !s.bundled).map(|s| s.problem.unwrap().kind()).collect();
    assert_eq!(kinds, [Kind::Damaged, Kind::NotFound]);
}

#[test]
fn unknown_names_are_answered_with_those_that_exist() {
    let (_folder, registry) = registry();
    let error = registry.resolve("nothing").unwrap_err();
    assert!(error.is_not_found());
    assert!(error.hints()[0].contains("a-to-b, b-to-a"));
}

#[test]
fn paths_that_leave_the_folder_are_refused() {
    let (folder, mut registry) = registry();
    let path = folder.path().join("registry.json");
    let good = std::fs::read_to_string(&path).unwrap();
    for hostile in ["../a", "/etc/passwd", "projections/../../a", "", ".", "C:a", "..\\\\a"] {
        std::fs::write(&path, good.replace("projections/a-to-b", hostile)).unwrap();
        assert_eq!(Registry::open(&path).unwrap_err().kind(), Kind::Damaged, "{hostile}");
    }
    std::fs::write(&path, good).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let projection = registry.resolve("a-to-b").unwrap().projection;
    projection.save(&elsewhere.path().join("p")).unwrap();
    assert_eq!(registry.add(&projection, &elsewhere.path().join("p")).unwrap_err().kind(), Kind::Usage);
}

#[test]
fn damaged_newer_and_missing_registries_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    assert!(Registry::open(&path).unwrap_err().is_not_found());
    for (text, kind) in [
        ("{", Kind::Damaged),
        (r#"{"format":0,"projections":[]}"#, Kind::Damaged),
        (r#"{"format":2}"#, Kind::Unsupported),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(Registry::open_or_empty(&path).unwrap_err().kind(), kind);
    }
}

#[test]
fn what_ships_with_the_program_is_whole() {
    let registry = Registry::bundled().unwrap();
    for status in registry.check() {
        assert!(status.bundled && status.problem.is_none(), "{:?}", status.problem);
    }
    assert_eq!(registry.bundled.len(), bundled::FILES.len());
}
