//! Hand-computed figures, and one test for each reason of the advice.

use super::*;
use crate::measure::{AmongPairs, Estimate, Reembedded, Rescored, Retention, Ways};

fn told(value: f64, half: f64) -> Foretold {
    Foretold { value, low: value - half, high: value + half }
}

fn ways(alone: f64) -> Ways {
    let (mean, none) = (Estimate { value: Some(alone), low: None, high: None }, Estimate::default());
    Ways {
        among_pairs: AmongPairs { pairs: 1600, alone: mean, projected: none, gain: none },
        alone: told(alone, 0.02),
        rescored: vec![
            Rescored { hits: 50, share: told(0.7, 0.05) },
            Rescored { hits: 100, share: told(0.8, 0.05) },
        ],
        reembedded: vec![Reembedded { part: 0.3, share: told(0.6, 0.04) }],
    }
}

fn facts(value: f64, alone: f64) -> Facts {
    let Foretold { low, high, .. } = told(value, 0.05);
    Facts {
        records: 1_000_000,
        texts: 1_000_000,
        pairs: 2000,
        characters_per_text: Some(400.0),
        embed_seconds: Some(0.01),
        project_seconds: Some(1e-5),
        projected: Some(Retention { value, low, high, records: 1_000_000, curve: vec![] }),
        ways: Some(ways(alone)),
        price_per_million_tokens: Some(0.1),
    }
}

#[test]
fn time_and_price_by_hand() {
    let (choices, advised, sentence) = judge(&facts(0.45, 0.3));
    assert_eq!(advised, Way::Project);
    assert!(sentence.starts_with("project: 0.45 (0.40 to 0.50) of the native top 10"), "{sentence}");
    let at = |way| choices.iter().find(|c| c.way == way).unwrap();
    let near = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-6;
    assert!(near(at(Way::Project).seconds, 10.0));
    assert_eq!(at(Way::Project).price, Some(0.0));
    assert!(near(at(Way::Reembed).seconds, 10_000.0));
    // 400 characters are 100 tokens; a hundred million tokens at 0.1 a million.
    assert!(near(at(Way::Reembed).price, 10.0));
    assert_eq!(at(Way::Reembed).overlap, Some(1.0));
    let part = at(Way::ProjectAndReembedWorst);
    assert!(
        near(part.seconds, 10.0 + 3000.0) && near(part.price, 3.0) && near(part.overlap, 0.6),
        "{part:?}"
    );
    assert!(part.basis.ends_with("the most crowded 30 %"), "{part:?}");
    let rescored = at(Way::ProjectAndRescore);
    assert_eq!((rescored.overlap, rescored.price), (Some(0.8), Some(0.0)));
    assert!(rescored.basis.contains("100 texts are embedded for a query"), "{rescored:?}");
}

#[test]
fn where_projecting_loses_it_is_not_advised() {
    let (_, advised, sentence) = judge(&facts(0.2, 0.1));
    assert_eq!(advised, Way::Reembed);
    assert!(
        sentence.contains("0.200 (0.150 to 0.250) of the native top 10; 0.35 is the least"),
        "{sentence}"
    );
    let (_, advised, sentence) = judge(&facts(0.4, 0.45));
    assert_eq!(advised, Way::Reembed);
    assert!(sentence.contains("the source vectors give 0.45 (0.43 to 0.47) as they are"), "{sentence}");
}

#[test]
fn a_wide_interval_around_a_low_middle_is_not_advised_either() {
    let wide = |value: f64, low: f64| {
        let mut facts = facts(value, 0.1);
        facts.projected = Some(Retention { value, low, high: 0.8, records: 1_000_000, curve: vec![] });
        judge(&facts).1
    };
    assert_eq!((wide(0.34, 0.30), wide(0.40, 0.24)), (Way::Reembed, Way::Reembed));
    assert_eq!((wide(0.36, 0.26), wide(0.40, 0.26)), (Way::Project, Way::Project));
}

#[test]
fn what_is_cheap_to_embed_is_embedded() {
    let small = |seconds: f64, price: Option<f64>| {
        let facts = Facts {
            records: 10_000,
            texts: 10_000,
            embed_seconds: Some(seconds),
            price_per_million_tokens: price,
            ..facts(0.6, 0.3)
        };
        judge(&facts)
    };
    let (_, advised, sentence) = small(0.03, None);
    assert_eq!(advised, Way::Reembed);
    assert!(sentence.starts_with("re-embed: that takes 5 minutes for all of it, and projecting gives 0.60"));
    // 10,000 texts of 100 tokens: a million tokens.
    assert!(small(0.001, Some(0.5)).2.contains("takes 10 seconds and a price of 0.50 for all of it"));
    assert_eq!(small(0.001, Some(1.5)).1, Way::Project);
    assert_eq!(small(0.07, None).1, Way::Project);
    let slow = Facts { embed_seconds: None, price_per_million_tokens: None, ..facts(0.6, 0.3) };
    assert_eq!(judge(&slow).1, Way::Project, "nothing is known to be cheap");
    let api = Facts { records: 10_000, texts: 10_000, embed_seconds: None, ..facts(0.6, 0.3) };
    let (_, advised, sentence) = judge(&api);
    assert_eq!(advised, Way::Reembed);
    assert!(sentence.starts_with("re-embed: that takes a price of 0.10 for all of it"), "{sentence}");
}

#[test]
fn without_texts_or_figures_the_collection_is_left_alone() {
    let (choices, advised, sentence) = judge(&Facts { texts: 999_999, ..facts(0.2, 0.1) });
    assert_eq!(advised, Way::LeaveAlone);
    assert!(sentence.contains("cannot be re-embedded"), "{sentence}");
    for way in &choices[2..] {
        assert_eq!(
            (way.basis.as_str(), way.overlap),
            ("not possible for 1 records without text", None),
            "{way:?}"
        );
    }
    let (choices, advised, sentence) = judge(&Facts { projected: None, ways: None, ..facts(0.2, 0.1) });
    assert_eq!(advised, Way::Reembed);
    assert!(sentence.contains("could not be measured"), "{sentence}");
    for way in &choices[..4] {
        assert_eq!((way.basis.as_str(), way.overlap), (TOO_FEW, None));
    }
}
