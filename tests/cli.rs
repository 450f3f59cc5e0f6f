//! What the program says, word for word: help, results and one error for each exit code. Paths, identifiers,
//! durations, sizes and figures are masked. Where a change of words is meant: `INSTA_UPDATE=always cargo test
//! --release --test cli`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::*;
use tempfile::TempDir;

const PROJECTION: &str = "all-minilm-l6-v2--static-256";

/// The demo database as `db` in a scratch folder.
fn scratch() -> TempDir {
    let folder = TempDir::new().unwrap();
    copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
    folder
}

/// Trains the projection `mine` from the demo database with so many samples.
fn train_mine(folder: &Path, samples: &str) {
    let from = ["train", "--from", "db", "--collection", "tldr", "--target-model", "embedport/static-256"];
    embedport(folder, &[&from[..], &["--samples", samples, "--name", "mine"]].concat()).succeeds();
}

/// The outcome as text, and the command that made it, compared with the snapshot of this name.
#[track_caller]
fn snapshot(name: &str, folder: &Path, command: &mut Command) {
    let arguments: Vec<String> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    let seen = outcome(command.env("COLUMNS", "100"));
    let text = format!(
        "embedport {}\nexit code: {}\n---- stdout\n{}---- stderr\n{}",
        arguments.join(" "),
        seen.code,
        seen.stdout,
        seen.stderr
    );
    let real = folder.canonicalize().unwrap().display().to_string();
    let text = text.replace(&real, "[folder]").replace(&folder.display().to_string(), "[folder]");
    insta::with_settings!({
        omit_expression => true,
        prepend_module_to_snapshot => false,
        filters => vec![
            (r"\d{8}T\d{9}-[0-9a-f]{8}", "[migration]"),
            (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[instant]"),
            (r"#[0-9a-f]{8}", "#[space]"),
            (r"[\d.]+ (ms|s|min|h)\b", "[time]"),
            (r"[\d.]+ (B|kB|MB|GB|TB)\b", "[bytes]"),
            (r"[ ]*-?\d+\.\d{3,5}\b", " [figure]"),
            (r"\b\d+(, \d+)* pairs", "[n] pairs"),
            (r"process(es)? \d+( \([^)]*\))?", "process [pid]"),
        ],
    }, { insta::assert_snapshot!(name, text); });
}

#[test]
fn help_of_every_command() {
    let folder = TempDir::new().unwrap();
    snapshot("help", folder.path(), program(folder.path()).arg("--help"));
    for command in [
        "train",
        "bridge",
        "advise",
        "migrate-collection",
        "re-embed",
        "verify",
        "rollback",
        "backups",
        "detect",
        "identify",
        "inspect",
        "registry",
        "apply",
        "evaluate",
        "demo",
        "completions",
        "man",
    ] {
        snapshot(&format!("help_{command}"), folder.path(), program(folder.path()).args([command, "--help"]));
    }
    for action in ["list", "prune"] {
        let name = format!("help_backups_{action}");
        snapshot(&name, folder.path(), program(folder.path()).args(["backups", action, "--help"]));
    }
}

#[test]
fn results_as_text() {
    let folder = scratch();
    let run = |name: &str, arguments: &[&str]| {
        snapshot(name, folder.path(), program(folder.path()).args(arguments));
    };
    run("inspect", &["inspect", "--store", "db"]);
    run("registry_list", &["registry", "list"]);
    run("registry_check", &["registry", "check"]);
    run(
        "plan",
        &[
            "migrate-collection",
            "--store",
            "db",
            "--collection",
            "tldr",
            "--projection",
            PROJECTION,
            "--dry-run",
        ],
    );
    run("detect_match", &["detect", "--store", "db", "--collection", "tldr", "--expect-dimension", "384"]);
    run("detect_dimension", &["detect", "--store", "db", "--collection", "tldr", "--expect-dimension", "7"]);
    run("detect_model", &["detect", "--store", "db", "--expect-model", "embedport/static-256"]);
    run("detect_unknown", &["detect", "--store", "db", "--collection", "colours", "--expect-model", "x/y"]);
}

#[test]
fn one_error_for_each_exit_code() {
    let folder = scratch();
    let here = folder.path();
    let run = |name: &str, arguments: &[&str]| snapshot(name, here, program(here).args(arguments));
    run("error_2_usage", &["migrate-collection", "--store", "db", "--projection", PROJECTION]);
    run("error_2_arguments_as_json", &["inspect", "--json", "--stor", "db"]);
    run("error_3_not_found", &["inspect", "--store", "db", "--collection", "tdlr"]);
    run(
        "error_4_mismatch",
        &["migrate-collection", "--store", "db", "--collection", "colours", "--projection", PROJECTION],
    );
    std::fs::write(here.join("broken.json"), "{").unwrap();
    run("error_5_damaged", &["registry", "list", "--registry", "broken.json"]);
    run(
        "error_8_refused",
        &[
            "migrate-collection",
            "--store",
            "db",
            "--collection",
            "tldr",
            "--projection",
            PROJECTION,
            "--json",
        ],
    );
    std::fs::write(here.join("f8.npy"), f8_file()).unwrap();
    run(
        "error_10_unsupported",
        &["apply", "--projection", PROJECTION, "--input", "f8.npy", "--output", "y.npy"],
    );
    snapshot(
        "error_11_network",
        here,
        program(here).env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", "http://127.0.0.1:1").args([
            "train",
            "--source-model",
            "embedport/static-256",
            "--target-model",
            "some/model",
        ]),
    );
}

fn f8_file() -> Vec<u8> {
    let header = format!("{:<117}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([0; 16]);
    bytes
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_that_a_process_holds_is_refused_with_code_6() {
    let folder = scratch();
    let database = std::fs::File::open(folder.path().join("db/chroma.sqlite3")).unwrap();
    let mut holder = Command::new("sleep").arg("60").stdin(Stdio::from(database)).spawn().unwrap();
    let seen = embedport(
        folder.path(),
        &["migrate-collection", "--store", "db", "--collection", "tldr", "--projection", PROJECTION, "--yes"],
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    seen.fails(6, &holder.id().to_string());
}

#[cfg(target_os = "linux")]
#[test]
fn no_room_for_the_result_is_code_9_and_a_closed_pipe_none() {
    let folder = scratch();
    for arguments in [&["registry", "list"][..], &["man"], &["completions", "bash"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = program(folder.path())
            .args(arguments)
            .stdout(Stdio::from(full))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(9), "{arguments:?}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = program(folder.path());
        command.args(arguments).stdout(Stdio::from(writer)).stderr(Stdio::piped());
        let seen = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!((seen.status.code(), seen.stderr), (Some(0), Vec::new()), "{arguments:?}");
    }
}

#[test]
fn every_command_has_a_manual_page_and_every_shell_a_script() {
    let folder = TempDir::new().unwrap();
    for command in ["train", "migrate-collection", "verify", "rollback", "detect", "inspect", "registry"] {
        let page = embedport(folder.path(), &["man", command]).succeeds().stdout;
        assert!(page.contains(&format!("embedport {command}").replace('-', "\\-")), "{page}");
    }
    embedport(folder.path(), &["man", "nonsense"]).fails(2, "no command `nonsense`");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = embedport(folder.path(), &["completions", shell]).succeeds().stdout;
        assert!(script.contains("migrate-collection"), "{shell}");
    }
}

#[test]
fn a_registry_that_was_asked_for_must_be_there() {
    let folder = scratch();
    for arguments in [
        &["registry", "list", "--registry", "typo.json"][..],
        &["registry", "--registry", "typo.json", "check"],
        &["detect", "--store", "db", "--registry", "typo.json"],
    ] {
        embedport(folder.path(), arguments).fails(3, "typo.json");
    }
}

#[test]
fn training_is_refused_before_it_begins_if_the_projection_could_not_be_kept() {
    let folder = scratch();
    let train = |more: &[&str]| {
        let mut arguments =
            vec!["train", "--from", "db", "--collection", "tldr", "--target-model", "embedport/static-256"];
        arguments.extend(more);
        embedport(folder.path(), &arguments)
    };
    train(&["--registry", "sub/registry.json", "--output-dir", "elsewhere"]).fails(2, "does not lie in");
    for name in ["--name=-x", "--name=a/b", "--name=a b", "--name="] {
        train(&[name]).fails(2, "cannot be the name of a projection");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the database is there");
}

#[test]
fn apply_keeps_its_input_and_names_the_file_and_row_of_bad_values() {
    let folder = TempDir::new().unwrap();
    let mut rows = Numbers(1).rows(5000, 384);
    rows[4500][7] = f32::NAN;
    write_npy(&folder.path().join("x.npy"), &rows);
    let before = contents(folder.path());
    let apply = |output: &str| {
        embedport(
            folder.path(),
            &["apply", "--projection", PROJECTION, "--input", "x.npy", "--output", output],
        )
    };
    apply("./x.npy").fails(2, "`./x.npy` is the input, which would be lost");
    apply("y.npy").fails(5, "`x.npy`, counted from row 4096: 1 of 904").fails(5, "the first is row 404");
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_damaged_projection_is_found_by_the_check() {
    let folder = scratch();
    train_mine(folder.path(), "60");
    embedport(folder.path(), &["registry", "check"]).succeeds();
    let file = folder.path().join("projections/mine.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let seen = embedport(folder.path(), &["registry", "check", "--json"]);
    assert_eq!(seen.code, 5);
    let mine = seen.json()["projections"][0].clone();
    assert_eq!((mine["name"].as_str(), mine["problem"].is_string()), (Some("mine"), true));
    embedport(folder.path(), &["registry", "show", "mine"]).fails(5, "SHA-256");
}

#[test]
fn a_projection_that_learned_nothing_is_doubted_in_training_and_in_the_plan() {
    let folder = scratch();
    let database = rusqlite::Connection::open(folder.path().join("db/chroma.sqlite3")).unwrap();
    let mut query = database.prepare("select embedding_id from embeddings limit 300").unwrap();
    let ids: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(query);
    database.close().unwrap();
    let mut numbers = Numbers(3);
    let lines: Vec<String> = ids
        .iter()
        .map(|id| serde_json::json!({ "id": id, "vector": numbers.rows(1, 16)[0] }).to_string())
        .collect();
    std::fs::write(folder.path().join("noise.jsonl"), lines.join("\n")).unwrap();
    let train =
        ["train", "--from", "db", "--collection", "tldr", "--target-model", "lab/noise,path=noise.jsonl"];
    let trained = embedport(folder.path(), &[&train[..], &["--name", "noise"]].concat()).succeeds();
    assert!(trained.stdout.contains("note: neighbour overlap@10"), "{}", trained.stdout);
    let plan =
        ["migrate-collection", "--store", "db", "--collection", "tldr", "--projection", "noise", "--dry-run"];
    let plan = embedport(folder.path(), &plan).succeeds();
    assert!(plan.stdout.contains("warning: neighbour overlap@10"), "{}", plan.stdout);

    let store =
        ["advise", "--store", "db", "--collection", "tldr", "--target-model", "lab/noise,path=noise.jsonl"];
    let advice = outcome(program(folder.path()).args(store).args(["--json", "--quiet"]));
    assert_eq!(advice.code, 25, "{}", advice.stderr);
    let advice: serde_json::Value = serde_json::from_str(&advice.stdout).unwrap();
    assert_ne!(advice["advised"], "project");
    let most = advice["choices"][1]["high"].as_f64().unwrap();
    assert!(most < 0.30, "the figures behind it: {advice}");
}

#[test]
fn too_few_held_out_pairs_are_doubted_and_do_not_contradict() {
    let folder = scratch();
    train_mine(folder.path(), "30");
    let database = rusqlite::Connection::open(folder.path().join("db/chroma.sqlite3")).unwrap();
    database
        .execute_batch("update collections set config_json_str = '{}', schema_str = null where name = 'tldr'")
        .unwrap();
    database.close().unwrap();
    let plan = ["migrate-collection", "--store", "db", "--collection", "tldr", "--projection", "mine"];
    let seen = embedport(folder.path(), &[&plan[..], &["--dry-run"]].concat()).succeeds();
    let doubt = "warning: the collection does not record its model, and the projection's 15 held-out pairs are too few to tell";
    assert!(seen.stdout.contains(doubt), "{}", seen.stdout);
    let seen = embedport(folder.path(), &[&plan[..], &["--yes", "--quiet"]].concat()).succeeds();
    assert!(seen.stderr.contains(doubt), "quiet is no progress, and not no warnings: {}", seen.stderr);
}

#[test]
fn a_damaged_registry_is_in_the_way_only_where_it_is_needed() {
    let folder = scratch();
    train_mine(folder.path(), "60");
    std::fs::write(folder.path().join("registry.json"), "{").unwrap();
    let run = |arguments: &[&str]| embedport(folder.path(), arguments);
    let plan = ["migrate-collection", "--store", "db", "--collection", "tldr", "-n", "--projection"];
    run(&[&plan[..], &["projections/mine.safetensors"]].concat()).succeeds();
    run(&[&plan[..], &["mine"]].concat()).fails(5, "registry `registry.json`: not a registry");
    let detect =
        ["detect", "--store", "db", "--collection", "tldr", "--expect-model", "embedport/static-256"];
    let seen = run(&detect);
    assert_eq!(seen.code, 21, "{}", seen.stderr);
    assert!(seen.stdout.contains(PROJECTION) && seen.stderr.contains("registry `registry.json`"), "{seen:?}");
}

#[test]
fn a_name_is_not_taken_from_a_projection_between_other_models() {
    let folder = scratch();
    train_mine(folder.path(), "60");
    train_mine(folder.path(), "80");
    let before = contents(folder.path());
    let rows = Numbers(2).rows(60, 8);
    write_npy(&folder.path().join("x.npy"), &rows);
    write_npy(&folder.path().join("y.npy"), &another_space(&rows, 4, &mut Numbers(3)));
    let pairs =
        ["train", "--source-vectors", "x.npy", "--target-vectors", "y.npy", "--source-model", "lab/a"];
    let train = |target: &str, more: &[&str]| {
        embedport(folder.path(), &[&pairs[..], &["--target-model", target], more].concat())
    };
    train("lab/b", &["--name", "mine"]).fails(8, "to `embedport/static-256` already");
    // Without an entry of that name the file itself tells.
    let other = ["--name", "mine", "--registry", "other.json"];
    train("lab/b", &other).fails(8, "to `embedport/static-256` already");
    std::fs::write(folder.path().join("projections/weights.safetensors"), "of a model").unwrap();
    train("lab/b", &["--name", "weights"]).fails(8, "is no projection");
    for name in ["projections/weights.safetensors", "x.npy", "y.npy"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert!(contents(folder.path()) == before);
}

#[test]
fn a_model_is_named_alike_everywhere() {
    let folder = scratch();
    let run = |arguments: &[&str]| embedport(folder.path(), arguments);
    let store = ["--store", "db", "--collection", "tldr"];
    for model in ["all-MiniLM-L6-v2,path=some/folder", "models/all-MiniLM-L6-v2/", "all-MiniLM-L6-v2"] {
        std::fs::create_dir_all(folder.path().join("models/all-MiniLM-L6-v2")).unwrap();
        let detect = ["detect", "--expect-model", model];
        run(&[&detect[..], &store].concat()).succeeds();
        let plan = ["migrate-collection", "--projection", PROJECTION, "--dry-run", "--source-model", model];
        run(&[&plan[..], &store].concat()).succeeds();
        run(&[&plan[..4], &["--source-model", "all-MiniLM-L6-v2,nonsense"], &store].concat())
            .fails(2, "`nonsense`");
    }
}

#[test]
fn a_projection_without_notes_has_an_empty_list_of_them() {
    let folder = scratch();
    let from = ["train", "--from", "db", "--collection", "tldr", "--target-model", "embedport/static-256"];
    let plain = ["--samples", "600", "--words", "0", "--method", "ridge", "--name", "plain"];
    embedport(folder.path(), &[&from[..], &plain].concat()).succeeds();
    let shown = embedport(folder.path(), &["registry", "show", "plain", "--json"]).succeeds().json();
    assert_eq!(shown["notes"], serde_json::json!([]));
}

#[test]
fn a_threshold_is_translated_as_far_as_scores_were_measured() {
    let folder = scratch();
    train_mine(folder.path(), "300");
    let show =
        |threshold: &str| embedport(folder.path(), &["registry", "show", "mine", "--threshold", threshold]);
    let shown = show("0.4").succeeds();
    assert!(shown.stdout.contains("a threshold of 0.400 between source vectors is 0."), "{}", shown.stdout);
    assert!(shown.stdout.contains("cosines between records, "), "{}", shown.stdout);
    show("0.9999").fails(8, "were measured");
    let arguments = ["registry", "show", PROJECTION, "--threshold", "0.4"];
    embedport(folder.path(), &arguments).fails(8, "no scores were measured when it was trained");
}
