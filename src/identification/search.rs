//! Which ways are tried: all candidates as they are, then what could explain the rows that are left.

use ndarray::ArrayView2;

use super::assignment::EXACT;
use super::candidate::{Candidate, LeftOut, Origin, Run};
use super::trial::{self, Trial};
use crate::context::Context;
use crate::error::Result;

/// A prompt or another cut moves a vector and does not send it elsewhere: other runs of a model are tried if one of the
/// rows that are left is at least so near to it. Of all-MiniLM-L6-v2, `query: ` left a median cosine of 0.96; an unrelated
/// model of 384 components had one of 0.01.
const REACH: f64 = 0.4;

/// Longest inputs that are tried, in tokens, until every row is explained: those that libraries set come first.
const LENGTHS: [usize; 8] = [256, 128, 512, 384, 64, 96, 192, 32];

/// What was tried and what was not.
#[derive(Default)]
pub(super) struct Found {
    pub trials: Vec<Trial>,
    pub left_out: Vec<LeftOut>,
}

/// Compares `stored` (n x d) with what `candidates` make of the `texts` of its rows.
///
/// Models that nobody named are not run once every row is explained.
///
/// # Errors
/// Only an interruption; what else is wrong with a model is a reason to leave it out.
pub(super) fn search(
    stored: ArrayView2<'_, f32>,
    texts: &[&str],
    candidates: &[Candidate<'_>],
    context: &Context<'_>,
) -> Result<Found> {
    let mut search = Search { stored, texts, candidates, context, done: Vec::new(), found: Found::default() };
    context.progress.start("embedding with candidates", None, "texts");
    let outcome = search.all();
    context.progress.finish();
    outcome.map(|()| search.found)
}

struct Search<'a, 'r> {
    stored: ArrayView2<'r, f32>,
    texts: &'a [&'a str],
    candidates: &'a [Candidate<'a>],
    context: &'a Context<'a>,
    done: Vec<(usize, Run)>,
    found: Found,
}

impl Search<'_, '_> {
    fn all(&mut self) -> Result<()> {
        for (place, candidate) in self.candidates.iter().enumerate() {
            if !candidate.origin.is_named() && self.left().is_empty() {
                self.leave(candidate, "not run: every row was explained before it".into());
                continue;
            }
            for run in &candidate.first {
                if !self.run(place, run.clone())? {
                    break;
                }
            }
        }
        // What makes some rows exactly is right about everything but the longest texts.
        self.cut(false)?;
        for (place, candidate) in self.candidates.iter().enumerate() {
            for prompt in candidate.further_prompts() {
                if self.reaches(place) {
                    self.run(place, Run { prompt, max_tokens: None })?;
                }
            }
        }
        self.cut(true)
    }

    /// Tries other longest inputs of the candidates that make some rows exactly, best first; if none does and `guessing`,
    /// of the nearest one.
    fn cut(&mut self, guessing: bool) -> Result<()> {
        let merit = |trial: &Trial| (trial.exact(), trial.median_cosine());
        let mut leads: Vec<(usize, (usize, f64), String)> = Vec::new();
        for trial in &self.found.trials {
            let found = (trial.candidate, merit(trial), trial.run.prompt.clone());
            match leads.iter_mut().find(|lead| lead.0 == trial.candidate) {
                Some(lead) if found.1 > lead.1 => *lead = found,
                Some(_) => {}
                None => leads.push(found),
            }
        }
        leads.sort_by(|a, b| b.1.0.cmp(&a.1.0).then(b.1.1.total_cmp(&a.1.1)));
        let exact = leads.iter().filter(|lead| lead.1.0 > 0).count();
        leads.truncate(if exact == 0 && guessing { 1 } else { exact });
        // A text has no more tokens than bytes: where all are shorter, no cut makes a difference.
        let longest = self.texts.iter().map(|text| text.len()).max().unwrap_or(0);
        for (place, _, prompt) in leads {
            let own = self.candidates.get(place).and_then(|c| c.outline.max_tokens).unwrap_or(usize::MAX);
            for tokens in LENGTHS.into_iter().filter(|tokens| *tokens != own && longest > own.min(*tokens)) {
                if self.reaches(place) {
                    self.run(place, Run { prompt: prompt.clone(), max_tokens: Some(tokens) })?;
                }
            }
        }
        Ok(())
    }

    /// Rows that nothing explains exactly.
    fn left(&self) -> Vec<usize> {
        let near = |trial: &Trial, row: usize| trial.rows.get(row).is_some_and(|r| r.cosine >= EXACT);
        let explained = |row: &usize| self.found.trials.iter().any(|trial| near(trial, *row));
        (0..self.texts.len()).filter(|row| !explained(row)).collect()
    }

    /// Whether a row that is left is near what this candidate makes.
    fn reaches(&self, place: usize) -> bool {
        let left = self.left();
        self.found
            .trials
            .iter()
            .filter(|trial| trial.candidate == place)
            .any(|trial| left.iter().any(|row| trial.rows.get(*row).is_some_and(|r| r.cosine >= REACH)))
    }

    /// Whether the candidate could be run.
    fn run(&mut self, place: usize, run: Run) -> Result<bool> {
        self.context.check()?;
        let Some(candidate) =
            self.candidates.get(place).filter(|_| !self.done.contains(&(place, run.clone())))
        else {
            return Ok(true);
        };
        self.done.push((place, run.clone()));
        match trial::run((place, candidate), &run, self.stored, self.texts, self.context) {
            Ok(trials) => {
                for trial in trials {
                    self.add(trial);
                }
                Ok(true)
            }
            Err(error) if error.is_interrupted() => Err(error),
            Err(error) => {
                self.leave(candidate, error.message().to_owned());
                Ok(false)
            }
        }
    }

    /// What gives the same as a way before it is no other way. Only the nearest trial keeps its vectors.
    fn add(&mut self, mut trial: Trial) {
        let same = |other: &Trial| {
            let rows = other.rows.iter().zip(&trial.rows);
            other.candidate == trial.candidate
                && other.pooling == trial.pooling
                && rows.into_iter().all(|(a, b)| (a.cosine - b.cosine).abs() < 1e-7)
        };
        if self.found.trials.iter().any(same) {
            return;
        }
        let keeper = self.found.trials.iter_mut().find(|other| other.made.is_some());
        match keeper {
            Some(other) if other.median_cosine() >= trial.median_cosine() => trial.made = None,
            Some(other) => other.made = None,
            None => {}
        }
        self.found.trials.push(trial);
    }

    fn leave(&mut self, candidate: &Candidate<'_>, reason: String) {
        let (model, origin): (String, Origin) = (candidate.name.clone(), candidate.origin);
        self.found.left_out.push(LeftOut { model, origin, reason });
    }
}
