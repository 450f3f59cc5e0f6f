//! How the vectors of a collection lie in the file: what differs between a plain table and a virtual one.

use std::fmt::Debug;

use ndarray::Array2;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::entry::Entry;
use super::exchange::Exchange;
use super::parts::Part;
use super::sink::{Contents, Sink};
use super::walk;
use crate::context::Context;
use crate::error::Result;
use crate::store::Batch;

/// Where a stream of records stands: what its holder needs to go on; empty at the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor(pub Vec<Value>);

/// New vectors of some records, one row each; may be asked from several threads at once.
pub(super) type Send<'a> = dyn Fn(&Batch) -> Result<Array2<f32>> + Sync + 'a;

/// The files of a rewrite.
pub(super) enum Sides<'a> {
    /// What is read is written over.
    Same(&'a Connection),
    /// What is read stays as it is: a copy of it is written.
    Copy { source: &'a mut Connection, exchange: &'a mut Exchange },
}

impl Sides<'_> {
    /// Where records are written; it holds everything that is not rewritten yet.
    pub fn target(&mut self, context: &Context<'_>) -> Result<&Connection> {
        match self {
            Sides::Same(connection) => Ok(connection),
            Sides::Copy { exchange, .. } => exchange.whole(context),
        }
    }
}

/// One way of holding vectors. See [`Entry`] for what is the same in all of them.
pub(super) trait Holder: Debug + Sync {
    /// The records behind `cursor` in a stable order, about `max` of them; `None` behind the last.
    ///
    /// # Errors
    /// [`Kind::Damaged`](crate::error::Kind::Damaged) for a vector that is of another dimension, or not finite.
    fn next_batch(
        &self,
        connection: &Connection,
        entry: &Entry,
        cursor: &mut Cursor,
        max: usize,
        texts: bool,
    ) -> Result<Option<Batch>>;

    /// Inside the open transaction: gives `sink` everything that [`Holder::restore`] needs (unless what is read stays as a
    /// file of its own) and what the collection holds beside its vectors, and puts the vectors that `send` returns (of
    /// `dimension` components) in the place of the ones that are there. Afterwards the collection reads as `entry` with that
    /// dimension in [`Sides::target`].
    fn transform(
        &self,
        sides: &mut Sides<'_>,
        entry: &Entry,
        dimension: usize,
        send: &Send<'_>,
        sink: &mut Sink<'_, '_>,
        context: &Context<'_>,
    ) -> Result<()>;

    /// Inside the open transaction, what was saved attached as `kept`: puts exactly that back. `changed`: records came,
    /// went or were written again since; else nothing but the vectors differs.
    fn restore(&self, connection: &Connection, entry: &Entry, changed: bool) -> Result<()>;

    /// How a file that holds nothing but the saved rows (as schema `main`) is read as `entry`, the collection of then.
    fn saved(&self, connection: &Connection, entry: &Entry) -> Result<Entry>;

    /// The collection in parts, for several threads; one if it cannot be divided.
    fn parts(&self, _: &Connection, entry: &Entry) -> Result<Vec<Part>> {
        Ok(vec![Part::whole(entry)])
    }

    /// How many rows there are, with a vector or without.
    fn rows(&self, connection: &Connection, entry: &Entry) -> Result<u64>;

    /// Shows every record to `contents`, in the order of the keys.
    fn contents(&self, connection: &Connection, entry: &Entry, contents: &mut Contents<'_>) -> Result<()> {
        walk::contents(connection, entry, contents)
    }

    /// Why a rewrite to `dimension` components cannot be, in words; none: it can, as far as is known beforehand.
    fn obstacle(&self, connection: &Connection, entry: &Entry, dimension: usize) -> Result<Option<String>>;
}
