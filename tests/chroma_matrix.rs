//! Every release of Chroma in every state: rewritten, opened by that release and by the newest, and rolled
//! back to the bit.
//!
//! The ordinary run takes the cells of [`PAIRS`]; all 240 run, and are printed as a table, by
//! `cargo test --release --test chroma_matrix -- --ignored --nocapture the_whole_matrix`.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use embedport::store::{Changes, Collection, IndexChoice, Metric, Since, VectorStore};
use ndarray::Array2;
use support::{Made, check, contents, copy_folder, load_npy, near, rewrite_as, save_npy};

const RELEASES: [&str; 5] = ["0.4.24", "0.5.23", "0.6.3", "1.0.20", NEWEST];
const NEWEST: &str = "1.5.9";
const INDEXES: [&str; 2] = ["rebuild", "keep"];
const SPACES: [&str; 3] = ["l2", "cosine", "ip"];
const STATES: [&str; 4] = ["queue only", "synced", "tail", "unpurged"];
const DIRECTIONS: [&str; 2] = ["up", "down"];

/// Release, index, space, state, direction.
type Cell = [&'static str; 5];

/// Every pair of values of any two axes is in one of these cells.
const PAIRS: [Cell; 20] = [
    ["0.4.24", "rebuild", "cosine", "queue only", "up"],
    ["0.4.24", "rebuild", "l2", "synced", "down"],
    ["0.4.24", "keep", "ip", "tail", "down"],
    ["0.4.24", "keep", "l2", "unpurged", "up"],
    ["0.5.23", "keep", "ip", "queue only", "up"],
    ["0.5.23", "rebuild", "l2", "synced", "down"],
    ["0.5.23", "keep", "cosine", "tail", "down"],
    ["0.5.23", "rebuild", "cosine", "unpurged", "up"],
    ["0.6.3", "keep", "l2", "queue only", "down"],
    ["0.6.3", "rebuild", "ip", "synced", "down"],
    ["0.6.3", "keep", "cosine", "tail", "up"],
    ["0.6.3", "rebuild", "ip", "unpurged", "up"],
    ["1.0.20", "rebuild", "cosine", "queue only", "down"],
    ["1.0.20", "keep", "l2", "synced", "up"],
    ["1.0.20", "rebuild", "l2", "tail", "up"],
    ["1.0.20", "keep", "ip", "unpurged", "down"],
    ["1.5.9", "rebuild", "l2", "queue only", "down"],
    ["1.5.9", "rebuild", "cosine", "synced", "down"],
    ["1.5.9", "keep", "cosine", "tail", "up"],
    ["1.5.9", "keep", "ip", "unpurged", "up"],
];

/// How the records of a state came to be where they are, as options of `make_chroma.py`.
fn state(name: &str) -> Vec<&'static str> {
    let options = match name {
        // Under the threshold nothing is in the index files.
        "queue only" => "--n 300 --updates 9 --upserts 4 --deletes 5 --extra 1 --tenant-db --empty --emptied",
        // No write is younger than the index files; one name in three places; ids of any kind.
        "synced" => "--n 400 --sync-threshold 100 --m 24 --ef-construction 150 --same-name --odd-ids",
        // Index files and a queue with everything in it; some records without a document.
        "tail" => {
            "--n 500 --sync-threshold 100 --updates 20 --upserts 10 --meta-updates 7 --deletes 15 --readd 5 \
             --tail 40 --tail-ops --no-docs 9"
        }
        // The queue still holds all that is in the index files too, mixed with that of other collections.
        "unpurged" => {
            "--n 350 --sync-threshold 100 --keep-wal --interleave --extra 1 --tenant-db --empty --updates 12 \
             --upserts 6 --deletes 9 --tail 30 --tail-ops"
        }
        _ => panic!("no state {name}"),
    };
    options.split_whitespace().collect()
}

const SOURCE_DIMENSION: &str = "24";

fn dimension(direction: &str) -> usize {
    if direction == "up" { 40 } else { 10 }
}

/// Recall@10 that Chroma must reach on the result. Before 0.6.3 it searches as wide as it answers (10), and
/// a graph that was kept was made for other vectors.
fn recall(release: &str, index: &str) -> f32 {
    match (release, index) {
        ("0.4.24" | "0.5.23", "rebuild") => 0.92,
        ("0.4.24" | "0.5.23", _) => 0.85,
        (_, "rebuild") => 0.97,
        _ => 0.93,
    }
}

/// Rewrites a copy of `made`, has it checked and rolls it back.
fn run_cell(made: &Made, cell: Cell) {
    let [release, index, _, _, direction] = cell;
    let folder = tempfile::tempdir().expect("folder");
    let database = folder.path().join("db");
    copy_folder(&made.database(), &database);
    let before = contents(&database);
    let mut store = embedport::store::open(database.to_str().expect("text")).expect("a Chroma database");
    let description = store.describe().expect("described");
    let docs =
        embedport::store::find_collection(&description, "docs", Some("default_tenant/default_database"))
            .expect("there")
            .clone();
    assert_eq!(docs.unsupported, None);
    let mut target = support::target(&description.path, "m1", dimension(direction));
    target.index = match index {
        "keep" => IndexChoice::Keep,
        _ => IndexChoice::Rebuild,
    };

    let rewritten = rewrite_as(store.as_mut(), &docs, &target, 1e-6);
    let ids = made.ids("docs");
    let truth = load_npy(&made.truths().join("docs.npy"));
    assert_eq!((ids.len(), truth.len()), (rewritten.sources.len(), rewritten.sources.len()));
    for (id, vector) in ids.iter().zip(&truth) {
        assert!(near(&rewritten.sources[id], vector, 1e-6), "the vector of {id:?} was read wrongly");
    }
    assert_eq!(store.changes_since(&rewritten.backup).expect("known"), Changes::default());
    assert!(store.is_current(&docs.id, "m1").expect("known"));

    let now = store.describe().expect("described").collections.into_iter().find(|c| c.id == docs.id);
    let now = now.expect("there");
    assert_eq!((now.dimension, now.migration.as_deref()), (Some(dimension(direction)), Some("m1")));
    let least = recall(release, index);
    recalls(store.as_ref(), &now, &rewritten.vectors, least);

    let vectors = folder.path().join("new.npy");
    save_npy(&vectors, &ids, &rewritten.vectors);
    for opener in BTreeSet::from([release, NEWEST]) {
        // Enough for Chroma to write its index files again, in the release's own process and the next.
        let bulk = if opener == release { "230" } else { "130" };
        let options = ["--bulk", bulk, "--queries", "25", "--min-recall", &least.to_string()];
        check(opener, &database, &made.truths(), "docs", Some(&vectors), &options)
            .unwrap_or_else(|e| panic!("opened by {opener}: {e}"));
    }

    store.restore(&rewritten.backup, Since::Refuse).expect("restored");
    assert!(contents(&database) == before, "some row or file is not as it was");
    assert!(!store.is_current(&docs.id, "m1").expect("known"));
    store.restore(&rewritten.backup, Since::Refuse).expect("a second time changes nothing");
    assert!(contents(&database) == before);
}

/// The store's own search against exact search.
fn recalls(store: &dyn VectorStore, docs: &Collection, vectors: &HashMap<String, Vec<f32>>, least: f32) {
    let mut ids: Vec<&String> = vectors.keys().collect();
    ids.sort();
    let dimension = vectors[ids[0]].len();
    let queries: Vec<f32> = ids
        .iter()
        .step_by(ids.len() / 25)
        .flat_map(|id| vectors[*id].iter().map(|x| x * 1.1 + 0.01))
        .collect();
    let queries = Array2::from_shape_vec((queries.len() / dimension, dimension), queries).expect("shape");
    let found = store.search(docs, queries.view(), 10).expect("searched");
    let mut hits = 0;
    for (query, found) in queries.outer_iter().zip(&found) {
        let mut exact: Vec<(f32, &String)> = ids
            .iter()
            .map(|id| {
                let v = &vectors[*id];
                let dot: f32 = query.iter().zip(v).map(|(a, b)| a * b).sum();
                let norm = v.iter().map(|x| x * x).sum::<f32>();
                let distance = match docs.metric {
                    Metric::L2 => norm - 2.0 * dot,
                    Metric::Ip => -dot,
                    Metric::Cosine => -dot / norm.sqrt(),
                };
                (distance, *id)
            })
            .collect();
        exact.sort_by(|a, b| a.0.total_cmp(&b.0));
        hits += exact[..10].iter().filter(|(_, id)| found.iter().any(|h| h.id == **id)).count();
    }
    let recall = hits as f32 / (10 * found.len()) as f32;
    assert!(recall >= least, "recall of embedport's own search: {recall}");
}

/// Runs the cells, as many at once as there are cores, and prints how each went.
fn run_all(cells: &[Cell]) {
    let mut groups: BTreeMap<[&str; 3], Vec<Cell>> = BTreeMap::new();
    for cell in cells {
        groups.entry([cell[0], cell[2], cell[3]]).or_default().push(*cell);
    }
    let queue = Mutex::new(groups.into_iter().collect::<Vec<_>>());
    let results = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let next = queue.lock().expect("no panic inside").pop();
            let Some(([release, space, name], cells)) = next else { return };
            let mut arguments =
                [&["--space", space, "--dim", SOURCE_DIMENSION], state(name).as_slice()].concat();
            if release == NEWEST {
                arguments.push("--lists");
            }
            let made = catch_unwind(|| Made::new(release, &arguments)).map_err(words);
            for cell in cells {
                let start = Instant::now();
                let outcome = match &made {
                    Ok(made) => catch_unwind(AssertUnwindSafe(|| run_cell(made, cell))).map_err(words),
                    Err(error) => Err(format!("could not be made: {error}")),
                };
                let took = start.elapsed().as_secs_f32();
                results.lock().expect("no panic inside").insert(cell, (outcome, took));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().expect("no panic inside");
    assert_eq!(results.len(), cells.len());
    let mut failed = Vec::new();
    println!("{:8} {:8} {:7} {:11} {:5} {:>8}", "release", "index", "space", "state", "dim", "seconds");
    for ([release, index, space, state, direction], (outcome, took)) in &results {
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{release:8} {index:8} {space:7} {state:11} {direction:5} {took:8.1} {word}");
        if let Err(error) = outcome {
            failed.push(format!("{release} {index} {space}, {state}, {direction}: {error}"));
        }
    }
    println!("{} of {} cells passed", results.len() - failed.len(), results.len());
    assert!(failed.is_empty(), "{} cells failed:\n{}", failed.len(), failed.join("\n"));
}

fn words(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
}

#[test]
fn a_selection_with_every_pair_of_values() {
    run_all(&PAIRS);
}

#[test]
#[ignore = "takes half an hour; the ordinary run takes a selection of it"]
fn the_whole_matrix() {
    run_all(&all());
}

fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for release in RELEASES {
        for index in INDEXES {
            for space in SPACES {
                for state in STATES {
                    cells.extend(DIRECTIONS.map(|direction| [release, index, space, state, direction]));
                }
            }
        }
    }
    cells
}

#[test]
fn the_selection_covers_every_pair() {
    let pairs = |cells: &[Cell]| -> BTreeSet<(usize, &str, usize, &str)> {
        let of = |cell: &Cell| -> Vec<_> {
            (0..5)
                .flat_map(|i| (i + 1..5).map(move |j| (i, j)))
                .map(|(i, j)| (i, cell[i], j, cell[j]))
                .collect()
        };
        cells.iter().flat_map(of).collect()
    };
    let all = all();
    assert_eq!(all.len(), 240);
    // Per pair of axes the product of their sizes, 5 x 2 x 3 x 4 x 2.
    assert_eq!(pairs(&all).len(), 10 + 15 + 20 + 10 + 6 + 8 + 4 + 12 + 6 + 8);
    assert_eq!(pairs(&PAIRS), pairs(&all));
}
