//! `embedport evaluate`: figures that can be checked by hand, the same in text, JSON and report; and a report that
//! stands alone and keeps ids and texts to itself.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use common::*;
use serde_json::Value;
use tempfile::TempDir;

/// Six records in a plane at these angles in degrees, ids that a report must not show.
const RECORDS: [(&str, f32); 6] = [
    ("rec-east", 0.0),
    ("rec-ten", 10.0),
    ("rec-mid", 45.0),
    ("rec-north", 90.0),
    ("rec-west", 180.0),
    ("rec-south", 270.0),
];

fn write_angles(path: &Path, records: &[(&str, f32)], scale: f32) {
    let rows: Vec<Vec<f32>> = records
        .iter()
        .map(|(_, a)| vec![scale * a.to_radians().cos(), scale * a.to_radians().sin()])
        .collect();
    write_npy(path, &rows);
    let ids: String = records.iter().map(|(id, _)| format!("{id}\n")).collect();
    std::fs::write(path.with_extension("ids.txt"), ids).unwrap();
}

/// A corpus, queries, judgements, native vectors of all records but one, and a baseline of three components.
fn scratch() -> TempDir {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_angles(&here.join("corpus.npy"), &RECORDS, 2.0);
    let queries = [("ask-1", 4.0), ("ask-2", 80.0), ("ask-3", 200.0), ("ask-unjudged", 1.0)];
    write_angles(&here.join("queries.npy"), &queries, 1.0);
    // ask-1 finds east, ten, mid; ask-2 north, mid, ten; ask-3 west, south, north. `rec-gone` is nowhere.
    let qrels = "query-id\tcorpus-id\tscore\nask-1\trec-ten\t2\nask-1\trec-south\t0\nask-2\trec-north\t1\n\
                 ask-2\trec-mid\t1\nask-3\trec-south\t1\nask-3\trec-gone\t1\nask-nobody\trec-east\t1\n";
    std::fs::write(here.join("qrels.tsv"), qrels).unwrap();
    let native =
        [("rec-east", 0.0), ("rec-ten", 5.0), ("rec-mid", 50.0), ("rec-north", 95.0), ("rec-south", 260.0)];
    write_angles(&here.join("native.npy"), &native, 1.0);
    let line = |(id, v): &(&str, [f32; 3])| format!("{}\n", serde_json::json!({ "id": id, "vector": v }));
    let axis = |id| (id, [1.0, 0.0, 0.0]);
    let other = |id| (id, [0.0, 1.0, 0.0]);
    let baseline: String = [
        axis("rec-ten"),
        other("rec-east"),
        other("rec-mid"),
        other("rec-north"),
        other("rec-west"),
        other("rec-south"),
    ]
    .iter()
    .map(line)
    .collect();
    std::fs::write(here.join("baseline.jsonl"), baseline).unwrap();
    let asked: String = [axis("ask-1"), axis("ask-2"), axis("ask-3")].iter().map(line).collect();
    std::fs::write(here.join("asked.jsonl"), asked).unwrap();
    folder
}

const PLAIN: [&str; 7] =
    ["evaluate", "--vectors", "corpus.npy", "--queries", "queries.npy", "--qrels", "qrels.tsv"];
const NAME: &str = "<b>&\"'x";
const ESCAPED: &str = "&lt;b&gt;&amp;&quot;&#39;x";

fn everything() -> Vec<String> {
    let more = ["--native", "native.npy", "--k", "2,1", "--html", "report.html", "--baseline"];
    let mut arguments: Vec<String> = PLAIN.iter().chain(&more).map(|a| (*a).to_owned()).collect();
    arguments.push(format!("{NAME}=baseline.jsonl"));
    arguments.push("--baseline-queries".to_owned());
    arguments.push(format!("{NAME}=asked.jsonl"));
    arguments
}

fn figure(system: &Value, name: &str) -> f64 {
    let figures = system["figures"].as_array().unwrap();
    figures.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("no {name} in {system}"))["value"]
        .as_f64()
        .unwrap()
}

fn is_near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
}

#[test]
fn figures_are_those_of_a_calculation_by_hand() {
    let folder = scratch();
    let seen = embedport(folder.path(), &[&PLAIN[..], &["--k", "2", "--json"]].concat()).succeeds().json();
    let corpus = &seen["systems"][0];
    // ask-1: its record of grade 2 at rank 2 of 1. ask-2: both at ranks 1, 2. ask-3: one of two, at rank 2.
    let third = 1.0 / 3f64.log2();
    is_near(figure(corpus, "ndcg@2"), (third + 1.0 + third / (1.0 + third)) / 3.0);
    is_near(figure(corpus, "recall@2"), (1.0 + 1.0 + 0.5) / 3.0);
    is_near(figure(corpus, "mrr@2"), (0.5 + 1.0 + 0.5) / 3.0);
    assert_eq!(seen["queries"], serde_json::json!({ "origin": "queries.npy", "given": 4, "asked": 3 }));
    let judgements = &seen["judgements"];
    assert_eq!(
        (&judgements["relevant"], &judgements["absent"], &judgements["without_query"]),
        (&5.into(), &1.into(), &1.into())
    );
}

#[test]
fn a_baseline_has_its_own_queries_and_ties_are_found_in_the_order_of_ids() {
    let folder = scratch();
    let seen =
        embedport(folder.path(), &[everything(), vec!["--json".to_owned()]].concat()).succeeds().json();
    let systems = seen["systems"].as_array().unwrap();
    let roles: Vec<&str> = systems.iter().map(|s| s["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["corpus", "corpus_common", "native", "baseline"]);
    // Every query of the baseline finds `rec-ten`, then of five that are equally far `rec-east`.
    let baseline = &systems[3];
    is_near(figure(baseline, "ndcg@1"), 1.0 / 3.0);
    is_near(figure(baseline, "recall@2"), 1.0 / 3.0);
    let difference = &baseline["differences"].as_array().unwrap()[0];
    assert_eq!(
        (&difference["name"], &difference["better"], &difference["worse"]),
        (&"ndcg@2".into(), &2.into(), &1.into())
    );
    // Without `rec-west`, ask-3 finds south and north in the corpus and in the native vectors; native ask-1 finds ten
    // before east.
    let common = &systems[1];
    is_near(figure(common, "native_top@2"), 1.0);
    is_near(figure(common, "native_top@1"), 2.0 / 3.0);
    assert_eq!((&seen["native"]["common"], &seen["native"]["without_native"]), (&5.into(), &1.into()));
    assert!(systems[0]["figures"].as_array().unwrap().iter().all(|f| f["name"] != "native_top@1"));
}

#[test]
fn the_document_of_a_run() {
    let folder = scratch();
    let seen = embedport(folder.path(), &[everything(), vec!["--json".to_owned()]].concat()).succeeds();
    insta::with_settings!({
        omit_expression => true,
        prepend_module_to_snapshot => false,
        // Six digits: the last ones are the processor's.
        filters => vec![(r"(\d\.\d{6})\d+", "$1")],
    }, { insta::assert_snapshot!("evaluate_json", seen.stdout); });
}

#[test]
fn text_document_and_report_have_the_same_figures() {
    let folder = scratch();
    let text = embedport(folder.path(), &everything()).succeeds().stdout;
    let report = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    let json =
        embedport(folder.path(), &[everything(), vec!["--json".to_owned()]].concat()).succeeds().json();
    let mut shown = 0;
    let mut check = |value: &Value, is_signed: bool| {
        if let Some(value) = value.as_f64() {
            let wanted = if is_signed { format!("{value:+.3}") } else { format!("{value:.3}") };
            assert!(text.contains(&wanted), "{wanted} is not in the text: {text}");
            assert!(report.contains(&wanted), "{wanted} is not in the report");
            shown += 1;
        }
    };
    let ends = ["value", "low", "high"];
    for system in json["systems"].as_array().unwrap() {
        for end in ends {
            system["figures"].as_array().unwrap().iter().for_each(|f| check(&f[end], false));
            system["differences"].as_array().unwrap().iter().for_each(|f| check(&f[end], true));
        }
        for quantile in ["p5", "p25", "p50", "p75", "p95"] {
            check(&system["scores"]["first"][quantile], false);
            check(&system["scores"]["top"][quantile], false);
        }
    }
    for end in ends {
        json["native"]["retention"].as_array().unwrap().iter().for_each(|f| check(&f[end], false));
        json["native"]["neighbours"].as_array().unwrap().iter().for_each(|f| check(&f[end], false));
    }
    check(&json["native"]["similarity_pearson"], false);
    assert!(shown > 100, "{shown}");
    for note in json["notes"].as_array().unwrap() {
        let note = note.as_str().unwrap();
        assert!(text.contains(note), "{note}");
        assert!(report.contains(&note.replace(NAME, ESCAPED)), "{note}");
    }
}

/// Fails unless every tag is closed where it was opened.
#[track_caller]
fn assert_balanced(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in html.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("a tag that does not end: {part}"));
        let name = tag.split([' ', '\n']).next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if name == "!DOCTYPE" || name == "meta" || name == "br" || tag.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_report_stands_alone_and_names_neither_records_nor_queries() {
    let folder = scratch();
    embedport(folder.path(), &everything()).succeeds();
    let report = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert_balanced(&report);
    for outside in ["http:", "https:", "//", "<script", "<link", "<img", "src=", "href", "url(", "@import"] {
        assert!(!report.contains(outside), "{outside}");
    }
    for kept in ["rec-", "ask-", NAME] {
        assert!(!report.contains(kept), "{kept}");
    }
    assert!(report.contains(ESCAPED), "the name of the baseline, escaped");
    assert_eq!(report.matches("<svg ").count(), 7, "one plot of each kind");
    assert!(
        std::fs::read_dir(folder.path()).unwrap().all(|e| !e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("part"))
    );
}

#[test]
fn ids_of_the_worst_queries_are_shown_where_that_is_asked_for() {
    let folder = scratch();
    let arguments = [everything(), vec!["--with-texts".to_owned(), "--json".to_owned()]].concat();
    let seen = embedport(folder.path(), &arguments).succeeds().json();
    let worst = seen["worst_queries"].as_array().unwrap();
    assert_eq!(
        worst.iter().map(|w| w["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["ask-3", "ask-1", "ask-2"]
    );
    assert_eq!(worst[0]["found"], serde_json::json!(["rec-west", "rec-south"]));
    assert_eq!(worst[0]["first_relevant"], 2);
    let report = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(report.contains("ask-3") && report.contains("rec-west"));
    assert_balanced(&report);
}

#[test]
fn without_judgements_only_overlap_is_measured_and_that_is_said() {
    let folder = scratch();
    let arguments = [
        "evaluate",
        "--vectors",
        "corpus.npy",
        "--queries",
        "queries.npy",
        "--native",
        "native.npy",
        "--k",
        "1",
    ];
    let seen = embedport(folder.path(), &[&arguments[..], &["--json"]].concat()).succeeds().json();
    assert_eq!(seen["judgements"], Value::Null);
    assert_eq!(seen["queries"]["asked"], 4);
    is_near(figure(&seen["systems"][1], "native_top@1"), 0.75);
    assert!(seen["notes"][0].as_str().unwrap().contains("no judgements were given"));
    let text = embedport(folder.path(), &arguments).succeeds().stdout;
    assert!(text.lines().any(|line| line.starts_with("judgements ") && line.ends_with(" none")), "{text}");
}

/// The demo database as `db`.
fn with_demo() -> TempDir {
    let folder = TempDir::new().unwrap();
    copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
    folder
}

#[test]
fn a_collection_is_searched_by_its_own_metric() {
    let folder = with_demo();
    let here = folder.path();
    std::fs::write(here.join("q.jsonl"), "{\"id\": \"dark\", \"vector\": [0, 0, 0.6]}\n").unwrap();
    std::fs::write(here.join("qrels.txt"), "dark 0 navy 1\n").unwrap();
    let before = contents(&here.join("db"));
    let line = [
        "evaluate",
        "--store",
        "db",
        "--collection",
        "colours",
        "--queries",
        "q.jsonl",
        "--qrels",
        "qrels.txt",
        "--k",
        "1",
        "--json",
    ];
    let seen = embedport(here, &line).succeeds().json();
    assert_eq!(seen["metric"], "l2");
    // Navy is 0.098 away. By the angle, blue is as near, and before it in the order of ids.
    is_near(figure(&seen["systems"][0], "ndcg@1"), 1.0);
    is_near(seen["systems"][0]["scores"]["first"]["p50"].as_f64().unwrap(), 0.009_611_7);
    let by_angle = embedport(here, &[&line[..], &["--metric", "cosine"]].concat()).succeeds().json();
    is_near(figure(&by_angle["systems"][0], "ndcg@1"), 0.0);
    assert_eq!(contents(&here.join("db")), before, "nothing is changed by looking");
}

#[test]
fn a_migrated_collection_is_asked_by_texts_through_the_target_model() {
    let folder = with_demo();
    let here = folder.path();
    let fixture = root().join("tests/fixtures/known_item/queries.jsonl");
    let lines = std::fs::read_to_string(&fixture).unwrap();
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    let qrels: String = lines.lines().map(id).map(|id| format!("{id}\t{id}\t1\n")).collect();
    std::fs::write(here.join("qrels.tsv"), qrels).unwrap();
    let queries = fixture.to_str().unwrap();
    let evaluate = |collection: &str| {
        let line = [
            "evaluate",
            "--store",
            "db",
            "--collection",
            collection,
            "--queries",
            queries,
            "--query-model",
            "embedport/static-256",
            "--qrels",
            "qrels.tsv",
            "--with-texts",
            "--json",
        ];
        embedport(here, &line)
    };
    evaluate("tldr").fails(4, "queries of 256 components for collection tldr of 384");
    let projection = "all-minilm-l6-v2--static-256";
    embedport(
        here,
        &["migrate-collection", "--store", "db", "--collection", "tldr", "--projection", projection, "--yes"],
    )
    .succeeds();
    let seen = evaluate("tldr").succeeds().json();
    let corpus = &seen["systems"][0];
    assert_eq!((&corpus["records"], &corpus["dimension"]), (&2000.into(), &256.into()));
    assert!(figure(corpus, "ndcg@10") > 0.5, "{corpus}");
    assert!(figure(corpus, "ndcg@10") < figure(corpus, "recall@10"), "{corpus}");
    assert!(seen["worst_queries"][9]["text"].as_str().unwrap().len() > 10);
}

#[test]
fn what_does_not_fit_is_refused_with_a_hint() {
    let folder = scratch();
    let here = folder.path();
    let with = |more: &[&str]| embedport(here, &[&PLAIN[..], more].concat());
    embedport(here, &["evaluate", "--vectors", "corpus.npy", "--queries", "queries.npy"])
        .fails(2, "nothing to measure against");
    with(&["--html", "corpus.npy"]).fails(2, "does not end in .html");
    with(&["--baseline", "native=baseline.jsonl"]).fails(2, "the name is taken");
    with(&["--baseline", "a=baseline.jsonl", "--baseline-queries", "b=asked.jsonl"])
        .fails(2, "which is no baseline");
    with(&["--baseline", "a=baseline.jsonl"]).fails(4, "queries of 2 components for baseline.jsonl of 3");
    with(&["--native", "baseline.jsonl"]).fails(4, "queries of 2 components for baseline.jsonl of 3");
    with(&["--baseline", "a=none.npy"]).fails(3, "none.npy");
    let ask = |queries: &str| {
        embedport(
            here,
            &["evaluate", "--vectors", "corpus.npy", "--queries", queries, "--qrels", "qrels.tsv"],
        )
    };
    ask("baseline.jsonl").fails(4, "none of the 6 queries");
    std::fs::write(here.join("texts.jsonl"), "{\"id\": \"ask-1\", \"text\": \"geheim\"}\n").unwrap();
    let seen = ask("texts.jsonl").fails(5, "line 1 is no record");
    assert!(seen.stderr.contains("--query-model") && !seen.stderr.contains("geheim"));
    std::fs::write(here.join("corpus.ids.txt"), "a\nb\nc\na\nd\ne\n").unwrap();
    let seen = with(&[]);
    assert_eq!(seen.code, 5);
    assert!(seen.stderr.contains("1 ids occur more than once"), "{}", seen.stderr);
}
