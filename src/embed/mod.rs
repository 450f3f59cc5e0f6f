//! Text to vector: running embedding models.
//!
//! A provider is one entry of [`PROVIDERS`] and one file beside this one. Nothing here knows stores
//! or projections.

mod batching;
mod bert;
mod bundled;
mod config;
mod device;
mod files;
pub mod hub;
mod hub_listing;
mod hub_progress;
mod hub_request;
mod outline;
mod pooling;
pub mod precomputed;
mod sentence_transformers;
mod spec;
mod static_model;
mod static_tensors;
mod tokens;

use std::path::{Path, PathBuf};

use ndarray::Array2;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::space::{Space, same_model};

pub use bundled::NAME as BUNDLED_NAME;
pub use device::DeviceChoice;
pub use hub::HubConfig;
pub use hub_listing::list_cached;
pub use outline::Outline;
pub use precomputed::PrecomputedVectors;
pub use spec::ModelSpec;

/// What a text is for; models prompt documents and queries differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A text that is stored and found.
    Document,
    /// A text that finds.
    Query,
}

/// An embedding model ready to run.
pub trait Embedder: Send + Sync {
    /// The space of its vectors, every field known (but the revision, which only a caller can pin).
    fn space(&self) -> &Space;

    /// Embeds `texts`: `texts.len()` x dimension, rows finite and in input order.
    ///
    /// The caller starts the stage; this advances it by texts.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] once cancelled; [`Kind::Damaged`] if the weights give values that are not finite.
    fn embed(&self, texts: &[&str], role: Role, context: &Context<'_>) -> Result<Array2<f32>>;
}

/// How embedding models are run, and where they are found.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the arithmetic happens.
    pub device: DeviceChoice,
    /// The hub and its cache.
    pub hub: HubConfig,
    /// Threads of a run on the CPU; 0 takes what the machine offers.
    pub threads: usize,
}

impl Options {
    pub(crate) fn worker_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n.min(1024),
        }
    }
}

type Open = fn(&ModelSpec, &Options, &Context<'_>) -> Result<Box<dyn Embedder>>;

/// One way to turn texts into vectors.
pub struct Provider {
    /// Name as `--source-provider` and `--target-provider` take it.
    pub name: &'static str,
    /// Makes the model ready to run; may load from the hub.
    pub open: Open,
}

/// Every provider that embedport knows.
pub const PROVIDERS: &[Provider] = &[
    Provider { name: "sentence-transformers", open: sentence_transformers::open },
    Provider { name: "bundled", open: bundled::open },
    Provider { name: "precomputed", open: precomputed::open },
];

/// Makes the model of `spec` ready to run. Without `provider`, it follows from the model.
///
/// # Errors
/// [`Kind::Usage`] for an unknown provider, [`Kind::NotFound`] or [`Kind::Network`] if the model cannot
/// be had, [`Kind::Unsupported`] for architectures and modules that are not built in,
/// [`Kind::Mismatch`] if the specification declares another dimension, [`Kind::Damaged`].
pub fn open(
    spec: &ModelSpec,
    provider: Option<&str>,
    options: &Options,
    context: &Context<'_>,
) -> Result<Box<dyn Embedder>> {
    let name = provider.unwrap_or_else(|| provider_of(spec));
    let Some(provider) = PROVIDERS.iter().find(|p| p.name == name) else {
        let known: Vec<_> = PROVIDERS.iter().map(|p| p.name).collect();
        return Err(Error::new(Kind::Usage, format!("unknown provider `{name}`"))
            .hint(format!("known providers: {}", known.join(", "))));
    };
    let embedder = (provider.open)(spec, options, context)?;
    let found = embedder.space().dimension;
    match spec.dimension {
        Some(wanted) if wanted != found => Err(Error::new(
            Kind::Mismatch,
            format!("`{}` makes vectors of {found} components, {wanted} were declared", spec.name),
        )
        .hint(format!("leave `dimension=` out or give dimension={found}"))),
        _ => Ok(embedder),
    }
}

/// Name of the provider that serves `spec` unless the user chooses another.
pub fn provider_of(spec: &ModelSpec) -> &'static str {
    let is_vectors = |path: &Path| {
        path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy") || e.eq_ignore_ascii_case("jsonl"))
    };
    match &spec.path {
        Some(path) if is_vectors(path) => "precomputed",
        None if same_model(&spec.name, BUNDLED_NAME) => "bundled",
        _ => "sentence-transformers",
    }
}

/// What the model of `spec` says about itself: for a transformer from its configuration, without its weights. A declared
/// dimension is not compared.
///
/// # Errors
/// As [`open`]; [`Kind::Unsupported`] for finished vectors.
pub fn outline(spec: &ModelSpec, options: &Options, context: &Context<'_>) -> Result<Outline> {
    match provider_of(spec) {
        "sentence-transformers" => sentence_transformers::outline(spec, options, context),
        provider => {
            let spec = ModelSpec { dimension: None, ..spec.clone() };
            Ok(Outline::of_space(open(&spec, Some(provider), options, context)?.space()))
        }
    }
}

/// Where a model lies on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// Inside this program.
    Bundled,
    /// In this folder (for a model from the hub, a snapshot in the cache).
    Folder(PathBuf),
    /// In this file of finished vectors: looked up by id, never run.
    Vectors(PathBuf),
}

/// Where the model of `spec` lies if it can be run here now; `None` if it would have to be loaded
/// from somewhere. Uses no network and reads no weights.
pub fn find_local(spec: &ModelSpec, options: &Options) -> Option<Local> {
    match (provider_of(spec), &spec.path) {
        ("bundled", _) => Some(Local::Bundled),
        ("precomputed", Some(path)) => path.is_file().then(|| Local::Vectors(path.clone())),
        (_, Some(folder)) => files::is_complete(folder).then(|| Local::Folder(folder.clone())),
        (_, None) => hub::find_cached(spec, &options.hub).map(Local::Folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::context;

    fn options() -> Options {
        let hub = HubConfig::from_lookup(&|name| (name == "HF_HOME").then(|| "/no/such/home".to_owned()));
        Options { device: DeviceChoice::Cpu, hub, threads: 1 }
    }

    #[test]
    fn an_unknown_provider_names_the_known_ones() {
        let spec: ModelSpec = "a/b".parse().unwrap();
        let Err(error) = open(&spec, Some("nobody"), &options(), &context()) else { panic!("unknown") };
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.hints()[0].contains("sentence-transformers, bundled, precomputed"));
    }

    #[test]
    fn the_bundled_model_is_always_here() {
        let spec: ModelSpec = "embedport/static-256".parse().unwrap();
        assert_eq!(find_local(&spec, &options()), Some(Local::Bundled));
        let elsewhere: ModelSpec = "some/model".parse().unwrap();
        assert_eq!(find_local(&elsewhere, &options()), None);
    }

    #[test]
    fn a_declared_dimension_that_differs_is_refused() {
        let spec: ModelSpec = "embedport/static-256,dimension=384".parse().unwrap();
        let Err(error) = open(&spec, None, &options(), &context()) else { panic!("256 is not 384") };
        assert!(error.is_mismatch());
    }
}
