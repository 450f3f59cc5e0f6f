//! Sources from which nothing good comes: no words assist, so that only the vectors count.

use ndarray::Array2;

use super::*;
use crate::context::testing::context;
use crate::embed::{self, Embedder, Role};
use crate::error::Result;
use crate::space::Space;
use crate::store::Collection;
use crate::texts;
use crate::training::testing::{Letters, Shelf, shelf};
use crate::training::{Declared, Side, Source, TrainOptions, train};

/// What a text is turned into by no model: counts of its words in a few bins, or numbers that only its length of bytes and
/// their sum decide.
struct Poor {
    space: Space,
    of_words: bool,
}

impl Embedder for Poor {
    fn space(&self) -> &Space {
        &self.space
    }

    fn embed(&self, texts: &[&str], _: Role, _: &Context<'_>) -> Result<Array2<f32>> {
        let hash = |text: &str, from: u64| {
            text.bytes().fold(from, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)) >> 20
        };
        let bins = self.space.dimension;
        let mut out = Array2::from_elem((texts.len(), bins), 0.01);
        for (mut row, text) in out.outer_iter_mut().zip(texts) {
            if self.of_words {
                text.split_whitespace().for_each(|word| row[hash(word, 7) as usize % bins] += 1.0);
            } else {
                row.iter_mut().zip(0..).for_each(|(v, i)| *v = hash(text, i) as f32 % 1000.0 - 500.0);
            }
        }
        Ok(out)
    }
}

/// A collection of a thousand bundled passages with the vectors of `model`.
fn collection(model: &dyn Embedder) -> Shelf {
    let texts: Vec<String> = texts::bundled().unwrap().texts.into_iter().take(1000).collect();
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let rows = model.embed(&borrowed, Role::Document, &context()).unwrap();
    let empty = shelf(1, &Letters::new(&model.space().model, model.space().dimension, 1));
    let count = texts.len() as u64;
    Shelf {
        collection: Collection { count, texts: count, ..empty.collection },
        records: texts
            .into_iter()
            .zip(rows.rows())
            .enumerate()
            .map(|(i, (text, row))| (format!("id{i}"), Some(text), row.to_vec()))
            .collect(),
    }
}

fn told(of_words: bool) -> Advice {
    let poor = Poor { space: Space::named("lab/poor", 16), of_words };
    let shelf = collection(&poor);
    let hub = embed::HubConfig { offline: true, ..embed::HubConfig::from_lookup(&|_| None) };
    let options = embed::Options { device: embed::DeviceChoice::Cpu, hub, threads: 0 };
    let target = embed::open(&"embedport/static-256".parse().unwrap(), None, &options, &context()).unwrap();
    let declared = Declared { space: Some(poor.space.clone()), ..Declared::default() };
    let source = Source::Collection { store: &shelf, collection: &shelf.collection, declared };
    let options = TrainOptions { samples: 600, words: Some(0), ..TrainOptions::default() };
    Advice::of(&train(source, &Side::Model(target.as_ref()), &options, &context()).unwrap(), None)
}

#[test]
fn counts_of_words_in_few_bins_are_not_projected() {
    let advice = told(true);
    assert_eq!((advice.exit_code(), advice.advised), (25, Way::Reembed), "{}", advice.sentence);
    let projected = advice.facts.projected.as_ref().unwrap();
    assert!(projected.value < LEAST && projected.low < projected.value, "{projected:?}");
    let figures = format!("{:.3} ({:.3} to {:.3})", projected.value, projected.low, projected.high);
    assert!(advice.sentence.starts_with("do not project, re-embed: projected vectors would give"));
    assert!(advice.sentence.contains(&figures), "{}", advice.sentence);
    let part = &advice.choices[2];
    assert!(part.overlap > advice.choices[1].overlap && part.overlap < Some(0.6), "{part:?}");
}

#[test]
fn vectors_that_say_nothing_of_their_texts_are_not_projected() {
    let advice = told(false);
    assert_eq!(advice.exit_code(), 25, "{}", advice.sentence);
    let ways = advice.facts.ways.as_ref().unwrap();
    assert!(advice.facts.projected.as_ref().unwrap().high < 0.2);
    // A tenth of the pairs is found by chance alone.
    let chance = 10.0 / ways.among_pairs.pairs as f64;
    assert!((ways.among_pairs.alone.value.unwrap() - chance).abs() < 0.02, "{ways:?}");
    assert!(
        advice.choices[3].overlap.unwrap() < 0.4,
        "re-scoring finds what is there: {:?}",
        advice.choices[3]
    );
}
