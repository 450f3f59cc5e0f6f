//! Vectors in a column of a plain table.

use std::sync::mpsc::Receiver;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;

use super::entry::Entry;
use super::holder::{Cursor, Holder, Send, Sides};
use super::parts::{self, Part};
use super::pipeline::{self, Ends};
use super::put::{Put, encoded};
use super::rows::{Columns, Piece, Pieces, RowReader, Select};
use super::sink::{HASH, Sink};
use super::{back, obstacles, pages};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::store::Batch;
use crate::store::rewriting::expect_shape;
use crate::store::sql::Doing;

/// Name of the table with the saved rows, and of the columns with their keys in it.
pub(super) const SAVED: &str = "records";
pub(super) const KEY: &str = "embedport_key";
/// Bytes of vectors that are read, mapped and written at a time.
pub(super) const PIECE: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Table;

fn has_triggers(connection: &Connection, table: &str) -> Result<bool> {
    let sql =
        "SELECT count(*) FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE";
    let triggers: i64 = connection.query_row(sql, [table], |row| row.get(0)).doing("list the triggers")?;
    Ok(triggers > 0)
}

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
        let columns = Columns { vectors: true, texts, others: false };
        let select = Select::new(entry, !cursor.0.is_empty(), columns);
        let reader = RowReader { entry, select: &select };
        reader.batch(connection, dimension(entry)?, &mut cursor.0, max, &mut |_| Ok(()))
    }

    fn parts(&self, connection: &Connection, entry: &Entry) -> Result<Vec<Part>> {
        parts::of(connection, entry)
    }

    fn rows(&self, connection: &Connection, entry: &Entry) -> Result<u64> {
        // Without a condition SQLite counts by the pages.
        let sql = format!("SELECT count(*) FROM main.{}", entry.table_name());
        let rows: i64 = connection.query_row(&sql, [], |row| row.get(0)).doing("count the rows")?;
        Ok(rows.unsigned_abs())
    }

    fn transform(
        &self,
        sides: &mut Sides<'_>,
        entry: &Entry,
        dimension: usize,
        send: &Send<'_>,
        sink: &mut Sink<'_, '_>,
        context: &Context<'_>,
    ) -> Result<()> {
        if let Sides::Copy { source, exchange } = sides
            && let Some(vectors) = pages::find(source, exchange, entry, dimension)?
        {
            return pages::run(vectors, source, exchange, entry, send, sink, context);
        }
        let source = self::dimension(entry)?;
        let rows = (PIECE / 4 / source.max(dimension)).clamp(16, 4096);
        let stored = [&entry.others[..], &entry.vector_columns()].concat();
        sink.rows.table(SAVED, &[&back::key_names(entry)[..], &stored].concat())?;
        let encoding = entry.encoding;
        let work = |Piece { batch, keys, contents }: Piece| {
            let new = send(&batch)?;
            expect_shape(&new, batch.ids.len(), dimension)?;
            let (mut values, mut hashes) =
                (Vec::with_capacity(batch.ids.len()), Vec::with_capacity(batch.ids.len()));
            for (vector, id) in new.outer_iter().zip(&batch.ids) {
                let (value, scale, hash) = encoded(encoding, vector, id)?;
                hashes.push(hash);
                values.push(value);
                values.extend(scale);
            }
            Ok(Done { ids: batch.ids, texts: batch.texts, keys, contents, values, hashes })
        };
        match sides {
            Sides::Same(connection) => {
                let put = Put::new(connection, entry, dimension)?;
                let from = From::Same(Box::new(Pieces::new(connection, entry, source, rows)));
                pipeline::run(&mut Rewriting { entry, put, sink, context, from }, &work)?;
            }
            Sides::Copy { source: connection, exchange } => {
                let put = Put::new(exchange.whole(context)?, entry, dimension)?;
                let read = move |give: &dyn Fn(Piece) -> bool| {
                    let mut pieces = Pieces::new(connection, entry, source, rows);
                    while pieces.next(None)?.is_some_and(give) {}
                    Ok(())
                };
                pipeline::ahead(read, |pieces| {
                    let from = From::Ahead(pieces);
                    pipeline::run(&mut Rewriting { entry, put, sink, context, from }, &work)
                })?;
            }
        }
        sink.rows.end_table()
    }

    fn restore(&self, connection: &Connection, entry: &Entry, changed: bool) -> Result<()> {
        let (doing, enabled) = ("restore the saved rows", DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER);
        back::rows(connection, entry, changed)?;
        if !connection.db_config(enabled).doing(doing)? || !has_triggers(connection, &entry.table)? {
            return Ok(());
        }
        // What triggers made of the rows meanwhile is not what was saved.
        connection.set_db_config(enabled, false).doing(doing)?;
        back::rows(connection, entry, true)
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

/// Where the pieces come from.
enum From<'a> {
    /// The file that is written.
    Same(Box<Pieces<'a>>),
    /// Another file, read by another thread; nothing of it needs to be saved.
    Ahead(Receiver<Piece>),
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
            From::Ahead(pieces) => Ok(pieces.recv().ok()),
        }
    }

    fn take(&mut self, done: Done) -> Result<()> {
        let keys = done.keys.chunks_exact(self.entry.key.len());
        let values = done.values.chunks_exact(self.entry.vector_columns().len());
        let hashes = done.contents.iter().zip(&done.hashes);
        let records = done.ids.iter().zip(&done.texts);
        for (((id, text), (contents, hash)), (key, values)) in records.zip(hashes).zip(keys.zip(values)) {
            self.sink.record((id, text.as_deref()), key, contents, hash)?;
            self.put.row(key, values)?;
        }
        self.context.progress.advance(done.ids.len() as u64);
        Ok(())
    }
}
