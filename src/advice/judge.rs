//! From facts to advice: no input, no output, no model.

use super::{CHARACTERS_PER_TOKEN, Choice, Facts, Way};

/// Projecting is not advised if even the upper end of what it is expected to keep lies below this share.
pub const LOWEST: f64 = 0.30;

/// Every way with its figures, the one that is advised, and why.
pub(super) fn judge(facts: &Facts) -> (Vec<Choice>, Way, String) {
    let records = facts.records as f64;
    let tokens = facts.characters_per_text.map(|c| c * records / CHARACTERS_PER_TOKEN);
    let price = facts.price_per_million_tokens.zip(tokens).map(|(price, tokens)| price * tokens / 1e6);
    let reembed_seconds = facts.embed_seconds.map(|s| s * records);
    let nothing = |way, basis: String| Choice {
        way,
        overlap: None,
        low: None,
        high: None,
        seconds: None,
        price: None,
        basis,
    };
    let alone = Choice {
        overlap: facts.alone.map(|a| a.0),
        low: facts.alone.map(|a| a.1),
        high: facts.alone.map(|a| a.2),
        seconds: Some(0.0),
        price: facts.price_per_million_tokens.map(|_| 0.0),
        ..nothing(
            Way::LeaveAlone,
            match facts.alone {
                Some(_) => format!("measured among {} pairs, not in the whole collection", facts.pairs),
                None => "not measured: too few pairs".into(),
            },
        )
    };
    let projected = facts.projected.as_ref();
    let project = Choice {
        overlap: projected.map(|r| r.value),
        low: projected.map(|r| r.low),
        high: projected.map(|r| r.high),
        seconds: facts.project_seconds.map(|s| s * records),
        price: facts.price_per_million_tokens.map(|_| 0.0),
        ..nothing(
            Way::Project,
            match projected {
                Some(r) => format!("expected in the collection of {} records", r.records),
                None => "not measured: too few pairs or records".into(),
            },
        )
    };
    let reembed = Choice {
        overlap: (facts.texts >= facts.records).then_some(1.0),
        seconds: reembed_seconds,
        price,
        ..nothing(
            Way::Reembed,
            match facts.records.saturating_sub(facts.texts) {
                0 => "all of it, by definition".into(),
                missing => format!("not possible for {missing} records without text"),
            },
        )
    };
    let (advised, sentence) = advice(facts, &project, &reembed);
    let choices = vec![
        alone,
        project,
        nothing(Way::ProjectAndReembedWorst, "not measured".into()),
        nothing(Way::ProjectAndRescore, "not measured".into()),
        reembed,
    ];
    (choices, advised, sentence)
}

fn advice(facts: &Facts, project: &Choice, reembed: &Choice) -> (Way, String) {
    let instead = match reembed.overlap {
        Some(_) => (Way::Reembed, "re-embed"),
        None => (Way::LeaveAlone, "leave the collection alone: it cannot be re-embedded without its texts"),
    };
    let (Some(value), Some(high)) = (project.overlap, project.high) else {
        let why = "what projecting would keep could not be measured";
        return (instead.0, format!("do not project, {}: {why}", instead.1));
    };
    if high < LOWEST {
        let why = format!(
            "projected vectors would give {value:.2} of the native top 10, at best {high:.2}; {LOWEST:.2} is the least"
        );
        return (instead.0, format!("do not project, {}: {why}", instead.1));
    }
    if let Some((alone, ..)) = facts.alone.filter(|(alone, ..)| *alone >= value) {
        let why = format!(
            "projected vectors would give {value:.2} of the native top 10, the source vectors give {alone:.2} as they are"
        );
        return (instead.0, format!("do not project, {}: {why}", instead.1));
    }
    let rest = match reembed.overlap {
        Some(_) => "; re-embed where that is too little",
        None => "",
    };
    (Way::Project, format!("project: {value:.2} of the native top 10 are kept, at best {high:.2}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Retention;

    fn facts(value: f64, alone: f64) -> Facts {
        let (low, high) = (value - 0.05, value + 0.05);
        Facts {
            records: 1_000_000,
            texts: 1_000_000,
            pairs: 2000,
            characters_per_text: Some(400.0),
            embed_seconds: Some(0.01),
            project_seconds: Some(1e-5),
            alone: Some((alone, alone - 0.02, alone + 0.02)),
            projected: Some(Retention { value, low, high, records: 1_000_000, curve: vec![] }),
            price_per_million_tokens: Some(0.1),
        }
    }

    #[test]
    fn time_and_price_by_hand() {
        let (choices, advised, sentence) = judge(&facts(0.45, 0.3));
        assert_eq!(advised, Way::Project);
        assert!(sentence.starts_with("project: 0.45 of the native top 10"), "{sentence}");
        let at = |way| choices.iter().find(|c| c.way == way).unwrap();
        assert!((at(Way::Project).seconds.unwrap() - 10.0).abs() < 1e-9);
        assert_eq!(at(Way::Project).price, Some(0.0));
        assert!((at(Way::Reembed).seconds.unwrap() - 10_000.0).abs() < 1e-6);
        // 400 characters are 100 tokens; a hundred million tokens at 0.1 a million.
        assert!((at(Way::Reembed).price.unwrap() - 10.0).abs() < 1e-9);
        assert_eq!(at(Way::Reembed).overlap, Some(1.0));
        for way in [Way::ProjectAndReembedWorst, Way::ProjectAndRescore] {
            assert_eq!((at(way).overlap, at(way).basis.as_str()), (None, "not measured"));
        }
    }

    #[test]
    fn where_projecting_loses_it_is_not_advised() {
        let (_, advised, sentence) = judge(&facts(0.2, 0.1));
        assert_eq!(advised, Way::Reembed);
        assert!(
            sentence.contains("0.20 of the native top 10, at best 0.25; 0.30 is the least"),
            "{sentence}"
        );
        let (_, advised, sentence) = judge(&facts(0.4, 0.45));
        assert_eq!(advised, Way::Reembed);
        assert!(sentence.contains("the source vectors give 0.45 as they are"), "{sentence}");
    }

    #[test]
    fn without_texts_or_figures_the_collection_is_left_alone() {
        let (choices, advised, sentence) = judge(&Facts { texts: 999_999, ..facts(0.2, 0.1) });
        assert_eq!(advised, Way::LeaveAlone);
        assert!(sentence.contains("cannot be re-embedded"), "{sentence}");
        assert_eq!(choices[4].basis, "not possible for 1 records without text");
        let (choices, advised, sentence) = judge(&Facts { projected: None, ..facts(0.2, 0.1) });
        assert_eq!(advised, Way::Reembed);
        assert!(sentence.contains("could not be measured"), "{sentence}");
        assert_eq!(choices[1].overlap, None);
    }
}
