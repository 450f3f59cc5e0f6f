//! Whose vectors a projection maps: those of records, or those of queries.

use serde::{Deserialize, Serialize};

use super::Projection;
use crate::error::{Error, Kind, Result};

/// Whose vectors a projection maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Records: a collection can be rewritten with it.
    #[default]
    Records,
    /// Queries, on their way to an untouched collection: a bridge.
    Queries,
}

impl Role {
    /// Whether records are mapped, as most projections do.
    pub fn is_records(&self) -> bool {
        *self == Role::Records
    }
}

impl Projection {
    /// Whether vectors of records may be mapped with it. A bridge gives vectors that find neighbours and are not near to what
    /// the model of that space would give: written into a collection they would be wrong without any sign.
    ///
    /// # Errors
    /// [`Mismatch`](Kind::Mismatch) on a bridge.
    pub fn check_maps_records(&self) -> Result<()> {
        if self.header.role.is_records() {
            return Ok(());
        }
        let (queries, index) = (&self.header.source.model, &self.header.target.model);
        Err(Error::new(
            Kind::Mismatch,
            format!(
                "`{}` is a bridge: it maps queries of {queries} to a collection of {index} vectors, not records",
                self.header.name
            ),
        )
        .hint(format!(
            "to rewrite a collection of {index} vectors, train a projection with `embedport train --source-model {index} \
             --target-model {queries}`"
        ))
        .hint(format!("to search it untouched, map each query: `embedport apply --projection {}`", self.header.name)))
    }
}
