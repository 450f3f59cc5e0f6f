//! The rewrite of one vector column, chunk by chunk: SQLite reads and writes while other threads work on what was read.

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::Vec0;
use super::chunks::{self, VectorChunks};
use super::declaration::Declaration;
use super::shadow::{self, Chunk, damaged};
use super::values::{self, Values};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::store::Batch;
use crate::store::rewriting::expect_shape;
use crate::store::sqlite::entry::Entry;
use crate::store::sqlite::holder::Send;
use crate::store::sqlite::pipeline::{self, Ends};
use crate::store::sqlite::put::encoded;
use crate::store::sqlite::sink::{Contents, HASH, Sink};

/// One chunk on its way.
struct Piece {
    chunk: Chunk,
    ids: Vec<String>,
    keys: Vec<Value>,
    blob: Vec<u8>,
}

struct Done {
    chunk: Chunk,
    keys: Vec<Value>,
    blob: Vec<u8>,
    hashes: Vec<[u8; HASH]>,
}

/// The two ends.
struct Rewriting<'a, 's, 'o> {
    connection: &'a Connection,
    declaration: &'a Declaration,
    vectors: VectorChunks<'a>,
    from: Option<i64>,
    /// Row numbers in ascending order, and what each row holds beside its vectors.
    contents: Vec<(i64, [u8; HASH])>,
    chunks: u64,
    rows: usize,
    sink: &'a mut Sink<'s, 'o>,
    context: &'a Context<'a>,
}

/// See [`Holder::transform`](crate::store::sqlite::holder::Holder::transform).
pub(super) fn run(
    holder: &Vec0,
    connection: &Connection,
    entry: &Entry,
    dimension: usize,
    send: &Send<'_>,
    sink: &mut Sink<'_, '_>,
    context: &Context<'_>,
) -> Result<()> {
    let declaration = holder.as_declared(connection)?;
    let check = || context.check();
    let vectors = VectorChunks::begin(holder, connection, &declaration, entry, sink.rows, &check)?;
    let contents = contents(connection, &declaration, entry, &mut sink.contents, &check)?;
    let mut rewriting = Rewriting {
        connection,
        declaration: &declaration,
        vectors,
        from: Some(i64::MIN),
        contents,
        chunks: 0,
        rows: 0,
        sink,
        context,
    };
    let (source, target) = (holder.bytes(entry)?, holder.element.bytes(dimension));
    let work = |piece: Piece| work(holder, &declaration, piece, (source, target), dimension, send);
    pipeline::run(&mut rewriting, &work)?;
    rewriting.check()?;
    drop(rewriting);
    sink.rows.end_table()?;
    chunks::declare(connection, &declaration, entry, dimension, target)
}

/// Shows all rows to `contents` in the order of their keys; returns their hashes in that of their numbers.
pub(super) fn contents(
    connection: &Connection,
    declaration: &Declaration,
    entry: &Entry,
    contents: &mut Contents<'_>,
    check: &dyn Fn() -> Result<()>,
) -> Result<Vec<(i64, [u8; HASH])>> {
    let mut columns = entry.others.clone();
    columns.extend(entry.text_column.clone());
    let text = entry.text_column.as_ref().map(|_| entry.others.len());
    let mut hashes = Vec::new();
    Values::new(connection, declaration, &columns)?.each(&mut |rowid, place, values| {
        if hashes.len() % 1024 == 0 {
            check()?;
        }
        let (_, id) = values::key(declaration, rowid, place)?;
        let text = text.and_then(|at| match values.get(at) {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        });
        let values: Vec<ValueRef<'_>> = values.iter().take(entry.others.len()).map(ValueRef::from).collect();
        hashes.push((rowid, contents.record(&id, text, &values)));
        Ok(())
    })?;
    hashes.sort_unstable_by_key(|(rowid, _)| *rowid);
    Ok(hashes)
}

impl Ends for Rewriting<'_, '_, '_> {
    type In = Piece;
    type Out = Done;

    fn next(&mut self) -> Result<Option<Piece>> {
        self.context.check()?;
        let Some(from) = self.from else { return Ok(None) };
        let Some(chunk) = Chunk::from(self.connection, self.declaration, from)? else { return Ok(None) };
        self.from = chunk.id.checked_add(1);
        let (mut ids, mut keys) =
            (Vec::with_capacity(chunk.rows.len()), Vec::with_capacity(chunk.rows.len()));
        for row in &chunk.rows {
            let place = shadow::row(self.connection, self.declaration, chunk.id, *row)?;
            let (key, id) = values::key(self.declaration, row.1, &place)?;
            ids.push(id);
            keys.push(key);
        }
        let blob = self.vectors.take(chunk.id, self.sink.rows)?;
        self.chunks += 1;
        self.rows += chunk.rows.len();
        Ok(Some(Piece { chunk, ids, keys, blob }))
    }

    fn take(&mut self, done: Done) -> Result<()> {
        for ((row, key), hash) in done.chunk.rows.iter().zip(&done.keys).zip(&done.hashes) {
            let contents = self.contents.binary_search_by_key(&row.1, |(rowid, _)| *rowid);
            let contents = contents.ok().and_then(|at| self.contents.get(at));
            let (_, contents) =
                contents.ok_or_else(|| damaged(self.declaration, "a row came out of nowhere"))?;
            self.sink.note(std::slice::from_ref(key), contents, hash)?;
        }
        self.vectors.put(done.chunk.id, &done.blob)?;
        self.context.progress.advance(done.keys.len() as u64);
        Ok(())
    }
}

impl Rewriting<'_, '_, '_> {
    /// No row and no chunk was left out.
    fn check(&self) -> Result<()> {
        let chunks = self.vectors.count()?;
        if chunks != self.chunks {
            let found = format!("{chunks} chunks have vectors, {} have rows", self.chunks);
            return Err(damaged(self.declaration, &found));
        }
        if self.rows != self.contents.len() {
            let found = format!("chunks hold {} rows, {} are noted", self.rows, self.contents.len());
            return Err(damaged(self.declaration, &found));
        }
        Ok(())
    }
}

fn work(
    holder: &Vec0,
    declaration: &Declaration,
    piece: Piece,
    (source, target): (usize, usize),
    dimension: usize,
    send: &Send<'_>,
) -> Result<Done> {
    let Piece { chunk, ids, keys, blob } = piece;
    // What no row owns is zero, as the extension makes new chunks.
    let mut made = vec![0; target * declaration.chunk_size];
    let mut hashes = Vec::with_capacity(keys.len());
    if !ids.is_empty() {
        let slot =
            |(slot, _): &(usize, i64)| blob.get(slot * source..(slot + 1) * source).unwrap_or_default();
        let vectors = holder.decode(declaration, &ids, chunk.rows.iter().map(slot))?;
        let batch = Batch { ids, vectors, texts: Vec::new() };
        let new = send(&batch)?;
        expect_shape(&new, keys.len(), dimension)?;
        for (((slot, _), vector), id) in chunk.rows.iter().zip(new.outer_iter()).zip(&batch.ids) {
            let (value, _, hash) = encoded(holder.element.encoding(), vector, id)?;
            let Value::Blob(bytes) = value else {
                return Err(Error::new(Kind::Internal, "a vector of a vec0 table is no blob"));
            };
            if bytes.len() != target {
                let found = format!("a vector of a vec0 table has {} bytes, wanted {target}", bytes.len());
                return Err(Error::new(Kind::Internal, found));
            }
            hashes.push(hash);
            if let Some(place) = made.get_mut(slot * target..(slot + 1) * target) {
                place.copy_from_slice(&bytes);
            }
        }
    }
    Ok(Done { chunk, keys, blob: made, hashes })
}
