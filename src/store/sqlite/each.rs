//! Showing every record once, to all threads.

use rusqlite::Connection;

use super::entry::Entry;
use super::holder::{Cursor, Holder};
use super::parts::{self, More};
use super::pipeline::{self, Ends};
use crate::error::Result;
use crate::store::Batch;

/// Records that are read at a time.
pub(super) const BATCH: usize = 1024;

/// Called for some records after the other, from several threads.
pub(super) type Look<'a> = dyn Fn(&Batch) -> Result<()> + Sync + 'a;

/// Read by this thread, looked at by all.
pub(super) fn through(
    connection: &Connection,
    holder: &dyn Holder,
    entry: &Entry,
    look: &Look<'_>,
) -> Result<()> {
    struct Reading<'a> {
        connection: &'a Connection,
        holder: &'a dyn Holder,
        entry: &'a Entry,
        cursor: Cursor,
    }
    impl Ends for Reading<'_> {
        type In = Batch;
        type Out = ();
        fn next(&mut self) -> Result<Option<Batch>> {
            self.holder.next_batch(self.connection, self.entry, &mut self.cursor, BATCH, false)
        }
        fn take(&mut self, (): ()) -> Result<()> {
            Ok(())
        }
    }
    let cursor = Cursor::default();
    pipeline::run(&mut Reading { connection, holder, entry, cursor }, &|batch| look(&batch))
}

/// As [`through`]; where there are `more` connections, and the collection can be read in parts, every thread reads its own.
pub(super) fn through_all(
    first: &Connection,
    more: More<'_>,
    holder: &dyn Holder,
    entry: &Entry,
    look: &Look<'_>,
) -> Result<()> {
    let parts = if more.is_some() { holder.parts(first, entry)? } else { Vec::new() };
    if parts.len() < 2 {
        return through(first, holder, entry, look);
    }
    parts::each(&parts, first, more, &|connection, part| {
        let mut cursor = part.cursor();
        while let Some(batch) = holder.next_batch(connection, &part.entry, &mut cursor, BATCH, false)? {
            look(&batch)?;
        }
        Ok(())
    })
}
