//! Vectors in a column of a plain table.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use ndarray::Array2;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::entry::Entry;
use super::holder::{Cursor, Holder, Send, Sides};
use super::pipeline::{self, Ends};
use super::put::Put;
use super::rows::{Piece, Pieces, RowReader, Select, key_of, shaped};
use super::sink::{HASH, Sink, hash_vector};
use super::{back, obstacles};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::store::Batch;
use crate::store::rewriting::expect_shape;
use crate::store::sql::Doing;

/// Name of the table with the saved rows, and of the columns with their keys in it.
pub(super) const SAVED: &str = "records";
pub(super) const KEY: &str = "embedport_key";
/// Bytes of vectors that are read, mapped and written at a time.
const PIECE: usize = 1 << 20;
/// Pieces that are read ahead where reading has a thread of its own.
const AHEAD: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Table;

/// Components of the collection's vectors.
pub(super) fn dimension(entry: &Entry) -> Result<usize> {
    entry.dimension.ok_or_else(|| {
        Error::new(Kind::Refused, format!("column `{}` of `{}` holds no vector", entry.vector, entry.table))
    })
}

impl Holder for Table {
    fn next_batch(
        &self,
        connection: &Connection,
        entry: &Entry,
        cursor: &mut Cursor,
        max: usize,
        texts: bool,
    ) -> Result<Option<Batch>> {
        let doing = "read records";
        let dimension = dimension(entry)?;
        let select = Select::new(entry, !cursor.0.is_empty(), texts, &[]);
        let reader = RowReader { entry, dimension, select: &select };
        let mut statement = connection.prepare_cached(&select.sql).doing(doing)?;
        let limit = Value::Integer(i64::try_from(max.max(1)).unwrap_or(i64::MAX));
        let behind = std::mem::take(&mut cursor.0);
        let mut rows = statement.query(params_from_iter(behind.into_iter().chain([limit]))).doing(doing)?;
        let mut batch = Batch { ids: Vec::new(), vectors: Array2::zeros((0, 0)), texts: Vec::new() };
        let mut vectors = Vec::new();
        while let Some(row) = rows.next().doing(doing)? {
            let id = reader.id(row)?;
            reader.vector(row, &id, &mut vectors)?;
            if texts {
                batch.texts.push(reader.text(row)?.map(str::to_owned));
            }
            batch.ids.push(id);
            cursor.0.clear();
            key_of(row, select.key, &mut cursor.0)?;
        }
        if batch.ids.is_empty() {
            return Ok(None);
        }
        batch.vectors = shaped(batch.ids.len(), dimension, vectors)?;
        Ok(Some(batch))
    }

    fn transform(
        &self,
        sides: Sides<'_>,
        entry: &Entry,
        dimension: usize,
        send: &Send<'_>,
        sink: &mut Sink<'_, '_>,
        context: &Context<'_>,
    ) -> Result<()> {
        let source = self::dimension(entry)?;
        let rows = (PIECE / 4 / source.max(dimension)).clamp(16, 4096);
        let stored = [&entry.others[..], &entry.vector_columns()].concat();
        sink.rows.table(SAVED, &[&back::key_names(entry)[..], &stored].concat())?;
        let put = Put::new(sides.target, entry, dimension)?;
        let encoding = entry.encoding;
        let work = |Piece { batch, keys, contents }: Piece| {
            let new = send(&batch)?;
            expect_shape(&new, batch.ids.len(), dimension)?;
            let (mut values, mut hashes) =
                (Vec::with_capacity(batch.ids.len()), Vec::with_capacity(batch.ids.len()));
            for (vector, id) in new.outer_iter().zip(&batch.ids) {
                let vector = vector.to_slice().unwrap_or_default();
                if !crate::simd::all_finite(vector) {
                    let found = format!("the new vector of record `{}` is not finite", id.escape_debug());
                    return Err(Error::new(Kind::Damaged, found));
                }
                let (value, scale) = encoding.encode(vector);
                let scale = scale.map(Value::Real);
                let both = std::iter::once(&value).chain(&scale).map(ValueRef::from);
                hashes.push(hash_vector(both));
                values.push(value);
                values.extend(scale);
            }
            Ok(Done { ids: batch.ids, texts: batch.texts, keys, contents, values, hashes })
        };
        match sides.source {
            None => {
                let from = From::Same(Pieces::new(sides.target, entry, source, rows));
                pipeline::run(&mut Rewriting { entry, put, sink, context, from }, &work)?;
            }
            Some(connection) => thread::scope(|scope| {
                let (give, take) = mpsc::sync_channel(AHEAD);
                scope.spawn(move || read_ahead(connection, entry, source, rows, &give));
                // The reader ends when nobody takes what it reads: this has to be gone before it is waited for.
                let from = From::Ahead(take);
                pipeline::run(&mut Rewriting { entry, put, sink, context, from }, &work)
            })?,
        }
        sink.rows.end_table()
    }

    fn restore(&self, connection: &Connection, entry: &Entry, changed: bool) -> Result<()> {
        back::rows(connection, entry, changed)
    }

    fn saved(&self, _: &Connection, entry: &Entry) -> Result<Entry> {
        Ok(Entry {
            table: SAVED.to_owned(),
            key: back::key_names(entry),
            condition: None,
            grouped: false,
            ..entry.clone()
        })
    }

    fn obstacle(&self, connection: &Connection, entry: &Entry, dimension: usize) -> Result<Option<String>> {
        obstacles::find(connection, entry, dimension)
    }
}

/// Reads the whole collection; ends early if nobody listens any more.
fn read_ahead(
    connection: &mut Connection,
    entry: &Entry,
    dimension: usize,
    rows: usize,
    give: &SyncSender<Result<Piece>>,
) {
    let mut pieces = Pieces::new(connection, entry, dimension, rows);
    while let Some(piece) = pieces.next(None).transpose() {
        let failed = piece.is_err();
        if give.send(piece).is_err() || failed {
            return;
        }
    }
}

/// Where the pieces come from.
enum From<'a> {
    /// The file that is written.
    Same(Pieces<'a>),
    /// Another file, read by another thread; nothing of it needs to be saved.
    Ahead(Receiver<Result<Piece>>),
}

/// The two ends of a rewrite.
struct Rewriting<'a, 's, 'o> {
    entry: &'a Entry,
    put: Put<'a>,
    sink: &'a mut Sink<'s, 'o>,
    context: &'a Context<'a>,
    from: From<'a>,
}

struct Done {
    ids: Vec<String>,
    texts: Vec<Option<String>>,
    /// Of one row after the other, as the values.
    keys: Vec<Value>,
    contents: Vec<[u8; HASH]>,
    values: Vec<Value>,
    /// Of each row's values.
    hashes: Vec<[u8; HASH]>,
}

impl Ends for Rewriting<'_, '_, '_> {
    type In = Piece;
    type Out = Done;

    fn next(&mut self) -> Result<Option<Piece>> {
        self.context.check()?;
        match &mut self.from {
            From::Same(pieces) => pieces.next(Some(self.sink.rows)),
            From::Ahead(pieces) => pieces.recv().ok().transpose(),
        }
    }

    fn take(&mut self, done: Done) -> Result<()> {
        let keys = done.keys.chunks_exact(self.entry.key.len());
        let values = done.values.chunks_exact(self.entry.vector_columns().len());
        let hashes = done.contents.iter().zip(&done.hashes);
        let records = done.ids.iter().zip(&done.texts);
        for (((id, text), (contents, hash)), (key, values)) in records.zip(hashes).zip(keys.zip(values)) {
            self.sink.contents.hashed(id, text.as_deref(), contents);
            self.sink.note(key, contents, hash)?;
            self.put.row(key, values)?;
        }
        self.context.progress.advance(done.ids.len() as u64);
        Ok(())
    }
}
