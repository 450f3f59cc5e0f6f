//! Promises of projections that texts assist, and of their files.

use super::fit::testing::noise;
use super::*;
use crate::context::testing::context;

const WORDS: [&str; 6] = ["git", "commit", "file", "tree", "disk", "page"];

fn texts(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{} {} {}", WORDS[i % 6], WORDS[i / 6 % 6], WORDS[i / 36 % 6])).collect()
}

/// `say`: the words tell the target, and the source vectors say nothing of it; else it is the other way round.
fn projection(say: bool, method: &str) -> Projection {
    let texts = texts(216);
    let words = Words::new(WORDS.map(String::from).to_vec(), noise(6, 5, 1)).unwrap();
    let (source, blur) = (noise(216, 4, 4), noise(216, 7, 2));
    let told =
        if say { words.rows_of(&texts).dot(&noise(5, 7, 3)) } else { source.dot(&noise(4, 7, 3)) + blur };
    let target = matrix::normalised((told + 0.1).view());
    let ids = (0..216).map(|i| i.to_string()).collect();
    let pairs = Pairs::new(ids, source, target).unwrap().with_texts(words, &texts).unwrap();
    let mut space = Space::named("b/target", 7);
    space.normalised = Some(true);
    let subject = Subject {
        name: "a-to-b".into(),
        source: Space::named("a/source", 4),
        target: space,
        texts: "test".into(),
    };
    Projection::fit(subject, &pairs, method, None, &FitOptions::default(), None, &context()).unwrap()
}

#[test]
fn words_are_used_where_they_help_and_only_there() {
    let helped = projection(true, "auto");
    let (with, without) = (helped.header.report_for(true), helped.header.report_for(false));
    assert!(with.value("cosine_mean").unwrap() > 0.9 && without.value("cosine_mean").unwrap() < 0.7);
    assert_eq!((helped.header.format, helped.header.kind_with_texts.is_some()), (3, true));
    let not = projection(false, "auto");
    assert!(not.assisted.is_none() && not.held_out.unwrap().words.is_none());
    assert_eq!((not.header.format, not.header.report_with_texts), (3, None));
    assert!(not.header.notes.iter().any(|n| n.starts_with("the words of the texts do not help")));
}

#[test]
fn a_record_without_known_words_goes_by_its_vector_alone() {
    let projection = projection(true, "ridge");
    let words = projection.assisted.as_ref().unwrap().words();
    let x = noise(3, 4, 9);
    let codes = [words.codes("git commit"), words.codes("unheard"), words.codes("page")];
    let codes: Vec<&[u16]> = codes.iter().map(Vec::as_slice).collect();
    let mixed = projection.apply_to_texts(x.view(), &codes).unwrap();
    let alone = projection.apply(x.view()).unwrap();
    assert_eq!(mixed.row(1), alone.row(1));
    assert_ne!(mixed.row(0), alone.row(0));
    let one = projection.apply_to_texts(x.slice(ndarray::s![2.., ..]), &codes[2..]).unwrap();
    assert!((&mixed.row(2) - &one.row(0)).iter().all(|d| d.abs() < 1e-6));
    assert!(matrix::row_norms(mixed.view()).iter().all(|n| (n - 1.0).abs() < 1e-6));
    assert!(projection.apply_to_texts(x.view(), &codes[1..]).unwrap_err().is_mismatch());
}

#[test]
fn it_survives_its_file_and_refuses_one_that_contradicts_itself() {
    for method in ["ridge", "kernel", "nearest", "mixture", "mlp", "ranking", "blend"] {
        let projection = projection(true, method);
        let kind = projection.header.kind_with_texts.as_deref();
        assert_eq!((kind == Some("blend")), method == "blend", "{kind:?}");
        let bytes = projection.to_bytes().unwrap();
        let loaded = Projection::from_bytes(&bytes).unwrap();
        let (before, after) = (projection.assisted.as_ref().unwrap(), loaded.assisted.as_ref().unwrap());
        assert_eq!((before.words(), before.length()), (after.words(), after.length()));
        let codes = [before.words().codes("file tree disk")];
        let codes: Vec<&[u16]> = codes.iter().map(Vec::as_slice).collect();
        let x = noise(1, 4, 9);
        let (before, after) = (&projection, &loaded);
        let [before, after] = [before, after].map(|p| p.apply_to_texts(x.view(), &codes).unwrap());
        assert_eq!(before, after);
        let held = loaded.held_out.as_ref().unwrap();
        assert!(loaded.apply_with_texts(held).unwrap().is_some());

        let mut other = loaded;
        let kind = other.header.kind_with_texts.clone();
        other.header.kind_with_texts = Some("magic".into());
        let error = Projection::from_bytes(&other.to_bytes().unwrap()).unwrap_err();
        assert_eq!(error.kind(), error::Kind::Damaged);
        other.header.kind_with_texts = None;
        assert!(Projection::from_bytes(&other.to_bytes().unwrap()).is_err(), "tensors that nobody asks for");
        other.header.kind_with_texts = kind;
        other.assisted = None;
        assert!(Projection::from_bytes(&other.to_bytes().unwrap()).is_err(), "words that are missing");
    }
}

#[test]
fn changed_bytes_never_panic() {
    let good = projection(true, "ridge").to_bytes().unwrap();
    for at in (0..good.len()).step_by(37) {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(projection) = Projection::from_bytes(&changed) {
            let x = noise(2, projection.header.source.dimension, 1);
            let _ = projection.apply_to_texts(x.view(), &[&[0, 5], &[9]]);
        }
    }
}
