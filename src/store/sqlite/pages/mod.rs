//! Vectors that keep their length are written over where they lie in the file's pages, into a copy that nobody else has
//! seen yet: every page is read and written once, by all threads.
//!
//! SQLite says which rows belong to the collection and what else they hold; where their vectors lie is found by walking the
//! table's tree. What was written is read back through SQLite before the copy takes the file's place.

mod format;
mod places;

use std::cmp::Ordering;
use std::fs::File;
use std::sync::mpsc::Receiver;

use ndarray::Array2;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension};

use self::format::Layout;
use self::places::{PageSet, Pages, Walk, Wanted};
use super::blocks::{self, cannot_write};
use super::encoding::Encoding;
use super::entry::Entry;
use super::exchange::Exchange;
use super::holder::Send;
use super::pipeline::{self, Ends};
use super::put::{encoded, overwrites};
use super::rows::{ALL, Columns, RowReader, Select, shaped, vector};
use super::sink::{HASH, Sink};
use super::table::{PIECE, dimension};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::platform::syncing::Early;
use crate::store::Batch;
use crate::store::rewriting::expect_shape;
use crate::store::sql::Doing;

/// Where the vectors of a collection lie.
pub(super) struct Vectors {
    layout: Layout,
    wanted: Wanted,
    dimension: usize,
}

/// Looks whether the vectors can be written over in the pages of the file; none: SQLite has to write them.
pub(super) fn find(
    connection: &Connection,
    exchange: &Exchange,
    entry: &Entry,
    dimension: usize,
) -> Result<Option<Vectors>> {
    // The headers of numpy's files have several lengths.
    let Some(length) = entry.encoding.length(dimension).filter(|length| *length > 0) else { return Ok(None) };
    if matches!(entry.encoding, Encoding::Npy(_)) || !overwrites(connection, entry, dimension)? {
        return Ok(None);
    }
    let (source, _) = exchange.files();
    let wrap = |cause| Error::new(Kind::Io, "cannot read the header of the file").because(cause);
    let mut header = [0; 100];
    files::read_exact_at(source, &mut header, 0).map_err(wrap)?;
    let Some(layout) = Layout::of(&header, source.metadata().map_err(wrap)?.len()) else { return Ok(None) };
    let doing = "look at the table";
    let root: Option<u32> = connection
        .query_row(
            "SELECT rootpage FROM main.sqlite_master WHERE type = 'table' AND name = ?1",
            [&entry.table],
            |row| row.get(0),
        )
        .optional()
        .doing(doing)?;
    // Columns are stored in their order where none is generated; such tables are not written over. A default stands for what
    // rows from before the column do not hold.
    let field: Option<u32> = connection
        .query_row(
            "SELECT cid FROM pragma_table_xinfo(?1, 'main') WHERE name = ?2 AND dflt_value IS NULL",
            [&entry.table, &entry.vector],
            |row| row.get(0),
        )
        .optional()
        .doing(doing)?;
    Ok(match (root, field) {
        (Some(root), Some(field)) if root > 1 => {
            Some(Vectors { layout, wanted: Wanted { root, field: field as usize, length }, dimension })
        }
        _ => None,
    })
}

/// Fills the copy: see [`Holder::transform`](super::holder::Holder::transform).
pub(super) fn run(
    vectors: Vectors,
    connection: &mut Connection,
    exchange: &mut Exchange,
    entry: &Entry,
    send: &Send<'_>,
    sink: &mut Sink<'_, '_>,
    context: &Context<'_>,
) -> Result<()> {
    let Vectors { layout, wanted, dimension } = vectors;
    let (source, target) = exchange.files();
    let work = |piece: Piece| work(piece, entry, dimension, send);
    let walk = Walk::new(source, &entry.table, layout, wanted);
    let written = pipeline::ahead(
        |give| read(connection, entry, walk, give),
        |from| {
            let early = Early::new(target);
            let mut ends = Rewriting { entry, sink, context, from, layout, target, early };
            pipeline::run(&mut ends, &work)?;
            ends.early.wait().map_err(cannot_write)
        },
    )?;
    for range in written.others(layout) {
        blocks::copy(source, target, layout.offset(range.start)..layout.offset(range.end), context)?;
    }
    exchange.filled()
}

/// Some pages of the table, and what SQLite says of their rows.
struct Piece {
    pages: Pages,
    /// Which of the rows in the pages belong to the collection.
    chosen: Vec<usize>,
    ids: Vec<String>,
    texts: Vec<Option<String>>,
    keys: Vec<Value>,
    contents: Vec<[u8; HASH]>,
}

/// Reads the whole table; ends early if nobody takes what it gives. Returns the pages that were given out.
fn read(
    connection: &mut Connection,
    entry: &Entry,
    mut walk: Walk<'_>,
    give: &dyn Fn(Piece) -> bool,
) -> Result<PageSet> {
    let doing = "read records";
    let select = Select::new(entry, false, Columns { vectors: false, texts: true, others: true });
    let reader = RowReader { entry, select: &select };
    let mut statement = connection.prepare(&select.sql).doing(doing)?;
    let mut rows = statement.query([ALL]).doing(doing)?;
    let mut row = rows.next().doing(doing)?;
    while let Some(pages) = walk.next(PIECE)? {
        let (mut chosen, mut ids, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut keys, mut contents) = (Vec::new(), Vec::new());
        for (at, place) in pages.rows.iter().enumerate() {
            let Some(found) = row else { break };
            match found.get::<_, i64>(0).doing(doing)?.cmp(&place.rowid) {
                Ordering::Less => break,
                Ordering::Greater => continue,
                Ordering::Equal => {}
            }
            chosen.push(at);
            ids.push(reader.id(found)?);
            texts.push(reader.text(found)?.map(str::to_owned));
            contents.push(reader.contents(found)?);
            reader.key(found, &mut keys)?;
            row = rows.next().doing(doing)?;
        }
        if !give(Piece { pages, chosen, ids, texts, keys, contents }) {
            return Ok(walk.finish());
        }
    }
    match row {
        None => Ok(walk.finish()),
        // Its vector was not found where those of its neighbours are.
        Some(row) => {
            let found = dimension(entry)?;
            vector(entry, &reader.id(row)?, found, ValueRef::Null, None, &mut Vec::new())?;
            Ok(walk.finish())
        }
    }
}

struct Done {
    pages: Pages,
    ids: Vec<String>,
    texts: Vec<Option<String>>,
    keys: Vec<Value>,
    contents: Vec<[u8; HASH]>,
    hashes: Vec<[u8; HASH]>,
}

/// Gives the rows of a piece their new vectors.
fn work(piece: Piece, entry: &Entry, dimension: usize, send: &Send<'_>) -> Result<Done> {
    let Piece { mut pages, chosen, ids, texts, keys, contents } = piece;
    let (mut before, mut room) = (Vec::with_capacity(ids.len() * dimension), Vec::new());
    for (place, id) in chosen.iter().filter_map(|at| pages.rows.get(*at)).zip(&ids) {
        let value = ValueRef::Blob(pages.read(place, &mut room));
        vector(entry, id, dimension, value, None, &mut before)?;
    }
    let batch = Batch { vectors: shaped(ids.len(), dimension, before)?, ids, texts };
    let new = match batch.ids.is_empty() {
        true => Array2::zeros((0, dimension)),
        false => send(&batch)?,
    };
    expect_shape(&new, batch.ids.len(), dimension)?;
    let mut hashes = Vec::with_capacity(chosen.len());
    for ((vector, id), at) in new.outer_iter().zip(&batch.ids).zip(chosen) {
        let (value, _, hash) = encoded(entry.encoding, vector, id)?;
        if !matches!(&value, Value::Blob(bytes) if pages.write(at, bytes)) {
            return Err(Error::new(Kind::Internal, "a vector does not fit where the one before it lay"));
        }
        hashes.push(hash);
    }
    Ok(Done { pages, ids: batch.ids, texts: batch.texts, keys, contents, hashes })
}

/// The two ends of a rewrite.
struct Rewriting<'a, 's, 'o> {
    entry: &'a Entry,
    sink: &'a mut Sink<'s, 'o>,
    context: &'a Context<'a>,
    from: Receiver<Piece>,
    layout: Layout,
    target: &'a File,
    /// The disk has time while others compute.
    early: Early<'a>,
}

impl Ends for Rewriting<'_, '_, '_> {
    type In = Piece;
    type Out = Done;

    fn next(&mut self) -> Result<Option<Piece>> {
        self.context.check()?;
        Ok(self.from.recv().ok())
    }

    fn take(&mut self, done: Done) -> Result<()> {
        // In the order of the table: that of the file, or near to it.
        done.pages.save(self.layout, self.target).map_err(cannot_write)?;
        self.early.wrote(done.pages.bytes.len()).map_err(cannot_write)?;
        let keys = done.keys.chunks_exact(self.entry.key.len());
        let hashes = done.contents.iter().zip(&done.hashes);
        for (((id, text), (contents, hash)), key) in done.ids.iter().zip(&done.texts).zip(hashes).zip(keys) {
            self.sink.record((id, text.as_deref()), key, contents, hash)?;
        }
        self.context.progress.advance(done.ids.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
