//! Damaged databases from bytes: the first byte of an input chooses a real database, the rest replaces one
//! of its files or changes rows of its tables. Then everything that reads is called. The fuzzer and the
//! plain test of the corpus share this file.

use std::fs;
use std::path::{Path, PathBuf};

use super::rooms::context::{Cancel, Context, Silent};
use super::rooms::error::Result;
use super::rooms::space::Space;
use super::rooms::store::{self, VectorStore};
use ndarray::{Array2, ArrayView2};

/// Every target, and the file that its inputs replace; none: rows.
pub const TARGETS: [(&str, Option<&str>); 5] = [
    ("header", Some("header.bin")),
    ("level0", Some("data_level0.bin")),
    ("links", Some("link_lists.bin")),
    ("pickle", Some("index_metadata.pickle")),
    ("rows", None),
];

const DATABASE: &str = "chroma.sqlite3";
const FEW: usize = 64;

/// One real database: as it is, and a copy to be damaged.
struct Database {
    original: PathBuf,
    copy: PathBuf,
    /// Name of the folder of its index; none if only the queue has vectors.
    segment: Option<String>,
}

/// Copies of all real databases, in one temporary folder.
pub struct Scratch {
    _folder: tempfile::TempDir,
    databases: Vec<Database>,
}

impl Scratch {
    /// Copies every database below `originals`.
    ///
    /// # Panics
    /// If they cannot be copied: nothing could be tested then.
    pub fn new(originals: &Path) -> Scratch {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut databases: Vec<_> =
            list(originals).into_iter().map(|original| Database::copy(original, folder.path())).collect();
        databases.sort_by(|a, b| a.original.cmp(&b.original));
        assert!(!databases.is_empty(), "no databases in {}", originals.display());
        Scratch { _folder: folder, databases }
    }

    /// Damages a database with `input` and reads all of it.
    pub fn feed(&self, target: &str, input: &[u8]) {
        let Some((first, rest)) = input.split_first() else { return };
        let Some(database) = self.databases.get(usize::from(*first) % self.databases.len()) else { return };
        let Some((_, file)) = TARGETS.iter().find(|(name, _)| *name == target) else { return };
        match file {
            Some(file) => {
                let Some(segment) = &database.segment else { return };
                let place = Path::new(segment).join(file);
                fs::write(database.copy.join(&place), rest).expect("the copy can be written");
                exercise(&database.copy);
                fs::copy(database.original.join(&place), database.copy.join(&place)).expect("copied");
            }
            None => {
                let place = database.copy.join(DATABASE);
                rows::change(&place, rest);
                exercise(&database.copy);
                for suffix in ["-journal", "-wal", "-shm"] {
                    let _ = fs::remove_file(database.copy.join(format!("{DATABASE}{suffix}")));
                }
                fs::copy(database.original.join(DATABASE), place).expect("copied");
            }
        }
    }

    /// Writes the undamaged inputs of every target into folders of their names.
    pub fn seeds(&self, folder: &Path) -> std::io::Result<()> {
        for (target, file) in TARGETS {
            let folder = folder.join(target);
            fs::create_dir_all(&folder)?;
            for (number, database) in (0u8..).zip(&self.databases) {
                let content = match (file, &database.segment) {
                    (Some(file), Some(segment)) => fs::read(database.original.join(segment).join(file))?,
                    (Some(_), None) => continue,
                    (None, _) => rows::one_of_each_kind(),
                };
                fs::write(folder.join(format!("seed-{number}")), [&[number][..], &content].concat())?;
            }
        }
        Ok(())
    }
}

impl Database {
    fn copy(original: PathBuf, scratch: &Path) -> Database {
        let copy = scratch.join(original.file_name().expect("a name"));
        fs::create_dir_all(&copy).expect("a folder");
        fs::copy(original.join(DATABASE), copy.join(DATABASE)).expect("copied");
        let folder = list(&original).into_iter().find(|path| path.is_dir());
        let segment = folder.map(|folder| {
            let name = folder.file_name().and_then(|name| name.to_str()).expect("a UUID").to_owned();
            fs::create_dir_all(copy.join(&name)).expect("a folder");
            for file in list(&folder) {
                fs::copy(&file, copy.join(&name).join(file.file_name().expect("a name"))).expect("copied");
            }
            name
        });
        Database { original, copy, segment }
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

/// Gives every vector three components.
struct Three;

impl store::Pass for Three {
    fn vectors(&self, batch: &store::Batch) -> Result<Array2<f32>> {
        self.unowned(batch.vectors.view())
    }

    fn unowned(&self, vectors: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        Ok(Array2::from_shape_fn((vectors.nrows(), 3), |(i, j)| {
            vectors.row(i).iter().skip(j).step_by(3).sum::<f32>().clamp(-9.0, 9.0)
        }))
    }
}

/// Rewrites up to the commit, which is not made, by every way to an index.
fn rewrite(
    store: &mut dyn VectorStore,
    folder: &Path,
    collection: &store::Collection,
    context: &Context<'_>,
) {
    let target = store::RewriteTarget {
        space: Space::named("fuzz/three", 3),
        migration: "m".into(),
        folder: folder.join(".embedport/m"),
        index: store::IndexChoice::Auto,
        backup: store::BackupChoice::Rows,
    };
    if let Ok(mut rewrite) = store.rewrite(collection, &target)
        && rewrite.transform(&Three, &mut |_, _| {}, context).is_ok()
    {
        for way in rewrite.ways() {
            if rewrite.seal(way, context).is_ok() {
                let _ = rewrite.read_back(&|batch| {
                    assert_eq!(batch.vectors.ncols(), 3);
                    Ok(())
                });
                let _ = rewrite.search(Array2::ones((1, 3)).view(), 3);
            }
        }
    }
    let _ = fs::remove_dir_all(folder.join(".embedport"));
}

/// Calls everything that reads, and rewrites without committing. Errors are right answers, panics are not.
fn exercise(folder: &Path) {
    static CANCEL: Cancel = Cancel::new();
    let now = || jiff::Timestamp::UNIX_EPOCH;
    let entropy = || [7; 16];
    let context = Context { seed: 1, progress: &Silent, cancel: &CANCEL, now: &now, entropy: &entropy };
    let Some(path) = folder.to_str() else { return };
    let Ok(mut store) = store::open(path) else { return };
    let _ = store.examine(None, &context);
    let Ok(description) = store.describe() else { return };
    for collection in description.collections.iter().take(FEW) {
        let _ = store.content_digest(collection);
        if let Ok(mut records) = store.records(collection, true) {
            while let Ok(Some(batch)) = records.next_batch(7) {
                assert_eq!(batch.ids.len(), batch.vectors.nrows());
                assert!(batch.vectors.iter().all(|x| x.is_finite()));
            }
        }
        let Some(dimension) = collection.dimension.filter(|d| *d <= FEW) else { continue };
        let queries = Array2::from_shape_fn((2, dimension), |(i, j)| (1 + i * 7 + j * 3) as f32 % 5.0 - 2.0);
        for hits in store.search(collection, queries.view(), 3).unwrap_or_default() {
            assert!(hits.len() <= 3);
        }
        rewrite(store.as_mut(), folder, collection, &context);
    }
}

/// A small language of changes to rows.
mod rows {
    use std::path::Path;

    use rusqlite::Connection;
    use rusqlite::types::Value;

    const TABLES: [&str; 12] = [
        "collections",
        "segments",
        "embeddings",
        "embeddings_queue",
        "max_seq_id",
        "embedding_metadata",
        "segment_metadata",
        "collection_metadata",
        "databases",
        "tenants",
        "migrations",
        "embeddings_queue_config",
    ];

    /// Per change: table, column, row, kind; then what the kind needs.
    const HEAD: usize = 4;

    /// Changes the rows that `bytes` name, as far as SQLite lets them be changed.
    pub fn change(database: &Path, mut bytes: &[u8]) {
        let connection = Connection::open(database).expect("a database");
        let set_up = "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; \
                      PRAGMA ignore_check_constraints = ON; BEGIN";
        connection.execute_batch(set_up).expect("set up");
        while let Some((head, rest)) = bytes.split_at_checked(HEAD) {
            bytes = one(&connection, head, rest);
        }
        connection.execute_batch("COMMIT").expect("committed");
    }

    /// One change; gives back the bytes behind it.
    fn one<'a>(connection: &Connection, head: &[u8], rest: &'a [u8]) -> &'a [u8] {
        let [table, column, row, kind] = *head else { return &[] };
        let table = TABLES[usize::from(table) % TABLES.len()];
        let columns = columns(connection, table);
        let Some(column) = columns.get(usize::from(column) % columns.len().max(1)) else { return rest };
        let target = format!("rowid = (SELECT rowid FROM {table} LIMIT 1 OFFSET {})", row % 32);
        let (value, text, rest) = match kind % 8 {
            0 => (Value::Null, false, rest),
            1 => match rest.split_first() {
                Some((byte, rest)) => (Value::Integer(i64::from(byte.cast_signed())), false, rest),
                None => return &[],
            },
            2 => match rest.split_first_chunk::<8>() {
                Some((bytes, rest)) => (Value::Integer(i64::from_le_bytes(*bytes)), false, rest),
                None => return &[],
            },
            3 => match rest.split_first_chunk::<8>() {
                Some((bytes, rest)) => (Value::Real(f64::from_le_bytes(*bytes)), false, rest),
                None => return &[],
            },
            kind @ (4 | 5) => match rest.split_first() {
                Some((length, rest)) => {
                    let (value, rest) = rest.split_at(rest.len().min(usize::from(*length)));
                    (Value::Blob(value.to_vec()), kind == 4, rest)
                }
                None => return &[],
            },
            6 => {
                let _ = connection.execute(&format!("DELETE FROM {table} WHERE {target}"), []);
                return rest;
            }
            _ => {
                let names = columns.join(", ");
                let sql = format!(
                    "INSERT OR IGNORE INTO {table} ({names}) SELECT {names} FROM {table} WHERE {target}"
                );
                let _ = connection.execute(&sql, []);
                return rest;
            }
        };
        let new = if text { "CAST(?1 AS TEXT)" } else { "?1" };
        let _ = connection
            .execute(&format!("UPDATE OR IGNORE {table} SET {column} = {new} WHERE {target}"), [value]);
        rest
    }

    fn columns(connection: &Connection, table: &str) -> Vec<String> {
        let mut statement =
            connection.prepare_cached("SELECT name FROM pragma_table_info(?1)").expect("a table");
        let names = statement.query_map([table], |row| row.get(0)).expect("columns");
        names.collect::<Result<_, _>>().expect("names")
    }

    /// A change of each kind, harmless ones first.
    pub fn one_of_each_kind() -> Vec<u8> {
        let mut bytes = vec![10, 9, 0, 1, 5];
        bytes.extend([0, 2, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([3, 5, 0, 5, 4, 0, 0, 128, 63, 2, 3, 1, 4, 1, b'x']);
        bytes.extend([4, 1, 0, 3, 0, 0, 0, 0, 0, 0, 240, 63, 5, 2, 3, 0, 2, 1, 4, 6, 3, 1, 2, 7]);
        bytes
    }
}
