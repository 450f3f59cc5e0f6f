//! What `advise` says of every way, and what other commands write of how far records can be trusted.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use common::*;
use tempfile::TempDir;

const PROJECTION: &str = "all-minilm-l6-v2--static-256";

/// The demo database as `db` in a scratch folder.
fn scratch() -> TempDir {
    let folder = TempDir::new().unwrap();
    copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
    folder
}

/// As [`scratch`], with the projection `mine` trained from it.
fn trained() -> TempDir {
    let folder = scratch();
    let from = ["train", "--from", "db", "--collection", "tldr", "--target-model", "embedport/static-256"];
    embedport(folder.path(), &[&from[..], &["--samples", "300", "--name", "mine"]].concat()).succeeds();
    folder
}

#[test]
fn advice_names_every_way_and_leaves_the_store_as_it_was() {
    let folder = scratch();
    let read = || std::fs::read(folder.path().join("db/chroma.sqlite3")).unwrap();
    let before = read();
    let advise =
        ["advise", "--store", "db", "--collection", "tldr", "--target-model", "embedport/static-256"];
    let priced = |price: &str| {
        let more = ["--samples", "600", "--price-per-million-tokens", price, "--quiet"];
        outcome(program(folder.path()).args(advise).args(more).args(["--json", "--html", "advice.html"]))
    };
    let seen = priced("1000");
    assert_eq!(seen.code, 0, "{} {}", seen.stdout, seen.stderr);
    let advice: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
    assert_eq!(advice["advised"], "project");
    let ways: Vec<&str> =
        advice["choices"].as_array().unwrap().iter().map(|c| c["way"].as_str().unwrap()).collect();
    let wanted = ["leave_alone", "project", "project_and_reembed_worst", "project_and_rescore", "reembed"];
    assert_eq!(ways, wanted);
    let projected = &advice["choices"][1];
    let figure = |name: &str| projected[name].as_f64().unwrap();
    assert!(0.2 < figure("low") && figure("low") < figure("overlap") && figure("overlap") < figure("high"));
    assert!(figure("high") < 0.95, "{projected}");
    assert_eq!(advice["facts"]["projected"]["records"], 2000);
    let reembed = &advice["choices"][4];
    assert_eq!(reembed["overlap"], 1.0);
    assert!(reembed["price"].as_f64().unwrap() > 1.0 && reembed["seconds"].as_f64().unwrap() > 0.0);
    for (way, better) in [(2, figure("overlap")), (3, figure("overlap"))] {
        let way = &advice["choices"][way];
        assert!(way["overlap"].as_f64().unwrap() > better && way["high"].as_f64().unwrap() <= 1.0, "{way}");
    }
    let price = |way: usize| advice["choices"][way]["price"].as_f64().unwrap();
    assert!((price(2) - 0.3 * price(4)).abs() < 1e-9, "the most crowded 30 %");
    let among = &advice["facts"]["ways"]["among_pairs"];
    let of = |name: &str| among[name]["value"].as_f64().unwrap();
    assert!((of("projected") - of("alone") - of("gain")).abs() < 1e-3, "{among}");
    let report = std::fs::read_to_string(folder.path().join("advice.html")).unwrap();
    assert_eq!(report.matches("<svg").count(), 2, "learning curve and budget curve");
    assert!(report.contains(advice["sentence"].as_str().unwrap()) && !report.contains("<script"));
    std::fs::remove_file(folder.path().join("advice.html")).unwrap();

    // What takes seconds and costs next to nothing is better done.
    let seen = priced("0.02");
    assert_eq!(seen.code, 25, "{}", seen.stderr);
    assert!(seen.stdout.contains("re-embed: that takes"), "{}", seen.stdout);
    std::fs::remove_file(folder.path().join("advice.html")).unwrap();

    // Few pairs measure nothing, so that nothing speaks for projecting.
    let seen = outcome(program(folder.path()).args(advise).args(["--samples", "60", "--quiet"]));
    assert_eq!(seen.code, 25, "{}", seen.stderr);
    assert!(seen.stdout.contains("advice: do not project, re-embed"), "{}", seen.stdout);
    assert!(seen.stdout.contains("not measured"), "{}", seen.stdout);
    assert_eq!(read(), before);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["db"], "nothing is written");
}

#[test]
fn a_migration_says_of_each_record_how_far_it_can_be_trusted() {
    let folder = trained();
    let migrate = |projection: &'static str| {
        let store = ["migrate-collection", "--store", "db", "--collection", "tldr", "--yes", "--quiet"];
        let more = ["--projection", projection, "--confidence", "trust.tsv"];
        embedport(folder.path(), &[&store[..], &more].concat())
    };
    migrate(PROJECTION).fails(8, "does not know how far it can be trusted");
    assert!(!folder.path().join("trust.tsv").exists());
    migrate("mine").succeeds();
    let written = std::fs::read_to_string(folder.path().join("trust.tsv")).unwrap();
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("id\tconfidence\tcrowding"));
    let mut ids = BTreeSet::new();
    let mut confidences = Vec::new();
    for line in lines {
        let [id, confidence, crowding] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let number = |text: &str| text.parse::<f64>().unwrap();
        assert!((-1.0..=1.0).contains(&number(crowding)), "{line}");
        confidences.push(number(confidence));
        assert!(ids.insert(id.to_owned()), "{id} twice");
    }
    assert_eq!(ids.len(), 2000);
    confidences.sort_by(f64::total_cmp);
    assert!(0.3 < confidences[1000] && confidences[1000] < 1.0 && confidences[1999] > confidences[0] + 0.05);
}

#[test]
fn apply_says_of_each_vector_how_far_it_can_be_trusted() {
    let folder = trained();
    let rows = Numbers(5).rows(30, 384);
    write_npy(&folder.path().join("x.npy"), &rows);
    let apply = |projection: &str, confidence: &str| {
        let files = ["apply", "--input", "x.npy", "--output", "y.npy", "--projection", projection];
        embedport(folder.path(), &[&files[..], &["--confidence", confidence]].concat())
    };
    apply("mine", "x.npy").fails(2, "`x.npy` is named twice");
    apply("mine", "y.npy").fails(2, "`y.npy` is named twice");
    apply(PROJECTION, "c.npy").fails(8, "does not know how far it can be trusted");
    assert!(!folder.path().join("y.npy").exists(), "nothing is written by halves");
    let seen = apply("mine", "c.npy").succeeds();
    assert!(seen.stdout.contains("confidence and crowding of each: c.npy"), "{}", seen.stdout);
    let told = read_npy(&folder.path().join("c.npy"));
    assert_eq!((told.len(), told[0].len(), read_npy(&folder.path().join("y.npy")).len()), (30, 2, 30));
    assert!(told.iter().flatten().all(|v| (-1.0..=1.0).contains(v)), "{told:?}");
}
