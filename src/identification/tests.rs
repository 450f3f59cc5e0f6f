//! Identification with models made for the purpose.

use ndarray::Array2;

use super::*;
use crate::context::testing::context;
use crate::embed::{Embedder, Outline, Role};
use crate::space::Space;

const DIMENSION: usize = 24;

/// Letter counts with a direction for each letter: two poolings (`mean` and `cls`, turned further) side by side.
struct Letters {
    space: Space,
    turn: usize,
    prompt: String,
    most: usize,
}

impl Letters {
    fn raw(turn: usize, run: &Run) -> Self {
        let mut space = Space::named("lab/letters", 2 * DIMENSION);
        space.pooling = Some("mean+cls".into());
        space.normalised = Some(false);
        Letters { space, turn, prompt: run.prompt.clone(), most: run.max_tokens.unwrap_or(40) }
    }
}

impl Embedder for Letters {
    fn space(&self) -> &Space {
        &self.space
    }

    fn embed(&self, texts: &[&str], _: Role, _: &Context<'_>) -> Result<Array2<f32>> {
        let mut out: Array2<f32> = Array2::zeros((texts.len(), 2 * DIMENSION));
        for (mut row, text) in out.rows_mut().into_iter().zip(texts) {
            for byte in self.prompt.bytes().chain(text.bytes()).take(self.most) {
                for j in 0..DIMENSION {
                    let angle = (usize::from(byte % 32) * (j + 1) * (self.turn + 3)) as f32;
                    row[j] += angle.sin();
                    row[DIMENSION + j] += (angle * 1.7 + 1.0).cos();
                }
            }
        }
        Ok(out)
    }
}

fn candidate(name: &str, turn: usize) -> Candidate<'static> {
    let mut space = Space::named(name, DIMENSION);
    space.pooling = Some("mean".into());
    space.normalised = Some(true);
    space.max_tokens = Some(40);
    Candidate {
        name: name.into(),
        origin: Origin::Given,
        outline: Outline { chooses_pooling: true, ..Outline::of_space(&space) },
        first: vec![Run { prompt: String::new(), max_tokens: None }],
        open: Box::new(move |run, _| Ok(Box::new(Letters::raw(turn, run)) as Box<dyn Embedder>)),
    }
}

fn texts(n: usize) -> Vec<String> {
    let words =
        ["amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "juniper"];
    let text = |i: usize| {
        (0..7).map(|k| words[(i * (k + 3) + i / 7 + k * k) % words.len()]).collect::<Vec<_>>().join(" ")
    };
    (0..n).map(|i| format!("{} {i}", text(i))).collect()
}

/// What the model of this turn makes in one way, of length 1.
fn stored(turn: usize, run: &Run, pooling: usize, texts: &[String]) -> Array2<f32> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let rows = Letters::raw(turn, run).embed(&texts, Role::Document, &context()).unwrap();
    let mut rows = rows.slice(ndarray::s![.., pooling * DIMENSION..(pooling + 1) * DIMENSION]).to_owned();
    for mut row in rows.rows_mut() {
        let length = row.dot(&row).sqrt();
        row /= length;
    }
    rows
}

fn plain() -> Run {
    Run { prompt: String::new(), max_tokens: None }
}

fn find(rows: &Array2<f32>, texts: &[String], candidates: &[Candidate<'_>]) -> Findings {
    let ids: Vec<String> = (0..texts.len()).map(|i| format!("id{i}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    look(rows.view(), &texts, &ids, candidates, &context()).unwrap()
}

#[test]
fn the_model_and_its_way_are_named() {
    let texts = texts(30);
    let candidates = [candidate("lab/one", 1), candidate("lab/two", 2), candidate("lab/three", 9)];
    let named = |run: &Run, pooling| {
        let found = find(&stored(2, run, pooling, &texts), &texts, &candidates);
        assert_eq!(found.verdict, Outcome::Identified, "{found:?}");
        let best = found.best().unwrap();
        assert_eq!((best.fitting, best.verdict), (30, Fit::Fits));
        (best.declaration.clone(), best.variant.clone())
    };
    assert_eq!(named(&plain(), 0), ("lab/two".into(), "as configured".into()));
    assert_eq!(named(&plain(), 1), ("lab/two,pooling=cls".into(), "pooling cls".into()));
    let query = Run { prompt: "query: ".into(), max_tokens: None };
    assert_eq!(named(&query, 0), ("lab/two,document_prompt=query: ".into(), "prompt `query: `".into()));
    let cut = Run { prompt: String::new(), max_tokens: Some(32) };
    assert_eq!(named(&cut, 0), ("lab/two,max_tokens=32".into(), "texts cut after 32 tokens".into()));
}

#[test]
fn rows_of_another_model_are_found_one_by_one() {
    let texts = texts(40);
    let mut rows = stored(1, &plain(), 0, &texts);
    let other = stored(2, &plain(), 1, &texts);
    for row in [3, 17, 20, 39] {
        rows.row_mut(row).assign(&other.row(row));
    }
    let found = find(&rows, &texts, &[candidate("lab/one", 1), candidate("lab/two", 2)]);
    assert_eq!(found.verdict, Outcome::Mixed);
    let parts: Vec<(&str, usize)> = found.parts.iter().map(|p| (p.declaration.as_str(), p.rows)).collect();
    assert_eq!(parts, [("lab/one", 36), ("lab/two,pooling=cls", 4)]);
    assert_eq!(found.parts[1].ids, ["id3", "id17", "id20", "id39"]);
    assert!(found.parts[1].share.low < 0.1 && found.parts[1].share.high > 0.1);

    let alone = find(&rows, &texts, &[candidate("lab/one", 1)]);
    assert_eq!((alone.verdict, alone.parts[1].declaration.as_str()), (Outcome::Mixed, "unknown"));
    assert_eq!(alone.parts[1].ids, ["id3", "id17", "id20", "id39"]);
}

#[test]
fn lengths_tell_normalisation() {
    let texts = texts(20);
    let rows = stored(1, &plain(), 0, &texts);
    let long = find(&(rows * 3.0), &texts, &[candidate("lab/one", 1)]);
    let best = long.best().unwrap();
    assert_eq!((best.declaration.as_str(), best.normalised), ("lab/one,normalised=false", Some(false)));
}

#[test]
fn where_nothing_fits_that_is_said() {
    let texts = texts(30);
    let found =
        find(&stored(4, &plain(), 0, &texts), &texts, &[candidate("lab/one", 1), candidate("lab/two", 2)]);
    assert_eq!((found.verdict, found.best()), (Outcome::NoneFits, None));
    assert_eq!((found.parts.len(), found.parts[0].rows), (1, 30));
    assert_eq!(found.parts[0].median_cosine, None, "there is no first part to compare with");
}

#[test]
fn what_is_close_is_called_near_and_not_the_same() {
    let texts = texts(60);
    let mut rows = stored(1, &plain(), 0, &texts);
    let mut random = crate::random::seeded(3);
    rows.mapv_inplace(|x| x + (0.03 * (crate::random::unit(&mut random) - 0.5)) as f32);
    let found = find(&rows, &texts, &[candidate("lab/two", 2), candidate("lab/one", 1)]);
    assert_eq!(found.verdict, Outcome::Identified, "noise of coarse storage: {found:?}");
    rows.mapv_inplace(|x| x + (0.3 * (crate::random::unit(&mut random) - 0.5)) as f32);
    let found = find(&rows, &texts, &[candidate("lab/two", 2), candidate("lab/one", 1)]);
    assert_eq!((found.verdict, found.tried[0].verdict), (Outcome::NoneFits, Fit::Near));
    assert_eq!(found.tried[0].declaration, "lab/one");
}

#[test]
fn a_model_that_fails_is_left_out_with_its_reason() {
    let texts = texts(10);
    let broken = Candidate {
        open: Box::new(|_, _| Err(Error::new(Kind::Damaged, "the weights are broken"))),
        ..candidate("lab/broken", 1)
    };
    let found = find(&stored(1, &plain(), 0, &texts), &texts, &[broken, candidate("lab/one", 1)]);
    assert_eq!(found.verdict, Outcome::Identified);
    assert_eq!((found.left_out[0].model.as_str(), found.left_out.len()), ("lab/broken", 1));
    assert_eq!(found.left_out[0].reason, "the weights are broken");
}

#[test]
fn models_that_nobody_named_are_not_run_once_all_is_explained() {
    let texts = texts(10);
    let idle = Candidate {
        origin: Origin::Cache,
        open: Box::new(|_, _| panic!("not to be run")),
        ..candidate("lab/idle", 2)
    };
    let found = find(&stored(1, &plain(), 0, &texts), &texts, &[candidate("lab/one", 1), idle]);
    assert!(found.left_out[0].reason.contains("every row was explained"));
}
