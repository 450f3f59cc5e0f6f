//! The report of an advice: the table that the text has, the learning curve and the budget curve.

use embedport::advice::{Advice, Way};
use embedport::error::{Error, Kind, Result};
use embedport::measure::{Estimate, Foretold};

use super::tables::{figure, write_table};
use super::{escaped, page, plots};
use crate::output::advice::{HEADS, cells, facts, rests_on};
use crate::output::evaluation::Table;

/// The report as one file. `now`: when it was made.
pub fn advice(advice: &Advice, now: &str) -> Result<String> {
    let mut table = Table::new(rests_on(advice), HEADS.map(str::to_owned));
    table.rows.extend(advice.choices.iter().map(|choice| cells(choice).to_vec()));
    let mut body = format!(
        "<p><strong>{}</strong></p>\n<p>From {}<br>to {}</p>\n",
        escaped(&advice.sentence),
        escaped(&advice.source),
        escaped(&advice.target)
    );
    write_table(&mut body, &table)
        .map_err(|cause| Error::new(Kind::Internal, "the report cannot be written").because(cause))?;
    body.push_str("<ul>\n");
    for fact in facts(advice).iter().chain(&advice.notes) {
        body.push_str(&format!("<li>{}</li>\n", escaped(fact)));
    }
    body.push_str("</ul>\n");
    let plots = [learning(advice)?, budget(advice)?].into_iter().flatten().collect::<String>();
    if !plots.is_empty() {
        body.push_str(&format!("<h2>Plots</h2>\n<div class=\"plots\">\n{plots}</div>\n"));
    }
    let version = env!("CARGO_PKG_VERSION");
    body.push_str(&format!("<footer><p>embedport {version}, {}</p></footer>\n", escaped(now)));
    Ok(page("What to do with a collection", &body))
}

const SHARE: &str = "share of the native top 10";

/// What projecting gives by number of pairs; the interval is known of the last.
fn learning(advice: &Advice) -> Result<Option<String>> {
    let Some(told) = &advice.facts.projected else { return Ok(None) };
    let mut points: Vec<(f64, Estimate)> = told
        .curve
        .iter()
        .map(|point| (point.pairs as f64, Estimate { value: Some(point.value), low: None, high: None }))
        .collect();
    if let Some((_, last)) = points.last_mut() {
        (last.low, last.high) = (Some(told.low), Some(told.high));
    }
    let svg = plots::line("learning curve", ("pairs", SHARE), &points)?;
    Ok(Some(figure(&svg, "Projecting, by number of pairs that the map is fitted to", &[])))
}

/// What a part of true vectors gives, from none to all.
fn budget(advice: &Advice) -> Result<Option<String>> {
    let (Some(told), Some(ways)) = (&advice.facts.projected, &advice.facts.ways) else { return Ok(None) };
    let none = Foretold { value: told.value, low: told.low, high: told.high };
    let all = Foretold { value: 1.0, low: 1.0, high: 1.0 };
    let parts = ways.reembedded.iter().map(|told| (told.part, told.share));
    let points: Vec<(f64, Estimate)> = std::iter::once((0.0, none))
        .chain(parts)
        .chain([(1.0, all)])
        .map(|(part, told)| {
            let Foretold { value, low, high } = told;
            (part, Estimate { value: Some(value), low: Some(low), high: Some(high) })
        })
        .collect();
    let svg = plots::line("budget curve", ("part that is re-embedded", SHARE), &points)?;
    let is_possible = advice.choices.iter().any(|c| c.way == Way::Reembed && c.overlap.is_some());
    let caption = match is_possible {
        true => "Re-embedding a part, the most crowded records first, projected vectors for the rest",
        false => "What re-embedding a part would give, if the texts were there",
    };
    Ok(Some(figure(&svg, caption, &[])))
}

#[cfg(test)]
mod tests {
    use embedport::advice::{Choice, Facts};
    use embedport::measure::Retention;

    use super::*;

    #[test]
    fn a_report_has_the_sentence_the_ways_and_as_many_plots_as_were_measured() {
        let choice = Choice {
            way: Way::Project,
            overlap: Some(0.5),
            low: Some(0.4),
            high: Some(0.6),
            seconds: Some(2.0),
            price: None,
            basis: "expected & told".into(),
        };
        let told = Retention { value: 0.5, low: 0.4, high: 0.6, records: 9, curve: vec![] };
        let mut given = Advice {
            source: "a".into(),
            target: "b".into(),
            facts: Facts { projected: Some(told), ..Facts::default() },
            choices: vec![choice],
            advised: Way::Project,
            sentence: "project: <it>".into(),
            asked: None,
            notes: vec!["a note".into()],
        };
        let report = advice(&given, "now").unwrap();
        assert!(report.contains("project: &lt;it&gt;") && report.contains("0.400 to 0.600"));
        assert!(report.contains("expected &amp; told") && report.contains("<li>a note</li>"));
        assert_eq!(report.matches("<svg").count(), 1, "no budget curve without figures");
        given.facts.projected = None;
        assert_eq!(advice(&given, "now").unwrap().matches("<svg").count(), 0);
    }
}
