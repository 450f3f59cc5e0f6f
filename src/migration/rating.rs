//! A migration that also says, record by record, how far its projection can be trusted.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, ArrayView2};
use tempfile::NamedTempFile;

use super::execute::execute_instead;
use super::pass::Instead;
use super::{MigrationPlan, MigrationReport};
use crate::context::Context;
use crate::embed::Embedder;
use crate::error::{Error, Result};
use crate::platform::{files, outputs};
use crate::projection::Projection;
use crate::registry::Resolved;
use crate::store::{Batch, VectorStore};

/// First line of the file.
const HEADS: &str = "id\tconfidence\tcrowding\n";

/// As [`execute`](super::execute), and writes a line for each record to `path`: id, expected cosine of the new vector with the true
/// one, and how crowded it lies (see [`Rated`](crate::projection::Rated)), with tabs between, in no order. In ids `\`, tab and
/// line ends are written as `\\`, `\t`, `\n` and `\r`. The file appears when the migration is done.
///
/// # Errors
/// [`Refused`](crate::error::Kind::Refused) if the projection does not know, those of [`execute`](super::execute), and those of the file; a file that cannot be
/// written takes nothing back.
pub fn execute_rated(
    plan: MigrationPlan,
    store: &mut dyn VectorStore,
    projection: &Resolved,
    target_model: Option<&dyn Embedder>,
    path: &Path,
    context: &Context<'_>,
) -> Result<MigrationReport> {
    let map = &projection.projection;
    map.can_rate()?;
    check_output(&plan, store, path)?;
    let ratings = Ratings::create(path)?;
    let rate = |batch: &Batch, new: &mut Array2<f32>| {
        ratings.add(map, &batch.ids, new.view());
        Ok(())
    };
    let rate = Instead { put: &rate, ..Instead::NONE };
    let report = execute_instead(plan, store, map, rate, target_model, context)?;
    ratings.finish().map_err(|error| {
        error.context(format!(
            "the collection was migrated ({}), its ratings were not written",
            report.migration
        ))
    })?;
    Ok(report)
}

/// Whether ratings may be written to `path`: it must not be the store, nor lie in its folder or in that of its backups.
///
/// # Errors
/// [`Usage`](crate::error::Kind::Usage) if it does.
pub fn check_output(plan: &MigrationPlan, store: &dyn VectorStore, path: &Path) -> Result<()> {
    let beside = store.beside();
    let mut in_use = vec![("the store", plan.store.as_path())];
    in_use.extend(beside.iter().map(|path| ("a file of the store", path.as_path())));
    let state = store.state_folder();
    in_use.push(("the folder of the store's backups", &state));
    outputs::refuse_in_use(path, &in_use)
}

/// A file that is written from several threads.
struct Ratings {
    path: PathBuf,
    /// The file, or what went wrong with it.
    out: Mutex<Result<BufWriter<NamedTempFile>>>,
}

impl Ratings {
    fn create(path: &Path) -> Result<Self> {
        let failed = |cause| Error::io("write", path, cause);
        let folder = files::parent(path);
        let mut out = BufWriter::with_capacity(1 << 20, files::temporary_in(&folder).map_err(failed)?);
        out.write_all(HEADS.as_bytes()).map_err(failed)?;
        Ok(Ratings { path: path.to_owned(), out: Mutex::new(Ok(out)) })
    }

    /// Adds the records of `ids`. What goes wrong is told at the end: it must not cost the migration.
    fn add(&self, map: &Projection, ids: &[String], projected: ArrayView2<'_, f32>) {
        let rated = map.rate(projected);
        let mut guard = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(out) = guard.as_mut() else { return };
        let written = rated.and_then(|rated| {
            let values = rated.confidence.iter().zip(&rated.crowding);
            ids.iter().zip(values).try_for_each(|(id, (confidence, crowding))| {
                writeln!(out, "{}\t{confidence:.4}\t{crowding:.4}", escaped(id))
                    .map_err(|cause| Error::io("write", &self.path, cause))
            })
        });
        if let Err(error) = written {
            *guard = Err(error);
        }
    }

    fn finish(self) -> Result<()> {
        let failed = |cause| Error::io("write", &self.path, cause);
        let out = self.out.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        let file = out.into_inner().map_err(|cause| failed(cause.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        files::persist(file, &self.path).map_err(failed)?;
        files::sync_folder(&files::parent(&self.path))
    }
}

fn escaped(id: &str) -> String {
    id.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_break_its_line() {
        assert_eq!(escaped("a\tb\nc\\d\r"), "a\\tb\\nc\\\\d\\r");
    }

    #[test]
    fn the_file_is_not_there_before_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ratings.tsv");
        let ratings = Ratings::create(&path).unwrap();
        assert!(!path.exists());
        ratings.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), HEADS);
        assert!(Ratings::create(&folder.path().join("nowhere/x.tsv")).is_err());
    }
}
