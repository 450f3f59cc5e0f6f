//! Time to build a neighbour graph, and its recall@10, as one line of JSON.
//!
//! `cargo bench --bench hnsw -- VECTORS.npy QUERIES.npy DISTANCE M EF_CONSTRUCTION THREADS SEED`
//! (f32, row-major; distance: l2 or ip). Without arguments: 5,000 x 64 made-up vectors.
//! `hnsw_vs_hnswlib.py` runs it beside hnswlib.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use embedport::context::{Cancel, Context, Silent};
use embedport::hnsw::{Distance, Indexed, Params, Searcher, build, distance};
use embedport::vector_file::NpyReader;
use ndarray::{Array2, ArrayView2};

const K: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let (vectors, queries, kind, params) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        [vectors, queries, kind, m, ef_construction, threads, seed] => {
            let kind = if kind == "ip" { Distance::InnerProduct } else { Distance::L2 };
            let params = Params {
                m: m.parse()?,
                ef_construction: ef_construction.parse()?,
                threads: threads.parse()?,
                seed: seed.parse()?,
            };
            (read(vectors)?, read(queries)?, kind, params)
        }
        [] => {
            let params = Params { m: 16, ef_construction: 100, threads: 1, seed: 1 };
            (made_up(5000, 64, 1.0), made_up(200, 64, 1.001), Distance::L2, params)
        }
        _ => return Err("arguments: VECTORS QUERIES DISTANCE M EF_CONSTRUCTION THREADS SEED".into()),
    };

    let context = Context {
        seed: params.seed,
        progress: &Silent,
        cancel: &Cancel::new(),
        now: &jiff::Timestamp::now,
        entropy: &|| [0; 16],
    };
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    let graph = build(vectors.view(), kind, &params, &context)?;
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);

    let truth = exact(vectors.view(), queries.view(), kind);
    let view = Indexed::new(&graph, vectors.as_slice().ok_or("row-major")?)?;
    let mut recall = serde_json::Map::new();
    let mut per_query = serde_json::Map::new();
    for ef in [10, 50, 100] {
        let mut searcher = Searcher::new(&view, kind)?;
        let mut hits = 0;
        let start = cpu_seconds();
        for (query, truth) in queries.rows().into_iter().zip(&truth) {
            let found = searcher.search(query.as_slice().ok_or("row-major")?, K, ef)?;
            hits += found.iter().filter(|(_, id)| truth.contains(id)).count();
        }
        per_query.insert(ef.to_string(), ((cpu_seconds() - start) / truth.len() as f64 * 1e6).into());
        recall.insert(ef.to_string(), (hits as f64 / (K * truth.len()) as f64).into());
    }
    let report = serde_json::json!({
        "n": graph.len(), "wall": wall, "cpu": cpu, "recall": recall, "microseconds": per_query,
    });
    #[allow(clippy::print_stdout)]
    {
        println!("{report}");
    }
    Ok(())
}

fn read(path: &str) -> Result<Array2<f32>, Box<dyn Error>> {
    Ok(NpyReader::open(Path::new(path))?.read_all()?)
}

fn made_up(n: usize, dimension: usize, step: f32) -> Array2<f32> {
    Array2::from_shape_fn((n, dimension), |(i, j)| ((i * (j + 3)) as f32 * step * 0.618).sin())
}

fn exact(vectors: ArrayView2<'_, f32>, queries: ArrayView2<'_, f32>, kind: Distance) -> Vec<Vec<u32>> {
    let nearest = |query: ndarray::ArrayView1<'_, f32>| {
        let query = query.to_vec();
        let rows = vectors.rows().into_iter().zip(0u32..);
        let mut all: Vec<_> =
            rows.map(|(v, i)| (distance(kind, &query, v.as_slice().unwrap_or(&[])), i)).collect();
        all.select_nth_unstable_by(K, |a, b| a.0.total_cmp(&b.0));
        all[..K].iter().map(|found| found.1).collect()
    };
    queries.rows().into_iter().map(nearest).collect()
}

/// Processor time of this process, where the system tells; its resolution is 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
