//! What the fuzzer once found, fed again to everything that reads, without the fuzzer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod damage;

mod rooms {
    pub use embedport::{context, error, space, store};
}

use std::fs;
use std::path::Path;

#[test]
fn every_file_of_the_corpus_is_read_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let scratch = damage::Scratch::new(&corpus.join("databases"));
    let seeds = tempfile::tempdir().unwrap();
    scratch.seeds(seeds.path()).unwrap();
    let mut fed = 0;
    for damage::Target { name: target, .. } in &damage::TARGETS {
        for folder in [seeds.path().join(target), corpus.join(target)] {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                let rewritten = scratch.feed(target, &fs::read(&path).unwrap());
                // What is not damaged goes the whole way.
                let is_whole = folder.starts_with(seeds.path()) && !["rows", "tables"].contains(target);
                assert!(!is_whole || rewritten > 0, "{}", path.display());
                fed += 1;
            }
        }
    }
    assert!(fed >= 5 * 5 + 3 * 12, "only {fed} inputs: the corpus is not there");
}

#[test]
fn damage_does_not_outlive_its_input() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let scratch = damage::Scratch::new(&corpus.join("databases"));
    scratch.seeds(one.path()).unwrap();
    for damage::Target { name: target, .. } in &damage::TARGETS {
        scratch.feed(target, &[0; 40]);
    }
    scratch.seeds(other.path()).unwrap();
    for damage::Target { name: target, .. } in &damage::TARGETS {
        let read = |folder: &Path| fs::read(folder.join(target).join("seed-0")).unwrap();
        assert!(read(one.path()) == read(other.path()), "{target}");
    }
}
