//! Training runs, registries and applied files as text.

use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use embedport::projection::{Header, Role};
use embedport::registry::Entry;
use embedport::training::Training;
use serde::Serialize;
use serde::ser::SerializeStruct;

use super::bridge::show_bridge;
use super::migration::{show_expected, show_report, show_scores};
use super::{Show, number, seconds};

/// A finished training run and its file.
pub struct Trained<'a> {
    /// The run.
    pub training: &'a Training,
    /// Where the projection lies.
    pub file: &'a Path,
}

impl Serialize for Trained<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let t = self.training;
        let mut s = serializer.serialize_struct("Trained", 8)?;
        s.serialize_field("name", &t.projection.header.name)?;
        s.serialize_field("file", self.file)?;
        s.serialize_field("pairs", &t.pairs)?;
        s.serialize_field("removed", &t.removed)?;
        s.serialize_field("recheck", &t.recheck)?;
        s.serialize_field("timings", &t.timings)?;
        s.serialize_field("notes", &t.notes)?;
        s.serialize_field("projection", &t.projection.header)?;
        s.end()
    }
}

impl Show for Trained<'_> {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        show_header(out, &self.training.projection.header)?;
        for note in &self.training.notes {
            writeln!(out, "  note: {note}")?;
        }
        let stages: Vec<String> =
            self.training.timings.iter().map(|t| format!("{} {}", t.stage, seconds(t.seconds))).collect();
        writeln!(out, "  time: {}", stages.join(", "))?;
        writeln!(out, "saved: {}", self.file.display())
    }
}

/// A projection's description and held-out report.
fn show_header(out: &mut dyn Write, header: &Header) -> Result<()> {
    match header.role {
        Role::Records => writeln!(out, "projection {}", header.name)?,
        Role::Queries => {
            writeln!(out, "bridge {}: maps queries to an untouched collection, not records", header.name)?;
        }
    }
    writeln!(out, "  from    {}", header.source)?;
    writeln!(out, "  to      {}", header.target)?;
    let lambda = header.lambda.map_or_else(String::new, |l| format!(", lambda {l:.3e}"));
    writeln!(
        out,
        "  fitted  {} ({}){lambda}, {} pairs, seed {}, texts: {}",
        header.method, header.kind, header.training_pairs, header.seed, header.texts
    )?;
    let pairs = header.held_out_pairs;
    if let Some(report) = &header.bridge {
        return show_bridge(out, report);
    }
    if header.report.figures.is_empty() {
        return writeln!(out, "  not measured");
    }
    if let Some(report) = &header.report_with_texts {
        writeln!(out, "  measured on {pairs} held-out pairs, with what their texts say:")?;
        show_report(out, report)?;
        show_expected(out, header.expected_with_texts.as_ref())?;
        writeln!(out, "  by the vectors alone, for records without a text:")?;
    } else {
        writeln!(out, "  measured on {pairs} held-out pairs:")?;
    }
    show_report(out, &header.report)?;
    show_expected(out, header.expected.as_ref())?;
    show_scores(out, header.scores.as_ref())
}

impl Show for Header {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        show_header(out, self)?;
        for note in &self.notes {
            writeln!(out, "  note: {note}")?;
        }
        Ok(())
    }
}

/// A projection as the registry shows it.
#[derive(Serialize)]
pub struct Shown {
    /// Its description.
    #[serde(flatten)]
    pub header: Header,
    /// A threshold that was to be translated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
}

/// Cosines that as many pairs of records exceed.
#[derive(Serialize)]
pub struct Threshold {
    /// Between source vectors.
    pub source: f64,
    /// Between projected vectors.
    pub projected: f64,
    /// Between vectors of the target model.
    pub native: f64,
}

impl Show for Shown {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        self.header.show(out)?;
        let Some(Threshold { source, projected, native }) = &self.threshold else { return Ok(()) };
        writeln!(
            out,
            "a threshold of {source:.3} between source vectors is {projected:.3} between projected and {native:.3} between \
             native vectors: as many pairs of records exceed it"
        )
    }
}

/// A projection that was made of two, and its file.
#[derive(Serialize)]
pub struct Composed {
    /// Its description.
    #[serde(flatten)]
    pub header: Header,
    /// Where it lies.
    pub file: PathBuf,
}

impl Show for Composed {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        self.header.show(out)?;
        writeln!(out, "saved: {}", self.file.display())
    }
}

/// The entries of a registry.
#[derive(Serialize)]
pub struct Listing<'a> {
    /// Each projection.
    pub projections: Vec<&'a Entry>,
}

impl Show for Listing<'_> {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        for e in &self.projections {
            if e.role == Role::Queries {
                writeln!(
                    out,
                    "{} (bridge for queries)\n  {} -> {}\n  {} pairs, finds {} of its own model's top 10, {} of the collection's",
                    e.name,
                    e.source,
                    e.target,
                    e.training_pairs,
                    number(e.metrics.native_found),
                    number(e.metrics.own_found)
                )?;
                continue;
            }
            writeln!(
                out,
                "{}\n  {} -> {}\n  {}, {} pairs, overlap@10 {}, cosine {}",
                e.name,
                e.source,
                e.target,
                e.method,
                e.training_pairs,
                number(e.metrics.overlap_at_10),
                number(e.metrics.cosine_mean)
            )?;
        }
        if self.projections.is_empty() {
            writeln!(out, "no projection is registered; make one with `embedport train`")?;
        }
        Ok(())
    }
}

/// Whether the files of a registry are what it says.
#[derive(Serialize)]
pub struct Checked {
    /// One line each.
    pub projections: Vec<CheckedEntry>,
}

/// One projection of [`Checked`].
#[derive(Serialize)]
pub struct CheckedEntry {
    /// Name.
    pub name: String,
    /// Whether it ships with the program.
    pub bundled: bool,
    /// What is wrong, if anything is.
    pub problem: Option<String>,
}

impl Show for Checked {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        for e in &self.projections {
            let origin = if e.bundled { " (ships with embedport)" } else { "" };
            match &e.problem {
                None => writeln!(out, "ok    {}{origin}", e.name)?,
                Some(problem) => writeln!(out, "FAIL  {}{origin}: {problem}", e.name)?,
            }
        }
        Ok(())
    }
}

/// A vector file that was projected.
#[derive(Serialize)]
pub struct Applied {
    /// The projection.
    pub projection: String,
    /// Whether the projection would keep more with the texts, which a vector file does not have.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_texts: bool,
    /// Rows written.
    pub rows: usize,
    /// Components of a source row.
    pub source_dimension: usize,
    /// Components of a target row.
    pub target_dimension: usize,
    /// The file.
    pub output: PathBuf,
    /// The file of confidence and crowding, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<PathBuf>,
}

impl Show for Applied {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(
            out,
            "projected {} rows of {} components to {} components: {}",
            self.rows,
            self.source_dimension,
            self.target_dimension,
            self.output.display()
        )?;
        if let Some(path) = &self.confidence {
            writeln!(out, "  confidence and crowding of each: {}", path.display())?;
        }
        if self.without_texts {
            writeln!(
                out,
                "  by the vectors alone: a vector file has no texts, which would assist this projection"
            )?;
        }
        Ok(())
    }
}
