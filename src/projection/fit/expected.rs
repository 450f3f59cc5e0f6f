//! What a fitted map will keep in a whole collection, before it is applied: the maps and rows that
//! [`measure::retention`](crate::measure::retention) asks for.

use ndarray::{Array2, ArrayView2, Axis};

use super::{FitOptions, Method, method};
use crate::context::Context;
use crate::error::Result;
use crate::measure::retention::{Made, Observed, Retention};
use crate::projection::kind::Kind;
use crate::projection::pairs::Pairs;
use crate::random;

/// Rows that ask, at most in one trial, and in all trials together at least (if there are as many).
const MOST_ASKING: usize = 500;
const ENOUGH_ASKING: usize = 200;
/// Trials at most.
const MOST_TRIALS: usize = 5;
/// Fewest rows that ask, and fewest pairs that the smallest map is fitted to.
const FEWEST: usize = 20;
/// Records of the rest that are projected.
pub const MOST_REST: usize = 10_000;

/// A collection beyond the pairs.
pub struct Rest<'a> {
    /// Records of the collection.
    pub records: u64,
    /// Source vectors of records drawn at random, none of the pairs among them: m x source dimension. At most
    /// [`MOST_REST`] of them are looked at.
    pub source: ArrayView2<'a, f32>,
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
    let mut drawn = random::shuffled(rest.source.nrows(), context.seed ^ 0x72_6573_74);
    drawn.truncate(MOST_REST);
    let some = rest.source.select(Axis(0), &drawn);
    let order = random::shuffled(pairs.len(), context.seed ^ 0x7265_7461_696e);
    let trial = Trial { method, rest: some.view(), options, context };
    let (mut observed, mut asked) = (Vec::new(), 0);
    if let Some((kind, held_out)) = fitted {
        let pairs = pairs.select(&order);
        asked += held_out.len();
        observed.extend(trial.run(&pairs, held_out, Some(kind))?);
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
        observed.extend(trial.run(&pairs.select(&seen), &pairs.select(asking), None)?);
    }
    Ok(Retention::expected(&observed, pairs.len(), rest.records))
}

struct Trial<'a> {
    method: &'static Method,
    rest: ArrayView2<'a, f32>,
    options: &'a FitOptions,
    context: &'a Context<'a>,
}

impl Trial<'_> {
    /// Fits to a quarter, half and all of `seen` (in random order; `fitted` is the last, if it is there) and asks.
    fn run(&self, seen: &Pairs, asking: &Pairs, fitted: Option<&dyn Kind>) -> Result<Option<Observed>> {
        let n = seen.len();
        if n / 4 < FEWEST || asking.len() < FEWEST {
            return Ok(None);
        }
        let level = |pairs: usize| -> Result<Made> {
            self.context.check()?;
            let all: Vec<usize> = (0..pairs).collect();
            match fitted.filter(|_| pairs == n) {
                Some(kind) => self.made(pairs, kind, asking, true),
                None => {
                    let fitted = (self.method.fit)(&seen.select(&all), self.options, self.context)?;
                    self.made(pairs, fitted.kind.as_ref(), asking, pairs != n / 2)
                }
            }
        };
        Observed::new(asking.target().view(), &[level(n / 4)?, level(n / 2)?, level(n)?])
    }

    fn made(&self, pairs: usize, kind: &dyn Kind, asking: &Pairs, with_rest: bool) -> Result<Made> {
        let apply = |x: ArrayView2<'_, f32>| -> Result<Array2<f32>> {
            let mut out = Array2::zeros((x.nrows(), kind.dimensions().1));
            kind.apply_into(x, out.view_mut())?;
            Ok(out)
        };
        let none = ndarray::s![..0, ..];
        let rest = if with_rest { apply(self.rest)? } else { apply(self.rest.slice(none))? };
        Ok(Made { pairs, asked: apply(asking.source().view())?, rest })
    }
}
