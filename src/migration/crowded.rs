//! Which records lie most crowded: what a projection maps there is confused most, and is worth most when it is embedded again.

use std::collections::HashSet;

use super::embedded::{key, worth};
use super::journal::{Journal, State};
use super::made::Made;
use super::sketch::hash_id;
use super::{BATCH, PROJECTION};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::projection::Projection;
use crate::space::Space;
use crate::store::{Collection, VectorStore};

/// What is asked of a collection.
pub(super) struct Asked<'a> {
    /// What tells how crowded a record lies.
    pub rater: &'a Projection,
    /// Whether the vectors lie in its target space already.
    pub is_projected: bool,
    /// Those whose vectors are the model's own are left out.
    pub made: Option<&'a Made>,
    /// So many records at most.
    pub most: u64,
}

impl Asked<'_> {
    /// The most crowded records with a text, by the hashes of their ids.
    ///
    /// # Errors
    /// Those of the store; [`Kind::Refused`] if the projection cannot tell.
    pub fn most_crowded(
        &self,
        store: &dyn VectorStore,
        collection: &Collection,
        context: &Context<'_>,
    ) -> Result<HashSet<u64>> {
        let mut crowded = Vec::new();
        let mut records = store.records(collection, true)?;
        context.progress.start("looking for the most crowded", Some(collection.count), "records");
        while let Some(batch) = records.next_batch(BATCH)? {
            context.check()?;
            let rated = match self.is_projected {
                true => self.rater.rate(batch.vectors.view())?,
                false => self.rater.rate(self.rater.apply(batch.vectors.view())?.view())?,
            };
            for ((id, text), crowding) in batch.ids.iter().zip(&batch.texts).zip(&rated.crowding) {
                let Some(text) = worth(text.as_deref()) else { continue };
                let id = hash_id(id);
                if self.made.is_none_or(|made| made.is_other(id, key(text))) {
                    crowded.push((*crowding, id));
                }
            }
            context.progress.advance(batch.ids.len() as u64);
        }
        context.progress.finish();
        crowded.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        Ok(crowded.into_iter().take(self.most as usize).map(|(_, id)| id).collect())
    }
}

/// The latest projection that made vectors of the collection, into `space`.
pub(super) fn rater(store: &dyn VectorStore, collection: &Collection, space: &Space) -> Result<Projection> {
    let (journals, _) = Journal::load_readable(&store.state_folder())?;
    for (folder, journal) in journals.iter().rev() {
        let is_its = journal.plan.collection_id == collection.id && journal.state() == State::Committed;
        if is_its && folder.join(PROJECTION).is_file() {
            let (projection, _) = Projection::load(&folder.join(PROJECTION))?;
            if !projection.is_blank() && projection.target().compare(space).is_compatible() {
                return Ok(projection);
            }
        }
    }
    Err(Error::new(Kind::Usage, "how crowded records lie is told by the projection that made their vectors")
        .hint("give it with --projection, or leave --percent out to embed every text"))
}
