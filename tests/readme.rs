//! The tables of the README are those of the program.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::*;
use embedport::detect::Status;
use embedport::error::Kind;
use embedport::identification::Outcome as Verdict;
use serde_json::Value;
use tempfile::TempDir;

/// Rows of the table below a heading, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
    section.lines().filter(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

/// Words of a text between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn exit_codes() {
    let said: BTreeMap<u8, String> = table("Exit codes")
        .into_iter()
        .filter_map(|row| Some((row[0].parse().ok()?, row[1].clone())))
        .collect();
    let codes: BTreeSet<u8> = Kind::ALL.iter().map(|k| k.exit_code()).chain([0]).collect();
    assert_eq!(said.keys().copied().collect::<BTreeSet<u8>>(), codes);
    for (kind, word) in [
        (Kind::Usage, "usage"),
        (Kind::NotFound, "not found"),
        (Kind::Mismatch, "mismatch"),
        (Kind::Damaged, "damaged"),
        (Kind::Locked, "in use"),
        (Kind::Verification, "verification"),
        (Kind::Refused, "refused"),
        (Kind::CannotWrite, "cannot write"),
        (Kind::Unsupported, "not supported"),
        (Kind::Network, "network"),
        (Kind::Interrupted, "interrupted"),
        (Kind::Io, "input/output"),
        (Kind::Internal, "internal"),
    ] {
        assert!(said[&kind.exit_code()].contains(word), "{}: {said:?}", kind.name());
    }
    let help = outcome(program(&root()).arg("--help")).stdout;
    let identify = table("Exit codes").into_iter().find(|row| row[0] == "`identify`").unwrap();
    for (verdict, words) in [
        (Verdict::Identified, "identified"),
        (Verdict::NoneFits, "no candidate fits"),
        (Verdict::Mixed, "rows of more than one"),
    ] {
        let wanted = format!("{} {words}", verdict.exit_code());
        assert!(identify[1].contains(&wanted), "{wanted}");
        assert!(help.contains(&wanted), "{wanted} in the help");
    }
    let detect = table("Exit codes").into_iter().find(|row| row[0] == "`detect`").unwrap();
    for (status, words) in [
        (Status::Match, "match"),
        (Status::DimensionMismatch, "dimension mismatch"),
        (Status::ModelMismatch, "model mismatch"),
        (Status::Unknown, "unknown"),
        (Status::Unfinished, "unfinished migration"),
    ] {
        let wanted = format!("{} {words}", status.exit_code());
        assert!(detect[1].contains(&wanted), "{wanted}");
        assert!(help.contains(&wanted), "{wanted} in the help");
    }
}

/// Every key in a document, at any depth.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            found.insert(key.clone());
            keys(value, found);
        }),
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

/// The documents of real runs, by the first cell of the README's rows.
fn documents(folder: &Path) -> BTreeMap<&'static str, Vec<Value>> {
    copy_folder(&root().join("assets/demo/chroma"), &folder.join("db"));
    copy_folder(&folder.join("db"), &folder.join("orphaned"));
    std::fs::create_dir(folder.join("orphaned/11111111-2222-3333-4444-555555555555")).unwrap();
    write_npy(&folder.join("x.npy"), &Numbers(1).rows(3, 384));
    std::fs::write(folder.join("q.jsonl"), "{\"id\": \"dark\", \"vector\": [0, 0, 0.6]}\n").unwrap();
    std::fs::write(folder.join("native.jsonl"), "{\"id\": \"navy\", \"vector\": [0, 0, 1]}\n").unwrap();
    std::fs::write(folder.join("qrels.txt"), "dark navy 1\n").unwrap();
    let evaluate = "evaluate --store db --collection colours --queries q.jsonl --qrels qrels.txt --k 1 \
                    --native native.jsonl --with-texts";
    let run = |line: &str| {
        let mut arguments: Vec<&str> = line.split(' ').collect();
        arguments.push("--json");
        let seen = embedport(folder, &arguments);
        assert!(!seen.stdout.is_empty(), "{line}: {}", seen.stderr);
        seen.json()
    };
    let migrate = "migrate-collection --store db --collection tldr --projection all-minilm-l6-v2--static-256";
    let all = "migrate-collection --store db --all --projection all-minilm-l6-v2--static-256";
    let embed = "re-embed --store db --collection tldr --target-model embedport/static-256";
    BTreeMap::from([
        ("`inspect`", vec![run("inspect --store db")]),
        ("`inspect --deep`", vec![run("inspect --deep --store orphaned")]),
        (
            "`train`",
            vec![run("train --from db --collection tldr --target-model embedport/static-256 --samples 60")],
        ),
        (
            "`advise`",
            vec![run(
                "advise --store db --collection tldr --target-model embedport/static-256 --samples 300",
            )],
        ),
        ("`registry show`", vec![run("registry show static-256--all-minilm-l6-v2")]),
        ("`registry list`, `check`", vec![run("registry list"), run("registry check")]),
        ("`migrate-collection --dry-run`", vec![run(&format!("{migrate} --dry-run"))]),
        ("`migrate-collection --all --dry-run`", vec![run(&format!("{all} --dry-run"))]),
        ("`migrate-collection --all`", vec![run(&format!("{all} --yes"))]),
        ("`migrate-collection`", {
            run("rollback --store db");
            vec![run(&format!("{migrate} --yes"))]
        }),
        ("`verify`", vec![run("verify --store db")]),
        ("`re-embed --dry-run`", vec![run(&format!("{embed} --dry-run"))]),
        ("`re-embed`", {
            let done = run(&format!("{embed} --yes"));
            run("rollback --store db");
            vec![done]
        }),
        ("`identify`", vec![run("identify --store db --collection tldr --samples 20")]),
        ("`detect --identify`", vec![run("detect --store db --identify")]),
        ("`backups list`", {
            // As a run that was stopped leaves it.
            std::fs::write(folder.join("db/.embedport/embedded-00000000-0000000000000000.bin"), "").unwrap();
            vec![run("backups list --store db")]
        }),
        ("`backups prune --dry-run`", vec![run("backups prune --store db --all --dry-run")]),
        ("`rollback`", vec![run("rollback --store db")]),
        ("`backups prune`", vec![run("backups prune --store db --all --yes")]),
        ("`detect`", vec![run("detect --store db --expect-dimension 7")]),
        (
            "`apply`",
            vec![run("apply --projection all-minilm-l6-v2--static-256 --input x.npy --output y.npy")],
        ),
        ("`evaluate`", vec![run(evaluate)]),
        ("`demo`", vec![run("demo")]),
        ("any failure", vec![run("inspect --store nowhere"), run("inspect")]),
    ])
}

#[test]
fn json_keys() {
    let folder = TempDir::new().unwrap();
    let documents = documents(folder.path());
    let rows = table("JSON");
    assert_eq!(rows.len(), documents.len(), "a row without a run, or a run without a row");
    for row in rows {
        // A reference to another row names a command and no key.
        let named = row[1].split("(as ").enumerate().map(|(i, part)| match i {
            0 => part,
            _ => part.split_once(')').unwrap().1,
        });
        let named: Vec<String> =
            named.flat_map(quoted).map(|key| key.trim_end_matches("[]").to_owned()).collect();
        for document in &documents[row[0].as_str()] {
            let mut found = BTreeSet::new();
            keys(document, &mut found);
            for key in &named {
                assert!(found.contains(key), "{}: no key `{key}`", row[0]);
            }
            for key in document.as_object().unwrap().keys() {
                assert!(named.contains(key), "{}: the README does not name `{key}`", row[0]);
            }
        }
    }
}

#[test]
fn flags_and_commands_that_the_readme_shows_exist() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let job = readme.split("\n## The job\n").nth(1).unwrap();
    for line in
        job.lines().take_while(|l| !l.starts_with("- ")).filter_map(|l| l.strip_prefix("    embedport "))
    {
        let is_flag = |word: &&str| word.starts_with("--");
        let mut command: Vec<&str> = line.split(' ').take_while(|word| !is_flag(word)).collect();
        command.push("--help");
        let help = embedport(&root(), &command).succeeds().stdout;
        for flag in line.split(' ').filter(is_flag) {
            assert!(help.contains(flag), "{line}: no {flag}");
        }
    }
}
