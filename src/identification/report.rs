//! From trials to what is said about them.

use ndarray::ArrayView2;

use super::assignment::{FITS, assign};
use super::candidate::Candidate;
use super::findings::{Findings, Fit, Outcome, Part, Tried};
use super::search::Found;
use super::trial::{Lengths, Trial};
use crate::error::Result;
use crate::measure::bootstrap::quantile;
use crate::measure::proportion::wilson;
use crate::measure::{self, SourceMatch, match_space};

/// Unexplained rows are called a part of their own from this share and from two rows: single texts are edited without
/// their vectors in any collection.
const UNKNOWN_PART: f64 = 0.05;

/// A model that reproduces no row is near from this median cosine if [`match_space`] does not contradict: its first layers
/// alone with the same pooling had 0.22 (mean) and 0.73 (cls, where all vectors share a direction, and the spaces differ by
/// their energies); storage in four bits had 0.99.
const NEAR: f64 = 0.5;

/// Sums up. `ids` are those of the rows of `stored`.
pub(super) fn report(
    stored: ArrayView2<'_, f32>,
    ids: &[String],
    candidates: &[Candidate<'_>],
    found: Found,
) -> Result<Findings> {
    let Found { mut trials, left_out } = found;
    let cosines: Vec<Vec<f64>> = trials.iter().map(Trial::cosines).collect();
    let made_by = assign(&cosines.iter().map(Vec::as_slice).collect::<Vec<_>>(), ids.len());
    let counts = |trial: usize| made_by.iter().filter(|by| **by == Some(trial)).count();
    let mut order: Vec<usize> = (0..trials.len()).collect();
    let rank = |t: &usize| (counts(*t), trials.get(*t).map_or(0.0, Trial::median_cosine));
    order.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    let near = match order.first().and_then(|first| trials.get_mut(*first)) {
        Some(trial) if made_by.iter().all(Option::is_none) => near(stored, trial)?.map(|found| (0, found)),
        _ => None,
    };
    let mut tried: Vec<Tried> = order
        .iter()
        .filter_map(|t| {
            let trial = trials.get(*t)?;
            Some(describe(trial, candidates.get(trial.candidate)?, counts(*t)))
        })
        .collect();
    if let (Some((place, _)), Some(first)) = (near, tried.first_mut())
        && place == 0
    {
        first.verdict = Fit::Near;
    }
    let parts = parts(&order, &made_by, &cosines, &tried, ids);
    Ok(Findings { rows: ids.len(), verdict: verdict(&parts, ids.len()), parts, near, tried, left_out })
}

/// Pure: parts, unknown rows last, of `rows` rows in all.
fn verdict(parts: &[Part], rows: usize) -> Outcome {
    let unknown = parts.iter().filter(|p| p.made_by.is_none()).map(|p| p.rows).sum::<usize>();
    let known: Vec<&Part> = parts.iter().filter(|p| p.made_by.is_some()).collect();
    let few = unknown < 2 || (unknown as f64) < UNKNOWN_PART * rows as f64;
    match known.as_slice() {
        [] => Outcome::NoneFits,
        [one] if few && one.rows * 2 > rows => Outcome::Identified,
        _ => Outcome::Mixed,
    }
}

fn parts(
    order: &[usize],
    made_by: &[Option<usize>],
    cosines: &[Vec<f64>],
    tried: &[Tried],
    ids: &[String],
) -> Vec<Part> {
    let lead = order.first().copied();
    let part = |wanted: Option<usize>, place: Option<usize>| -> Option<Part> {
        let rows: Vec<usize> = (0..made_by.len()).filter(|row| made_by.get(*row) == Some(&wanted)).collect();
        let of = wanted.or(lead.filter(|lead| made_by.contains(&Some(*lead))));
        let mut near: Vec<f64> = of
            .and_then(|t| cosines.get(t))
            .map(|all| rows.iter().filter_map(|row| all.get(*row).copied()).collect())
            .unwrap_or_default();
        near.sort_by(f64::total_cmp);
        let declaration = place.and_then(|place| tried.get(place)).map(|t| t.declaration.clone());
        (!rows.is_empty()).then(|| Part {
            made_by: place,
            declaration: declaration.unwrap_or_else(|| "unknown".to_owned()),
            rows: rows.len(),
            share: wilson(rows.len(), made_by.len()),
            median_cosine: quantile(&near, 0.5),
            ids: rows.iter().filter_map(|row| ids.get(*row).cloned()).collect(),
        })
    };
    let known = order.iter().enumerate().filter_map(|(place, t)| part(Some(*t), Some(place)));
    known.chain(part(None, None)).collect()
}

/// Whether the stored vectors are close to what this trial made although no row is reproduced.
fn near(stored: ArrayView2<'_, f32>, trial: &mut Trial) -> Result<Option<SourceMatch>> {
    let Some(made) = trial.made.take().filter(|_| trial.median_cosine() >= NEAR) else { return Ok(None) };
    let lengths = crate::matrix::row_norms(stored).mean().unwrap_or(1.0);
    let own = crate::matrix::row_norms(made.view()).mean().unwrap_or(1.0).max(1e-30);
    // Lengths are told apart elsewhere, and must not speak against the space.
    let scaled = made.mapv(|x| (f64::from(x) * lengths / own) as f32);
    let found = match_space(stored, scaled.view())?;
    Ok((found.verdict != measure::Verdict::DoesNotFit).then_some(found))
}

fn describe(trial: &Trial, candidate: &Candidate<'_>, rows: usize) -> Tried {
    let outline = &candidate.outline;
    let (mut words, mut keys) = (Vec::new(), String::new());
    if trial.pooling != outline.pooling {
        words.push(format!("pooling {}", trial.pooling));
        keys += &format!(",pooling={}", trial.pooling);
    }
    if trial.run.prompt != outline.document_prompt {
        words.push(match trial.run.prompt.as_str() {
            "" => "without a prompt".to_owned(),
            prompt => format!("prompt `{prompt}`"),
        });
        if !trial.run.prompt.contains(',') {
            keys += &format!(",document_prompt={}", trial.run.prompt);
        }
    }
    if let Some(tokens) = trial.run.max_tokens {
        words.push(format!("texts cut after {tokens} tokens"));
        keys += &format!(",max_tokens={tokens}");
    }
    if trial.cut {
        words.push("its first components alone".to_owned());
    }
    let lengths = trial.lengths();
    let normalised = lengths.map(|lengths| lengths == Lengths::Unit);
    match lengths {
        Some(Lengths::Unit) if !outline.normalised => {
            words.push("normalised to length 1".to_owned());
            keys += ",normalised=true";
        }
        Some(Lengths::Raw | Lengths::Other) if outline.normalised => {
            words.push("not normalised".to_owned());
            keys += ",normalised=false";
        }
        Some(Lengths::Other) => words.push("lengths changed afterwards".to_owned()),
        _ => {}
    }
    let fitting = trial.rows.iter().filter(|row| row.cosine >= FITS).count();
    Tried {
        model: candidate.name.clone(),
        origin: candidate.origin,
        variant: if words.is_empty() { "as configured".to_owned() } else { words.join(", ") },
        declaration: format!("{}{keys}", candidate.name),
        median_cosine: trial.median_cosine(),
        fitting,
        share: wilson(fitting, trial.rows.len()),
        normalised,
        verdict: match (fitting * 2 > trial.rows.len(), fitting.max(rows)) {
            (true, _) => Fit::Fits,
            (false, 0) => Fit::DoesNotFit,
            _ => Fit::Partly,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(made_by: Option<usize>, rows: usize) -> Part {
        let share = wilson(rows, 50);
        Part { made_by, declaration: String::new(), rows, share, median_cosine: None, ids: Vec::new() }
    }

    #[test]
    fn single_unexplained_rows_are_no_part_of_their_own() {
        assert_eq!(verdict(&[part(Some(0), 50)], 50), Outcome::Identified);
        assert_eq!(verdict(&[part(Some(0), 48), part(None, 2)], 50), Outcome::Identified);
        assert_eq!(verdict(&[part(Some(0), 47), part(None, 3)], 50), Outcome::Mixed);
        assert_eq!(verdict(&[part(Some(0), 7), part(None, 1)], 8), Outcome::Identified);
    }

    #[test]
    fn rows_that_another_way_reproduces_are_a_mixture_from_the_first_one_on() {
        assert_eq!(verdict(&[part(Some(0), 49), part(Some(1), 1)], 50), Outcome::Mixed);
        assert_eq!(verdict(&[part(Some(0), 10), part(None, 40)], 50), Outcome::Mixed);
        assert_eq!(verdict(&[part(None, 50)], 50), Outcome::NoneFits);
        assert_eq!(verdict(&[], 0), Outcome::NoneFits);
    }
}
