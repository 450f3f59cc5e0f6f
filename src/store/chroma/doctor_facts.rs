//! Everything that the checks of a collection look at, gathered without trust: what cannot be read is kept
//! as the error that says why.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::catalog::Entry;
use super::hnsw_files::{HEADER_BYTES, Header};
use super::index::{self, HEADER, LENGTHS, LEVEL0, METADATA, check_links};
use super::pickle::{self, IndexMetadata};
use super::queue::{Pending, Place};
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::store::sql::Doing;

/// Elements per read.
const CHUNK: u64 = 1024;

/// One element of `data_level0.bin`, in the order of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub label: u64,
    pub deleted: bool,
    /// Square of the length of the stored vector; not finite if one of its components is not.
    pub square: f64,
    /// Some link leads to an element that does not exist, or there are more links than places.
    pub stray_links: bool,
}

/// The files of an index that was persisted.
pub(super) struct Files {
    pub folder: PathBuf,
    pub header: Result<Header>,
    pub pickle: Result<IndexMetadata>,
    /// Whole elements of the file; fewer than the header says if it is cut off.
    pub elements: Vec<Element>,
    /// Bytes of `data_level0.bin` and `length.bin`; none if missing.
    pub level0_bytes: Option<u64>,
    pub lengths_bytes: Option<u64>,
    pub links: Result<()>,
}

/// A vector that only the queue holds.
pub(super) enum Queued {
    /// Square of its length.
    Square(f64),
    /// Bytes that are no vector of the collection's dimension.
    Misfit,
}

/// One collection, every place.
pub(super) struct Facts<'a> {
    pub connection: &'a Connection,
    pub entry: Entry,
    pub files: Option<Files>,
    /// Ids of the table of records, in its order, repeated ones too.
    pub ids: Vec<String>,
    /// The part of the queue that the index has not read.
    pub pending: Result<Pending>,
    pub queued: HashMap<String, Queued>,
    /// Live element of each id of the index.
    pub indexed: HashMap<String, Element>,
}

impl<'a> Facts<'a> {
    pub fn gather(connection: &'a Connection, store: &Path, entry: Entry) -> Result<Facts<'a>> {
        let files = Files::gather(&store.join(&entry.vector))?;
        let indexed = files.as_ref().map(Files::indexed).unwrap_or_default();
        let from = match &files {
            // Until 0.5.5 the index itself says how far it has read.
            Some(files) => {
                let own = files.pickle.as_ref().ok().and_then(|pickle| pickle.max_seq_id);
                entry.vector_seq.or(own).unwrap_or(0)
            }
            None => 0,
        };
        // Whether the tables are behind is a check of its own.
        let asked = Entry { queue_last: None, ..entry.clone() };
        let pending = Pending::read(connection, &asked, |id| indexed.contains_key(id), from);
        let mut facts = Facts {
            ids: ids(connection, &entry)?,
            connection,
            entry,
            files,
            pending,
            queued: HashMap::new(),
            indexed,
        };
        facts.queued = facts.read_queued()?;
        Ok(facts)
    }

    /// Where the queue has a record's newest vector.
    pub fn place(&self, id: &str) -> Option<Place> {
        self.pending.as_ref().ok().and_then(|pending| pending.place(id))
    }

    /// Dimension by the collection, else by its index.
    pub fn dimension(&self) -> Option<usize> {
        let header = self.files.as_ref().and_then(|files| files.header.as_ref().ok());
        self.entry.dimension.or(header.map(|header| header.dimension))
    }

    /// Ids of live records, each once, with the square of the length of the newest vector, if there is one.
    pub fn live(&self) -> impl Iterator<Item = (&str, Option<f64>)> {
        let mut seen = HashSet::with_capacity(self.ids.len());
        self.ids.iter().filter(move |id| seen.insert(id.as_str())).map(|id| {
            let square = match self.place(id) {
                Some(Place::Gone) => None,
                Some(Place::Queued(_)) => match self.queued.get(id) {
                    Some(Queued::Square(square)) => Some(*square),
                    // That it does not fit is a check of its own.
                    _ => Some(1.0),
                },
                None => self.indexed.get(id).map(|element| element.square),
            };
            (id.as_str(), square)
        })
    }

    fn read_queued(&self) -> Result<HashMap<String, Queued>> {
        let mut found = HashMap::new();
        let Ok(pending) = &self.pending else { return Ok(found) };
        let doing = "read the queue";
        let mut statement = self
            .connection
            .prepare("SELECT vector, encoding FROM embeddings_queue WHERE seq_id = ?1")
            .doing(doing)?;
        for (id, seq) in pending.queued() {
            let mut rows = statement.query([seq]).doing(doing)?;
            let Some(row) = rows.next().doing(doing)? else { continue };
            let bytes = row.get_ref(0).doing(doing)?.as_blob().unwrap_or_default();
            let float = row.get_ref(1).doing(doing)?.as_str().is_ok_and(|encoding| encoding == "FLOAT32");
            let fits = float
                && bytes.len().is_multiple_of(4)
                && self.dimension().is_none_or(|dimension| bytes.len() / 4 == dimension);
            let queued = if fits { Queued::Square(square(bytes)) } else { Queued::Misfit };
            found.insert(id.to_owned(), queued);
        }
        Ok(found)
    }
}

impl Files {
    /// `None` if no index was persisted.
    ///
    /// # Errors
    /// If a file may not be read: that says nothing of what is in it.
    fn gather(folder: &Path) -> Result<Option<Files>> {
        let metadata = folder.join(METADATA);
        let bytes = match readable(std::fs::read(&metadata).map_err(|e| Error::io("read", &metadata, e)))? {
            Ok(bytes) => bytes,
            Err(_) => return Ok(None),
        };
        let size = |name: &str| std::fs::metadata(folder.join(name)).ok().map(|m| m.len());
        let header = readable(read_header(folder))?;
        let level0_bytes = size(LEVEL0);
        let backed = header.as_ref().map_or(0, |header| {
            header.count.min(level0_bytes.unwrap_or(0).checked_div(header.element_bytes()).unwrap_or(0))
        });
        // No record takes less than a byte of it.
        let bound = header.as_ref().map_or(0, |header| header.count).min(bytes.len() as u64);
        let pickle = pickle::read(&bytes, bound).map(IndexMetadata::into_owned);
        // As Chroma 1.x does: no labels, no index.
        if pickle.as_ref().is_ok_and(|pickle| pickle.labels.is_empty()) {
            return Ok(None);
        }
        let elements = match &header {
            Ok(header) => readable(read_elements(&folder.join(LEVEL0), header, backed))?.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let links = match &header {
            Ok(header) => readable(check_links(folder, header))?,
            Err(_) => Ok(()),
        };
        let lengths_bytes = size(LENGTHS);
        Ok(Some(Files {
            folder: folder.to_owned(),
            header,
            pickle,
            elements,
            level0_bytes,
            lengths_bytes,
            links,
        }))
    }

    fn indexed(&self) -> HashMap<String, Element> {
        let Ok(pickle) = &self.pickle else { return HashMap::new() };
        let live: HashMap<u64, Element> =
            self.elements.iter().filter(|e| !e.deleted).map(|e| (e.label, *e)).collect();
        pickle.labels.iter().filter_map(|(id, label)| Some((id.clone(), *live.get(label)?))).collect()
    }
}

/// Tells a file that may not be read from one that is wrong.
fn readable<T>(found: Result<T>) -> Result<Result<T>> {
    match found {
        Err(error) if error.kind() == Kind::CannotWrite => Err(error),
        found => Ok(found),
    }
}

fn read_header(folder: &Path) -> Result<Header> {
    let path = folder.join(HEADER);
    let size = std::fs::metadata(&path).map_err(|e| Error::io("look at", &path, e))?.len();
    if size > HEADER_BYTES as u64 {
        return Err(Error::new(Kind::Damaged, format!("{HEADER} has {size} bytes, wanted {HEADER_BYTES}")));
    }
    Header::parse(&std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?)
}

fn read_elements(path: &Path, header: &Header, count: u64) -> Result<Vec<Element>> {
    let wrap = |e| Error::io("read", path, e);
    let file = File::open(path).map_err(wrap)?;
    let size = header.element_bytes();
    let stride = usize::try_from(size).map_err(|e| Error::new(Kind::Damaged, e.to_string()))?;
    let offset = usize::try_from(header.vector_offset()).unwrap_or(stride);
    let (mut elements, mut buffer, mut first) = (Vec::new(), Vec::new(), 0);
    // Large elements are read a few at a time.
    let chunk = CHUNK.min((1 << 24) / size.max(1)).max(1);
    while first < count {
        let many = chunk.min(count - first);
        buffer.resize(stride.saturating_mul(many as usize), 0);
        files::read_exact_at(&file, &mut buffer, first * size).map_err(wrap)?;
        elements.extend(buffer.chunks_exact(stride).map(|bytes| {
            let (links, rest) = bytes.split_at_checked(offset).unwrap_or_default();
            let (vector, _) = rest.split_last_chunk::<8>().unwrap_or((&[], &[0; 8]));
            let used = links.first_chunk::<2>().map_or(0, |b| usize::from(u16::from_le_bytes(*b)));
            let words = links.get(4..).unwrap_or_default().as_chunks::<4>().0;
            let stray = words.iter().take(used).any(|b| u64::from(u32::from_le_bytes(*b)) >= header.count);
            Element {
                label: index::label(bytes),
                deleted: index::is_deleted(bytes),
                square: square(vector),
                stray_links: stray || used > words.len(),
            }
        }));
        first += many;
    }
    Ok(elements)
}

fn square(bytes: &[u8]) -> f64 {
    bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b)).powi(2)).sum()
}

fn ids(connection: &Connection, entry: &Entry) -> Result<Vec<String>> {
    let doing = "list the records";
    let mut statement = connection
        .prepare_cached("SELECT CAST(embedding_id AS TEXT) FROM embeddings WHERE segment_id = ?1 ORDER BY id")
        .doing(doing)?;
    let mut rows = statement.query([&entry.metadata]).doing(doing)?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        let id = row.get_ref(0).doing(doing)?;
        ids.push(String::from_utf8_lossy(id.as_bytes().unwrap_or_default()).into_owned());
    }
    Ok(ids)
}
