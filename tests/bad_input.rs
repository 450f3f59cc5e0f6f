//! Bad input gets an error that says what was found, what was wanted and what to do next, with the
//! documented exit code, and the database stays as it was, byte for byte.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::*;
use tempfile::TempDir;

const PROJECTION: &str = "all-minilm-l6-v2--static-256";

/// The demo database in a scratch folder.
struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
        Scratch { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn db(&self) -> PathBuf {
        self.path().join("db")
    }

    fn sqlite(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.db().join("chroma.sqlite3")).unwrap()
    }

    /// Folder of the vectors of collection `tldr`.
    fn segment(&self) -> PathBuf {
        let id: String = self
            .sqlite()
            .query_row(
                "select s.id from segments s join collections c on c.id = s.collection \
                 where c.name = 'tldr' and s.scope = 'VECTOR'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        self.db().join(id)
    }

    /// Migrates `tldr` with the shipped projection and demands that nothing changed.
    #[track_caller]
    fn migration_fails(&self, code: i32, wanted: &str) -> Outcome {
        self.command_fails(&migrate("tldr", PROJECTION), code, wanted)
    }

    #[track_caller]
    fn command_fails(&self, arguments: &[&str], code: i32, wanted: &str) -> Outcome {
        let before = contents(&self.db());
        let outcome = embedport(self.path(), arguments).fails(code, wanted);
        let after = without_state(contents(&self.db()));
        assert!(without_state(before) == after, "the database was changed: {}", outcome.stderr);
        outcome
    }
}

/// embedport's own empty state folder may stay; Chroma ignores it.
fn without_state(files: Vec<(PathBuf, Vec<u8>)>) -> Vec<(PathBuf, Vec<u8>)> {
    files.into_iter().filter(|(path, _)| path != Path::new(".embedport/lock")).collect()
}

fn migrate<'a>(collection: &'a str, projection: &'a str) -> Vec<&'a str> {
    vec![
        "migrate-collection",
        "--store",
        "db",
        "--collection",
        collection,
        "--projection",
        projection,
        "--yes",
    ]
}

#[test]
fn a_missing_folder() {
    let s = Scratch::new();
    let args = ["inspect", "--store", "nowhere"];
    s.command_fails(&args, 3, "no store at `nowhere`");
}

#[test]
fn not_a_chroma_folder() {
    let s = Scratch::new();
    fs::create_dir(s.path().join("other")).unwrap();
    fs::write(s.path().join("other/notes.txt"), "hello").unwrap();
    s.command_fails(&["inspect", "--store", "other"], 10, "is not a store that embedport knows");
}

/// What may not be read is neither damaged, nor missing, nor another thing; and nothing of it is to be deleted.
#[cfg(unix)]
#[test]
fn what_may_not_be_read_is_said_to_be_that() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let s = Scratch::new();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(s.path(), 0o755);
    let store = s.path().join("s.db");
    rusqlite::Connection::open(&store).unwrap().execute_batch("create table t (v blob)").unwrap();
    // Root may read everything: the program is run as somebody else, from where everybody may.
    let root = s.path().metadata().unwrap().uid() == 0;
    let own = s.path().join("embedport");
    fs::copy(env!("CARGO_BIN_EXE_embedport"), &own).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&own);
        if root {
            command.uid(65_534);
        }
        outcome(command.current_dir(s.path()).env("HF_HUB_OFFLINE", "1").args(arguments).stdin(Stdio::null()))
    };
    let denied = |arguments: &[&str]| {
        let seen = run(arguments).fails(9, "Permission denied");
        assert!(!seen.stderr.contains("delete") && !seen.stdout.contains("delete"), "{seen:?}");
    };
    let collection = ["--store", "db", "--collection", "tldr"];
    let segment = s.segment();
    let names = ["index_metadata.pickle", "header.bin", "data_level0.bin", "link_lists.bin"];
    let files = names.map(|name| segment.join(name));
    for path in files.iter().chain([&segment]) {
        let before = path.metadata().unwrap().permissions().mode();
        mode(path, 0);
        denied(&["inspect", "--store", "db", "--deep"]);
        denied(&[&["migrate-collection", "-n", "--projection", PROJECTION][..], &collection].concat());
        denied(&[&["identify"][..], &collection].concat());
        mode(path, before);
    }
    run(&["inspect", "--store", "db", "--deep"]).succeeds();
    for (path, names) in [(&s.db(), ["db", "chroma:db"]), (&store, ["s.db", "sqlite:s.db"])] {
        mode(path, 0);
        names.iter().for_each(|name| denied(&["inspect", "--store", name]));
        mode(path, 0o755);
    }
}

#[test]
fn the_database_is_found_by_its_bare_name() {
    let s = Scratch::new();
    let seen = embedport(&s.db(), &["inspect", "--store", "chroma.sqlite3"]).succeeds();
    assert!(seen.stdout.contains("tldr"), "{}", seen.stdout);
}

#[test]
fn a_chroma_file_that_is_no_database() {
    let s = Scratch::new();
    fs::create_dir(s.path().join("other")).unwrap();
    fs::write(s.path().join("other/chroma.sqlite3"), vec![7; 5000]).unwrap();
    s.command_fails(&["inspect", "--store", "other"], 5, "chroma.sqlite3");
}

#[test]
fn an_unknown_collection_names_its_neighbours() {
    let s = Scratch::new();
    let outcome = s.command_fails(&migrate("tldt", PROJECTION), 3, "no collection `tldt`");
    assert!(outcome.stderr.contains("tldr"), "{}", outcome.stderr);
}

#[test]
fn an_empty_collection() {
    let s = Scratch::new();
    let db = s.sqlite();
    db.execute_batch(
        "pragma foreign_keys = off; insert into collections select '11111111-2222-3333-4444-555555555555', 'nothing', null, database_id, \
           config_json_str, schema_str from collections where name = 'tldr'; \
         insert into segments select '11111111-2222-3333-4444-666666666666', type, scope, \
           '11111111-2222-3333-4444-555555555555' from segments where scope = 'VECTOR' limit 1; \
         insert into segments select '11111111-2222-3333-4444-777777777777', type, scope, \
           '11111111-2222-3333-4444-555555555555' from segments where scope = 'METADATA' limit 1;",
    )
    .unwrap();
    drop(db);
    s.command_fails(&migrate("nothing", PROJECTION), 8, "has no records");
    let train =
        ["train", "--from", "db", "--collection", "nothing", "--target-model", "embedport/static-256"];
    s.command_fails(&train, 8, "is empty");
}

#[test]
fn a_collection_without_texts_cannot_train() {
    let s = Scratch::new();
    s.sqlite()
        .execute_batch(
            "delete from embedding_metadata where key = 'chroma:document' and id in \
             (select e.id from embeddings e join segments s on s.id = e.segment_id \
              join collections c on c.id = s.collection where c.name = 'tldr')",
        )
        .unwrap();
    let train = ["train", "--from", "db", "--collection", "tldr", "--target-model", "embedport/static-256"];
    s.command_fails(&train, 8, "text");
}

#[test]
fn a_projection_of_another_dimension() {
    let s = Scratch::new();
    let outcome = s.command_fails(&migrate("tldr", "static-256--all-minilm-l6-v2"), 4, "reverse direction");
    assert!(outcome.stderr.contains("384") || outcome.stderr.contains("static-256"), "{}", outcome.stderr);
}

#[test]
fn an_unknown_projection() {
    let s = Scratch::new();
    s.command_fails(&migrate("tldr", "no-such-projection"), 3, "no-such-projection");
}

#[test]
fn a_damaged_or_hostile_projection_is_refused_before_the_store_is_opened() {
    let s = Scratch::new();
    let shipped = fs::read(root().join("projections").join(format!("{PROJECTION}.safetensors"))).unwrap();
    let mut flipped = shipped.clone();
    let middle = flipped.len() / 2;
    // The exponent of a float: not a number any more, or another weight.
    flipped[middle..middle + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut huge = shipped.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases: [(&str, Vec<u8>); 4] = [
        ("truncated", shipped[..shipped.len() - 1000].to_vec()),
        ("nan", flipped),
        ("huge-header", huge),
        ("noise", (0..5000u32).map(|i| (i * 7919 % 251) as u8).collect()),
    ];
    for (name, bytes) in cases {
        let file = format!("{name}.safetensors");
        fs::write(s.path().join(&file), bytes).unwrap();
        // The store does not exist: a store error would be `not found`.
        let args =
            ["migrate-collection", "--store", "nowhere", "--collection", "x", "--projection", &file, "--yes"];
        embedport(s.path(), &args).fails(5, &file);
    }
}

#[test]
fn a_vector_that_is_not_finite_is_named_by_its_record() {
    let s = Scratch::new();
    let level0 = s.segment().join("data_level0.bin");
    let header = fs::read(s.segment().join("header.bin")).unwrap();
    let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap()) as usize;
    let (record, vector) = (word(28), word(44));
    let mut bytes = fs::read(&level0).unwrap();
    // Elements of deleted or replaced records are not read: spoil several.
    for element in 0..50 {
        let at = element * record + vector;
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    }
    fs::write(&level0, bytes).unwrap();
    s.migration_fails(5, "is not finite");
}

#[test]
fn zero_vectors_are_migrated_and_counted() {
    let s = Scratch::new();
    let db = s.sqlite();
    let changed = db
        .execute(
            "update embeddings_queue set vector = zeroblob(length(vector)) where seq_id = \
             (select max(q.seq_id) from embeddings_queue q join collections c \
              on q.topic like '%' || c.id where c.name = 'tldr' and q.vector is not null)",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(db);
    let mut args = migrate("tldr", PROJECTION);
    args.push("--json");
    let report = embedport(s.path(), &args).succeeds().json();
    assert_eq!(report["zero_vectors"], 1);
}

#[test]
fn a_truncated_hnsw_file() {
    for file in ["data_level0.bin", "header.bin", "length.bin", "link_lists.bin"] {
        let s = Scratch::new();
        let path = s.segment().join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        s.migration_fails(5, file);
    }
}

#[test]
fn a_hostile_pickle() {
    let cases: [(&str, &[u8]); 4] = [
        ("calls a function", b"\x80\x03cos\nsystem\nX\x02\x00\x00\x00id\x85R."),
        ("declares four gigabytes", b"\x80\x03}(X\xff\xff\xff\xffid_to_label"),
        ("ends early", b"\x80\x03}(X\x05\x00\x00\x00"),
        ("is no pickle", b"hello world"),
    ];
    for (name, bytes) in cases {
        let s = Scratch::new();
        fs::write(s.segment().join("index_metadata.pickle"), bytes).unwrap();
        let outcome = s.migration_fails(5, "index_metadata.pickle");
        assert!(!outcome.stderr.contains("panicked"), "{name}: {}", outcome.stderr);
    }
}

#[test]
fn without_a_yes_nothing_happens() {
    let s = Scratch::new();
    let mut args = migrate("tldr", PROJECTION);
    args.retain(|a| *a != "--yes");
    s.command_fails(&args, 8, "needs a yes");
}

#[test]
fn a_dry_run_changes_nothing_at_all() {
    let s = Scratch::new();
    let before = contents(&s.db());
    let mut args = migrate("tldr", PROJECTION);
    args.extend(["--dry-run", "--json"]);
    let plan = embedport(s.path(), &args).succeeds().json();
    assert_eq!(plan["source"]["dimension"], 384);
    assert_eq!(plan["target"]["dimension"], 256);
    assert!(before == contents(&s.db()), "a dry run wrote something");
}

#[test]
fn a_full_disk() {
    let s = Scratch::new();
    let before = contents(&s.db());
    // A file-size limit makes every longer write fail, as a full disk does; the signal is ignored.
    let script = format!(
        "trap '' XFSZ; ulimit -f 800; exec {} {}",
        env!("CARGO_BIN_EXE_embedport"),
        migrate("tldr", PROJECTION).join(" ")
    );
    let outcome = outcome(
        Command::new("bash")
            .args(["-c", &script])
            .current_dir(s.path())
            .env("HF_HUB_OFFLINE", "1")
            .stdin(Stdio::null()),
    );
    let outcome = outcome.fails(9, "cannot");
    assert!(
        without_state(before) == without_state(contents(&s.db())),
        "the database was changed: {}",
        outcome.stderr
    );
}

#[test]
fn a_read_only_folder() {
    let s = Scratch::new();
    let before = contents(&s.db());
    let binary = s.path().join("embedport");
    fs::copy(env!("CARGO_BIN_EXE_embedport"), &binary).unwrap();
    let shell =
        |script: &str| Command::new("bash").args(["-c", script]).current_dir(s.path()).status().unwrap();
    assert!(shell("chmod -R a+rX . && chmod -R a-w db").success());
    let is_root = shell("[ \"$(id -u)\" = 0 ]").success();
    // Root may write anywhere: another user must not.
    let mut command = match is_root {
        true => {
            let mut c = Command::new("setpriv");
            c.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
            c
        }
        false => Command::new(&binary),
    };
    let run =
        outcome(command.args(migrate("tldr", PROJECTION)).current_dir(s.path()).env("HF_HUB_OFFLINE", "1"));
    assert!(shell("chmod -R u+w db").success());
    let run = run.fails(9, "cannot");
    assert!(before == contents(&s.db()), "the database was changed: {}", run.stderr);
}

#[test]
fn held_by_a_live_chroma() {
    let s = Scratch::new();
    let mut holder = Command::new(chroma_python("1.5.9"))
        .arg("-c")
        .arg(
            "import chromadb, sys\n\
             c = chromadb.PersistentClient(path='db')\n\
             c.get_collection('tldr', embedding_function=None).count()\n\
             print('open', flush=True)\n\
             sys.stdin.read()\n",
        )
        .current_dir(s.path())
        .env("ANONYMIZED_TELEMETRY", "False")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut line).unwrap();
    let outcome = embedport(s.path(), &migrate("tldr", PROJECTION));
    drop(holder.stdin.take());
    let pid = holder.id().to_string();
    holder.wait().unwrap();
    let outcome = outcome.fails(6, "held open by");
    assert!(outcome.stderr.contains(&pid), "{}", outcome.stderr);
    embedport(s.path(), &migrate("tldr", PROJECTION)).succeeds();
}

#[test]
#[cfg(target_os = "linux")]
fn held_by_a_chroma_server() {
    let s = Scratch::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let chroma = chroma_python("1.5.9").with_file_name("chroma");
    let mut server = Command::new(chroma)
        .args(["run", "--path", "db", "--host", "127.0.0.1", "--port", &port.to_string()])
        .current_dir(s.path())
        .env("ANONYMIZED_TELEMETRY", "False")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It opens the database before it listens.
    let mut tries = 0;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() && tries < 600 {
        tries += 1;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let outcome = embedport(s.path(), &migrate("tldr", PROJECTION));
    server.kill().unwrap();
    server.wait().unwrap();
    let outcome = outcome.fails(6, "held open by the server `chroma run`");
    assert!(outcome.stderr.contains(&server.id().to_string()), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(&port.to_string()), "its other arguments are nobody's business");
    assert!(outcome.stderr.contains("end `chroma run` with Ctrl-C"), "{}", outcome.stderr);
}

/// How long a migration takes at least: the first one also waits for files that nobody read before.
#[cfg(unix)]
fn shortest_run() -> std::time::Duration {
    let runs = (0..3).map(|_| {
        let s = Scratch::new();
        let start = std::time::Instant::now();
        embedport(s.path(), &migrate("tldr", PROJECTION)).succeeds();
        start.elapsed()
    });
    runs.min().unwrap()
}

#[test]
#[cfg(unix)]
fn ctrl_c_at_any_time() {
    let full = shortest_run();
    let mut stopped = 0;
    for step in 0..8 {
        let s = Scratch::new();
        let before = embedport(s.path(), &["inspect", "--store", "db", "--json"]).succeeds().json();
        let child = program(s.path())
            .args(migrate("tldr", PROJECTION))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(full * step / 8);
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        let after = embedport(s.path(), &["inspect", "--store", "db", "--json"]).succeeds().json();
        match output.status.code() {
            // Before the handler was there, the default action: killed by the signal.
            Some(130) | None => {
                stopped += 1;
                assert_eq!(before["collections"], after["collections"], "step {step}");
            }
            Some(0) => assert_eq!(after["collections"][0]["name"], before["collections"][0]["name"]),
            code => panic!("step {step}: {code:?} {}", String::from_utf8_lossy(&output.stderr)),
        }
        // Whatever happened, the next run works.
        if output.status.code() != Some(0) {
            embedport(s.path(), &migrate("tldr", PROJECTION)).succeeds();
        }
    }
    assert!(stopped > 0, "no run was stopped: the test shows nothing");
}

/// Dimension of collection `tldr` as `inspect` says.
fn dimension_of_tldr(s: &Scratch) -> u64 {
    let found =
        embedport(s.path(), &["inspect", "--store", "db", "--collection", "tldr", "--json"]).succeeds();
    found.json()["collections"][0]["dimension"].as_u64().unwrap()
}

#[test]
#[cfg(unix)]
fn kill_at_any_time_leaves_source_or_target_and_the_next_run_tidies_up() {
    let full = shortest_run();
    let mut killed = 0;
    for step in 1..=12 {
        let s = Scratch::new();
        let mut child = program(s.path())
            .args(migrate("tldr", PROJECTION))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(full * step / 12);
        killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let expect = ["detect", "--store", "db", "--collection", "tldr", "--expect-dimension", "384"];
        let detected = embedport(s.path(), &expect).code;
        match dimension_of_tldr(&s) {
            384 => {
                assert!([0, 23].contains(&detected), "step {step}: {detected}");
                embedport(s.path(), &migrate("tldr", PROJECTION)).succeeds();
            }
            256 => assert_eq!(detected, 20, "step {step}"),
            other => panic!("step {step}: {other} components"),
        }
        embedport(s.path(), &["rollback", "--store", "db", "--collection", "tldr"]).succeeds();
        assert_eq!(dimension_of_tldr(&s), 384, "step {step}");
        // One index folder for each of the two collections, and the memory of one migration.
        let folders =
            |at: &Path| fs::read_dir(at).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count();
        assert_eq!(folders(&s.db()), 3, "step {step}: index folders and .embedport");
        assert_eq!(folders(&s.db().join(".embedport")), 1, "step {step}");
    }
    assert!(killed > 5, "only {killed} runs were killed: the test shows nothing");
}

#[test]
fn a_lost_journal_does_not_cost_the_backup() {
    let s = Scratch::new();
    let mut args = migrate("tldr", PROJECTION);
    args.push("--json");
    let report = embedport(s.path(), &args).succeeds().json();
    let folder = s.db().join(".embedport").join(report["migration"].as_str().unwrap());
    fs::remove_file(folder.join("journal.json")).unwrap();
    embedport(s.path(), &["rollback", "--store", "db", "--collection", "tldr"])
        .fails(3, "journal.json` is not there");
    assert!(folder.join("backup/rows.bin").exists());
}

#[test]
fn a_damaged_journal_stops_who_writes_and_nobody_else() {
    let s = Scratch::new();
    embedport(s.path(), &migrate("tldr", PROJECTION)).succeeds();
    let other = s.db().join(".embedport/20200101T000000000-0123abcd");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("journal.json"), "{\"format\": 1, \"mig").unwrap();
    let before = contents(&s.db());
    let found = embedport(
        s.path(),
        &"detect --store db --collection tldr --expect-model embedport/static-256 --json"
            .split(" ")
            .collect::<Vec<_>>(),
    )
    .succeeds()
    .json();
    assert!(found["collections"].to_string().contains("is no journal of embedport"), "{found}");
    embedport(s.path(), &["verify", "--store", "db", "--collection", "tldr"]).succeeds();
    for line in [
        "rollback --store db --collection tldr",
        "backups prune --store db --all --yes",
        "migrate-collection --store db --collection colours --projection all-minilm-l6-v2--static-256 --yes",
    ] {
        let outcome = embedport(s.path(), &line.split(' ').collect::<Vec<_>>());
        assert_ne!(outcome.code, 0, "{line}");
    }
    embedport(s.path(), &["rollback", "--store", "db", "--collection", "tldr"])
        .fails(5, "is no journal of embedport");
    let after: Vec<_> = contents(&s.db()).into_iter().filter(|(path, _)| !path.ends_with("lock")).collect();
    assert!(after == before.into_iter().filter(|(path, _)| !path.ends_with("lock")).collect::<Vec<_>>());
}

#[test]
fn a_journal_that_points_out_of_the_store_is_refused() {
    let s = Scratch::new();
    let mut args = migrate("tldr", PROJECTION);
    args.push("--json");
    let report = embedport(s.path(), &args).succeeds().json();
    let journal = s.db().join(".embedport").join(report["migration"].as_str().unwrap()).join("journal.json");
    let mut hostile: serde_json::Value = serde_json::from_slice(&fs::read(&journal).unwrap()).unwrap();
    hostile["backup"]["details"]["folder"] = "../../elsewhere".into();
    fs::write(&journal, hostile.to_string()).unwrap();
    embedport(s.path(), &["rollback", "--store", "db", "--collection", "tldr"])
        .fails(5, "outside of the store");
}

#[test]
fn without_a_backup_verify_tells_use_from_damage_by_saying_that_it_cannot() {
    let s = Scratch::new();
    let mut args = migrate("tldr", PROJECTION);
    args.push("--no-backup");
    embedport(s.path(), &args).succeeds();
    let added = python("1.5.9", "add_records.py", &[s.db().as_os_str(), "tldr".as_ref(), "2".as_ref()]);
    added.succeeds();
    let verified =
        embedport(s.path(), &["verify", "--store", "db", "--collection", "tldr", "--json"]).succeeds();
    let unknown = verified.json()["verification"]["not_measured"].to_string();
    assert!(unknown.contains("2 added since the migration"), "{unknown}");
    embedport(s.path(), &["rollback", "--store", "db", "--collection", "tldr"]).fails(3, "without a backup");
}

#[test]
fn errors_are_json_when_asked() {
    let s = Scratch::new();
    let outcome = embedport(s.path(), &["inspect", "--store", "nowhere", "--json"]);
    let document = outcome.json();
    assert_eq!(document["error"]["kind"], "not_found");
    assert_eq!(document["error"]["exit_code"], 3);
    assert_eq!(outcome.code, 3);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let s = Scratch::new();
    let mut child = program(s.path())
        .args(["inspect", "--store", "db"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_text_file_that_is_not_utf8_is_named_by_line() {
    let s = Scratch::new();
    let mut file = fs::File::create(s.path().join("texts.txt")).unwrap();
    file.write_all(b"fine\n\xff\xfe broken\n").unwrap();
    let args = [
        "train",
        "--texts",
        "texts.txt",
        "--source-model",
        "embedport/static-256",
        "--target-model",
        "embedport/static-256",
    ];
    s.command_fails(&args, 5, "line 2");
}
