//! The way back: a collection exactly as it was before a migration.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::context::Context;
use crate::embed::Embedder;
use crate::error::{Error, Kind, Result};
use crate::platform::{holders, lock};
use crate::store::{Changes, Since, VectorStore};

use crate::registry::Resolved;

use super::fingerprint::Fingerprint;
use super::journal::{self, Journal, State};
use super::verification::{Family, Relation, VerificationReport};
use super::{BACKUP, backups, keep, recovery};

/// What is to be rolled back, and what becomes of later records.
pub struct RollbackOptions<'a> {
    /// Collection by name or id; its latest migration is meant.
    pub collection: Option<String>,
    /// Namespace, where the name alone is not unique.
    pub namespace: Option<String>,
    /// Or one migration by its identifier.
    pub migration: Option<String>,
    /// What becomes of records that came or changed since.
    pub since: LaterRecords<'a>,
}

/// What becomes of records that were added or written again since a migration.
#[derive(Clone, Copy)]
pub enum LaterRecords<'a> {
    /// If there are any, nothing is done.
    Refuse,
    /// They are lost: exactly what was comes back.
    Drop,
    /// They are mapped back by `reverse` (from the migration's target space to its source space), or their texts are embedded
    /// with `model` (of its source space); with both, those without a text are mapped back. Every other record gets its own
    /// vector of before. Removed records stay removed.
    Keep {
        /// The projection.
        reverse: Option<&'a Resolved>,
        /// The model.
        model: Option<&'a dyn Embedder>,
    },
}

/// What a rollback did.
#[derive(Clone, Debug, Serialize)]
pub struct RollbackReport {
    /// Identifier of the migration that was taken back.
    pub migration: String,
    /// The collection's name.
    pub collection: String,
    /// What had changed since the migration.
    pub changes: Changes,
    /// Records added or written since, mapped back or embedded anew; `None` if none were kept.
    pub kept: Option<u64>,
    /// How many of them were embedded anew, if texts were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub re_embedded: Option<u64>,
    /// Records there now.
    pub records: u64,
    /// Dimension now.
    pub dimension: usize,
    /// Whether ids and vectors are those of before, byte for byte.
    pub verification: VerificationReport,
}

/// Takes back the latest migration of a collection.
///
/// # Errors
/// [`Kind::NotFound`] if there is none with a backup, [`Kind::Refused`] if records changed since and
/// `since` refuses, [`Kind::Locked`] if the store is in use, [`Kind::Damaged`] if the backup is.
pub fn rollback(
    store: &mut dyn VectorStore,
    options: &RollbackOptions<'_>,
    context: &Context<'_>,
) -> Result<RollbackReport> {
    let state_folder = store.state_folder();
    if !state_folder.is_dir() {
        return Err(nothing_to_roll_back());
    }
    let _lock = lock::acquire(&state_folder.join("lock"), "rollback")?;
    recovery::run(store, context)?;
    let (folder, mut journal) = find(
        store,
        options.collection.as_deref(),
        options.namespace.as_deref(),
        options.migration.as_deref(),
    )?;
    let Some(backup) = journal.backup.clone() else {
        let migration = &journal.migration;
        return Err(Error::new(
            Kind::NotFound,
            match &journal.pruned {
                Some(at) if journal.plan.keeps_backup => {
                    format!("the backup of migration {migration} was pruned at {at}: there is no way back")
                }
                _ => format!("migration {migration} was made without a backup: there is no way back"),
            },
        )
        .hint("restore the folder from a copy of your own, or migrate again with a projection to the source space"));
    };
    let held_by = store.holders()?;
    if !held_by.is_empty() {
        return Err(Error::new(Kind::Locked, format!("the store is held open by {}", held_by.join(", ")))
            .hint(holders::HOW_TO_STOP)
            .hint(holders::SIGHT));
    }
    let changes = store.changes_since(&backup)?;
    let since = match options.since {
        LaterRecords::Keep { reverse, model } if !changes.is_none() => {
            let ways = keep::Ways { reverse, model };
            return keep::back_with_later_records(store, &folder, journal, &backup, changes, ways, context);
        }
        LaterRecords::Refuse if !changes.is_none() => {
            store.check_way_back(&backup)?;
            return Err(Error::new(
                Kind::Refused,
                format!(
                    "{} records were added, {} removed and {} updated since the migration",
                    changes.added, changes.removed, changes.updated
                ),
            )
            .hint("keep them: --since keep --reverse-projection P maps them back with a projection to the source space, --since keep \
                   --source-model M embeds their texts with the source model")
            .hint("lose them: --since drop restores exactly what was before the migration"));
        }
        LaterRecords::Drop => Since::Drop,
        _ => Since::Refuse,
    };
    journal.take_back(Some(context.timestamp()), &folder)?;
    store.restore(&backup, since)?;
    journal.reach(State::RolledBack, context.timestamp(), &folder)?;
    let verification = check_restored(store, &journal, &changes, context)?;
    let collection = &store.collection(&journal.plan.collection_id, Some(journal.plan.texts))?;
    Ok(RollbackReport {
        migration: journal.migration.clone(),
        collection: collection.name.clone(),
        changes,
        kept: None,
        re_embedded: None,
        records: collection.count,
        dimension: collection.dimension.unwrap_or(0),
        verification,
    })
}

/// The migration that made what a collection holds now.
///
/// # Errors
/// [`Kind::NotFound`] with the reason.
pub(super) fn find(
    store: &dyn VectorStore,
    collection: Option<&str>,
    namespace: Option<&str>,
    migration: Option<&str>,
) -> Result<(PathBuf, Journal)> {
    let (journals, mut broken) = Journal::load_readable(&store.state_folder())?;
    let id = match collection {
        Some(name) => Some(backups::id_of(&store.describe()?, &journals, name, namespace)?),
        None => None,
    };
    let mut current = Vec::new();
    let mut gone = None;
    for (folder, journal) in journals {
        let asked = id.as_ref().is_none_or(|id| journal.plan.collection_id == *id)
            && migration.is_none_or(|m| journal.migration == m);
        // One that was taken back may look alike without a stamp: the same projection gives the same vectors.
        let taken_back = journal.state() == State::RolledBack;
        if asked && !taken_back && store.is_current(&journal.plan.collection_id, &journal.migration)? {
            current.push((folder, journal));
            continue;
        }
        let is_backed = journal.state() == State::Committed && journal.backup.is_some();
        if asked && is_backed {
            gone = Some((folder, journal.migration.clone(), journal.plan.collection.clone()));
        }
        if migration == Some(journal.migration.as_str()) {
            return Err(Error::new(
                Kind::NotFound,
                format!("migration {} is not what the collection holds now", journal.migration),
            )
            .hint(
                "only the latest migration of a collection can be taken back; `embedport backups list --store PATH` lists them",
            ));
        }
    }
    if current.len() > 1 {
        let names: Vec<_> = current.iter().map(|(_, j)| j.plan.collection.as_str()).collect();
        return Err(Error::new(
            Kind::Usage,
            format!("{} collections hold a migration: {}", current.len(), names.join(", ")),
        )
        .hint("choose one with --collection or --migration"));
    }
    match current.pop() {
        Some(found) => Ok(found),
        None if !broken.is_empty() => broken.pop().map_or_else(|| Err(nothing_to_roll_back()), Err),
        None => Err(not_current(store, id.as_deref(), gone)?),
    }
}

/// Why there is no migration to go back from. `gone`: the latest that left a backup.
fn not_current(
    store: &dyn VectorStore,
    id: Option<&str>,
    gone: Option<(PathBuf, String, String)>,
) -> Result<Error> {
    for collection in store.describe()?.collections {
        if let Some(migration) = collection.migration.filter(|_| id.is_none_or(|id| id == collection.id)) {
            let journal = store.state_folder().join(&migration).join(journal::FILE);
            return Ok(Error::new(
                Kind::NotFound,
                format!(
                    "collection `{}` holds what migration {migration} made, and `{}` is not there",
                    collection.name,
                    journal.display()
                ),
            )
            .hint("put that folder back as it was: it holds what is needed to go back and to verify"));
        }
    }
    Ok(match gone {
        Some((folder, migration, collection)) => Error::new(
            Kind::NotFound,
            format!(
                "the store no longer shows migration {migration} of `{collection}`: the collection, its stamp or the \
                 whole store was replaced or removed since"
            ),
        )
        .hint(format!("what was there before it is kept in `{}`", folder.join(BACKUP).display())),
        None => nothing_to_roll_back(),
    })
}

/// Reads everything once more: count, ids and vectors byte for byte, texts and metadata.
fn check_restored(
    store: &dyn VectorStore,
    journal: &Journal,
    changes: &Changes,
    context: &Context<'_>,
) -> Result<VerificationReport> {
    let collection = &store.collection(&journal.plan.collection_id, Some(journal.plan.texts))?;
    let mut report = VerificationReport::default();
    let found = Mutex::new((0u64, Fingerprint::default()));
    context.progress.start("verifying", Some(collection.count), "records");
    let read = store.each(collection, &|batch| {
        let mut part = Fingerprint::default();
        batch.ids.iter().zip(batch.vectors.rows()).for_each(|(id, row)| part.add(id, row));
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.0 += batch.ids.len() as u64;
        found.1.merge(&part);
        context.progress.advance(batch.ids.len() as u64);
        Ok(())
    });
    context.progress.finish();
    read?;
    let (records, fingerprint) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.check(
        Family::Delivery,
        "restored: records",
        records as f64,
        Relation::Equal,
        journal.plan.records as f64,
    );
    if let Some(before) = &journal.source_fingerprint {
        let differs = *before != fingerprint.to_hex();
        report.check(
            Family::Delivery,
            "restored: ids or vectors that differ from before by a bit",
            f64::from(u8::from(differs)),
            Relation::Equal,
            0.0,
        );
    }
    // Where nothing had changed, nothing of texts and metadata was touched.
    if let Some(before) = journal.content_digest.as_ref().filter(|_| !changes.is_none()) {
        let differs = *before != store.content_digest(collection)?;
        report.check(
            Family::Delivery,
            "restored: texts and metadata changed",
            f64::from(u8::from(differs)),
            Relation::Equal,
            0.0,
        );
    }
    Ok(report)
}

fn nothing_to_roll_back() -> Error {
    Error::new(Kind::NotFound, "no migration of embedport is current here")
        .hint("`embedport backups list --store PATH` shows the migrations of a store")
}
