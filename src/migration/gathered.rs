//! Records whose texts are embedded anew: which, of which texts, and their vectors.

use std::collections::HashMap;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ndarray::{ArrayView1, ArrayViewMut1};

use tempfile::NamedTempFile;

use super::BATCH;
use super::embedded::{self, Embedded, Key};
use super::sketch::hash_id;
use crate::context::Context;
use crate::embed::Embedder;
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::store::{Collection, VectorStore};

/// The embedded texts of some records.
pub(super) struct Gathered {
    /// By hash of the id.
    keys: HashMap<u64, Key>,
    embedded: Embedded,
    /// Records that were wanted and have no text.
    pub without_text: u64,
}

impl Gathered {
    /// Embeds the texts of the records that `wants` names, by id and vector. What an earlier run embedded is not embedded again.
    ///
    /// # Errors
    /// Those of store and model.
    pub fn of(
        (store, collection): (&dyn VectorStore, &Collection),
        model: &dyn Embedder,
        wants: &dyn Fn(&str, ArrayView1<'_, f32>) -> bool,
        context: &Context<'_>,
    ) -> Result<Gathered> {
        let folder = store.state_folder();
        let embedded = Embedded::open(&folder, model.space())?;
        let mut gathered = Gathered { keys: HashMap::new(), embedded, without_text: 0 };
        let mut waiting = Waiting::new(&folder)?;
        gathered.read(store, collection, wants, &mut waiting, context)?;
        context.progress.start("embedding", Some(gathered.len()), "texts");
        context.progress.advance(gathered.len() - waiting.count);
        let done = waiting.each(&mut |texts| gathered.embedded.add(&texts, model, context));
        context.progress.finish();
        done.map(|()| gathered)
    }

    /// Notes which texts are wanted; those that are not embedded yet go to `waiting`.
    fn read(
        &mut self,
        store: &dyn VectorStore,
        collection: &Collection,
        wants: &dyn Fn(&str, ArrayView1<'_, f32>) -> bool,
        waiting: &mut Waiting,
        context: &Context<'_>,
    ) -> Result<()> {
        let mut records = store.records(collection, true)?;
        while let Some(batch) = records.next_batch(BATCH)? {
            context.check()?;
            for ((id, vector), text) in batch.ids.iter().zip(batch.vectors.rows()).zip(batch.texts) {
                match text.filter(|text| !text.trim().is_empty()) {
                    _ if !wants(id, vector) => {}
                    None => self.without_text += 1,
                    Some(text) => {
                        let key = embedded::key(&text);
                        self.keys.insert(hash_id(id), key);
                        if !self.embedded.knows(key) {
                            waiting.push(&text)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Records with an embedded text.
    pub fn len(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Hashes of their ids.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.keys.keys().copied()
    }

    /// Puts the vector of the record `id` into `row`; false if its text was not wanted.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if the file of vectors was changed meanwhile.
    pub fn put(&self, id: &str, mut row: ArrayViewMut1<'_, f32>) -> Result<bool> {
        let Some(key) = self.keys.get(&hash_id(id)) else { return Ok(false) };
        let shape = || Error::new(Kind::Internal, "new vectors do not lie row by row");
        self.embedded.vector(*key, row.as_slice_mut().ok_or_else(shape)?)
    }

    /// The collection holds them: the file is not wanted any more. If it cannot be removed, it stays, and is of use to the next run.
    pub fn remove(self) {
        let _ = self.embedded.remove();
    }
}

/// Texts in a file: to embed them takes long, and as long as they are read from it, a store may not be written to.
struct Waiting {
    folder: PathBuf,
    file: BufWriter<NamedTempFile>,
    count: u64,
}

impl Waiting {
    fn new(folder: &Path) -> Result<Waiting> {
        let file = files::temporary_in(folder).map_err(|cause| Error::io("write in", folder, cause))?;
        Ok(Waiting { folder: folder.to_owned(), file: BufWriter::new(file), count: 0 })
    }

    fn push(&mut self, text: &str) -> Result<()> {
        self.count += 1;
        let length = text.len() as u64;
        let written =
            self.file.write_all(&length.to_le_bytes()).and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|cause| Error::io("write in", &self.folder, cause))
    }

    /// Gives them back, some at a time.
    fn each(mut self, take: &mut dyn FnMut(Vec<String>) -> Result<()>) -> Result<()> {
        let failed = |cause| Error::io("read in", &self.folder, cause);
        self.file.flush().and_then(|()| self.file.get_mut().rewind()).map_err(failed)?;
        let mut input = BufReader::new(self.file.get_mut());
        for first in (0..self.count).step_by(BATCH) {
            let some = (first..self.count.min(first + BATCH as u64)).map(|_| next(&mut input));
            take(some.collect::<io::Result<_>>().map_err(failed)?)?;
        }
        Ok(())
    }
}

fn next(input: &mut impl Read) -> io::Result<String> {
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let mut text = String::new();
    input.take(u64::from_le_bytes(length)).read_to_string(&mut text)?;
    Ok(text)
}
