//! Vectors per second through a projection, as one line of JSON.
//!
//!     cargo bench --bench apply -- ROWS SOURCE TARGET ROUNDS       an affine map that is made up
//!     cargo bench --bench apply -- PROJECTION VECTORS ROUNDS OUT   a projection file and an .npy file; writes what it gives
//!
//! Threads by RAYON_NUM_THREADS; without arguments a small case. `apply_vs_numpy.py` and `kernel_vs_numpy.py` run it
//! beside numpy.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use embedport::projection::kind::Kind;
use embedport::projection::{Affine, Projection};
use embedport::vector_file::{NpyReader, NpyWriter};
use ndarray::{Array1, Array2};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [rows, source, target, rounds] if rows.parse::<usize>().is_ok() => {
            made_up(rows.parse()?, source.parse()?, target.parse()?, rounds.parse()?)
        }
        [projection, vectors, rounds, out] => {
            let (projection, _) = Projection::load(Path::new(projection))?;
            let x = NpyReader::open(Path::new(vectors))?.read_all()?;
            let y = measure(projection.kind.as_ref(), &x, rounds.parse()?)?;
            let mut writer = NpyWriter::create(Path::new(out), y.ncols())?;
            writer.write(y.view())?;
            writer.finish()?;
            Ok(())
        }
        _ => made_up(2000, 64, 96, 3),
    }
}

fn made_up(rows: usize, source: usize, target: usize, rounds: usize) -> Result<()> {
    let of = |i: usize, j: usize| ((i * 31 + j * 17) as f32 * 0.618).sin();
    let map = Affine::new(
        Array2::from_shape_fn((target, source), |(i, j)| of(i, j)),
        Array1::zeros(source),
        Array1::ones(target),
    )?;
    measure(&map, &Array2::from_shape_fn((rows, source), |(i, j)| of(i, j)), rounds).map(|_| ())
}

/// Applies the map once to warm up and `rounds` times more, prints the median; what it gives.
fn measure(map: &dyn Kind, x: &Array2<f32>, rounds: usize) -> Result<Array2<f32>> {
    let mut y = Array2::zeros((x.nrows(), map.dimensions().1));
    let mut seconds: Vec<f64> = (0..=rounds)
        .map(|_| {
            let start = Instant::now();
            map.apply_into(x.view(), y.view_mut()).map(|()| start.elapsed().as_secs_f64())
        })
        .collect::<std::result::Result<_, _>>()?;
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(rounds / 2).copied().unwrap_or(f64::NAN);
    #[allow(clippy::print_stdout)]
    {
        let rows = x.nrows();
        println!(
            "{}",
            serde_json::json!({ "rows": rows, "median": median, "vectors_per_second": rows as f64 / median })
        );
    }
    Ok(y)
}
