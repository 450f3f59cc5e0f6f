//! Models that may have made the vectors, and the ways in which each can be run.

use serde::Serialize;

use crate::context::Context;
use crate::embed::{self, Embedder, ModelSpec, Outline};
use crate::error::Result;

/// How a candidate was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Named by the user.
    Given,
    /// The collection's stamp names it.
    Stamp,
    /// The collection's own configuration names it.
    Configuration,
    /// It ships with the program.
    Bundled,
    /// A registered projection leads from or to its space.
    Registry,
    /// It lies in the hub's cache.
    Cache,
}

impl Origin {
    /// Whether somebody says that this model made the vectors.
    pub(super) fn is_named(self) -> bool {
        matches!(self, Origin::Given | Origin::Stamp | Origin::Configuration)
    }
}

/// One way to run a model; its poolings come from one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Text put before each document.
    pub prompt: String,
    /// Longest input in tokens; `None` as the model has it.
    pub max_tokens: Option<usize>,
}

/// Opens a model to be run so: with all poolings that can be had, joined as in [`Space::pooling`](crate::space::Space),
/// and not normalised if that can be had.
pub type Open<'a> = Box<dyn Fn(&Run, &Context<'_>) -> Result<Box<dyn Embedder>> + 'a>;

/// A model that may have made the vectors.
pub struct Candidate<'a> {
    /// As `--source-model` takes it, without what ways differ in.
    pub name: String,
    /// How it was come by.
    pub origin: Origin,
    /// How it makes vectors by its own account, whatever the user declares.
    pub outline: Outline,
    /// Runs that are tried at once; others only where these do not explain every row.
    pub first: Vec<Run>,
    /// Makes it ready to run.
    pub open: Open<'a>,
}

/// Poolings of one run.
const POOLINGS: [&str; 4] = ["mean", "cls", "max", "last_token"];

/// Prompts of well-known models (E5, nomic, BGE and mxbai, arctic), as their model cards give them.
const PROMPTS: [&str; 7] = [
    "",
    "passage: ",
    "query: ",
    "search_document: ",
    "search_query: ",
    "Represent this sentence for searching relevant passages: ",
    "Represent this sentence: ",
];

impl Candidate<'_> {
    /// Prompts beyond those of the first runs.
    pub(super) fn further_prompts(&self) -> Vec<String> {
        let known = PROMPTS.iter().map(|p| (*p).to_owned());
        let mut all: Vec<String> = Vec::new();
        for prompt in self.outline.prompts.iter().cloned().chain(known) {
            if !self.first.iter().any(|run| run.prompt == prompt) && !all.contains(&prompt) {
                all.push(prompt);
            }
        }
        all
    }

    /// Why no vector of `dimension` components can come from it; `None` if one can.
    pub(super) fn cannot_make(&self, dimension: usize) -> Option<String> {
        let (width, whole) = (self.outline.width, self.outline.dimension());
        let fits = width == dimension || whole == dimension;
        let cut = self.origin.is_named() && width > dimension;
        (!fits && !cut).then(|| {
            format!("makes {whole} components, the collection has {dimension}; not run for that reason")
        })
    }
}

/// A model to be tried, before anything is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The model.
    pub spec: ModelSpec,
    /// How it was come by.
    pub origin: Origin,
}

/// A model that was not tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The model.
    pub model: String,
    /// How it was come by.
    pub origin: Origin,
    /// Why.
    pub reason: String,
}

/// Asks each model about itself and sorts out those that cannot have made vectors of `dimension` components. A model
/// that the user names may be loaded from the hub; of others only what is on this machine is looked at.
///
/// # Errors
/// [`Kind::Interrupted`](crate::error::Kind::Interrupted); what is wrong with one model is a reason to leave it out.
pub fn prepare(
    named: Vec<Named>,
    dimension: usize,
    options: &embed::Options,
    context: &Context<'_>,
) -> Result<(Vec<Candidate<'static>>, Vec<LeftOut>)> {
    let (mut candidates, mut left_out) = (Vec::<Candidate<'static>>::new(), Vec::new());
    let mut seen: Vec<(ModelSpec, Option<usize>)> = Vec::new();
    for Named { spec, origin } in named {
        context.check()?;
        let leave = |reason: String| LeftOut { model: spec.name.clone(), origin, reason };
        let identity = identity(&spec);
        if let Some((_, place)) = seen.iter().find(|(known, _)| *known == identity) {
            let known = place.and_then(|place| candidates.get_mut(place));
            if let Some(known) = known {
                let run = first_run(&spec, &known.outline);
                if !known.first.contains(&run) {
                    known.first.push(run);
                }
            }
            continue;
        }
        if origin != Origin::Given && embed::find_local(&spec, options).is_none() {
            let reason = "not on this machine; name it with --candidate to load it".to_owned();
            left_out.push(leave(reason));
            seen.push((identity, None));
            continue;
        }
        let mut options = options.clone();
        options.hub.offline |= origin != Origin::Given;
        let candidate = match embed::outline(&bare(&spec), &options, context) {
            Ok(outline) => candidate_of(&spec, origin, outline, options),
            Err(error) if error.is_interrupted() => return Err(error),
            Err(error) => {
                left_out.push(leave(error.message().to_owned()));
                seen.push((identity, None));
                continue;
            }
        };
        match candidate.cannot_make(dimension) {
            Some(reason) => {
                left_out.push(leave(reason));
                seen.push((identity, None));
            }
            None => {
                seen.push((identity, Some(candidates.len())));
                candidates.push(candidate);
            }
        }
    }
    Ok((candidates, left_out))
}

/// What makes a specification another model, and not another way to run it.
fn identity(spec: &ModelSpec) -> ModelSpec {
    ModelSpec { name: crate::space::canonical_model_name(&spec.name), ..bare(spec) }
}

/// The model alone.
fn bare(spec: &ModelSpec) -> ModelSpec {
    let (name, path, revision) = (spec.name.clone(), spec.path.clone(), spec.revision.clone());
    ModelSpec { name, path, revision, ..ModelSpec::default() }
}

/// The run that a specification declares.
fn first_run(spec: &ModelSpec, outline: &Outline) -> Run {
    Run {
        prompt: spec.document_prompt.clone().unwrap_or_else(|| outline.document_prompt.clone()),
        max_tokens: spec.max_tokens.filter(|tokens| Some(*tokens) != outline.max_tokens),
    }
}

/// The candidate that runs the model of `spec`; `outline` is what the model says without a declaration.
pub fn candidate_of(
    spec: &ModelSpec,
    origin: Origin,
    outline: Outline,
    options: embed::Options,
) -> Candidate<'static> {
    let bare = bare(spec);
    let mut poolings: Vec<&str> = outline.pooling.split('+').collect();
    if outline.chooses_pooling {
        poolings.extend(POOLINGS);
    }
    let mut distinct: Vec<&str> = Vec::new();
    for pooling in poolings {
        if !distinct.contains(&pooling) {
            distinct.push(pooling);
        }
    }
    let raw = ModelSpec { pooling: Some(distinct.join("+")), normalised: Some(false), ..bare.clone() };
    let open: Open<'static> = Box::new(move |run, context| {
        let spec = ModelSpec {
            document_prompt: Some(run.prompt.clone()),
            max_tokens: run.max_tokens,
            ..raw.clone()
        };
        embed::open(&spec, None, &options, context)
    });
    Candidate { name: bare.to_string(), origin, first: vec![first_run(spec, &outline)], outline, open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::context;
    use crate::embed::{BUNDLED_NAME, DeviceChoice, HubConfig};

    fn options() -> embed::Options {
        let hub = HubConfig::from_lookup(&|name| (name == "HF_HOME").then(|| "/no/such/home".to_owned()));
        embed::Options { device: DeviceChoice::Cpu, hub: HubConfig { offline: true, ..hub }, threads: 1 }
    }

    fn named(text: &str, origin: Origin) -> Named {
        Named { spec: text.parse().unwrap(), origin }
    }

    #[test]
    fn models_of_another_dimension_and_those_that_are_not_here_are_left_out_with_the_reason() {
        let all = vec![
            named(BUNDLED_NAME, Origin::Bundled),
            named("some/where", Origin::Registry),
            named("some/where", Origin::Cache),
            named("./no-such-folder", Origin::Given),
            named("vectors,path=x.npy", Origin::Given),
        ];
        let (candidates, left_out) = prepare(all, 384, &options(), &context()).unwrap();
        assert!(candidates.is_empty());
        let reasons: Vec<&str> = left_out.iter().map(|l| l.reason.as_str()).collect();
        assert!(reasons[0].contains("256 components, the collection has 384"), "{reasons:?}");
        assert!(reasons[1].contains("not on this machine"), "{reasons:?}");
        assert!(reasons[2].contains("no folder"), "{reasons:?}");
        assert!(reasons[3].contains("finished vectors"), "{reasons:?}");
        assert_eq!(reasons.len(), 4, "named twice, left out once");
    }

    #[test]
    fn a_wider_model_is_cut_only_if_somebody_names_it() {
        let run =
            |origin| prepare(vec![named(BUNDLED_NAME, origin)], 128, &options(), &context()).unwrap().0.len();
        assert_eq!((run(Origin::Given), run(Origin::Bundled)), (1, 0));
    }

    #[test]
    fn one_model_named_with_two_prompts_is_one_candidate() {
        let other = format!("{BUNDLED_NAME},document_prompt=q: ");
        let all = vec![named(BUNDLED_NAME, Origin::Given), named(&other, Origin::Given)];
        let (candidates, _) = prepare(all, 256, &options(), &context()).unwrap();
        assert_eq!(candidates.len(), 1);
        let prompts: Vec<&str> = candidates[0].first.iter().map(|run| run.prompt.as_str()).collect();
        assert_eq!(prompts, ["", "q: "]);
        assert!(!candidates[0].further_prompts().contains(&"q: ".to_owned()));
        assert_eq!(candidates[0].name, BUNDLED_NAME);
    }
}
