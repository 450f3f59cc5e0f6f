//! Vectors per second through an affine projection, as one line of JSON.
//!
//! `cargo bench --bench apply -- ROWS SOURCE TARGET ROUNDS` (threads by RAYON_NUM_THREADS); without arguments a small
//! case. `apply_vs_numpy.py` runs it beside numpy and torch.

use std::error::Error;
use std::time::Instant;

use embedport::projection::Affine;
use embedport::projection::kind::Kind;
use ndarray::{Array1, Array2};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let [rows, source, target, rounds] = match arguments[..] {
        [rows, source, target, rounds] => [rows, source, target, rounds],
        _ => [2000, 64, 96, 3],
    };
    let of = |i: usize, j: usize| ((i * 31 + j * 17) as f32 * 0.618).sin();
    let map = Affine::new(
        Array2::from_shape_fn((target, source), |(i, j)| of(i, j)),
        Array1::zeros(source),
        Array1::ones(target),
    )?;
    let x = Array2::from_shape_fn((rows, source), |(i, j)| of(i, j));
    let mut y = Array2::zeros((rows, target));
    let mut seconds: Vec<f64> = (0..=rounds)
        .map(|_| {
            let start = Instant::now();
            map.apply_into(x.view(), y.view_mut()).map(|()| start.elapsed().as_secs_f64())
        })
        .collect::<Result<_, _>>()?;
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(rounds / 2).copied().unwrap_or(f64::NAN);
    #[allow(clippy::print_stdout)]
    {
        println!(
            "{}",
            serde_json::json!({ "rows": rows, "median": median, "vectors_per_second": rows as f64 / median })
        );
    }
    Ok(())
}
