//! Training the other way round: queries of the target model on their way to the collection's own space.

use super::{Clock, Side, Source, TrainOptions, Training, gather, save};
use crate::context::Context;
use crate::error::Result;
use crate::projection::{Pairs, Projection, Subject};
use crate::space::Space;

const PROMPTED: &str = "the target model embeds queries in another way than documents: what is called its own top 10 here \
    was found among texts embedded as queries";
const BY_COSINE: &str = "the collection's vectors differ in length: the bridge was fitted and measured by cosine, and a collection \
    that compares by distance or inner product may find less";

/// Pairs are gathered as for a projection, the texts embedded as queries; no words, which assist records only.
pub(super) fn train(
    source: Source<'_>,
    target: &Side<'_>,
    options: &TrainOptions,
    mut clock: Clock<'_>,
    context: &Context<'_>,
) -> Result<Training> {
    let options = TrainOptions { words: Some(0), ..options.clone() };
    let mut gathered = gather::gather(source, target, &options, &mut clock, context)?;
    context.check()?;
    let pairs = &gathered.pairs;
    let turned = Pairs::new(pairs.ids().to_vec(), pairs.target().clone(), pairs.source().clone())?;
    let (queries, index) = (target.space().clone(), gathered.source);
    let name = match &options.name {
        Some(name) => name.clone(),
        None => {
            let how = format!("bridge/{}/{}", context.seed, gathered.origin);
            format!("bridge-{}", save::name(&queries, &index, &turned, &how))
        }
    };
    let mut more = Vec::new();
    if asks_otherwise(&queries) {
        more.push(PROMPTED.to_owned());
    }
    if index.normalised != Some(true) {
        more.push(BY_COSINE.to_owned());
    }
    let subject = Subject { name, source: queries, target: index, texts: gathered.origin };
    context.progress.start("fitting", None, "pairs");
    let projection = Projection::bridge(subject, &turned, options.held_out, context);
    context.progress.finish();
    clock.lap("fitting and measuring");
    let mut projection = projection?;
    projection.header.notes.extend(more);
    gathered.notes.extend(projection.header.notes.iter().cloned());
    Ok(Training {
        projection,
        recheck: gathered.recheck,
        pairs: turned.len(),
        removed: gathered.pairs.removed() + turned.removed(),
        basis: gathered.basis,
        timings: clock.timings,
        notes: gathered.notes,
    })
}

/// Whether queries and documents are known to have different prompts.
fn asks_otherwise(space: &Space) -> bool {
    matches!((&space.query_prompt, &space.document_prompt), (Some(query), Some(document)) if query != document)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Letters, shelf};
    use super::*;
    use crate::context::testing::context;
    use crate::embed::{Embedder, Role};
    use crate::projection;
    use crate::training::Declared;

    fn trained(old: &Letters, new: &Letters) -> Training {
        let shelf = shelf(400, old);
        let declared = Declared { model: Some(old), ..Declared::default() };
        let source = Source::Collection { store: &shelf, collection: &shelf.collection, declared };
        let options =
            TrainOptions { role: projection::Role::Queries, samples: 300, ..TrainOptions::default() };
        super::super::train(source, &Side::Model(new), &options, &context()).unwrap()
    }

    #[test]
    fn a_bridge_leads_from_the_target_model_to_the_collection() {
        let (old, new) = (Letters::new("lab/old", 24, 1), Letters::new("lab/new", 16, 2));
        let training = trained(&old, &new);
        let header = &training.projection.header;
        assert_eq!((&header.source, &header.target), (new.space(), old.space()));
        assert!(header.name.starts_with("bridge-new--old-"), "{}", header.name);
        assert_eq!(training.pairs, 300);
        assert!(header.bridge.as_ref().unwrap().own.value.unwrap() > 0.3, "{:?}", header.bridge);
        assert!(!training.notes.iter().any(|note| note == PROMPTED || note == BY_COSINE));
    }

    #[test]
    fn texts_are_embedded_as_queries_where_that_is_another_thing() {
        let old = Letters::new("lab/old", 24, 1).of_length(3.0);
        let new = Letters::new("lab/new", 16, 2).prompted("passage: ", "find what answers this: ");
        let training = trained(&old, &new);
        let held = training.projection.held_out.as_ref().unwrap();
        let of = |role| new.embed(&["amber"], role, &context()).unwrap();
        assert_ne!(of(Role::Query), of(Role::Document));
        let texts = super::super::testing::texts(400);
        let (id, row) = (held.ids.first().unwrap(), held.source.row(0));
        let text = texts.iter().find(|text| projection::text_key(text) == *id).unwrap();
        assert_eq!(new.embed(&[text], Role::Query, &context()).unwrap().row(0), row);
        assert!([PROMPTED, BY_COSINE].iter().all(|note| training.notes.iter().any(|n| n == note)));
    }
}
