//! Models that may have made a collection, where the user names none. Uses no network.

use super::candidate::{Named, Origin};
use crate::embed::{self, BUNDLED_NAME, ModelSpec};
use crate::registry::Registry;
use crate::space::Space;
use crate::store::Collection;

/// The model that the collection itself names, by stamp or by configuration.
pub fn recorded(collection: &Collection) -> Option<Named> {
    match (&collection.stamped, &collection.configured_model) {
        (Some(stamped), _) => Some(Named { spec: spec_of(stamped), origin: Origin::Stamp }),
        (None, Some(name)) => Some(Named { spec: bare(name), origin: Origin::Configuration }),
        (None, None) => None,
    }
}

/// What the collection names, the bundled model, models of registered projections of this dimension, and models in the
/// hub's cache, in this order.
pub fn known(collection: &Collection, registry: &Registry, options: &embed::Options) -> Vec<Named> {
    let configured = collection.configured_model.as_deref();
    let configured = configured.map(|name| Named { spec: bare(name), origin: Origin::Configuration });
    let registered = registry
        .entries()
        .flat_map(|entry| [&entry.source, &entry.target])
        .filter(|space| Some(space.dimension) == collection.dimension)
        .map(|space| Named { spec: bare(&space.model), origin: Origin::Registry });
    let cached = embed::list_cached(&options.hub)
        .into_iter()
        .map(|name| Named { spec: bare(&name), origin: Origin::Cache });
    recorded(collection)
        .into_iter()
        .chain(configured)
        .chain([Named { spec: bare(BUNDLED_NAME), origin: Origin::Bundled }])
        .chain(registered)
        .chain(cached)
        .collect()
}

fn bare(name: &str) -> ModelSpec {
    ModelSpec { name: name.to_owned(), ..ModelSpec::default() }
}

fn spec_of(space: &Space) -> ModelSpec {
    ModelSpec {
        name: space.model.clone(),
        path: None,
        revision: space.revision.clone(),
        dimension: Some(space.dimension),
        pooling: space.pooling.clone(),
        normalised: space.normalised,
        document_prompt: space.document_prompt.clone(),
        query_prompt: space.query_prompt.clone(),
        max_tokens: space.max_tokens,
    }
}
