//! A rewrite in progress: one transaction, from the first record read to the commit, that keeps every other writer out.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::ArrayView2;
use rusqlite::Connection;
use rusqlite::backup::{Backup as Copying, StepResult};

use super::access::is_wal;
use super::back::{self, ROWS, WRITTEN};
use super::details::Details;
use super::each::{self, BATCH};
use super::exact;
use super::exchange::Exchange;
use super::find::Found;
use super::holder::{Cursor, Sides};
use super::sink::{Contents, Sink};
use super::stamp::{self, Stamp};
use super::unstamped::Unstamped;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::platform::{files, identity};
use crate::store::backup::relative;
use crate::store::sql::rows_file::Writer;
use crate::store::sql::{self, Doing, whole};
use crate::store::{
    Backup, BackupChoice, BackupFile, Batch, Hit, IndexWay, Pass, Rewrite, RewriteTarget, Saved,
};

/// See [`Rewrite`]. The transaction ends with the connection: dropping this rolls it back.
pub(super) struct SqliteRewrite {
    pub database: PathBuf,
    pub base: PathBuf,
    /// The copy that is written, if it is not the file itself.
    pub exchange: Option<Exchange>,
    /// Holds the lock.
    pub connection: Connection,
    pub found: Found,
    pub count: u64,
    pub target: RewriteTarget,
    pub details: Details,
    /// The new vectors are in the transaction.
    pub written: bool,
    pub sealed: bool,
    /// Dropped after the connection: see [`whole::copy`] and [`Exchange::begin`].
    pub open: Vec<Arc<File>>,
}

impl SqliteRewrite {
    /// Writes what each record is left as and, if wanted, the saved rows; returns the digest of everything else.
    fn save_and_write(
        &mut self,
        folder: &Path,
        rows: Option<&Path>,
        pass: &dyn Pass,
        look: &mut dyn FnMut(&str, &str),
        context: &Context<'_>,
    ) -> Result<String> {
        let mut outcome = None;
        let mut write = |rows: &mut dyn Write, written: &mut dyn Write| {
            let done = self.stream(rows, written, pass, look, context);
            let fine = done.is_ok();
            outcome = Some(done);
            if fine { Ok(()) } else { Err(std::io::Error::from(std::io::ErrorKind::Other)) }
        };
        let written = folder.join(WRITTEN);
        let both = match rows {
            Some(rows) => nested(rows, &written, &mut write),
            None => files::write_atomically(&written, |written| write(&mut std::io::sink(), written)),
        };
        match (outcome, both) {
            (Some(Ok(content)), Ok(())) => Ok(content),
            (Some(Err(e)), _) | (_, Err(e)) => Err(e),
            (None, Ok(())) => Err(Error::new(Kind::Internal, "nothing was written")),
        }
    }

    /// Sends every record through `pass` and into the file; what is kept goes to `rows` and `written`.
    fn stream(
        &mut self,
        rows: &mut dyn Write,
        written: &mut dyn Write,
        pass: &dyn Pass,
        look: &mut dyn FnMut(&str, &str),
        context: &Context<'_>,
    ) -> Result<String> {
        let SqliteRewrite { found: Found { entry, holder, .. }, connection, exchange, target, .. } = self;
        let mut sides = match exchange {
            Some(exchange) => Sides::Copy { source: connection, exchange },
            None => Sides::Same(connection),
        };
        let encoding = entry.encoding;
        let send = |batch: &Batch| pass.vectors(batch, &|vector| encoding.round(vector));
        let (mut rows, mut written) = (Writer::new(rows)?, Writer::new(written)?);
        back::begin_notes(&mut written, entry)?;
        let mut sink = Sink { rows: &mut rows, written: &mut written, contents: Contents::new(look) };
        holder.transform(&mut sides, entry, target.space.dimension, &send, &mut sink, context)?;
        let content = sink.contents.finish();
        written.end_table()?;
        written.finish()?;
        rows.finish()?;
        Ok(content)
    }

    /// Notes once more what each record was left as: triggers may have changed it after it was written.
    fn note_again(&self, written: &Path) -> Result<()> {
        let entry = self.found.entry.with_dimension(self.target.space.dimension);
        let connection = self.rewritten()?;
        let mut failed = None;
        let done = files::write_atomically(written, |out| {
            back::note(connection, &entry, out).map_err(|e| {
                failed = Some(e);
                std::io::Error::from(std::io::ErrorKind::Other)
            })
        });
        failed.map_or(done, Err)
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            collection: self.found.entry.id.clone(),
            space: self.target.space.clone(),
            migration: self.target.migration.clone(),
            settings: self.found.settings(),
        }
    }

    /// A connection to what was written.
    fn rewritten(&self) -> Result<&Connection> {
        self.exchange.as_ref().map_or(Ok(&self.connection), Exchange::connection)
    }

    /// A whole copy of the database, as it is before anything was changed.
    fn copy_whole(&mut self, folder: &Path, context: &Context<'_>) -> Result<Vec<BackupFile>> {
        if !is_wal(&self.connection)? {
            let (copies, open) = whole::copy(&self.database, &self.base, folder, &|| context.check())?;
            self.open.extend(open.into_iter().map(Arc::new));
            return Ok(copies);
        }
        // Readers see what was committed, whatever this transaction does; the log may be moved into the file meanwhile.
        let path = folder.join(self.database.file_name().unwrap_or_default());
        let doing = "copy the whole database";
        let source = sql::open(&self.database, true)?;
        let mut copy = Connection::open(&path).doing(doing)?;
        let copying = Copying::new(&source, &mut copy).doing(doing)?;
        while copying.step(1 << 12).doing(doing)? != StepResult::Done {
            context.check()?;
        }
        drop(copying);
        copy.close().map_err(|(_, e)| e).doing(doing)?;
        let name = relative(&self.base, &path);
        File::open(&path).and_then(|file| file.sync_all()).map_err(|e| Error::io("write", &path, e))?;
        files::sync_folder(folder)?;
        Ok(vec![BackupFile::of(&path, name)?])
    }
}

/// Writes two files at once, each wholly or not at all.
fn nested(
    first: &Path,
    second: &Path,
    write: impl FnOnce(&mut dyn Write, &mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    files::write_atomically(first, |one| {
        files::write_atomically(second, |two| write(one, two))
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::Other))
    })
}

impl Rewrite for SqliteRewrite {
    fn sweep_details(&self) -> serde_json::Value {
        self.details.to_json()
    }

    fn ways(&self) -> Vec<IndexWay> {
        vec![IndexWay::None]
    }

    fn texts(&self, look: &mut dyn FnMut(&str, &str)) -> Result<()> {
        let Found { entry, holder, .. } = &self.found;
        match entry.text_column {
            Some(_) => holder.contents(&self.connection, entry, &mut Contents::new(look)),
            None => Ok(()),
        }
    }

    fn transform(
        &mut self,
        pass: &dyn Pass,
        look: &mut dyn FnMut(&str, &str),
        context: &Context<'_>,
    ) -> Result<Saved> {
        if self.written {
            return Err(Error::new(Kind::Internal, "a rewrite was asked to write twice"));
        }
        let folder = self.details.backup(&self.base);
        files::create_folder(&folder)?;
        // Saved rows and copies hold what the file holds.
        let own = self.base.join(&self.details.folder);
        identity::only_readers_of(&self.database, &own).map_err(|e| Error::io("protect", &own, e))?;
        if self.details.exchanged {
            self.exchange = Exchange::begin(&self.database, &self.base, &self.details, &mut self.open)?;
            self.details.exchanged = self.exchange.is_some();
        }
        let rows = (!self.details.exchanged).then(|| folder.join(ROWS));
        let mut kept = match self.target.backup {
            BackupChoice::Full if rows.is_some() => self.copy_whole(&folder, context)?,
            _ => Vec::new(),
        };
        let content = self.save_and_write(&folder, rows.as_deref(), pass, look, context)?;
        self.written = true;
        if self.details.fire_triggers {
            self.note_again(&folder.join(WRITTEN))?;
        }
        if self.details.unstamped.is_some() {
            Unstamped::note(&self.found.entry, &self.stamp(), &folder.join(WRITTEN), &own)?;
        }
        for path in std::iter::once(folder.join(WRITTEN)).chain(rows) {
            kept.push(BackupFile::of(&path, relative(&self.base, &path))?);
        }
        if let Some(exchange) = &mut self.exchange {
            kept.push(exchange.backup(&self.base, context)?);
        }
        let backup = Backup {
            scheme: super::SCHEME.into(),
            collection: self.found.entry.id.clone(),
            count: self.count,
            dimension: self.found.entry.dimension.unwrap_or(0),
            files: kept,
            details: self.details.to_json(),
        };
        Ok(Saved { backup, content })
    }

    fn search_before(&self, _: ArrayView2<f32>, _: usize) -> Result<Vec<Vec<Hit>>> {
        Err(Error::new(Kind::Internal, "there is no index that could be asked"))
    }

    fn seal(&mut self, _: IndexWay, _: &Context<'_>) -> Result<()> {
        if !self.written {
            return Err(Error::new(Kind::Internal, "a rewrite was sealed before it was written"));
        }
        if self.sealed {
            return Ok(());
        }
        let (connection, stamp) = (self.rewritten()?, self.stamp());
        match self.details.unstamped {
            None => stamp::write(connection, &stamp)?,
            // One of before would be wrong from now on.
            Some(_) => stamp::remove(connection, &stamp.collection)?,
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.seal()?;
        }
        self.sealed = true;
        Ok(())
    }

    fn read_back(&self, look: &(dyn Fn(&Batch) -> Result<()> + Sync)) -> Result<()> {
        let entry = self.found.entry.with_dimension(self.target.space.dimension);
        let holder = self.found.holder.as_ref();
        match &self.exchange {
            Some(exchange) => {
                each::through_all(&exchange.read()?, Some(&|| exchange.read()), holder, &entry, look)
            }
            None => each::through(&self.connection, holder, &entry, look),
        }
    }

    fn search(&self, queries: ArrayView2<f32>, k: usize) -> Result<Vec<Vec<Hit>>> {
        let entry = self.found.entry.with_dimension(self.target.space.dimension);
        let mut cursor = Cursor::default();
        let (holder, connection) = (&self.found.holder, self.rewritten()?);
        exact::search(entry.metric, queries, k, || {
            holder.next_batch(connection, &entry, &mut cursor, BATCH, false)
        })
    }

    fn commit(self: Box<Self>) -> Result<()> {
        if !self.sealed {
            return Err(Error::new(Kind::Internal, "a rewrite was to be committed before it was sealed"));
        }
        let SqliteRewrite { exchange, connection, open, .. } = *self;
        match exchange {
            Some(exchange) => exchange.commit((connection, open)),
            None => sql::commit(&connection),
        }
    }
}
