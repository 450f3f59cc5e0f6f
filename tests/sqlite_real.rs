//! Files that real sqlite-vec, LangChain, LlamaIndex and Python's own sqlite3 made: rewritten up and down in dimension,
//! then opened, searched and extended by the same libraries, and put back.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use embedport::error::Kind;
use embedport::space::Space;
use embedport::store::{self, BackupChoice, Collection, IndexWay, Since, VectorStore};
use serde_json::{Value, json};
use support::{rewrite_as, run, save_npy, target_of};

/// Environment of the maker, kind and options of the file, settings of the store, environment of the checker.
type Case = (&'static str, &'static [&'static str], &'static str, &'static str);

const CASES: &[Case] = &[
    ("sqlite", &["plain", "--around", "--fts"], "fire-triggers=yes", "sqlite"),
    ("sqlite", &["plain", "--key", "text", "--encoding", "f64"], "", "sqlite"),
    ("sqlite", &["plain", "--key", "composite", "--encoding", "f16"], "", "sqlite"),
    ("sqlite", &["plain", "--key", "without-rowid", "--encoding", "json"], "", "sqlite"),
    ("sqlite", &["plain", "--key", "none", "--encoding", "npy", "--wal"], "", "sqlite"),
    ("sqlite", &["plain", "--encoding", "int8"], "table=notes&encoding=int8-scaled&scale=scale", "sqlite"),
    ("sqlite", &["plain", "--encoding", "vec_int8"], "table=notes&vector=embedding&encoding=int8", "sqlite"),
    ("sqlite", &["plain", "--strict", "--mixed", "--page-size", "512"], "", "sqlite"),
    ("sqlite", &["vec0", "--metadata", "--aux", "--metric", "cosine", "--n", "1300"], "", "sqlite"),
    (
        "sqlite",
        &["vec0", "--id", "text", "--partition", "--metadata", "--two", "--chunk-size", "8"],
        "",
        "sqlite",
    ),
    ("sqlite", &["vec0", "--id", "integer", "--type", "int8", "--wal"], "", "sqlite"),
    ("sqlite", &["vec0", "--type", "bit"], "", "sqlite"),
    ("sqlite-old", &["vec0", "--id", "text", "--chunk-size", "8", "--no-holes"], "", "sqlite-old"),
    ("sqlite-old", &["vec0", "--metric", "cosine"], "", "sqlite"),
    ("sqlite", &["langchain"], "", "sqlite"),
    ("sqlite", &["llamaindex"], "", "sqlite"),
];

/// A file made by a library, with what must be in it.
struct Made {
    case: Case,
    folder: tempfile::TempDir,
}

impl Made {
    fn new(case: Case) -> Made {
        let folder = tempfile::tempdir().expect("folder");
        let out = folder.path().join("made");
        run(case.0, "make_sqlite.py", &[&[out.to_str().expect("text")], case.1].concat());
        Made { case, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("made").join(name)
    }

    fn open(&self) -> Box<dyn VectorStore> {
        let database = self.path("store.db");
        let location = match self.case.2 {
            "" => database.to_str().expect("text").to_owned(),
            settings => format!("sqlite:{}?{settings}", database.display()),
        };
        store::open(&location).unwrap_or_else(|e| panic!("{:?}: {e}", self.case))
    }

    fn truth(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("truth/main.json")).expect("truth")).expect("JSON")
    }

    /// Identifiers of the truth in its order, as embedport gives them.
    fn ids(&self) -> Vec<String> {
        let truth = self.truth();
        let part = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let id = |key: &Value| match key.as_array().expect("a key").as_slice() {
            [one] => part(one),
            several => serde_json::to_string(&several.iter().map(part).collect::<Vec<_>>()).expect("JSON"),
        };
        truth["ids"].as_array().expect("ids").iter().map(id).collect()
    }

    /// The collection that the truth is about.
    fn collection(&self, store: &dyn VectorStore) -> Collection {
        let all = store.describe().expect("described").collections;
        let truth = self.truth();
        let (table, column) =
            (truth["table"].as_str().expect("table"), truth["column"].as_str().expect("column"));
        let names =
            [format!("table={table}&vector={column}"), "table=langchain&vector=text_embedding".to_owned()];
        let count = self.ids().len() as u64;
        let mut fitting = all.iter().filter(|c| {
            c.count == count
                && names.iter().any(|name| c.id == *name || c.id.starts_with(&format!("{name}&")))
        });
        fitting
            .next()
            .unwrap_or_else(|| panic!("{:?}: none of {all:#?} is {names:?} of {count}", self.case))
            .clone()
    }

    /// Lets the library look at the file: its records have `vectors`, or those that it made.
    fn check(&self, vectors: Option<&Path>) {
        let (database, truth) = (self.path("store.db"), self.path("truth"));
        let mut arguments = vec![support::text(&database), support::text(&truth), self.case.1[0]];
        if let Some(vectors) = vectors {
            arguments.extend(["--vectors", support::text(vectors)]);
        }
        // The first releases could not update every row of their own.
        if self.case.3 == "sqlite-old" {
            arguments.push("--no-extend");
        }
        run(self.case.3, "check_sqlite.py", &arguments);
    }
}

fn moves(case: Case) {
    let made = Made::new(case);
    let ids = made.ids();
    let mut store = made.open();
    let found = made.collection(store.as_ref());
    let dimension = found.dimension.expect("records");
    // In the file itself, and by a copy that takes its place.
    for (to, backup) in [(2 * dimension, BackupChoice::Rows), (dimension / 2, BackupChoice::Full)] {
        let target = target_of(store.as_ref(), &format!("m{to}"), to, backup);
        store.check_target(&found, &target.space).unwrap_or_else(|e| panic!("{case:?} to {to}: {e}"));
        let rewritten = rewrite_as(store.as_mut(), &found, &target, 1e-6);
        assert_eq!(rewritten.vectors.len(), ids.len(), "{case:?}");
        let vectors = made.folder.path().join("new.npy");
        save_npy(&vectors, &ids, &rewritten.vectors);
        made.check(Some(&vectors));
        store.restore(&rewritten.backup, Since::Refuse).expect("restored");
        made.check(None);
    }
}

#[test]
fn plain_tables_are_rewritten_and_every_reader_agrees() {
    CASES.iter().filter(|case| case.1[0] == "plain").copied().for_each(moves);
}

#[test]
fn tables_of_sqlite_vec_are_rewritten_and_sqlite_vec_searches_and_extends_them() {
    CASES.iter().filter(|case| case.1[0] == "vec0").copied().for_each(moves);
}

#[test]
fn stores_of_frameworks_are_rewritten_and_the_frameworks_search_and_extend_them() {
    CASES.iter().filter(|case| !["plain", "vec0"].contains(&case.1[0])).copied().for_each(moves);
}

#[test]
fn what_cannot_be_rewritten_safely_is_refused_with_a_reason() {
    let refused: [(&[&str], &str); 4] = [
        (&["qdrant"], "Qdrant"),
        (&["pickle"], "Python pickles"),
        (&["vss"], "sqlite-vss"),
        (&["vec0", "--metric", "l1"], "L1"),
    ];
    for (options, reason) in refused {
        let folder = tempfile::tempdir().expect("folder");
        let out = folder.path().join("made");
        run("sqlite", "make_sqlite.py", &[&[out.to_str().expect("text")], options].concat());
        let file = out.join("store.db");
        let file = if file.is_file() { file } else { storage(&out.join("store/collection")) };
        let store = store::open(support::text(&file)).expect("a SQLite file");
        let all = store.describe().expect("described").collections;
        assert!(!all.is_empty(), "{options:?}: nothing is listed");
        for collection in all {
            let why = collection.unsupported.clone().unwrap_or_default();
            assert!(why.contains(reason), "{options:?}: {why}");
            let target = Space::named("test/target", 8);
            assert!(store.check_target(&collection, &target).is_err_and(|e| e.kind() == Kind::Unsupported));
        }
    }
}

/// The one file of a collection of Qdrant's local mode.
fn storage(collections: &Path) -> PathBuf {
    let folder = fs::read_dir(collections).expect("collections").next().expect("one").expect("entry");
    folder.path().join("storage.sqlite")
}

#[test]
fn a_constraint_that_forbids_the_dimension_is_told_before_anything_is_written() {
    let made = Made::new(("sqlite", &["plain", "--check"], "", "sqlite"));
    let store = made.open();
    let found = made.collection(store.as_ref());
    let dimension = found.dimension.expect("records");
    store.check_target(&found, &Space::named("test/target", dimension)).expect("the same is allowed");
    let refused =
        store.check_target(&found, &Space::named("test/target", 2 * dimension)).expect_err("forbidden");
    assert!(
        refused.hints().iter().any(|hint| hint.contains("CHECK constraint failed")),
        "{:?}",
        refused.hints()
    );
}

#[test]
fn triggers_fire_only_if_that_is_wanted() {
    let made = Made::new(("sqlite", &["plain", "--log"], "", "sqlite"));
    let store = made.open();
    let found = made.collection(store.as_ref());
    let target = Space::named("test/target", found.dimension.expect("records"));
    let refused = store.check_target(&found, &target).expect_err("a trigger would fire");
    assert!(refused.hints().iter().any(|hint| hint.contains("--fire-triggers")), "{:?}", refused.hints());
    let location = format!("sqlite:{}?fire-triggers=yes", made.path("store.db").display());
    store::open(&location).expect("open").check_target(&found, &target).expect("wanted");
}

/// A process with the file open, which runs statements.
struct Other {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Other {
    fn new(database: &Path) -> Other {
        let mut child = Command::new(support::python("sqlite"))
            .args(["tests/python/statements.py", support::text(database)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Other { child, answers }
    }

    fn run(&mut self, statement: &str) -> Value {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{statement}").expect("sent");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("answered");
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{statement}: {answer}: {e}"))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("ended");
    }
}

/// Another process cannot write as long as a rewrite is under way. One that opened the file in the middle of an exchange,
/// and would go on with the file of before, is noticed, and the file stays what it was.
#[test]
fn a_program_that_opens_the_file_meanwhile_loses_nothing() {
    const READ: &str = "SELECT count(*), length(embedding) FROM notes WHERE embedding IS NOT NULL";
    const WRITE: &str = "UPDATE notes SET body = coalesce(body, '') || '.'";
    // The last two write without a journal file: SQLite itself would not notice that the file is another one.
    for (backup, journal) in [
        (BackupChoice::Rows, "delete"),
        (BackupChoice::Full, "delete"),
        (BackupChoice::Full, "memory"),
        (BackupChoice::Full, "off"),
    ] {
        let made = Made::new(("sqlite", &["plain"], "", "sqlite"));
        let mut store = made.open();
        let found = made.collection(store.as_ref());
        let dimension = found.dimension.expect("records");
        let (count, target) = (found.count, target_of(store.as_ref(), "m1", 2 * dimension, backup));
        let (before, after) = (json!([[count, 4 * dimension]]), json!([[count, 8 * dimension]]));
        let mut rewrite = store.rewrite(&found, &target).expect("free");
        let mut other = Other::new(&made.path("store.db"));
        other.run(&format!("PRAGMA journal_mode = {journal}"));
        assert_eq!(other.run(READ), "database is locked", "{backup:?}");
        let mapping = support::Mapping::new(support::map(dimension, 2 * dimension));
        let saved = rewrite.transform(&mapping, &mut |_, _| (), &support::context()).expect("transformed");
        assert_eq!(other.run(WRITE), "database is locked", "{backup:?}: the lock was let go");
        rewrite.seal(IndexWay::None, &support::context()).expect("sealed");
        assert_eq!(other.run(WRITE), "database is locked", "{backup:?}: the lock was let go");
        let committed = rewrite.commit();
        if saved.backup.details["exchanged"] == json!(true) {
            let refused = committed.expect_err("somebody has the file open");
            assert_eq!(refused.kind(), Kind::Locked);
            assert!(refused.hints().iter().any(|hint| hint.contains("--backup rows")), "{refused:?}");
            assert!(!store.is_current(&found.id, &target.migration).expect("known"));
            assert_eq!(other.run(READ), before, "{journal}");
            assert_eq!(other.run(WRITE), json!([]), "{journal}");
            drop(other);
            fs::remove_dir_all(store.state_folder()).expect("removed");
            assert_eq!(Other::new(&made.path("store.db")).run(READ), before, "{journal}");
            continue;
        }
        committed.expect("committed");
        assert_eq!(other.run(READ), after, "{backup:?}");
        assert_eq!(other.run(WRITE), json!([]));
        let changes = store.changes_since(&saved.backup).expect("known");
        assert_eq!((changes.added, changes.removed, changes.updated), (0, 0, count));
        drop(other);
        store.restore(&saved.backup, Since::Drop).expect("restored");
        made.check(None);
    }
}
