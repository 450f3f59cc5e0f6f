//! Ridge, corrected by affine maps of what it leaves, each for its own part of the source space.
//!
//! Parts are found by k-means over the directions of the source rows (linfa) and count by a softmax over distances (a
//! mixture of experts: Jacobs, Jordan, Nowlan and Hinton, 1991, with gates that are not learnt). Each part is a ridge fit,
//! weighted by what it counts, to the errors that rows have when ridge leaves them out, so its penalty pulls it towards
//! ridge. Number of parts, temperature and penalty are those of least squared error by cross-fitting. If the errors do not
//! fall by more than chance, ridge is taken as it is.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, ArrayView1, ArrayView2, Axis, concatenate, s};

use super::remainder::{Crossed, Remainder};
use super::{FitOptions, Fitted};
use crate::context::Context;
use crate::error::{self, Error, Result};
use crate::projection::mixture::{Mixture, Routing, counting};
use crate::projection::pairs::Pairs;
use crate::{clusters, matrix, random};

/// Numbers of parts that are tried: the first at each temperature, the others at the best one.
const PARTS: [usize; 4] = [8, 4, 16, 32];
/// Temperatures that are tried.
const TEMPERATURES: [f32; 3] = [0.03, 0.06, 0.12];
/// Penalties that are tried, in mean squared lengths of the rows.
const PENALTIES: [f32; 3] = [1.0, 3.0, 10.0];
/// Rows of a part, on average, at least.
const FEWEST_ROWS: usize = 40;
/// Rows that choose among them, at most.
const MOST_CHOOSING: usize = 5000;
/// Numbers in the maps of all parts, at most: 256 MiB of a file, and of memory.
const MOST_NUMBERS: usize = 1 << 26;
const ITERATIONS: u64 = 12;

pub(super) fn fit(pairs: &Pairs, options: &FitOptions, context: &Context<'_>) -> Result<Fitted> {
    let n = pairs.len();
    // In random order, so that the first rows are as good as any.
    let pairs = pairs.select(&random::shuffled(n, context.seed ^ 0x6d69_7874_7572_6500));
    let mut remainder = Remainder::of(&pairs, options, context)?;
    let (source, target) = pairs.dimensions();
    let most = (n / FEWEST_ROWS).min(MOST_NUMBERS / (source + 1).saturating_mul(target));
    let square: f64 = remainder.source.outer_iter().map(matrix::squared_norm).sum();
    // As long as a row, so that the penalty holds the shift of a part as much as its weights.
    let constant = (square / n as f64).sqrt() as f32;
    let rows = Rows::of(remainder.source.view(), constant)?;
    let crossed = Crossed::of(&pairs, MOST_CHOOSING, remainder.lambda, options, context)?;
    let folds = crossed
        .folds
        .iter()
        .map(|fold| {
            Ok((Rows::of(fold.seen.source.view(), constant)?, Rows::of(fold.source.view(), constant)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut best: Option<Choice> = None;
    for parts in PARTS.into_iter().filter(|parts| *parts <= most) {
        let centres = rows.centres(parts, context.seed)?;
        let temperatures = match &best {
            Some(best) => vec![best.temperature],
            None => TEMPERATURES.to_vec(),
        };
        for temperature in temperatures {
            let routing = Routing::new(centres.clone(), temperature)?;
            for choice in choices(&routing, temperature, constant, &crossed, &folds, context)? {
                if best.as_ref().is_none_or(|best| choice.error < best.error) {
                    best = Some(choice);
                }
            }
        }
    }
    let Some(best) = best.filter(|best| crossed.lowered_by(&best.predicted, context.seed)) else {
        return remainder.alone("more parts than one do not help");
    };
    context.check()?;
    let parts = best.routing.parts();
    remainder.notes.push(format!("{parts} parts at a temperature of {}", best.temperature));
    let (affine, map) = remainder.restored(&crossed, &best.predicted)?;
    let mut weights = Array3::zeros((parts, target, source));
    let mut shifts = Array2::zeros((parts, target));
    let gates = best.routing.of(rows.units.view())?;
    for (number, gates) in gates.axis_iter(Axis(1)).enumerate() {
        let Some(solution) = rows.part(gates, &remainder.errors)?.solve(best.penalty) else { continue };
        let solution = matrix::times_transposed(map.view(), solution.view())?;
        weights.index_axis_mut(Axis(0), number).assign(&solution.slice(s![.., ..source]));
        shifts.row_mut(number).assign(&(&solution.column(source) * constant));
    }
    let mixture = Mixture::new(affine, best.routing, weights, shifts)?;
    Ok(remainder.with(mixture))
}

/// One way to divide the rows, and what it gives.
struct Choice {
    routing: Routing,
    temperature: f32,
    penalty: f32,
    /// Errors of the crossed rows.
    predicted: Array2<f32>,
    /// Squared error that is left.
    error: f64,
}

/// What crossed rows would get with each penalty. `folds`: for each fold the rows that were seen and those that were not.
fn choices(
    routing: &Routing,
    temperature: f32,
    constant: f32,
    crossed: &Crossed,
    folds: &[(Rows, Rows)],
    context: &Context<'_>,
) -> Result<Vec<Choice>> {
    let penalties = PENALTIES.map(|penalty| penalty * constant * constant);
    let mut predicted = PENALTIES.map(|_| Array2::zeros(crossed.errors.dim()));
    for (fold, (seen, unseen)) in crossed.folds.iter().zip(folds) {
        let mut of_fold = PENALTIES.map(|_| Array2::zeros((fold.rows.len(), crossed.errors.ncols())));
        let (gates, asking) = (routing.of(seen.units.view())?, routing.of(unseen.units.view())?);
        let parts: Vec<_> = gates.axis_iter(Axis(1)).zip(asking.axis_iter(Axis(1))).collect();
        // As many parts at once as there are threads: their solutions are held.
        for some in parts.chunks(rayon::current_num_threads()) {
            context.check()?;
            let solve = |(gates, _): &(ArrayView1<'_, f32>, _)| {
                let part = seen.part(*gates, &fold.seen.errors)?;
                Ok(penalties.map(|penalty| part.solve(penalty)))
            };
            let solved: Vec<_> = some.par_iter().map(solve).collect::<Result<_>>()?;
            for ((_, asking), solutions) in some.iter().zip(&solved) {
                for (solution, out) in solutions.iter().zip(&mut of_fold) {
                    solution.iter().try_for_each(|solution| unseen.add(*asking, solution, out))?;
                }
            }
        }
        of_fold.iter().zip(&mut predicted).for_each(|(of_fold, all)| fold.scatter(of_fold, all));
    }
    let choice = |(penalty, predicted): (f32, Array2<f32>)| Choice {
        routing: routing.clone(),
        temperature,
        penalty,
        error: (&crossed.errors - &predicted).outer_iter().map(matrix::squared_norm).sum(),
        predicted,
    };
    Ok(penalties.into_iter().zip(predicted).map(choice).collect())
}

/// What parts are fitted to.
struct Rows {
    /// Directions, n x source.
    units: Array2<f32>,
    /// Centred source rows and a constant, n x (source + 1).
    features: Array2<f32>,
}

impl Rows {
    /// Of centred source rows.
    fn of(source: ArrayView2<'_, f32>, constant: f32) -> Result<Rows> {
        let last = Array2::from_elem((source.nrows(), 1), constant);
        let features = concatenate(Axis(1), &[source.view(), last.view()])
            .map_err(|e| Error::new(error::Kind::Internal, "rows and a constant do not fit").because(e))?;
        Ok(Rows { units: matrix::normalised(source), features })
    }

    /// Centres of `parts` clusters of the first rows.
    fn centres(&self, parts: usize, seed: u64) -> Result<Array2<f32>> {
        let some = self.units.slice(s![..self.units.nrows().min(MOST_CHOOSING), ..]).to_owned();
        clusters::centres(some, parts, ITERATIONS, seed, "source rows")
    }

    /// What a part has to learn from the rows for which it counts.
    fn part(&self, gates: ArrayView1<'_, f32>, errors: &Array2<f32>) -> Result<Part> {
        let rows = counting(gates);
        let features = self.features.select(Axis(0), &rows);
        let weighted = &features * &gates.select(Axis(0), &rows).insert_axis(Axis(1));
        let errors = errors.select(Axis(0), &rows);
        Ok(Part {
            gram: matrix::times_transposed(weighted.t(), features.t())?,
            products: matrix::times_transposed(weighted.t(), errors.t())?,
        })
    }

    /// Adds to each row of `out` what the solution of a part says of it, as much as it counts.
    fn add(&self, gates: ArrayView1<'_, f32>, solution: &Array2<f32>, out: &mut Array2<f32>) -> Result<()> {
        let rows = counting(gates);
        let said = matrix::times_transposed(self.features.select(Axis(0), &rows).view(), solution.t())?;
        for (row, said) in rows.into_iter().zip(said.outer_iter()) {
            out.row_mut(row).scaled_add(gates[row], &said);
        }
        Ok(())
    }
}

/// Weighted least squares of one part.
struct Part {
    /// Σ g x xᵀ.
    gram: Array2<f32>,
    /// Σ g x eᵀ.
    products: Array2<f32>,
}

impl Part {
    /// `(Σ g x xᵀ + penalty)⁻¹ Σ g x eᵀ`, source + 1 x target; none if rounding leaves nothing to solve.
    fn solve(&self, penalty: f32) -> Option<Array2<f32>> {
        let mut gram = self.gram.clone();
        gram.diag_mut().iter_mut().for_each(|value| *value += penalty);
        matrix::Cholesky::of(gram.view()).map(|factors| factors.solve(self.products.view()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{applied, noise, paired};
    use super::*;
    use crate::context::testing::context;

    /// Rows on two sides of the space, each with its own map.
    fn sides(n: usize) -> (Array2<f32>, Array2<f32>) {
        let mut x = noise(n, 4, 1);
        for (i, mut row) in x.outer_iter_mut().enumerate() {
            row[0] = if i % 2 == 0 { 1.0 } else { -1.0 };
        }
        let (even, odd) = (x.dot(&noise(4, 5, 2)), x.dot(&noise(4, 5, 3)));
        let y = Array2::from_shape_fn((n, 5), |at| if at.0 % 2 == 0 { even[at] } else { odd[at] });
        (x, y + noise(n, 5, 4) * 0.02)
    }

    #[test]
    fn each_part_of_the_space_gets_its_own_map() {
        let (x, y) = sides(1000);
        let pairs = paired(x.slice(s![..500, ..]).to_owned(), y.slice(s![..500, ..]).to_owned());
        let (x, y) = (x.slice(s![500.., ..]).to_owned(), y.slice(s![500.., ..]).to_owned());
        let error = |fitted: &Fitted| (applied(fitted, &x) - &y).mapv(|e| e * e).sum();
        let options = FitOptions::default();
        let ridge = super::super::ridge::fit(&pairs, &options, &context()).unwrap();
        let mixture = fit(&pairs, &options, &context()).unwrap();
        assert_eq!(mixture.kind.name(), "mixture");
        assert!(error(&mixture) < 0.3 * error(&ridge), "{} and {}", error(&mixture), error(&ridge));
    }

    #[test]
    fn a_straight_relation_needs_one_part() {
        let x = noise(400, 4, 1);
        let pairs = paired(x.clone(), x.dot(&noise(4, 3, 2)) + noise(400, 3, 3));
        let fitted = fit(&pairs, &FitOptions::default(), &context()).unwrap();
        assert_eq!(fitted.kind.name(), "affine");
        assert!(fitted.notes.iter().any(|n| n.ends_with("ridge alone was taken")), "{:?}", fitted.notes);
        let few = fit(&paired(noise(2, 3, 1), noise(2, 2, 2)), &FitOptions::default(), &context()).unwrap();
        assert_eq!(few.kind.dimensions(), (3, 2));
    }

    #[test]
    fn a_part_is_weighted_ridge_regression() {
        let x = noise(60, 4, 1);
        let errors = noise(60, 3, 2);
        let rows = Rows::of(x.view(), 0.6).unwrap();
        let gates = noise(60, 1, 9).column(0).mapv(|v| v + 0.5);
        let solution = rows.part(gates.view(), &errors).unwrap().solve(0.7).unwrap();
        // The gradient of Σ g |e - Sᵀ x|² / 2 + 0.35 |S|² is zero.
        let left = (&errors - &rows.features.dot(&solution)) * gates.view().insert_axis(Axis(1));
        let gradient = rows.features.t().dot(&left) - &solution * 0.7;
        assert!(gradient.iter().all(|v| v.abs() < 1e-4));
        let mut out = Array2::zeros((60, 3));
        rows.add(gates.view(), &solution, &mut out).unwrap();
        let said = rows.features.row(7).dot(&solution) * gates[7];
        assert!((&said - &out.row(7)).iter().all(|d| d.abs() < 1e-5));
    }
}
