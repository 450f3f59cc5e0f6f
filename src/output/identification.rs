//! What made a collection, as text.

use std::io::{Result, Write};

use embedport::identification::{Fit, Identification, LeftOut, Outcome, Part, Tried};
use serde::Serialize;

use super::Show;

/// Ways of one model that are shown; all of them are in the document.
const WAYS: usize = 3;
/// From this median cosine on, rows that nothing reproduces are more likely of the same model than of another.
const RELATED: f64 = 0.5;
/// Identifiers that are shown.
const IDS: usize = 10;

/// An identification.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Identified<'a>(pub &'a Identification);

impl Show for Identified<'_> {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        let (found, findings) = (self.0, &self.0.findings);
        let mut models: Vec<&str> = findings.tried.iter().map(|t| t.model.as_str()).collect();
        models.sort_unstable();
        models.dedup();
        writeln!(
            out,
            "collection {} in {}: {} of {} records embedded again with {} in {}",
            found.collection,
            found.namespace,
            findings.rows,
            found.records,
            counted(models.len(), "model"),
            counted(findings.tried.len(), "way")
        )?;
        match (findings.verdict, findings.best()) {
            (Outcome::Identified, Some(best)) => {
                writeln!(out, "identified: {} ({})", best.declaration, words(best))?;
            }
            (Outcome::Mixed, _) => {
                writeln!(out, "MIXED: these vectors were not made by one model in one way")?
            }
            _ => writeln!(out, "NONE FITS: no candidate makes these vectors of these texts")?,
        }
        let whole = findings.rows as u64 == found.records;
        for part in findings.parts.iter().filter(|p| p.made_by.is_some() || findings.parts.len() > 1) {
            show_part(out, part, found, whole)?;
        }
        if let Some((place, _)) = &findings.near
            && let Some(tried) = findings.tried.get(*place)
        {
            writeln!(
                out,
                "near: {} ({}), median cosine {:.4}: that model with other weights, coarse storage, another prompt or \
                 another cut",
                tried.declaration,
                words(tried),
                tried.median_cosine
            )?;
        }
        show_tried(out, &findings.tried)?;
        if !findings.left_out.is_empty() {
            writeln!(out, "left out:")?;
        }
        for LeftOut { model, reason, .. } in &findings.left_out {
            writeln!(out, "  {model}: {reason}")?;
        }
        Ok(())
    }
}

fn show_part(out: &mut dyn Write, part: &Part, found: &Identification, whole: bool) -> Result<()> {
    let rows = found.findings.rows;
    let percent = |share: f64| 100.0 * share;
    let estimate = match whole {
        true => "all records were looked at".to_owned(),
        false => format!(
            "{:.0} to {:.0} % of the collection",
            percent(part.share.low).floor(),
            percent(part.share.high).ceil()
        ),
    };
    let cosine = match (part.made_by, part.median_cosine) {
        (Some(_), Some(cosine)) => format!(", median cosine {cosine:.4}"),
        (None, Some(cosine)) => format!(
            ", median cosine {cosine:.4} to what the first makes of their texts: {}",
            match cosine >= RELATED {
                true => "these were edited since, or cut or prompted otherwise",
                false => "another model, or other texts than these",
            }
        ),
        _ => String::new(),
    };
    writeln!(out, "  {} of {rows} rows ({estimate}): {}{cosine}", part.rows, part.declaration)?;
    let first = found.findings.parts.first().is_some_and(|first| std::ptr::eq(first, part));
    if !first {
        let mut ids: Vec<String> = part.ids.iter().map(|id| id.escape_default().to_string()).collect();
        ids.sort();
        let more = ids.len().saturating_sub(IDS);
        ids.truncate(IDS);
        let more = if more > 0 { format!(", and {more} more (--json lists them)") } else { String::new() };
        writeln!(out, "    {}{more}", ids.join(", "))?;
    }
    Ok(())
}

fn show_tried(out: &mut dyn Write, tried: &[Tried]) -> Result<()> {
    writeln!(out, "tried (median cosine, rows that it reproduces):")?;
    let mut shown: Vec<(&str, usize)> = Vec::new();
    let mut hidden = 0;
    for one in tried {
        let count = match shown.iter_mut().find(|(model, _)| *model == one.model) {
            Some((_, count)) => count,
            None => {
                shown.push((&one.model, 0));
                match shown.last_mut() {
                    Some((_, count)) => count,
                    None => continue,
                }
            }
        };
        *count += 1;
        if *count > WAYS && one.fitting == 0 {
            hidden += 1;
            continue;
        }
        let verdict = match one.verdict {
            Fit::Fits => "fits",
            Fit::Partly => "partly",
            Fit::Near => "near",
            Fit::DoesNotFit => "-",
        };
        writeln!(
            out,
            "  {:>7.4} {:>5}  {verdict:<6} {}, {}",
            one.median_cosine, one.fitting, one.model, one.variant
        )?;
    }
    if hidden > 0 {
        writeln!(out, "  and {} further off (--json lists them)", counted(hidden, "way"))?;
    }
    Ok(())
}

fn words(tried: &Tried) -> String {
    let length = match tried.normalised {
        Some(true) => ", vectors of length 1",
        Some(false) => ", vectors not of length 1",
        None => "",
    };
    format!("{}{length}", tried.variant)
}

fn counted(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}
