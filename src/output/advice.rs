//! Advice as text.

use std::io::{Result, Write};

use embedport::advice::{Advice, CHARACTERS_PER_TOKEN, Choice, Way};

use super::migration::curve;
use super::{Show, number, seconds};

impl Show for Advice {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "from  {}", self.source)?;
        writeln!(out, "to    {}", self.target)?;
        writeln!(
            out,
            "rests on {} pairs of a collection of {} records",
            self.facts.pairs, self.facts.records
        )?;
        writeln!(
            out,
            "  {:<34} {:>17}  {:<17} {:>9} {:>10}",
            "way", "of native top 10", "90 % interval", "time", "price"
        )?;
        for choice in &self.choices {
            show(out, choice)?;
        }
        if self.facts.price_per_million_tokens.is_some() {
            writeln!(out, "  tokens are estimated as characters / {CHARACTERS_PER_TOKEN}")?;
        }
        if let Some(expected) = &self.facts.projected {
            writeln!(out, "  projecting, by number of pairs fitted to: {}", curve(expected))?;
        }
        for note in &self.notes {
            writeln!(out, "  note: {note}")?;
        }
        writeln!(out, "advice: {}", self.sentence)
    }
}

fn show(out: &mut dyn Write, choice: &Choice) -> Result<()> {
    let way = match choice.way {
        Way::LeaveAlone => "leave alone",
        Way::Project => "project",
        Way::ProjectAndReembedWorst => "project, re-embed the least trusted",
        Way::ProjectAndRescore => "project, re-score the first hits",
        Way::Reembed => "re-embed",
    };
    let interval = match (choice.low, choice.high) {
        (Some(low), Some(high)) => format!("{low:.3} to {high:.3}"),
        _ => "-".into(),
    };
    writeln!(
        out,
        "  {:<34} {:>17}  {:<17} {:>9} {:>10}  {}",
        way,
        number(choice.overlap),
        interval,
        choice.seconds.map_or_else(|| "-".into(), seconds),
        choice.price.map_or_else(|| "-".into(), |p| format!("{p:.2}")),
        choice.basis
    )
}
