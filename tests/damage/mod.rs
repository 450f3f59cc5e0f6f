//! Damaged databases from bytes: the first byte of an input chooses a database, the rest replaces one of its files or
//! changes rows of its tables. Then everything that reads is called. The fuzzer and the plain test of the corpus share
//! this file; what is damaged says the table.

mod chroma;
mod exercise;
mod rows;
mod sqlite;

use std::fs;
use std::path::{Path, PathBuf};

/// One kind of hostile input.
pub struct Target {
    pub name: &'static str,
    kind: &'static Kind,
    damage: Damage,
}

/// What an input does to a database.
enum Damage {
    /// It stands in the place of this file beside the SQLite file.
    Beside(&'static str),
    /// It stands in the place of the SQLite file.
    Whole,
    /// It changes rows of these tables: see `rows.rs`.
    Rows(&'static [&'static str]),
    /// It stands in the place of one vector; the first byte chooses a blob or a text.
    Vector,
}

/// One kind of store.
struct Kind {
    /// Its undamaged databases, each in a folder of its own: found below the first path, or made in the second.
    databases: fn(&Path, &Path) -> Vec<PathBuf>,
    /// The SQLite file in such a folder, and what the store is called, given the folder.
    file: &'static str,
    locations: fn(&Path) -> Vec<String>,
    /// Given the SQLite file and a location; how many collections could be rewritten.
    exercise: fn(&Path, &str) -> usize,
}

/// Every target.
pub const TARGETS: [Target; 8] = [
    Target { name: "header", kind: &chroma::KIND, damage: Damage::Beside("header.bin") },
    Target { name: "level0", kind: &chroma::KIND, damage: Damage::Beside("data_level0.bin") },
    Target { name: "links", kind: &chroma::KIND, damage: Damage::Beside("link_lists.bin") },
    Target { name: "pickle", kind: &chroma::KIND, damage: Damage::Beside("index_metadata.pickle") },
    Target { name: "rows", kind: &chroma::KIND, damage: Damage::Rows(&chroma::TABLES) },
    Target { name: "sqlite", kind: &sqlite::KIND, damage: Damage::Whole },
    Target { name: "tables", kind: &sqlite::KIND, damage: Damage::Rows(&sqlite::TABLES) },
    Target { name: "value", kind: &sqlite::KIND, damage: Damage::Vector },
];

/// One database: as it is, and a copy to be damaged.
struct Database {
    kind: &'static Kind,
    original: PathBuf,
    copy: PathBuf,
}

/// Copies of all databases, in one temporary folder.
pub struct Scratch {
    _folder: tempfile::TempDir,
    databases: Vec<Database>,
}

impl Scratch {
    /// Copies every database below `originals`, and makes the others.
    ///
    /// # Panics
    /// If they cannot be copied: nothing could be tested then.
    pub fn new(originals: &Path) -> Scratch {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut databases = Vec::new();
        for (kind, name) in [(&chroma::KIND, "chroma"), (&sqlite::KIND, "sqlite")] {
            let mut found = (kind.databases)(originals, &folder.path().join("made"));
            found.sort();
            assert!(!found.is_empty(), "no databases of {name}");
            for original in found {
                let copy = folder.path().join(name).join(original.file_name().expect("a name"));
                copy_folder(&original, &copy);
                databases.push(Database { kind, original, copy });
            }
        }
        Scratch { _folder: folder, databases }
    }

    fn of(&self, target: &Target) -> Vec<&Database> {
        self.databases.iter().filter(|database| std::ptr::eq(database.kind, target.kind)).collect()
    }

    /// Damages a database with `input` and reads all of it; how many collections could be rewritten.
    pub fn feed(&self, target: &str, input: &[u8]) -> usize {
        let Some((first, rest)) = input.split_first() else { return 0 };
        let Some(target) = TARGETS.iter().find(|known| known.name == target) else { return 0 };
        let databases = self.of(target);
        let database = databases[usize::from(*first) % databases.len()];
        let Some(place) = database.place(&target.damage) else { return 0 };
        let path = database.copy.join(&place);
        match &target.damage {
            Damage::Beside(_) | Damage::Whole => fs::write(&path, rest).expect("the copy can be written"),
            Damage::Rows(tables) => rows::change(&path, tables, rest),
            Damage::Vector => sqlite::put_vector(&path, rest),
        }
        let locations = (database.kind.locations)(&database.copy);
        let rewritten = locations.iter().map(|location| (database.kind.exercise)(&path, location)).sum();
        for suffix in ["-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(database.copy.join(format!("{}{suffix}", database.kind.file)));
        }
        fs::copy(database.original.join(&place), path).expect("copied");
        rewritten
    }

    /// Writes the undamaged inputs of every target into folders of their names.
    pub fn seeds(&self, folder: &Path) -> std::io::Result<()> {
        for target in &TARGETS {
            let folder = folder.join(target.name);
            fs::create_dir_all(&folder)?;
            for (number, database) in (0u8..).zip(self.of(target)) {
                let Some(place) = database.place(&target.damage) else { continue };
                let path = database.copy.join(place);
                let content = match target.damage {
                    Damage::Beside(_) | Damage::Whole => fs::read(path)?,
                    Damage::Rows(_) => rows::one_of_each_kind(),
                    Damage::Vector => sqlite::vector(&path),
                };
                fs::write(folder.join(format!("seed-{number}")), [&[number][..], &content].concat())?;
            }
        }
        Ok(())
    }
}

impl Database {
    /// The file that is damaged, relative to the database; none if this one has no such file.
    fn place(&self, damage: &Damage) -> Option<PathBuf> {
        match damage {
            Damage::Beside(file) => {
                let folder = list(&self.original).into_iter().find(|path| path.is_dir())?;
                Some(Path::new(folder.file_name()?).join(file))
            }
            _ => Some(self.kind.file.into()),
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for path in list(from) {
        let copy = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy_folder(&path, &copy),
            false => fs::copy(&path, copy).map(drop).expect("copied"),
        }
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}
