//! Vector to vector: fitted maps from one space to another, how they are found, applied and stored.
//!
//! A *kind* is what is applied ([`kind::KINDS`]), a *method* is how it was found ([`fit::METHODS`]).

mod affine;
mod assisted;
mod blank;
mod blend;
mod bridge;
mod centres;
mod chain;
mod compose;
mod file;
mod file_texts;
mod file_trust;
pub mod fit;
mod header;
mod kernel;
pub mod kind;
mod mixture;
mod mlp;
mod nearest;
mod nested;
mod pairs;
mod role;
mod trust;
mod words;

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, s};

pub use affine::Affine;
pub use assisted::Assisted;
pub use blend::Blend;
pub use bridge::BridgeReport;
pub use chain::Chain;
pub use header::{Header, Subject};
pub use kind::Kind;
pub use pairs::{Pairs, text_hash, text_hash_of_key, text_key};
pub use role::Role;
pub use trust::{Rated, Trust};
pub use words::{Codes, MOST_WORDS, Words};

use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::matrix;
use crate::measure::{HeldOutReport, Near, ScoreScale, Ways};
use crate::space::{Space, same_model};
use fit::texts::WithTexts;
use fit::{FitOptions, Rest, crossed};

/// A fitted projection: from where, to where, how good, and the map itself.
#[derive(Debug)]
pub struct Projection {
    /// Everything but numbers: spaces, method, origin, held-out report.
    pub header: Header,
    /// The map of vectors alone.
    pub kind: Box<dyn Kind>,
    /// The map for records that keep their text, if that is better.
    pub assisted: Option<Assisted>,
    /// How far records can be trusted; none in files of earlier releases and where pairs were few.
    pub trust: Option<Trust>,
    /// Pairs that were not trained on, for later verification.
    pub held_out: Option<HeldOut>,
}

/// Pairs that were not trained on. In files they are kept in half precision.
#[derive(Clone, Debug)]
pub struct HeldOut {
    /// Ids of the pairs, one a row.
    pub ids: Vec<String>,
    /// Source vectors, n x source dimension.
    pub source: Array2<f32>,
    /// Target vectors, n x target dimension.
    pub target: Array2<f32>,
    /// What the words of the texts say, n x components; none if the projection does not ask for texts.
    pub words: Option<Array2<f32>>,
    /// Mean of the training rows' target vectors: what knowing nothing would predict.
    pub training_mean: Array1<f32>,
}

impl HeldOut {
    fn of(held: &Pairs, words: Option<Array2<f32>>, training: &Pairs) -> Self {
        HeldOut {
            ids: held.ids().to_vec(),
            source: held.source().clone(),
            target: held.target().clone(),
            words,
            training_mean: matrix::column_means(training.target().view()).mapv(|v| v as f32),
        }
    }
}

impl Projection {
    /// Splits `pairs`, fits `method` to the training rows, measures it on the held-out rows.
    ///
    /// `held_out` is the number of rows to hold out ([`Pairs::default_held_out`] if none is given). With the `rest` of the
    /// collection that the pairs come from, the header says what the collection is expected to keep.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) if the pairs do not have the dimensions of the spaces,
    /// [`NotFound`](error::Kind::NotFound) for an unknown method, and those of [`Pairs::split`] and the method.
    pub fn fit(
        subject: Subject,
        pairs: &Pairs,
        method: &str,
        held_out: Option<usize>,
        options: &FitOptions,
        rest: Option<&Rest<'_>>,
        context: &Context<'_>,
    ) -> Result<Self> {
        subject.check(pairs)?;
        let source = pairs.dimensions().0;
        let held_out = held_out.unwrap_or_else(|| Pairs::default_held_out(pairs.len()));
        let (training, held) = pairs.split(held_out, context.seed)?;
        let mut fitted = fit::fit(method, &training, options, context)?;
        let with_texts = fit::texts::fit(method, &training, &mut fitted, options, context)?;
        let mut header = Header::new(subject, method, &fitted, &training, &held, context);
        let (taken, again) = (fitted.taken.unwrap_or(method), options.again(&fitted));
        let mut assisted_method = None;
        let assisted = match (with_texts, training.texts()) {
            (Some(WithTexts { fitted, length }), Some(texts)) => {
                let taken = fitted.taken.unwrap_or(method);
                let options = options.again(&fitted);
                let assisted = Assisted::new(texts.words.as_ref().clone(), length, fitted.kind, source)?;
                header.assist(assisted.kind().name());
                if let Some(rest) = rest {
                    let told = assisted.expected(taken, &training, &held, rest, &options, context)?;
                    header.expected_with_texts = told;
                }
                assisted_method = Some((taken, options));
                Some(assisted)
            }
            _ => None,
        };
        // What is said of records with texts is what counts; to say it of those without would take as long again.
        if let Some(rest) = rest.filter(|_| assisted.is_none()) {
            let fitted = Some((fitted.kind.as_ref(), &held));
            header.expected = fit::expected(taken, &training, fitted, rest, &again, context)?;
        }
        let wide =
            assisted.as_ref().map(|assisted| training.widened(assisted.length())).transpose()?.flatten();
        let (best, again) = assisted_method.unwrap_or((taken, again));
        let crossed = crossed::crossed(best, wide.as_ref().unwrap_or(&training), &again, context)?;
        let mut trust = None;
        if let Some(crossed) = &crossed
            && let Some(learnt) = Trust::learn(crossed)?
        {
            let expected = header.expected_for(assisted.is_some());
            if let Some(expected) = expected {
                let source = crossed.pairs.source().slice(s![.., ..source]);
                let (made, truth) = (crossed.predicted.view(), crossed.pairs.target().view());
                let near = Near::measure(source, made, truth)?;
                header.ways = near.map(|near| Ways::expected(&near, expected, context.seed));
            }
            header.trust();
            trust = Some(learnt);
        }
        let words = held.texts().filter(|_| assisted.is_some()).map(|texts| texts.rows.clone());
        let held_out = HeldOut::of(&held, words, &training);
        let mut projection = Projection { header, kind: fitted.kind, assisted, trust: None, held_out: None };
        let report = |projected: Array2<f32>| {
            let mean = held_out.training_mean.view();
            let (source, target) = (held_out.source.view(), held_out.target.view());
            HeldOutReport::measure(source, projected.view(), target, mean, context.seed)
        };
        let (alone, with_texts) =
            (projection.apply(held_out.source.view())?, projection.apply_with_texts(&held_out)?);
        let used = with_texts.as_ref().unwrap_or(&alone);
        let scores = ScoreScale::measure(held_out.source.view(), used.view(), held_out.target.view())?;
        projection.header.scores = Some(scores);
        if let Some(trust) = &mut trust {
            trust.level(used.view(), held_out.target.view())?;
        }
        projection.trust = trust;
        projection.header.report = report(alone)?;
        projection.header.report_with_texts = with_texts.map(report).transpose()?;
        projection.held_out = Some(held_out);
        Ok(projection)
    }

    /// Space of the vectors that it takes.
    pub fn source(&self) -> &Space {
        &self.header.source
    }

    /// Space of the vectors that it gives.
    pub fn target(&self) -> &Space {
        &self.header.target
    }

    /// The target vectors of the rows of `x` (n x source dimension), n x target dimension.
    /// Of length 1 each if the target space is known to be normalised.
    ///
    /// # Errors
    /// As [`Projection::apply_into`].
    pub fn apply(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let mut out = Array2::zeros((x.nrows(), self.header.target.dimension));
        self.apply_into(x, out.view_mut())?;
        Ok(out)
    }

    /// As [`Projection::apply`], into `out` (n x target dimension).
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) on a wrong dimension; [`Damaged`](error::Kind::Damaged) if a vector
    /// holds a value that is not finite (number of such rows and the first) or is mapped to one.
    pub fn apply_into(&self, x: ArrayView2<'_, f32>, out: ArrayViewMut2<'_, f32>) -> Result<()> {
        self.checked(x, out, |out| self.kind.apply_into(x, out))
    }

    /// Looks at `x` before and at `out` after `map`, and gives the rows of `out` the length that the target space asks for.
    fn checked(
        &self,
        x: ArrayView2<'_, f32>,
        mut out: ArrayViewMut2<'_, f32>,
        map: impl FnOnce(ArrayViewMut2<'_, f32>) -> Result<()>,
    ) -> Result<()> {
        let (source, target) = (self.header.source.dimension, self.header.target.dimension);
        if x.ncols() != source || out.dim() != (x.nrows(), target) {
            return Err(Error::new(
                error::Kind::Mismatch,
                format!(
                    "vectors have {} components, the projection takes {source} and gives {target}",
                    x.ncols()
                ),
            ));
        }
        finite(matrix::not_finite(x), x.nrows(), "source")?;
        map(out.view_mut())?;
        let bad = match self.header.target.normalised {
            Some(true) => matrix::normalise_rows(out),
            _ => matrix::not_finite(out.view()),
        };
        finite(bad, x.nrows(), "projected")
    }

    /// As [`Projection::apply`], for one vector: a query at search time.
    ///
    /// # Errors
    /// As [`Projection::apply_into`].
    pub fn apply_one(&self, vector: &[f32]) -> Result<Vec<f32>> {
        let row = ArrayView2::from_shape((1, vector.len()), vector)
            .map_err(|e| Error::new(error::Kind::Internal, "one vector is no row").because(e))?;
        Ok(self.apply(row)?.into_raw_vec_and_offset().0)
    }

    /// Whether vectors of the space `found` may be projected: no known field contradicts.
    ///
    /// # Errors
    /// [`Mismatch`](error::Kind::Mismatch) naming the fields that differ, or saying that the direction is wrong, or that it is a
    /// bridge ([`Projection::check_maps_records`]).
    pub fn check_source(&self, found: &Space) -> Result<()> {
        self.check_maps_records()?;
        self.check_source_space(found)
    }

    /// The same of vectors of records or of queries, as the projection maps them.
    fn check_source_space(&self, found: &Space) -> Result<()> {
        let (source, target) = (&self.header.source, &self.header.target);
        let agreement = found.compare(source);
        if agreement.is_compatible() {
            return Ok(());
        }
        if found.compare(target).is_compatible() {
            return Err(Error::new(
                error::Kind::Mismatch,
                format!(
                    "the projection maps {} to {}; this collection holds {}; the reverse direction is wanted",
                    source.model, target.model, found.model
                ),
            )
            .hint(format!(
                "train it with `embedport train --source-model {} --target-model {}`",
                target.model, source.model
            )));
        }
        Err(Error::new(
            error::Kind::Mismatch,
            format!("these vectors are not in the source space of the projection: {}", agreement.contradictions()),
        )
        .hint(match same_model(&found.model, &source.model) {
            // The model's name is then only what was assumed or declared; what is known says otherwise.
            true => format!(
                "check which model made them; train a projection from them with `embedport train --from STORE \
                 --collection NAME --source-model MODEL --target-model {}`",
                target.model
            ),
            false => format!(
                "train a projection with `embedport train --source-model {} --target-model {}`",
                found.model, target.model
            ),
        }))
    }
}

/// `bad`: number of rows that hold a value that is not finite, and the first of them.
fn finite(bad: Option<(usize, usize)>, rows: usize, which: &str) -> Result<()> {
    match bad {
        None => Ok(()),
        Some((count, first)) => Err(Error::new(
            error::Kind::Damaged,
            format!(
                "{count} of {rows} {which} vectors hold values that are not finite, the first is row {first}"
            ),
        )),
    }
}

#[cfg(test)]
mod kind_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod text_tests;
