//! True vectors of texts, kept in a file as they come: a run that is stopped is not paid for twice.
//!
//! The file begins with a line for the format, the space, the dimension and the model's name. Then come rows of one length: hash of the text
//! (XXH3, 128 bits), components (f32), hash of both (XXH3, 64 bits), all little-endian. What a killed run left of a row is cut off.

mod head;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ndarray::ArrayView1;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use self::head::row_bytes;
pub(super) use self::head::{Head, collection_of, digest, path};
use crate::context::Context;
use crate::embed::{Embedder, Role};
use crate::error::{Error, Kind, Result};
use crate::platform::{bytes as as_bytes, files, identity};
use crate::space::Space;

/// Texts embedded between two moments at which all is durable.
const AT_ONCE: usize = 1024;

/// What a text is known by.
pub(super) type Key = u128;

/// See [`Key`].
pub(super) fn key(text: &str) -> Key {
    xxh3_128(text.as_bytes())
}

/// A text, if there is anything in it to embed.
pub(super) fn worth(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

/// The vectors that are there.
pub(super) struct Embedded {
    path: PathBuf,
    file: File,
    head: Head,
    /// Rows by text, and how many there are.
    rows: HashMap<Key, u64>,
    count: u64,
    /// Texts of which the model makes nothing but zeros.
    zeros: HashSet<Key>,
}

impl Embedded {
    /// Opens what an earlier run left in `folder` of texts of `collection` that the model of `space` embedded, or begins anew.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`] if there is no room or permission.
    pub fn open(folder: &Path, collection: &str, space: &Space) -> Result<Embedded> {
        let path = path(folder, collection, &space.fingerprint());
        let wrap = |cause| Error::io("write", &path, cause);
        let file = identity::open_private(&path).map_err(wrap)?;
        let (wanted, line) = Head::of(space);
        let head = Head::at_the_start_of(&file).map_err(wrap)?;
        let head = head.filter(|head| (&head.space, head.dimension) == (&wanted.space, wanted.dimension));
        let is_new = head.is_none();
        let mut found = Embedded::of(&path, file, head.unwrap_or(wanted));
        if is_new {
            found.file.set_len(0).map_err(wrap)?;
            files::write_all_at(&found.file, line.as_bytes(), 0).map_err(wrap)?;
            found.file.sync_all().map_err(wrap)?;
            files::sync_folder(folder)?;
        }
        let whole = found.read().map_err(wrap)?;
        found.file.set_len(whole).map_err(wrap)?;
        Ok(found)
    }

    /// What an earlier run left in the file at `path`, to look at; none if it is no such file of this space.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn left(path: &Path, space: &str) -> Result<Option<Embedded>> {
        let wrap = |cause| Error::io("read", path, cause);
        let file = File::open(path).map_err(wrap)?;
        let head = Head::at_the_start_of(&file).map_err(wrap)?;
        let Some(head) = head.filter(|head| head.space == space) else { return Ok(None) };
        let mut found = Embedded::of(path, file, head);
        found.read().map_err(wrap)?;
        Ok(Some(found))
    }

    fn of(path: &Path, file: File, head: Head) -> Embedded {
        let (rows, zeros) = (HashMap::new(), HashSet::new());
        Embedded { path: path.to_path_buf(), file, head, rows, count: 0, zeros }
    }

    /// Notes the rows that are whole; returns how many bytes are rows. A row that was damaged stays, and is known of no text.
    fn read(&mut self) -> std::io::Result<u64> {
        let mut input = BufReader::with_capacity(1 << 18, &self.file);
        input.seek(SeekFrom::Start(self.head.bytes))?;
        let rows = self.head.rows_in(self.file.metadata()?.len());
        let mut row = vec![0; row_bytes(self.head.dimension) as usize];
        for number in 0..rows {
            input.read_exact(&mut row)?;
            if let Some(key) = key_of(&row) {
                self.rows.insert(key, number);
                let components = row.get(16..row.len() - 8).unwrap_or_default().as_chunks::<4>().0;
                if components.iter().all(|x| f32::from_le_bytes(*x) == 0.0) {
                    self.zeros.insert(key);
                }
            }
        }
        self.count = rows;
        Ok(self.place(rows))
    }

    /// Where a row begins.
    fn place(&self, row: u64) -> u64 {
        self.head.bytes + row * row_bytes(self.head.dimension)
    }

    /// Forgets every vector.
    pub fn clear(&mut self) -> Result<()> {
        self.rows.clear();
        self.zeros.clear();
        self.count = 0;
        self.file.set_len(self.head.bytes).map_err(|cause| Error::io("write", &self.path, cause))
    }

    /// Whether the model makes nothing but zeros of a text.
    pub fn is_zero(&self, key: Key) -> bool {
        self.zeros.contains(&key)
    }

    /// Whether the vector of a text is there.
    pub fn knows(&self, key: Key) -> bool {
        self.rows.contains_key(&key)
    }

    /// Embeds those of `texts` that are not there yet, and makes them durable.
    ///
    /// # Errors
    /// Those of the model, [`Kind::Mismatch`] if its vectors have another dimension, and those of the file.
    pub fn add(&mut self, texts: &[String], model: &dyn Embedder, context: &Context<'_>) -> Result<()> {
        let mut new: HashMap<Key, &str> = texts.iter().map(|text| (key(text), text.as_str())).collect();
        new.retain(|key, _| !self.knows(*key));
        let mut new: Vec<_> = new.into_iter().collect();
        new.sort_unstable();
        for part in new.chunks(AT_ONCE) {
            context.check()?;
            let texts: Vec<&str> = part.iter().map(|(_, text)| *text).collect();
            let vectors = model.embed(&texts, Role::Document, context)?;
            if vectors.dim() != (texts.len(), self.head.dimension) {
                let found =
                    format!("the model gives {} components, wanted {}", vectors.ncols(), self.head.dimension);
                return Err(Error::new(Kind::Mismatch, found));
            }
            let wrap = |cause| Error::io("write", &self.path, cause);
            let mut rows = Vec::with_capacity(part.len() * row_bytes(self.head.dimension) as usize);
            part.iter().zip(vectors.rows()).for_each(|((key, _), vector)| put_row(&mut rows, *key, vector));
            let at = self.place(self.count);
            files::write_all_at(&self.file, &rows, at).map_err(wrap)?;
            self.file.sync_data().map_err(wrap)?;
            for ((key, _), vector) in part.iter().zip(vectors.rows()) {
                self.rows.insert(*key, self.count);
                self.count += 1;
                if vector.iter().all(|x| *x == 0.0) {
                    self.zeros.insert(*key);
                }
            }
        }
        Ok(())
    }

    /// Puts the vector of a text into `out`; false if it is not there.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if the file was changed meanwhile.
    pub fn vector(&self, key: Key, out: &mut [f32]) -> Result<bool> {
        let Some(row) = self.rows.get(&key) else { return Ok(false) };
        let mut bytes = vec![0; row_bytes(self.head.dimension) as usize];
        files::read_exact_at(&self.file, &mut bytes, self.place(*row))
            .map_err(|cause| Error::io("read", &self.path, cause))?;
        if key_of(&bytes) != Some(key) || out.len() != self.head.dimension {
            let found = format!("`{}` does not hold what was written to it", self.path.display());
            return Err(Error::new(Kind::Damaged, found).hint("delete it, then run the same command again"));
        }
        let components = bytes.get(16..).unwrap_or_default().as_chunks::<4>().0;
        out.iter_mut().zip(components).for_each(|(to, from)| *to = f32::from_le_bytes(*from));
        Ok(true)
    }

    /// These texts are not wanted any more. What else an earlier run left is kept for the next.
    pub fn remove(self, used: &HashSet<Key>) -> Result<()> {
        // Texts of which the model makes nothing are noted nowhere.
        if self.rows.keys().any(|key| !used.contains(key) && !self.zeros.contains(key)) {
            return Ok(());
        }
        drop(self.file);
        files::remove_file(&self.path)
    }
}

fn put_row(rows: &mut Vec<u8>, key: Key, vector: ArrayView1<'_, f32>) {
    let from = rows.len();
    rows.extend(key.to_le_bytes());
    match vector.as_slice() {
        Some(vector) => rows.extend_from_slice(&as_bytes::of_f32(vector)),
        None => rows.extend(vector.iter().flat_map(|x| x.to_le_bytes())),
    }
    let hash = xxh3_64(rows.get(from..).unwrap_or_default());
    rows.extend(hash.to_le_bytes());
}

/// Of which text a row is; `None` if it is not whole.
fn key_of(row: &[u8]) -> Option<Key> {
    let (held, hash) = row.split_last_chunk::<8>()?;
    let key = held.first_chunk::<16>()?;
    (xxh3_64(held) == u64::from_le_bytes(*hash)).then(|| Key::from_le_bytes(*key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::context;
    use ndarray::Array2;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Vectors of length and first byte; counts what it was asked.
    struct Model(Space, AtomicUsize);

    impl Embedder for Model {
        fn space(&self) -> &Space {
            &self.0
        }
        fn embed(&self, texts: &[&str], _: Role, _: &Context<'_>) -> Result<Array2<f32>> {
            self.1.fetch_add(texts.len(), Ordering::Relaxed);
            let value = |i: usize, j: usize| {
                if j == 0 { texts[i].len() as f32 } else { f32::from(texts[i].as_bytes()[0]) }
            };
            Ok(Array2::from_shape_fn((texts.len(), 2), |(i, j)| value(i, j)))
        }
    }

    fn model() -> Model {
        Model(Space::named("a/x", 2), AtomicUsize::new(0))
    }

    fn texts(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|n| "b".repeat(1 + n as usize % 7) + &n.to_string()).collect()
    }

    fn holds(embedded: &Embedded, texts: &[String]) {
        for text in texts {
            let mut vector = [0.0; 2];
            assert!(embedded.vector(key(text), &mut vector).unwrap(), "{text}");
            assert_eq!(vector, [text.len() as f32, f32::from(b'b')]);
        }
    }

    #[test]
    fn no_text_is_embedded_twice_even_by_another_run() {
        let (folder, model) = (tempfile::tempdir().unwrap(), model());
        let first = [texts(0..1500), texts(0..10)].concat();
        let mut embedded = Embedded::open(folder.path(), "c", model.space()).unwrap();
        embedded.add(&first, &model, &context()).unwrap();
        drop(embedded);
        let mut embedded = Embedded::open(folder.path(), "c", model.space()).unwrap();
        embedded.add(&texts(1000..2000), &model, &context()).unwrap();
        assert_eq!(model.1.load(Ordering::Relaxed), 2000);
        holds(&embedded, &texts(0..2000));
        assert!(!embedded.vector(key("other"), &mut [0.0; 2]).unwrap());
        let all: HashSet<Key> = texts(0..2000).iter().map(|text| key(text)).collect();
        embedded.remove(&texts(0..10).iter().map(|text| key(text)).collect()).unwrap();
        let embedded = Embedded::open(folder.path(), "c", model.space()).unwrap();
        holds(&embedded, &texts(10..2000));
        embedded.remove(&all).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_run_left_is_taken_as_far_as_it_is_whole() {
        let (folder, model) = (tempfile::tempdir().unwrap(), model());
        let space = model.space().clone();
        Embedded::open(folder.path(), "c", &space).unwrap().add(&texts(0..5), &model, &context()).unwrap();
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            for flip in [None, length.checked_sub(3)] {
                let mut bytes = whole[..length].to_vec();
                flip.into_iter().for_each(|at| bytes[at] ^= 1);
                std::fs::write(&path, bytes).unwrap();
                let mut embedded = Embedded::open(folder.path(), "c", &space).unwrap();
                embedded.add(&texts(0..6), &model, &context()).unwrap();
                holds(&embedded, &texts(0..6));
                holds(&Embedded::open(folder.path(), "c", &space).unwrap(), &texts(0..6));
            }
        }
    }
}
