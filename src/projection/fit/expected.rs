//! What a fitted map will keep in a whole collection, before it is applied: the maps and rows that
//! [`measure::retention`](crate::measure::retention) asks for.

use ndarray::{Array2, ArrayView2, Axis, concatenate};

use super::{FitOptions, Method, method};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::measure::retention::{Made, Observed, Retention};
use crate::projection::assisted;
use crate::projection::kind::Kind;
use crate::projection::pairs::Pairs;
use crate::random;

/// Rows that ask, at most in one trial, and in all trials together at least (if there are as many).
const MOST_ASKING: usize = 500;
const ENOUGH_ASKING: usize = 500;
/// Trials at most.
const MOST_TRIALS: usize = 5;
/// Fewest rows that ask, and fewest pairs that the smallest map is fitted to.
const FEWEST: usize = 20;
/// Records of the rest that are enough without any of the pairs.
const MANY_REST: usize = 1000;
/// Records of the rest that are projected at most.
pub const MOST_REST: usize = 10_000;

/// A collection beyond the pairs.
pub struct Rest<'a> {
    /// Records of the collection.
    pub records: u64,
    /// Source vectors of records drawn at random, none of the pairs among them: m x source dimension. At most
    /// [`MOST_REST`] of them are looked at.
    pub source: ArrayView2<'a, f32>,
    /// What the words of their texts say, m x components, if the pairs have such rows.
    pub words: Option<ArrayView2<'a, f32>>,
}

impl Rest<'_> {
    /// The source rows followed by those of the words, of this length; none without words.
    pub(in crate::projection) fn widened(&self, length: f32) -> Result<Option<Array2<f32>>> {
        self.words.map(|words| assisted::wide(self.source, words, length)).transpose()
    }
}

/// What the map that `name` finds for `pairs` keeps of the native top 10 in the collection of `rest`.
///
/// `fitted` is that map with pairs that it did not see; without it, or where these are few, maps are fitted to most of
/// the pairs for the others to ask. None where the pairs or the records are too few.
///
/// # Errors
/// [`NotFound`](crate::error::Kind::NotFound) for an unknown method, and those of the method.
pub fn expected(
    name: &str,
    pairs: &Pairs,
    fitted: Option<(&dyn Kind, &Pairs)>,
    rest: &Rest<'_>,
    options: &FitOptions,
    context: &Context<'_>,
) -> Result<Option<Retention>> {
    let method = method(name)?;
    if rest.source.nrows() < MANY_REST.min(pairs.len() / 2) {
        return from_pairs_alone(method, pairs, fitted.map(|(_, held_out)| held_out), rest, options, context);
    }
    told(method, pairs, pairs.len(), fitted, rest, options, context)
}

/// As [`expected`] where most of the collection was drawn: some of the pairs are set aside as the rest of it.
fn from_pairs_alone(
    method: &'static Method,
    pairs: &Pairs,
    held_out: Option<&Pairs>,
    rest: &Rest<'_>,
    options: &FitOptions,
    context: &Context<'_>,
) -> Result<Option<Retention>> {
    let order = random::shuffled(pairs.len(), context.seed ^ 0x6173_6964);
    let (aside, kept) = order.split_at(pairs.len() * 3 / 10);
    let aside = pairs.select(aside);
    let mut parts = vec![rest.source.view(), aside.source().view()];
    parts.extend(held_out.map(|pairs| pairs.source().view()));
    let together = concatenate(Axis(0), &parts)
        .map_err(|e| Error::new(error::Kind::Mismatch, "records and pairs differ in dimension").because(e))?;
    let rest = Rest { records: rest.records, source: together.view(), words: None };
    told(method, &pairs.select(kept), pairs.len(), None, &rest, options, context)
}

fn told(
    method: &'static Method,
    pairs: &Pairs,
    of_pairs: usize,
    fitted: Option<(&dyn Kind, &Pairs)>,
    rest: &Rest<'_>,
    options: &FitOptions,
    context: &Context<'_>,
) -> Result<Option<Retention>> {
    let mut drawn = random::shuffled(rest.source.nrows(), context.seed ^ 0x7265_7374);
    drawn.truncate(MOST_REST);
    let some = rest.source.select(Axis(0), &drawn);
    let order = random::shuffled(pairs.len(), context.seed ^ 0x7265_7461_696e);
    let trial = Trial { method, rest: some.view(), options, context };
    let (mut observed, mut asked) = (Vec::new(), 0);
    if let Some((kind, held_out)) = fitted {
        let pairs = pairs.select(&order);
        asked += held_out.len();
        observed.extend(trial.run(pairs.len(), &pairs, held_out, Some(kind))?);
    }
    let of_a_trial = (pairs.len() / 5).min(MOST_ASKING);
    for number in 0..MOST_TRIALS {
        if asked >= ENOUGH_ASKING.min(pairs.len()) || (fitted.is_some() && pairs.len() > 4 * ENOUGH_ASKING) {
            break;
        }
        let (first, last) = (number * of_a_trial, (number + 1) * of_a_trial);
        let asking = order.get(first..last).unwrap_or_default();
        let seen: Vec<usize> = order.iter().take(first).chain(order.iter().skip(last)).copied().collect();
        asked += asking.len();
        observed.extend(trial.run(pairs.len(), &pairs.select(&seen), &pairs.select(asking), None)?);
    }
    Ok(Retention::expected(&observed, of_pairs, rest.records))
}

struct Trial<'a> {
    method: &'static Method,
    rest: ArrayView2<'a, f32>,
    options: &'a FitOptions,
    context: &'a Context<'a>,
}

impl Trial<'_> {
    /// Fits to a quarter and half as many pairs as there are in all, and to all of `seen` (in random order; `fitted` is
    /// the last map, if it is there), and asks.
    fn run(
        &self,
        all: usize,
        seen: &Pairs,
        asking: &Pairs,
        fitted: Option<&dyn Kind>,
    ) -> Result<Option<Observed>> {
        if all / 4 < FEWEST || asking.len() < FEWEST {
            return Ok(None);
        }
        let fit = |pairs: usize| {
            self.context.check()?;
            let few: Vec<usize> = (0..pairs.min(seen.len())).collect();
            let fitted = (self.method.fit)(&seen.select(&few), self.options, self.context)?;
            made(few.len(), fitted.kind.as_ref(), asking, self.rest)
        };
        let full = match fitted {
            Some(kind) => made(seen.len(), kind, asking, self.rest)?,
            None => fit(seen.len())?,
        };
        Observed::new(asking.target().view(), &[fit(all / 4)?, fit(all / 2)?, full])
    }
}

fn made(pairs: usize, kind: &dyn Kind, asking: &Pairs, rest: ArrayView2<'_, f32>) -> Result<Made> {
    Ok(Made { pairs, asked: kind.applied(asking.source().view())?, rest: kind.applied(rest)? })
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::super::testing::{noise, paired};
    use super::*;
    use crate::context::Context;
    use crate::context::testing::context;
    use crate::measure::overlap;
    use crate::projection::fit::fit;

    /// Records around 150 topics, in two spaces: the second bends the first, the more the larger `bend`.
    fn records(n: usize, bend: f32, seed: u64) -> (Array2<f32>, Array2<f32>) {
        let (topics, about) = (noise(150, 10, seed), noise(n, 10, seed + 1));
        let latent = Array2::from_shape_fn((n, 10), |(i, j)| topics[(i * 7 % 150, j)] + about[(i, j)] * 0.6);
        let bent = (latent.dot(&noise(10, 14, 92)) * 3.0).mapv(f32::sin);
        (latent.dot(&noise(10, 12, 90)), latent.dot(&noise(10, 14, 91)) + bent * bend)
    }

    #[test]
    fn intervals_hold_on_collections_that_were_never_seen() {
        let mut held = 0;
        let mut values = Vec::new();
        for seed in 0..8 {
            let bend = [0.3, 0.6, 1.0, 1.5][seed as usize % 4];
            let (x, y) = records(2400, bend, 100 + 10 * seed);
            let (few, rest) = (s![..400, ..], s![400.., ..]);
            let pairs = paired(x.slice(few).to_owned(), y.slice(few).to_owned());
            let context = Context { seed, ..context() };
            let fitted = fit("ridge", &pairs, &FitOptions::default(), &context).unwrap();
            let mut made = Array2::zeros((2000, 14));
            fitted.kind.apply_into(x.slice(rest), made.view_mut()).unwrap();
            let shares = overlap::native_overlap(made.view(), y.slice(rest), 10).unwrap().unwrap();
            let truth = shares.iter().sum::<f64>() / shares.len() as f64;
            let others = Rest { records: 2000, source: x.slice(rest), words: None };
            let told = expected("ridge", &pairs, None, &others, &FitOptions::default(), &context);
            let told = told.unwrap().unwrap();
            held += usize::from((told.low..=told.high).contains(&truth));
            values.push((truth, told.value, told.low, told.high));
        }
        assert!(held >= 6, "{held} of 8 intervals hold: {values:?}");
        assert!(values.iter().all(|(_, value, low, high)| high - low < 0.3 && low < value && value < high));
    }

    #[test]
    fn a_fitted_map_is_asked_by_the_pairs_that_it_did_not_see() {
        let (x, y) = records(1500, 0.5, 7);
        let of = |rows: std::ops::Range<usize>| {
            paired(x.slice(s![rows.clone(), ..]).to_owned(), y.slice(s![rows, ..]).to_owned())
        };
        let (training, held_out) = (of(0..300), of(300..500));
        let fitted = fit("ridge", &training, &FitOptions::default(), &context()).unwrap();
        let rest = Rest { records: 1500, source: x.slice(s![500.., ..]), words: None };
        let given = Some((fitted.kind.as_ref(), &held_out));
        let told = expected("ridge", &training, given, &rest, &FitOptions::default(), &context());
        let told = told.unwrap().unwrap();
        assert_eq!(told.curve.iter().map(|p| p.pairs).collect::<Vec<_>>(), [75, 150, 300]);
        assert_eq!((told.curve[2].value, told.records), (told.value, 1500));
    }

    #[test]
    fn a_collection_that_was_drawn_whole_is_told_from_its_pairs() {
        let (x, y) = records(1600, 0.5, 7);
        let of = |rows: std::ops::Range<usize>| {
            paired(x.slice(s![rows.clone(), ..]).to_owned(), y.slice(s![rows, ..]).to_owned())
        };
        let (training, held_out) = (of(0..1300), of(1300..1600));
        let fitted = fit("ridge", &training, &FitOptions::default(), &context()).unwrap();
        let given = Some((fitted.kind.as_ref(), &held_out));
        let rest = Rest { records: 1600, source: x.slice(s![..0, ..]), words: None };
        let whole = expected("ridge", &training, given, &rest, &FitOptions::default(), &context());
        let (whole, others) = (whole.unwrap().unwrap(), records(3000, 0.5, 7).0);
        let rest = Rest { records: 1600, source: others.slice(s![1600.., ..]), words: None };
        let told = expected("ridge", &training, given, &rest, &FitOptions::default(), &context());
        let told = told.unwrap().unwrap();
        assert!((whole.value - told.value).abs() < 0.1, "{whole:?} {told:?}");
    }

    #[test]
    fn too_few_pairs_or_records_are_told_nothing() {
        let (x, y) = records(200, 0.5, 7);
        let told = |pairs: usize, rest: usize| {
            let few = s![..pairs, ..];
            let pairs = paired(x.slice(few).to_owned(), y.slice(few).to_owned());
            let rest = Rest { records: 200, source: x.slice(s![..rest, ..]), words: None };
            expected("ridge", &pairs, None, &rest, &FitOptions::default(), &context()).unwrap()
        };
        assert!(told(90, 200).is_none() && told(90, 10).is_none());
        assert!(told(200, 11).is_some() && told(200, 200).is_some());
    }
}
