//! The report of an evaluation: the tables that the text has, and plots.

use std::fmt::Write;

use embedport::error::{Error, Kind, Result};
use embedport::evaluation::{Evaluation, Role, System};
use embedport::measure::Estimate;

use super::plots;
use super::tables::{figure, write_table};
use super::{escaped, page};
use crate::output::evaluation::{facts, tables, title};

/// The report as one file. `now`: when it was made.
pub fn evaluation(e: &Evaluation, now: &str) -> Result<String> {
    let mut body = String::new();
    write_body(&mut body, e)
        .map_err(|cause| Error::new(Kind::Internal, "the report cannot be written").because(cause))?;
    let plots = plots(e)?;
    if !plots.is_empty() {
        let figures: String = plots.concat();
        body.push_str(&format!("<h2>Plots</h2>\n<div class=\"plots\">\n{figures}</div>\n"));
    }
    let version = env!("CARGO_PKG_VERSION");
    body.push_str(&format!("<footer><p>embedport {version}, {}</p></footer>\n", escaped(now)));
    Ok(page("Retrieval evaluation", &body))
}

fn write_body(body: &mut String, e: &Evaluation) -> std::fmt::Result {
    body.push_str("<div class=\"scroll\"><table>\n");
    for (name, words) in facts(e) {
        writeln!(body, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escaped(&name), escaped(&words))?;
    }
    body.push_str("</table></div>\n");
    if !e.notes.is_empty() {
        body.push_str("<ul>\n");
        for note in &e.notes {
            writeln!(body, "<li>{}</li>", escaped(note))?;
        }
        body.push_str("</ul>\n");
    }
    tables(e).iter().try_for_each(|t| write_table(body, t))
}

fn plots(e: &Evaluation) -> Result<Vec<String>> {
    let mut figures = Vec::new();
    let p = &e.pictures;
    let k = e.k.first().copied().unwrap_or(0);
    let place = |name: &str| e.systems.iter().position(|s| s.name == name).unwrap_or(0);
    let names: Vec<(usize, &str)> = e.systems.iter().enumerate().map(|(i, s)| (i, s.name.as_str())).collect();
    if e.judgements.is_some() {
        let name = format!("ndcg@{k}");
        let of = |s: &System| {
            s.figures.iter().find(|f| f.name == name).map_or_else(Estimate::default, |f| f.estimate)
        };
        let estimates: Vec<Estimate> = e.systems.iter().map(of).collect();
        let caption = format!("{} with {:.0} % intervals", title(&name), e.coverage * 100.0);
        figures.push(figure(&plots::bars(&title(&name), &estimates)?, &caption, &names));
    }
    if !p.differences.is_empty() {
        let series: Vec<(usize, &[f64])> =
            p.differences.iter().map(|(name, values)| (place(name), values.as_slice())).collect();
        let key: Vec<(usize, &str)> =
            p.differences.iter().map(|(name, _)| (place(name), name.as_str())).collect();
        let label = format!("difference of nDCG@{k}");
        let caption = "Corpus minus other, query by query, sorted: above zero the corpus is better";
        figures.push(figure(&plots::curves(&label, &series)?, caption, &key));
    }
    if !p.scores.is_empty() {
        let series: Vec<_> = p.scores.iter().map(|(name, h)| (place(name), h)).collect();
        let key: Vec<(usize, &str)> = p.scores.iter().map(|(name, _)| (place(name), name.as_str())).collect();
        let kind = e.systems.first().map_or("", |s| s.scores.kind);
        let caption = format!("Distribution of the {kind} of the first {k} hits");
        figures.push(figure(&plots::histograms(kind, &series)?, &caption, &key));
    }
    let corpus = e.systems.iter().position(|s| s.role == Role::CorpusCommon).unwrap_or(0);
    let native = e.systems.iter().position(|s| s.role == Role::Native).unwrap_or(0);
    let ours = [(corpus, "corpus")];
    if let Some(histogram) = &p.native_top {
        let label = format!("share of the native top {k} found");
        let svg = plots::histograms(&label, &[(corpus, histogram)])?;
        figures.push(figure(&svg, "Distribution over queries", &ours));
    }
    if let Some(histogram) = &p.neighbours {
        let label = format!("share of {k} native neighbours kept");
        let svg = plots::histograms(&label, &[(corpus, histogram)])?;
        figures.push(figure(&svg, "Distribution over documents", &ours));
    }
    if !p.similarities.is_empty() {
        let axes = ("native cosine", "corpus cosine");
        let svg = plots::scatter("cosines of pairs", axes, &[(corpus, &p.similarities)], true)?;
        figures.push(figure(&svg, "Cosines of random pairs of documents, native and corpus", &ours));
    }
    let [true_points, points] = &p.map;
    if !true_points.is_empty() {
        let series: [(usize, &[[f64; 2]]); 2] = [(native, true_points), (corpus, points)];
        let svg = plots::scatter("map", ("first direction", "second direction"), &series, false)?;
        let caption = format!(
            "{} documents on the two main directions of the native vectors (principal components)",
            points.len()
        );
        figures.push(figure(&svg, &caption, &[(native, "native"), (corpus, "corpus")]));
    }
    Ok(figures)
}
