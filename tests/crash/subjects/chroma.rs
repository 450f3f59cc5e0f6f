//! Chroma: a folder with index files beside the SQLite file, made and judged by real chromadb.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Form, Subject, Words};
use crate::common::{self, python, read_npy};
use crate::scene::{BEYOND, FROM};
use crate::shim::{Step, Stop};
use crate::{matrix, support};

const FILE: &str = "chroma.sqlite3";
const STATE: &str = ".embedport";

/// Releases that are stopped at every step: the newest, and the oldest whose files are of the other kind in
/// everything (pickle, counts, queue that is never purged).
const NEWEST: Form = Form {
    name: "1.5.9",
    page: "crash-matrix-1.5.9",
    suffix: ", index rebuild",
    options: &["--index", "rebuild"],
    beyond: BEYOND,
    turns_to_wal: true,
    is_sampled: true,
    sample: widely,
};
const OLDEST: Form = Form { name: "0.4.24", page: "crash-matrix-0.4.24", is_sampled: false, ..NEWEST };

pub const SUBJECT: Subject = Subject {
    name: "Chroma",
    page: "crash-matrix",
    store: "",
    file: FILE,
    state: STATE,
    forms: &[NEWEST, Form { sample: sparsely, ..keeping(NEWEST) }, OLDEST, keeping(OLDEST)],
    make,
    judge: |form| common::chroma_program(form.name, "judge.py"),
    wrong: wrong_folders,
    is_same,
    kind,
    words: Words {
        title: "",
        forms: "Chroma",
        sees: "\
real Chroma of that release opens a copy and holds exactly the state before or exactly the state after, in every
   collection: the same ids, vectors bit for bit, documents, metadata, and queries answered as exact search does. The
   cell names it; `done` says that the program reported success all the same (what failed was tidying)",
        holds: "real Chroma holds the state after",
        nothing_left: "no temporary file, no orphan segment, no half backup",
        refuses: "\
The processes of Chroma
are replaced every few hundred folders; at first, in between and at the end each has to tell every state and to refuse
three folders: one with an altered document or metadata, one with altered vectors, one with the database of the state
after and the index files of the state before.",
    },
};

const fn keeping(form: Form) -> Form {
    Form { suffix: ", index keep", options: &["--index", "keep"], ..form }
}

fn widely(name: &str, step: &Step, how: Stop, last: usize) -> bool {
    let n = step.number;
    match (name, how) {
        // From the last stretch before the commit on every step counts.
        ("migrate", Stop::Kill) => n.is_multiple_of(3) || n > last.saturating_sub(45),
        ("rollback", Stop::Kill) => true,
        ("prune the way back", _) => n.is_multiple_of(2),
        ("migrate a second time", Stop::Kill) => n > last.saturating_sub(16),
        ("migrate", _) => n % 11 == 5,
        ("rollback", _) => n % 5 == 2,
        (_, Stop::Kill) => n.is_multiple_of(9) || n > last.saturating_sub(6),
        _ => false,
    }
}

fn sparsely(name: &str, step: &Step, how: Stop, _: usize) -> bool {
    name == "migrate" && how == Stop::Kill && step.number.is_multiple_of(3)
}

fn make(form: &Form, folder: &Path) -> Vec<Vec<f32>> {
    let scratch = tempfile::tempdir_in(folder.parent().unwrap()).unwrap();
    let options = "--n 110 --dim 16 --space l2 --sync-threshold 50 --updates 6 --upserts 4 --deletes 7 \
                   --meta-updates 3 --tail 12 --tail-ops --no-docs 9 --extra 1";
    let made = scratch.path().join("made");
    let mut arguments = vec![made.display().to_string()];
    arguments.extend(options.split_whitespace().map(str::to_owned));
    python(form.name, "make_chroma.py", &arguments).succeeds();
    common::copy_folder(&made.join("db"), folder);
    read_npy(&made.join("truth/docs.npy"))
}

/// More than Chroma can see: every row of every table and every byte of the index files.
fn is_same(one: &Path, other: &Path) -> bool {
    let bytes = |folder: &Path| {
        let (tables, files) = support::contents(folder);
        let relative = |path: PathBuf| path.strip_prefix(folder).unwrap().to_path_buf();
        (tables, files.into_iter().map(|(path, bytes)| (relative(path), bytes)).collect::<HashMap<_, _>>())
    };
    bytes(one) == bytes(other)
}

/// One with a value of its metadata altered, one with bytes of its vectors altered, one with the database of `target`
/// and the index files of `source`.
fn wrong_folders(source: &Path, target: &Path, into: &Path) -> Vec<PathBuf> {
    let [altered, damaged, mixed] = ["altered", "damaged", "mixed"].map(|name| into.join(name));
    common::copy_folder(source, &altered);
    let connection = rusqlite::Connection::open(altered.join(FILE)).unwrap();
    let one = "UPDATE embedding_metadata SET string_value = string_value || '.' WHERE rowid = \
               (SELECT max(rowid) FROM embedding_metadata WHERE string_value IS NOT NULL)";
    assert_eq!(connection.execute(one, []).unwrap(), 1);
    drop(connection);

    common::copy_folder(source, &damaged);
    let mut files: Vec<PathBuf> = segments(&damaged)
        .map(|folder| folder.join("data_level0.bin"))
        .filter(|file| file.exists())
        .collect();
    files.sort_by_key(|file| fs::metadata(file).unwrap().len());
    let largest = files.pop().expect("an index file");
    let mut bytes = fs::read(&largest).unwrap();
    // hnswlib: 33 links of 4 bytes, the components, a label of 8 bytes. A changed link would end the process.
    let element = 33 * 4 + FROM * 4 + 8;
    assert_eq!(bytes.len() % element, 0);
    bytes.chunks_exact_mut(element).for_each(|element| element[33 * 4 + 1] ^= 1);
    fs::write(&largest, bytes).unwrap();

    common::copy_folder(source, &mixed);
    fs::copy(target.join(FILE), mixed.join(FILE)).unwrap();
    vec![altered, damaged, mixed]
}

fn segments(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let is_segment = |path: &PathBuf| path.is_dir() && !path.ends_with(STATE);
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_segment)
}

/// Folders of indexes have UUIDs for names.
fn kind(path: &str) -> String {
    matrix::named(path, |stem| {
        let is_uuid = stem.len() == 36 && stem.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
        is_uuid.then_some("<segment>")
    })
}
