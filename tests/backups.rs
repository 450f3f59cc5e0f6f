//! Backups are listed as they are, and removed only when asked, in a way that a crash cannot spoil.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::*;
use serde_json::{Value, json};
use tempfile::TempDir;

const PROJECTION: &str = "all-minilm-l6-v2--static-256";

/// The demo database in a scratch folder.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        copy_folder(&root().join("assets/demo/chroma"), &folder.path().join("db"));
        Scratch(folder)
    }

    fn db(&self) -> PathBuf {
        self.0.path().join("db")
    }

    #[track_caller]
    fn run(&self, line: &str) -> Outcome {
        let mut arguments: Vec<&str> = line.split(' ').collect();
        arguments.extend(["--store", "db"]);
        embedport(self.0.path(), &arguments)
    }

    /// Migrates `tldr`; the identifier.
    #[track_caller]
    fn migrate(&self) -> String {
        self.migrate_by(PROJECTION)
    }

    #[track_caller]
    fn migrate_by(&self, projection: &str) -> String {
        let line = format!("migrate-collection --collection tldr --projection {projection} --yes --json");
        self.run(&line).succeeds().json()["migration"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn list(&self) -> Vec<Value> {
        let kept = self.run("backups list --json").succeeds().json();
        kept["migrations"].as_array().unwrap().clone()
    }

    fn state(&self, migration: &str) -> PathBuf {
        self.db().join(".embedport").join(migration)
    }

    /// Changes a journal as a crash would have left it.
    fn edit(&self, migration: &str, change: impl FnOnce(&mut Value)) {
        let path = self.state(migration).join("journal.json");
        let mut journal: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut journal);
        fs::write(&path, journal.to_string()).unwrap();
    }
}

fn size(folder: &Path) -> u64 {
    contents(folder).iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn a_store_that_was_never_migrated_keeps_nothing_and_prunes_nothing() {
    let s = Scratch::new();
    let before = contents(&s.db());
    assert_eq!(s.list(), Vec::<Value>::new());
    let report = s.run("backups prune --all --yes --json").succeeds().json();
    assert_eq!(report["pruned"], json!([]));
    assert!(contents(&s.db()) == before);
}

#[test]
fn the_list_tells_states_sizes_and_ways_back() {
    let s = Scratch::new();
    let first = s.migrate();
    let [kept] = s.list().try_into().unwrap();
    assert_eq!(kept["migration"], first.as_str());
    assert_eq!((&kept["state"], &kept["is_way_back"]), (&json!("committed"), &json!(true)));
    assert_eq!(kept["bytes"], size(&s.state(&first)));
    assert_eq!(kept["backup_bytes"], size(&s.state(&first).join("backup")));
    s.run("rollback").succeeds();
    let second = s.migrate();
    let [before, now] = s.list().try_into().unwrap();
    assert_eq!((&before["migration"], &before["state"]), (&json!(first), &json!("rolled_back")));
    assert_eq!(before["is_way_back"], false);
    assert_eq!((&now["migration"], &now["is_way_back"]), (&json!(second), &json!(true)));
    assert_eq!(s.run("backups list --collection colours --json").succeeds().json()["migrations"], json!([]));
    s.run("backups list --collection nothing").fails(3, "no collection `nothing`");

    let rows = s.state(&second).join("backup/rows.bin");
    fs::write(&rows, &fs::read(&rows).unwrap()[1..]).unwrap();
    let [_, damaged] = s.list().try_into().unwrap();
    assert_eq!(damaged["is_way_back"], false);
    assert!(damaged["reason"].as_str().unwrap().contains("rows.bin"), "{damaged}");
}

#[test]
fn nothing_is_pruned_unasked() {
    let s = Scratch::new();
    let migration = s.migrate();
    let before = contents(&s.db());
    let refused = s.run("backups prune --all").fails(8, "needs a yes");
    assert!(refused.stderr.contains("will have no way back"), "{}", refused.stderr);
    let plan = s.run("backups prune --collection tldr --dry-run --json").succeeds().json();
    assert_eq!(plan["prunes"][0]["migration"], migration.as_str());
    let unsaid = s.run("backups prune --yes");
    assert!(unsaid.code == 2 && unsaid.stderr.contains("--all"), "{}", unsaid.stderr);
    s.run("backups prune --yes --migration 20200101T000000000-00000000").fails(3, "nothing is kept of");
    let plan = s.run("backups prune --keep-latest 1 --yes --json").succeeds().json();
    assert_eq!(plan["pruned"], json!([]));
    let unlocked = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<_> {
        files.into_iter().filter(|(path, _)| path != Path::new(".embedport/lock")).collect()
    };
    assert!(unlocked(contents(&s.db())) == unlocked(before), "something was changed");
    s.run("rollback").succeeds();
}

#[test]
fn a_pruned_migration_stays_verifiable_and_cannot_be_rolled_back() {
    let s = Scratch::new();
    let migration = s.migrate();
    let bytes = size(&s.state(&migration).join("backup"));
    let report = s.run(&format!("backups prune --migration {migration} --yes --json")).succeeds().json();
    assert_eq!(report["bytes"], bytes);
    assert!(!s.state(&migration).join("backup").exists());
    s.run("rollback").fails(3, &format!("the backup of migration {migration} was pruned at "));
    s.run("verify").succeeds();
    let [kept] = s.list().try_into().unwrap();
    assert_eq!((&kept["state"], &kept["is_way_back"]), (&json!("committed"), &json!(false)));
    assert_eq!(kept["reason"], "its backup was pruned");
    let again = s.run(&format!("backups prune --migration {migration} --yes --json")).succeeds().json();
    assert_eq!(again["pruned"], json!([]));
}

#[test]
fn the_latest_is_kept_and_what_a_rollback_left_goes() {
    let s = Scratch::new();
    let first = s.migrate();
    s.run("rollback").succeeds();
    let second = s.migrate();
    let report = s.run("backups prune --keep-latest 1 --yes --json").succeeds().json();
    assert_eq!(report["pruned"][0]["migration"], first.as_str());
    assert!(!s.state(&first).exists());
    assert_eq!(s.list().len(), 1);
    s.run(&format!("rollback --migration {second}")).succeeds();
}

#[test]
fn a_prune_that_was_cut_short_is_ended_by_the_next_command() {
    let s = Scratch::new();
    let first = s.migrate();
    s.run("rollback").succeeds();
    let second = s.migrate();
    // As a crash leaves them: the journal says that the backup is gone, and some of it is there; a folder
    // under its doomed name with its journal still inside.
    s.edit(&second, |journal| {
        journal["backup"] = Value::Null;
        journal["pruned"] = json!("2026-01-01T00:00:00Z");
    });
    fs::remove_file(s.state(&second).join("backup/rows.bin")).unwrap();
    let doomed = s.state(&format!("{first}.doomed"));
    fs::rename(s.state(&first), &doomed).unwrap();
    assert_eq!(s.list().len(), 1, "what is doomed is not listed");
    s.run("rollback").fails(3, "was pruned at");
    assert!(!doomed.exists() && !s.state(&second).join("backup").exists());
}

#[test]
fn a_crash_right_after_a_second_commit_leaves_the_first_migration_as_it_is() {
    let s = Scratch::new();
    let first = s.migrate();
    let second = s.migrate_by("static-256--all-minilm-l6-v2");
    s.edit(&second, |journal| {
        let history = journal["history"].as_array_mut().unwrap();
        assert_eq!(history.pop().unwrap()["state"], "committed");
    });
    s.run("backups prune --keep-latest 2 --yes").succeeds();
    let states: Vec<Value> = s.list().iter().map(|m| json!([m["migration"], m["state"]])).collect();
    assert_eq!(states, [json!([first, "committed"]), json!([second, "committed"])]);
    s.run(&format!("rollback --migration {second}")).succeeds();
    s.run(&format!("rollback --migration {first}")).succeeds();
}

#[test]
fn a_migration_without_a_backup_that_died_after_its_commit_keeps_none() {
    let s = Scratch::new();
    let migration = s.migrate();
    s.edit(&migration, |journal| journal["plan"]["keeps_backup"] = json!(false));
    s.run("rollback").fails(3, "was made without a backup");
    assert!(!s.state(&migration).join("backup").exists());
}

#[test]
fn a_migration_that_is_run_again_says_that_it_is_done_and_tidies_up() {
    let s = Scratch::new();
    let migration = s.migrate();
    let left = s.state(&migration).join(".embedport-a1b2c3.tmp");
    fs::write(&left, "torn").unwrap();
    let line = format!("migrate-collection --collection tldr --projection {PROJECTION} --yes");
    s.run(&format!("{line} --dry-run")).fails(4, "is done");
    assert!(left.exists(), "a dry run changes nothing");
    s.run(&line).fails(4, &format!("migration {migration} is done"));
    assert!(!left.exists());
}
