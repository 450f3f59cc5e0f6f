//! Asking all systems the same questions: the corpus, native vectors, baselines.

use std::path::Path;

use ndarray::Array2;

use super::native;
use super::queries::{self, Queries};
use super::result::{Evaluation, Native, Pictures, Role, System};
use super::system::{self, Rankings, Scored};
use super::vectors::{VectorSource, Vectors, prepare};
use super::{Baseline, Request};
use crate::context::Context;
use crate::embed::PrecomputedVectors;
use crate::error::{Error, Kind, Result};
use crate::measure::nearest::Metric;
use crate::measure::ranking::Relevant;
use crate::texts::Judgements;

/// Name of the corpus where native vectors lack some of its records.
pub(super) const COMMON: &str = "corpus (common)";

/// What all systems are asked.
pub(super) struct Question<'a> {
    pub request: &'a Request<'a>,
    pub judgements: Option<&'a Judgements>,
    pub queries: &'a Queries,
    pub metric: Metric,
    pub context: &'a Context<'a>,
}

/// A system with what it found.
pub(super) struct Answered {
    pub system: System,
    pub rankings: Rankings,
    pub relevant: Vec<Relevant>,
    pub scored: Vec<Scored>,
}

impl Question<'_> {
    /// Asks every system and compares.
    pub fn evaluate(&self, corpus: Vectors) -> Result<Evaluation> {
        let mut notes = self.first_notes(&corpus);
        let mut pictures = Pictures::default();
        let mut answers = vec![self.ask("corpus", Role::Corpus, &corpus, None)?];
        let mut native_ids = None;
        let native = match &self.request.native {
            None => None,
            Some(path) => {
                let (common, native) = self.native(path, &corpus, &mut notes)?;
                let mut truth = self.ask("native", Role::Native, &native, None)?;
                if let Some(common) = &common {
                    answers.push(self.ask(COMMON, Role::CorpusCommon, common, None)?);
                }
                let ours = answers.last_mut().ok_or_else(|| Error::new(Kind::Internal, "no corpus"))?;
                ours.scored.extend(native::native_top(
                    &ours.rankings,
                    &truth.rankings,
                    &self.request.k,
                    native.ids.len(),
                ));
                let compared = native::compare(
                    common.as_ref().unwrap_or(&corpus),
                    &native,
                    (&ours.scored, &truth.scored),
                    &self.request.k,
                    self.metric,
                    self.context,
                    &mut pictures,
                )?;
                self.compare(ours, &mut truth, &mut pictures);
                answers.push(truth);
                let without_native = corpus.ids.len() - native.ids.len();
                native_ids = Some(native.ids);
                Some(Native { without_native, ..compared })
            }
        };
        drop(corpus.rows);
        for baseline in &self.request.baselines {
            let mut answer = self.ask_baseline(baseline, &corpus.ids, &mut notes)?;
            let truth = answers.iter().find(|a| a.system.role == Role::Native);
            match (truth, &native_ids) {
                (Some(truth), Some(ids)) if answer.1 == *ids => answer.0.scored.extend(native::native_top(
                    &answer.0.rankings,
                    &truth.rankings,
                    &self.request.k,
                    ids.len(),
                )),
                (Some(_), _) => notes.push(format!(
                    "how much of the native top {} `{}` finds was not measured: it has other records",
                    self.main_k(),
                    baseline.name
                )),
                _ => {}
            }
            if let Some(ours) = answers.first() {
                self.compare(ours, &mut answer.0, &mut pictures);
            }
            answers.push(answer.0);
        }
        self.conclude(answers, &corpus.ids, native, notes, pictures)
    }

    /// The length that pictures are of.
    pub fn main_k(&self) -> usize {
        self.request.k.first().copied().unwrap_or(10)
    }

    /// Asks prepared vectors, with queries of their own if they have some (prepared too).
    fn ask(&self, name: &str, role: Role, vectors: &Vectors, own: Option<&Array2<f32>>) -> Result<Answered> {
        let queries = own.unwrap_or(&self.queries.rows);
        queries::must_fit(queries, vectors)?;
        let most = self.request.k.iter().copied().max().unwrap_or(0);
        let rankings = Rankings::of(queries.view(), vectors, most, self.metric, self.context)?;
        let relevant = match self.judgements {
            Some(judgements) => system::relevant(&self.queries.ids, judgements, vectors),
            None => Vec::new(),
        };
        let scored = match self.judgements {
            Some(_) => system::judge(&rankings, &relevant, &self.request.k),
            None => Vec::new(),
        };
        let system = System {
            name: name.to_owned(),
            role,
            origin: vectors.origin.clone(),
            records: vectors.ids.len(),
            dimension: vectors.rows.ncols(),
            figures: Vec::new(),
            differences: Vec::new(),
            scores: rankings.quantiles(self.main_k()),
        };
        Ok(Answered { system, rankings, relevant, scored })
    }

    /// Native vectors, and the corpus cut to the records that both have where it has more.
    fn native(
        &self,
        path: &Path,
        corpus: &Vectors,
        notes: &mut Vec<String>,
    ) -> Result<(Option<Vectors>, Vectors)> {
        let mut native = Vectors::read(&VectorSource::File(path.to_owned()), self.context)?;
        queries::must_fit(&self.queries.rows, &native)?;
        prepare(&mut native.rows, self.metric);
        let (ours, theirs) = corpus.common_rows(&native);
        if ours.is_empty() {
            return Err(Error::new(Kind::Mismatch, format!("{} has no id of the corpus", native.origin))
                .hint("native vectors and corpus must name records by the same ids"));
        }
        if theirs.len() < native.ids.len() {
            notes.push(format!(
                "native vectors left out because the corpus has no such record: {} of {}",
                native.ids.len() - theirs.len(),
                native.ids.len()
            ));
            native = native.select(&theirs);
        }
        if ours.len() == corpus.ids.len() {
            return Ok((None, native));
        }
        notes.push(format!(
            "records without a native vector: {} of {}; everything against native is on the {} others",
            corpus.ids.len() - ours.len(),
            corpus.ids.len(),
            ours.len()
        ));
        Ok((Some(corpus.select(&ours)), native))
    }

    /// What a baseline found, and its ids.
    fn ask_baseline(
        &self,
        baseline: &Baseline,
        corpus: &[String],
        notes: &mut Vec<String>,
    ) -> Result<(Answered, Vec<String>)> {
        let named = |e: Error| e.context(format!("baseline `{}`", baseline.name));
        let mut vectors =
            Vectors::read(&VectorSource::File(baseline.vectors.clone()), self.context).map_err(named)?;
        prepare(&mut vectors.rows, self.metric);
        let own = match &baseline.queries {
            None => None,
            Some(path) => {
                let mut rows =
                    PrecomputedVectors::load(path).and_then(|q| q.get(&self.queries.ids)).map_err(named)?;
                prepare(&mut rows, self.metric);
                Some(rows)
            }
        };
        let both = corpus.iter().filter(|id| vectors.row_of(id).is_some()).count();
        if both < corpus.len() || both < vectors.ids.len() {
            notes.push(format!(
                "baseline `{}` lacks {} of the {} records of the corpus and has {} others",
                baseline.name,
                corpus.len() - both,
                corpus.len(),
                vectors.ids.len() - both
            ));
        }
        let answered = self.ask(&baseline.name, Role::Baseline, &vectors, own.as_ref()).map_err(named)?;
        Ok((answered, vectors.ids))
    }

    /// Differences of the corpus to another.
    fn compare(&self, ours: &Answered, other: &mut Answered, pictures: &mut Pictures) {
        other.system.differences = system::differences(&ours.scored, &other.scored, self.context.seed);
        let name = format!("ndcg@{}", self.main_k());
        if let Some((a, b)) = system::both(&ours.scored, &other.scored).find(|(a, _)| a.name == name) {
            let mut differences: Vec<f64> = a.values.iter().zip(&b.values).map(|(a, b)| a - b).collect();
            differences.sort_by(f64::total_cmp);
            pictures.differences.push((other.system.name.clone(), differences));
        }
    }
}
