//! From facts to advice: no input, no output, no model.

use super::{CHARACTERS_PER_TOKEN, Choice, Facts, Way};
use crate::measure::Foretold;

/// Projecting is not advised if less than this share of the native top 10 is expected,
pub const LEAST: f64 = 0.35;
/// or if the lower end of the interval lies below this one.
pub const LEAST_LOW: f64 = 0.25;
/// Re-embedding is advised, whatever projecting keeps, if it takes no more seconds than this, where that was measured,
pub const CHEAP_SECONDS: f64 = 600.0;
/// and costs no more than this, where a price was given; one of both has to be known.
pub const CHEAP_PRICE: f64 = 1.0;
/// Part of the records that the way which re-embeds a part stands for.
pub const PART: f64 = 0.3;
/// First hits that the way which re-scores stands for.
pub const RESCORED: usize = 100;

/// Every way with its figures, the one that is advised, and why.
pub(super) fn judge(facts: &Facts) -> (Vec<Choice>, Way, String) {
    let choices = vec![alone(facts), project(facts), part(facts), rescore(facts), reembed(facts)];
    let (advised, sentence) = advice(facts);
    (choices, advised, sentence)
}

fn choice(way: Way, told: Option<Foretold>, basis: String) -> Choice {
    let (overlap, low, high) = (told.map(|t| t.value), told.map(|t| t.low), told.map(|t| t.high));
    Choice { way, overlap, low, high, seconds: None, price: None, basis }
}

fn alone(facts: &Facts) -> Choice {
    let told = facts.ways.as_ref().map(|ways| ways.alone);
    let basis = match &facts.ways {
        Some(ways) => {
            format!("measured among {} pairs; the source model embeds the queries", ways.among_pairs.pairs)
        }
        None => TOO_FEW.into(),
    };
    Choice {
        seconds: Some(0.0),
        price: facts.price_per_million_tokens.map(|_| 0.0),
        ..choice(Way::LeaveAlone, told, basis)
    }
}

fn project(facts: &Facts) -> Choice {
    let told = facts.projected.as_ref();
    let share = told.map(|told| Foretold { value: told.value, low: told.low, high: told.high });
    Choice {
        seconds: facts.projecting(),
        price: facts.price_per_million_tokens.map(|_| 0.0),
        ..choice(Way::Project, share, told.map_or_else(|| TOO_FEW.into(), |_| expected(facts)))
    }
}

fn part(facts: &Facts) -> Choice {
    let told = facts.ways.as_ref().and_then(|ways| ways.reembedding(PART)).map(|told| told.share);
    let percent = PART * 100.0;
    let basis = match (missing(facts), told) {
        (0, Some(_)) => format!("{}; the most crowded {percent:.0} %", expected(facts)),
        (0, None) => TOO_FEW.into(),
        (missing, _) => without_texts(missing),
    };
    let told = told.filter(|_| missing(facts) == 0);
    Choice {
        seconds: facts.projecting().zip(facts.embedding()).map(|(all, again)| all + PART * again),
        price: facts.price().map(|price| PART * price),
        ..choice(Way::ProjectAndReembedWorst, told, basis)
    }
}

fn rescore(facts: &Facts) -> Choice {
    let told = facts.ways.as_ref().and_then(|ways| ways.rescoring(RESCORED)).map(|told| told.share);
    let basis = match (missing(facts), told) {
        (0, Some(_)) => format!("{}; {RESCORED} texts are embedded for a query", expected(facts)),
        (0, None) => TOO_FEW.into(),
        (missing, _) => without_texts(missing),
    };
    let told = told.filter(|_| missing(facts) == 0);
    Choice {
        seconds: facts.projecting(),
        price: facts.price_per_million_tokens.map(|_| 0.0),
        ..choice(Way::ProjectAndRescore, told, basis)
    }
}

fn reembed(facts: &Facts) -> Choice {
    let (overlap, basis) = match missing(facts) {
        0 => (Some(1.0), "all of it, by definition".into()),
        missing => (None, without_texts(missing)),
    };
    let (seconds, price) = (facts.embedding(), facts.price());
    Choice { overlap, seconds, price, ..choice(Way::Reembed, None, basis) }
}

const TOO_FEW: &str = "not measured: too few pairs or records";

fn expected(facts: &Facts) -> String {
    format!("expected in the collection of {} records", facts.records)
}

fn without_texts(missing: u64) -> String {
    format!("not possible for {missing} records without text")
}

fn missing(facts: &Facts) -> u64 {
    facts.records.saturating_sub(facts.texts)
}

impl Facts {
    /// Seconds to project the whole collection.
    fn projecting(&self) -> Option<f64> {
        self.project_seconds.map(|seconds| seconds * self.records as f64)
    }

    /// Seconds to embed the whole collection.
    fn embedding(&self) -> Option<f64> {
        self.embed_seconds.map(|seconds| seconds * self.records as f64)
    }

    /// Price of the whole collection.
    fn price(&self) -> Option<f64> {
        let tokens = self.characters_per_text? * self.records as f64 / CHARACTERS_PER_TOKEN;
        self.price_per_million_tokens.map(|price| price * tokens / 1e6)
    }

    /// What re-embedding everything takes, in words, if that is possible and cheap. What was neither timed nor priced is not
    /// known to be.
    fn cheap(&self) -> Option<String> {
        let (seconds, price) = (self.embedding(), self.price());
        let is_priced = self.price_per_million_tokens.is_some();
        let cheap = seconds.is_none_or(|seconds| seconds <= CHEAP_SECONDS)
            && (!is_priced || price.is_some_and(|price| price <= CHEAP_PRICE))
            && (is_priced || seconds.is_some())
            && missing(self) == 0;
        let price = price.map(|price| format!("a price of {price:.2}"));
        let words: Vec<String> = seconds.map(time).into_iter().chain(price).collect();
        cheap.then(|| words.join(" and "))
    }
}

fn advice(facts: &Facts) -> (Way, String) {
    let instead = match missing(facts) {
        0 => (Way::Reembed, "re-embed"),
        _ => (Way::LeaveAlone, "leave the collection alone: it cannot be re-embedded without its texts"),
    };
    let not = |why: String| (instead.0, format!("do not project, {}: {why}", instead.1));
    let Some(told) = &facts.projected else {
        return not("what projecting would keep could not be measured".into());
    };
    let (value, low, high) = (told.value, told.low, told.high);
    if value < LEAST || low < LEAST_LOW {
        return not(format!(
            "projected vectors would give {value:.3} ({low:.3} to {high:.3}) of the native top 10; {LEAST:.2} is the least, \
             and {LEAST_LOW:.2} at the lower end"
        ));
    }
    if let Some(ways) = facts.ways.as_ref().filter(|ways| ways.alone.value >= value) {
        let alone = ways.alone;
        return not(format!(
            "projected vectors would give {value:.2} ({low:.2} to {high:.2}) of the native top 10, the source vectors give \
             {:.2} ({:.2} to {:.2}) as they are",
            alone.value, alone.low, alone.high
        ));
    }
    if let Some(cost) = facts.cheap() {
        return (
            Way::Reembed,
            format!(
                "re-embed: that takes {cost} for all of it, and projecting gives {value:.2} ({low:.2} to {high:.2}) of the \
                 native top 10"
            ),
        );
    }
    let rest = match instead.0 {
        Way::Reembed => "; re-embed where that is too little",
        _ => "",
    };
    (
        Way::Project,
        format!(
            "project: {value:.2} ({low:.2} to {high:.2}) of the native top 10 are expected to stay{rest}"
        ),
    )
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.5 => "a second".into(),
        s if s < 90.0 => format!("{s:.0} seconds"),
        s => format!("{:.0} minutes", s / 60.0),
    }
}

#[cfg(test)]
mod tests;
