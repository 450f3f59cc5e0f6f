//! A bridge from the demo database, and two projections that become one, by the program itself.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use tempfile::TempDir;

fn scratch() -> TempDir {
    let folder = TempDir::new().unwrap();
    copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
    folder
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn a_bridge_searches_the_demo_database_and_never_rewrites_it() {
    let folder = scratch();
    let here = folder.path();
    let before = contents(&here.join("db"));
    let run = |line: &str| embedport(here, &words(line));
    let line = "bridge --store db --collection tldr --target-model embedport/static-256 --samples 1000 --name over --json";
    let made = run(line).succeeds().json();
    let header = &made["projection"];
    assert_eq!((header["role"].as_str(), header["name"].as_str()), (Some("queries"), Some("over")));
    assert_eq!(header["source"]["model"], "embedport/static-256");
    assert_eq!((&header["source"]["dimension"], &header["target"]["dimension"]), (&256.into(), &384.into()));
    // Bounds well below what is measured, and well above the 10 of 800 that chance finds.
    let found = |name: &str| header["bridge"][name]["value"].as_f64().unwrap();
    assert!(found("own") > 0.3 && found("native") > 0.25, "{}", header["bridge"]);
    assert_eq!(header["bridge"]["queries"], 200);

    let listed = run("registry list").succeeds().stdout;
    assert!(listed.contains("over (bridge for queries)"), "{listed}");
    let shown = run("registry show over").succeeds().stdout;
    assert!(shown.starts_with("bridge over: maps queries to an untouched collection"), "{shown}");
    run("registry check").succeeds();

    write_npy(&here.join("queries.npy"), &Numbers(5).rows(3, 256));
    run("apply --projection over --input queries.npy --output asking.npy").succeeds();
    let asking = read_npy(&here.join("asking.npy"));
    assert_eq!((asking.len(), asking[0].len()), (3, 384));
    let length = |row: &Vec<f32>| row.iter().map(|v| v * v).sum::<f32>();
    assert!(asking.iter().all(|row| (length(row) - 1.0).abs() < 1e-4));

    for which in ["--collection tldr", "--all"] {
        let refused = run(&format!("migrate-collection --store db {which} --projection over --yes"));
        refused.fails(4, "`over` is a bridge: it maps queries of embedport/static-256");
    }
    let file = run(
        "migrate-collection --store db --collection tldr --projection projections/over.safetensors --yes",
    );
    file.fails(4, "is a bridge");
    assert_eq!(contents(&here.join("db")), before);
}

#[test]
fn two_projections_become_one_that_gives_the_same() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let mut numbers = Numbers(7);
    let a = numbers.rows(120, 6);
    let b = another_space(&a, 5, &mut numbers);
    let c = another_space(&b, 4, &mut numbers);
    for (name, rows) in [("a", &a), ("b", &b), ("c", &c)] {
        write_npy(&here.join(format!("{name}.npy")), rows);
    }
    let run = |line: &str| embedport(here, &words(line));
    for (from, to) in [("a", "b"), ("b", "c"), ("b", "a")] {
        run(&format!(
            "train --source-vectors {from}.npy --target-vectors {to}.npy --source-model m/{from} --target-model m/{to} \
             --method ridge --name {from}-{to}"
        ))
        .succeeds();
    }
    let made = run("registry compose a-b b-c --json").succeeds().json();
    assert_eq!((made["name"].as_str(), made["method"].as_str()), (Some("a-b--then--b-c"), Some("compose")));
    assert_eq!((&made["source"]["model"], &made["target"]["model"]), (&"m/a".into(), &"m/c".into()));
    run("apply --projection a-b--then--b-c --input a.npy --output ac.npy").succeeds();
    run("apply --projection a-b --input a.npy --output ab.npy").succeeds();
    run("apply --projection b-c --input ab.npy --output abc.npy").succeeds();
    let (one, two) = (read_npy(&here.join("ac.npy")), read_npy(&here.join("abc.npy")));
    let far = one.iter().flatten().zip(two.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-4 && one.len() == 120, "{far}");
    let shown = run("registry show a-b--then--b-c").succeeds().stdout;
    assert!(shown.contains("  not measured\n") && shown.contains("embedport evaluate"), "{shown}");
    run("registry check").succeeds();

    run("registry compose b-c a-b").fails(4, "`a-b` after `b-c`");
    run("registry compose a-b b-a").fails(8, "leads back");
    run("registry compose a-b b-c --name ../up").fails(2, "cannot be the name");
}
