//! Putting the answers of all systems together, with what the reader should know.

use std::collections::HashSet;

use super::QuerySource;
use super::question::{Answered, Question};
use super::result::{Asked, Evaluation, Histogram, Judged, Native, Pictures, Role, WorstQuery};
use super::system;
use super::vectors::Vectors;
use crate::error::{Error, Kind, Result};
use crate::measure::nearest::Metric;
use crate::measure::ranking::{self, Relevant};
use crate::measure::{COVERAGE, bootstrap};
use crate::space::same_model;
use crate::texts::Judgements;

/// Queries shown as the worst.
const WORST: usize = 10;
/// Bins of the plot of scores.
const SCORE_BINS: usize = 40;

impl Question<'_> {
    /// What is known before anything is asked.
    pub(super) fn first_notes(&self, corpus: &Vectors) -> Vec<String> {
        let mut notes = Vec::new();
        let queries = self.queries;
        if self.judgements.is_none() {
            notes.push(
                "no judgements were given: nDCG, recall and MRR were not measured, only overlap with native"
                    .into(),
            );
        } else if queries.ids.len() < queries.given {
            notes.push(format!(
                "queries left out because no record was judged relevant to them: {} of {}",
                queries.given - queries.ids.len(),
                queries.given
            ));
        }
        if queries.repeated > 0 {
            notes.push(format!(
                "queries left out because they repeat the text of another: {}",
                queries.repeated
            ));
        }
        let zeros = corpus.rows.rows().into_iter().filter(|row| row.iter().all(|v| *v == 0.0)).count();
        if zeros > 0 {
            notes.push(format!("records with a vector of zeros: {zeros}"));
        }
        if let (QuerySource::Texts { model, .. }, Some(recorded)) = (&self.request.queries, &corpus.model)
            && !same_model(&model.space().model, recorded)
        {
            notes.push(format!(
                "the store names `{recorded}` as the model of its vectors, the queries are embedded with `{}`",
                model.space().model
            ));
        }
        notes
    }

    /// Puts the answers together.
    pub(super) fn conclude(
        &self,
        mut answers: Vec<Answered>,
        ids: &[String],
        native: Option<Native>,
        mut notes: Vec<String>,
        mut pictures: Pictures,
    ) -> Result<Evaluation> {
        let ours = answers.first().ok_or_else(|| Error::new(Kind::Internal, "no corpus was asked"))?;
        let judgements = self.judged(ours);
        if let Some(judged) = judgements.as_ref().filter(|j| j.without_query > 0) {
            notes.push(format!("judged queries that were not among the queries: {}", judged.without_query));
        }
        if let Some(judged) = judgements.as_ref().filter(|j| j.absent > 0) {
            notes.push(format!(
                "relevant records that the corpus lacks, which count as not found: {} of {}",
                judged.absent, judged.relevant
            ));
        }
        let worst_queries = match (self.request.with_texts, self.judgements) {
            (true, Some(judgements)) => Some(self.worst(ours, ids, judgements)),
            _ => None,
        };
        pictures.scores = self.score_histograms(&answers);
        for answer in &mut answers {
            answer.system.figures = system::figures(&answer.scored, self.context.seed);
        }
        Ok(Evaluation {
            metric: match self.metric {
                Metric::L2 => "l2",
                Metric::Cosine => "cosine",
                Metric::InnerProduct => "ip",
            },
            k: self.request.k.clone(),
            coverage: COVERAGE,
            resamples: bootstrap::RESAMPLES,
            seed: self.context.seed,
            queries: Asked {
                origin: self.queries.origin.clone(),
                given: self.queries.given,
                asked: self.queries.ids.len(),
            },
            judgements,
            systems: answers.into_iter().map(|a| a.system).collect(),
            native,
            worst_queries,
            notes,
            pictures,
        })
    }

    fn judged(&self, ours: &Answered) -> Option<Judged> {
        let (judgements, path) = self.judgements.zip(self.request.judgements.as_ref())?;
        let asked: HashSet<&str> = self.queries.ids.iter().map(String::as_str).collect();
        let unasked = |query: &&str| !asked.contains(query) && judgements.relevant(query).next().is_some();
        Some(Judged {
            origin: path.file_name().unwrap_or(path.as_os_str()).display().to_string(),
            without_query: judgements.queries().filter(unasked).count(),
            relevant: ours.relevant.iter().map(Relevant::count).sum(),
            absent: ours.relevant.iter().map(|r| r.absent.len()).sum(),
        })
    }

    fn score_histograms(&self, answers: &[Answered]) -> Vec<(String, Histogram)> {
        let k = self.main_k();
        let all = || answers.iter().flat_map(|a| a.rankings.first(k)).filter(|score| score.is_finite());
        let low = all().reduce(f64::min).unwrap_or_default();
        let high = all().reduce(f64::max).unwrap_or_default();
        let of =
            |a: &Answered| (a.system.name.clone(), Histogram::of(a.rankings.first(k), low, high, SCORE_BINS));
        answers.iter().filter(|a| a.system.role != Role::CorpusCommon).map(of).collect()
    }

    /// The queries with the lowest nDCG, by id where equal.
    fn worst(&self, ours: &Answered, ids: &[String], judgements: &Judgements) -> Vec<WorstQuery> {
        let k = self.main_k();
        let mut order: Vec<(f64, &String, usize)> = self
            .queries
            .ids
            .iter()
            .enumerate()
            .zip(ours.rankings.rows.iter().zip(&ours.relevant))
            .map(|((i, id), (rows, relevant))| (ranking::ndcg(rows, relevant, k), id, i))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
        order.truncate(WORST);
        let of = |(ndcg, id, i): (f64, &String, usize)| {
            let rows = ours.rankings.rows.get(i).map_or(&[][..], Vec::as_slice);
            let mut wanted: Vec<(&str, u32)> = judgements.relevant(id).collect();
            wanted.sort_by_key(|(_, grade)| std::cmp::Reverse(*grade));
            WorstQuery {
                id: id.clone(),
                text: self.queries.texts.get(i).cloned(),
                ndcg,
                first_relevant: ours.relevant.get(i).and_then(|r| ranking::first_relevant(rows, r)),
                found: rows.iter().take(3).filter_map(|row| ids.get(*row).cloned()).collect(),
                wanted: wanted.into_iter().take(3).map(|(id, _)| id.to_owned()).collect(),
            }
        };
        order.into_iter().map(of).collect()
    }
}
