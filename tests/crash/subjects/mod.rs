//! What the harness runs on: one entry for each kind of store, one line of it for each form that is stopped.
//! Everything else here knows no store.

pub mod chroma;
pub mod sqlite;
pub mod sqlite_vec;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shim::{Step, Stop};

/// Every kind of store.
pub const ALL: &[&Subject] = &[&chroma::SUBJECT, &sqlite::SUBJECT, &sqlite_vec::SUBJECT];

/// A kind of store. A database is a folder with everything that belongs to it, embedport's state included.
pub struct Subject {
    pub name: &'static str,
    /// Page with what this is and the summary, without its ending.
    pub page: &'static str,
    /// Where the store, its SQLite file and embedport's state folder lie in the database.
    pub store: &'static str,
    pub file: &'static str,
    pub state: &'static str,
    /// The first one is the measure of what a sample has to reach.
    pub forms: &'static [Form],
    /// Makes a database in the folder, which is not there; returns the vectors of the collection `docs`, of
    /// [`FROM`](crate::scene::FROM) components.
    pub make: fn(&Form, &Path) -> Vec<Vec<f32>>,
    /// Who opens databases and says which state they are in: see `tests/python/judging.py`. Its last argument, which
    /// is added, is a folder for its copies.
    pub judge: fn(&Form) -> Command,
    /// Makes databases in the folder that no judge may take for a state, from those of source and target.
    pub wrong: fn(&Path, &Path, &Path) -> Vec<PathBuf>,
    /// Whether two databases are the same in more than the judge can see.
    pub is_same: fn(&Path, &Path) -> bool,
    /// A path below the database with ids taken out.
    pub kind: fn(&str) -> String,
    pub words: Words,
}

/// One form of a store.
pub struct Form {
    /// Release of the store's own program, or how the store lies in its file.
    pub name: &'static str,
    /// Page with its steps, without its ending.
    pub page: &'static str,
    /// Behind the names of scenarios.
    pub suffix: &'static str,
    /// What is added to a migration's command.
    pub options: &'static [&'static str],
    /// Components that a second migration leads to: [`BEYOND`](crate::scene::BEYOND), or as many as the first.
    pub beyond: usize,
    /// Also run with a write-ahead log; else the database may have one already.
    pub turns_to_wal: bool,
    /// Whether the default run looks at it.
    pub is_sampled: bool,
    /// Which stops it takes then, given the scenario, the step, the kind of stop and the number of steps.
    pub sample: fn(&str, &Step, Stop, usize) -> bool,
}

/// What the pages say.
pub struct Words {
    /// The heading's end, if there is one.
    pub title: &'static str,
    pub forms: &'static str,
    pub sees: &'static str,
    pub holds: &'static str,
    pub nothing_left: &'static str,
    pub refuses: &'static str,
}

impl Subject {
    /// What is given as `--store`.
    pub fn location(&self, database: &Path) -> PathBuf {
        match self.store {
            "" => database.to_owned(),
            name => database.join(name),
        }
    }

    /// The file whose holder may die with it, and SQLite's own journals, which SQLite looks after.
    pub fn owes_no_sync(&self, path: &str) -> bool {
        let of_sqlite =
            path.strip_prefix(self.file).is_some_and(|end| ["-journal", "-wal", "-shm"].contains(&end));
        of_sqlite || path.strip_prefix(self.state) == Some("/lock")
    }

    /// The step that makes the change of the database visible for good: SQLite removes its journal, or has written
    /// its write-ahead log to the disk, or another file takes its place.
    pub fn commit(&self, steps: &[Step]) -> Option<usize> {
        let ends = |s: &&Step| match s.path.strip_prefix(self.file) {
            Some("-journal") => s.call == "unlink",
            Some("-wal") => s.call == "fsync",
            _ => s.call == "rename" && s.path.ends_with(&format!(" -> {}", self.file)),
        };
        steps.iter().rfind(ends).map(|s| s.number)
    }
}
