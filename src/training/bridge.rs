//! Training the other way round: queries of the target model on their way to the collection's own space.

use super::{Clock, Side, Source, TrainOptions, Training, gather, save};
use crate::context::Context;
use crate::error::Result;
use crate::projection::{Pairs, Projection, Subject};
use crate::space::Space;

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
    let prompted = asks_otherwise(&queries);
    let subject = Subject { name, source: queries, target: index, texts: gathered.origin };
    context.progress.start("fitting", None, "pairs");
    let projection = Projection::bridge(subject, &turned, options.held_out, context);
    context.progress.finish();
    clock.lap("fitting and measuring");
    let mut projection = projection?;
    if prompted {
        let note = "the target model embeds queries in another way than documents: what is called its own top 10 here was found \
                    among texts embedded as queries";
        projection.header.notes.push(note.to_owned());
    }
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
