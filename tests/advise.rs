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
fn what_is_in_use_is_not_written_over() {
    let folder = trained();
    let rows = Numbers(5).rows(30, 384);
    write_npy(&folder.path().join("x.npy"), &rows);
    let database = rusqlite::Connection::open(folder.path().join("s.db")).unwrap();
    database.execute_batch("create table t (id integer primary key, v blob)").unwrap();
    for row in &rows {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        database.execute("insert into t (v) values (?1)", [bytes]).unwrap();
    }
    drop(database);
    let before = contents(folder.path());
    let run = |arguments: &[&str]| embedport(folder.path(), arguments);
    let chroma =
        ["migrate-collection", "--store", "db", "--collection", "tldr", "--projection", "mine", "-y"];
    for output in ["db", "db/chroma.sqlite3", "db/new.tsv", "registry.json", "projections/mine.safetensors"] {
        run(&[&chroma[..], &["--confidence", output]].concat()).fails(2, &format!("`{output}` "));
    }
    let sqlite = ["migrate-collection", "--store", "s.db", "--table", "t", "--projection", "mine", "-y"];
    for output in ["s.db", "s.db-wal", "s.db.embedport/x.tsv"] {
        let more = ["--accept-unrecognised-vectors", "--confidence", output];
        run(&[&sqlite[..], &more].concat()).fails(2, &format!("`{output}` "));
    }
    let apply = ["apply", "--projection", "projections/mine.safetensors", "--input", "x.npy", "--output"];
    for output in ["registry.json", "projections/mine.safetensors", "s.db", "db"] {
        run(&[&apply[..], &[output]].concat()).fails(2, "which would be lost");
        run(&[&apply[..], &["y.npy", "--confidence", output]].concat()).fails(2, "which would be lost");
    }
    assert!(contents(folder.path()) == before);
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
    apply("mine", "x.npy").fails(2, "`x.npy` is the input, ");
    apply("mine", "y.npy").fails(2, "`y.npy` is the output, ");
    apply(PROJECTION, "c.npy").fails(8, "does not know how far it can be trusted");
    assert!(!folder.path().join("y.npy").exists(), "nothing is written by halves");
    let seen = apply("mine", "c.npy").succeeds();
    assert!(seen.stdout.contains("confidence and crowding of each: c.npy"), "{}", seen.stdout);
    let told = read_npy(&folder.path().join("c.npy"));
    assert_eq!((told.len(), told[0].len(), read_npy(&folder.path().join("y.npy")).len()), (30, 2, 30));
    assert!(told.iter().flatten().all(|v| (-1.0..=1.0).contains(v)), "{told:?}");
}

#[test]
fn queries_of_ones_own_are_asked_of_every_way() {
    let folder = scratch();
    let database = rusqlite::Connection::open(folder.path().join("db/chroma.sqlite3")).unwrap();
    let sql = "select e.embedding_id, m.string_value from embeddings e join embedding_metadata m on m.id = e.id \
               where m.key = 'chroma:document' limit 60";
    let mut query = database.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let records: Vec<(String, String)> = query.query_map([], row).unwrap().map(Result::unwrap).collect();
    drop(query);
    database.close().unwrap();
    let lines = records.iter().enumerate().map(|(i, (_, text))| {
        let words: Vec<&str> = text.split_whitespace().take(8).collect();
        serde_json::json!({ "id": format!("q{i}"), "text": words.join(" ") }).to_string()
    });
    std::fs::write(folder.path().join("q.jsonl"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let judged = |of: &dyn Fn(&str) -> String| -> String {
        records.iter().enumerate().map(|(i, (id, _))| format!("q{i}\t{}\t1\n", of(id))).collect()
    };
    std::fs::write(folder.path().join("qrels.tsv"), judged(&str::to_owned)).unwrap();
    std::fs::write(folder.path().join("other.tsv"), judged(&|id| format!("no {id}"))).unwrap();
    let advise = |qrels: &str| {
        let store =
            ["advise", "--store", "db", "--collection", "tldr", "--target-model", "embedport/static-256"];
        let more = ["--samples", "300", "--queries", "q.jsonl", "--qrels", qrels, "--quiet"];
        outcome(program(folder.path()).args(store).args(more).arg("--json"))
    };
    let seen = advise("qrels.tsv");
    assert_eq!(seen.code, 25, "{}", seen.stderr);
    let advice: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
    let asked = &advice["asked"];
    assert_eq!((&asked["queries"], &asked["judged"]), (&60.into(), &60.into()));
    assert_eq!(asked["records"], 120, "the judged records and 60 held-out pairs");
    let answers = asked["answers"].as_array().unwrap();
    let ways: Vec<&str> = answers.iter().map(|a| a["way"].as_str().unwrap()).collect();
    assert_eq!(ways, ["project", "reembed"], "the source model is not here");
    let of = |way: usize, name: &str| answers[way][name]["value"].as_f64().unwrap();
    assert_eq!((of(1, "kept"), of(1, "lacking")), (1.0, 0.0));
    assert!((of(1, "ndcg") - of(0, "ndcg") - of(0, "lacking")).abs() < 1e-3, "{asked}");
    assert!(of(1, "ndcg") > 0.5 && of(0, "ndcg") > 0.2, "{asked}");
    let other = advise("other.tsv");
    assert_eq!(other.code, 4, "{}", other.stderr);
    assert!(other.stderr.contains("has none of the judged records"), "{}", other.stderr);
}
