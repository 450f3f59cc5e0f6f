//! Records whose texts are embedded anew: which, of which texts, and their vectors.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ndarray::{Array1, ArrayView1, ArrayViewMut1};

use super::BATCH;
use super::embedded::{self, Embedded, Key};
use super::sketch::hash_id;
use crate::context::Context;
use crate::embed::{Embedder, Role};
use crate::error::{Error, Kind, Result};
use crate::store::{Collection, VectorStore};

/// Texts of an earlier run that are embedded once more, to see whether the model still gives what it gave.
const LOOKED_AT: usize = 8;
/// Cosine of two vectors of one text by one model, rounding apart.
const SAME: f64 = 0.999;
/// Ids that are named of many.
const NAMED: usize = 3;

/// Texts of which store and collection, by which model.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub store: &'a dyn VectorStore,
    pub collection: &'a Collection,
    pub model: &'a dyn Embedder,
    /// What to do about records of whose text nothing can be made, if each has to have a vector.
    pub needs_all: Option<&'a str>,
}

/// Which records are wanted: by id, vector and text.
pub(super) type Wants<'a> = dyn Fn(&str, ArrayView1<'_, f32>, Option<Key>) -> bool + 'a;

/// The embedded texts of some records.
pub(super) struct Gathered {
    /// By hash of the id.
    keys: HashMap<u64, Key>,
    embedded: Embedded,
    /// Records that were wanted and have no text, and some of them by name.
    bare: (u64, Vec<String>),
}

impl Gathered {
    /// Embeds the texts of the records that `wants` names. What an earlier run embedded is not embedded again.
    ///
    /// # Errors
    /// Those of store and model; [`Kind::Refused`] if ids are written alike, or if records have to have a text and have none.
    pub fn of(origin: Origin<'_>, wants: &Wants<'_>, context: &Context<'_>) -> Result<Gathered> {
        let folder = origin.store.state_folder();
        let embedded = Embedded::open(&folder, &origin.collection.id, origin.model.space())?;
        let mut gathered = Gathered { keys: HashMap::new(), embedded, bare: (0, Vec::new()) };
        let mut waiting = Waiting::new(&folder)?;
        let known = gathered.read(origin, wants, &mut waiting, context)?;
        gathered.refuse_bare(origin.needs_all)?;
        if !gathered.are_the_same(&known, origin.model, context)? {
            context.progress.note("what an earlier run embedded came of other weights: it is embedded anew");
            gathered.embedded.clear()?;
            gathered.keys.clear();
            gathered.bare = (0, Vec::new());
            waiting = Waiting::new(&folder)?;
            gathered.read(origin, wants, &mut waiting, context)?;
        }
        context.progress.start("embedding", Some(gathered.len()), "texts");
        context.progress.advance(gathered.len().saturating_sub(waiting.count));
        let done = waiting.each(&mut |texts| gathered.embedded.add(&texts, origin.model, context));
        context.progress.finish();
        done.map_err(|error| match error.is_interrupted() {
            true => error.hint("what was embedded is kept: the same command goes on there"),
            false => error,
        })?;
        gathered.leave_zeros_out(origin, context)?;
        gathered.refuse_bare(origin.needs_all)?;
        Ok(gathered)
    }

    /// Notes which texts are wanted; those that are not embedded yet go to `waiting`. Returns some of the others.
    fn read(
        &mut self,
        origin: Origin<'_>,
        wants: &Wants<'_>,
        waiting: &mut Waiting,
        context: &Context<'_>,
    ) -> Result<Vec<String>> {
        let mut records = origin.store.records(origin.collection, true)?;
        let mut known = Vec::new();
        while let Some(batch) = records.next_batch(BATCH)? {
            context.check()?;
            for ((id, vector), text) in batch.ids.iter().zip(batch.vectors.rows()).zip(&batch.texts) {
                let text = embedded::worth(text.as_deref());
                let key = text.map(embedded::key);
                match (text, key) {
                    _ if !wants(id, vector, key) => {}
                    (Some(text), Some(key)) => {
                        if self.keys.insert(hash_id(id), key).is_some_and(|other| other != key) {
                            return Err(alike(id));
                        }
                        if !self.embedded.knows(key) {
                            waiting.push(text)?;
                        } else if known.len() < LOOKED_AT {
                            known.push(text.to_owned());
                        }
                    }
                    _ => self.note_bare(id),
                }
            }
        }
        Ok(known)
    }

    /// Whether the model gives again what is there of these texts.
    fn are_the_same(&self, known: &[String], model: &dyn Embedder, context: &Context<'_>) -> Result<bool> {
        if known.is_empty() {
            return Ok(true);
        }
        let texts: Vec<&str> = known.iter().map(String::as_str).collect();
        let now = model.embed(&texts, Role::Document, context)?;
        let mut then = Array1::zeros(now.ncols());
        for (text, now) in known.iter().zip(now.rows()) {
            let room = then.as_slice_mut().unwrap_or_default();
            if self.embedded.vector(embedded::key(text), room)? && !is_same(now, then.view()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A text of which the model makes nothing but zeros is none.
    fn leave_zeros_out(&mut self, origin: Origin<'_>, context: &Context<'_>) -> Result<()> {
        if !self.keys.values().any(|key| self.embedded.is_zero(*key)) {
            return Ok(());
        }
        let mut records = origin.store.records(origin.collection, false)?;
        while let Some(batch) = records.next_batch(BATCH)? {
            context.check()?;
            for id in &batch.ids {
                let key = self.keys.get(&hash_id(id));
                if key.is_some_and(|key| self.embedded.is_zero(*key)) {
                    self.keys.remove(&hash_id(id));
                    self.note_bare(id);
                }
            }
        }
        Ok(())
    }

    fn note_bare(&mut self, id: &str) {
        self.bare.0 += 1;
        if self.bare.1.len() < NAMED {
            self.bare.1.push(format!("`{}`", id.escape_default()));
        }
    }

    fn refuse_bare(&self, hint: Option<&str>) -> Result<()> {
        match (&self.bare, hint) {
            ((1.., ids), Some(hint)) => Err(Error::new(
                Kind::Refused,
                format!(
                    "{} records have no text that the model can read: {}{}",
                    self.bare.0,
                    ids.join(", "),
                    if self.bare.0 > ids.len() as u64 { ", ..." } else { "" }
                ),
            )
            .hint(hint)),
            _ => Ok(()),
        }
    }

    /// Records with an embedded text.
    pub fn len(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Which records, by the hashes of their ids, have vectors of which texts.
    pub fn keys(&self) -> &HashMap<u64, Key> {
        &self.keys
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

    /// The collection holds them: the file is not wanted any more. If it cannot be removed, it stays, and is listed.
    pub fn remove(self) {
        let _ = self.embedded.remove(&self.keys.into_values().collect());
    }
}

/// Whether two vectors of one text can come from one model.
pub(super) fn is_same(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> bool {
    let dot = |a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths == 0.0 { dot(a, a) == dot(b, b) } else { dot(a, b) / lengths >= SAME }
}

fn alike(id: &str) -> Error {
    let found =
        format!("several records are written `{}`: their texts cannot be told apart", id.escape_default());
    Error::new(Kind::Refused, found)
        .hint("name another column with --id-column, or give these records other ids")
}

/// Texts in a file: to embed them takes long, and as long as they are read from it, a store may not be written to.
struct Waiting {
    folder: PathBuf,
    file: BufWriter<File>,
    count: u64,
}

impl Waiting {
    fn new(folder: &Path) -> Result<Waiting> {
        // Nobody else can open it, and nothing is left of it whatever happens.
        let file = tempfile::tempfile_in(folder).map_err(|cause| Error::io("write in", folder, cause))?;
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
