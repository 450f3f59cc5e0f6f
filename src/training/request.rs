//! Training as a program asks for it: models, stores and files by name.

use std::path::{Path, PathBuf};

use super::collection::is_unit;
use super::{Declared, Side, Source, TrainOptions, Training, train};
use crate::context::Context;
use crate::embed::{self, Embedder, Local, ModelSpec, PrecomputedVectors};
use crate::error::{Error, Kind, Result};
use crate::identification::{self, Candidate, Named, Origin, prepare};
use crate::space::Space;
use crate::store;
use crate::texts;

/// Where the texts of the pairs come from.
#[derive(Clone, Debug)]
pub enum TextOrigin {
    /// The collection's own documents; the vectors stored beside them are the source side.
    Collection {
        /// The store, as [`store::open`] takes it.
        store: String,
        /// Name of the collection.
        collection: String,
        /// Its namespace, where the name alone is not unique.
        namespace: Option<String>,
    },
    /// A file of texts, see [`texts::read`].
    File {
        /// `.txt` or `.jsonl`.
        path: PathBuf,
        /// Key of the text in a JSON object.
        text_key: Option<String>,
    },
    /// The passages that ship with embedport.
    Bundled,
    /// No texts: two files of vectors, row by row, or by id where they have ids.
    PairedVectors {
        /// `.npy` or `.jsonl`.
        source: PathBuf,
        /// `.npy` or `.jsonl`.
        target: PathBuf,
    },
}

/// What to train, by name.
#[derive(Clone, Debug)]
pub struct Request {
    /// The source model. A collection may know its own.
    pub source_model: Option<ModelSpec>,
    /// Its provider; `None` follows from the model.
    pub source_provider: Option<String>,
    /// The target model.
    pub target_model: ModelSpec,
    /// Its provider; `None` follows from the model.
    pub target_provider: Option<String>,
    /// Where the texts come from.
    pub texts: TextOrigin,
    /// How models are found and run.
    pub models: embed::Options,
    /// How to train.
    pub options: TrainOptions,
}

/// Opens what the request names and trains. Writes nothing; see [`save`](super::save).
///
/// # Errors
/// Those of [`train`], of opening the store, the models and the files, and [`Kind::Usage`] without a source model
/// where one is needed.
pub fn run(request: &Request, context: &Context<'_>) -> Result<Training> {
    match &request.texts {
        TextOrigin::Collection { store, collection, namespace } => {
            from_collection(request, store, collection, namespace.as_deref(), context)
        }
        TextOrigin::File { path, text_key } => {
            from_texts(request, texts::read(path, text_key.as_deref())?, context)
        }
        TextOrigin::Bundled => from_texts(request, texts::bundled()?, context),
        TextOrigin::PairedVectors { source, target } => from_rows(request, source, target, context),
    }
}

/// A side that keeps what it refers to.
enum Opened {
    Model(Box<dyn Embedder>),
    Vectors(Space, Box<PrecomputedVectors>),
}

impl Opened {
    fn new(
        spec: &ModelSpec,
        provider: Option<&str>,
        request: &Request,
        context: &Context<'_>,
    ) -> Result<Self> {
        if provider.unwrap_or_else(|| embed::provider_of(spec)) != "precomputed" {
            return Ok(Opened::Model(embed::open(spec, provider, &request.models, context)?));
        }
        let Some(path) = &spec.path else {
            return Err(Error::new(
                Kind::Usage,
                format!("the provider `precomputed` needs a file for `{}`", spec.name),
            )
            .hint(format!("name it as `{},path=FILE.npy` or `{},path=FILE.jsonl`", spec.name, spec.name)));
        };
        let vectors = PrecomputedVectors::load(path)?;
        Ok(Opened::Vectors(space_of(spec, &vectors)?, Box::new(vectors)))
    }

    fn side(&self) -> Side<'_> {
        match self {
            Opened::Model(model) => Side::Model(model.as_ref()),
            Opened::Vectors(space, vectors) => Side::ById { space: space.clone(), vectors: vectors.as_ref() },
        }
    }
}

/// What finished vectors mean: as declared, with dimension and length as found.
fn space_of(spec: &ModelSpec, vectors: &PrecomputedVectors) -> Result<Space> {
    let mut space = declared_space(spec);
    let found = vectors.dimension();
    if space.dimension != 0 && space.dimension != found {
        return Err(Error::new(
            Kind::Mismatch,
            format!("vectors of `{}` have {found} components, {} were declared", spec.name, space.dimension),
        ));
    }
    space.dimension = found;
    let unit =
        || vectors.rows().rows().into_iter().all(|r| is_unit(r.iter().map(|v| f64::from(*v).powi(2)).sum()));
    space.normalised = space.normalised.or_else(|| Some(unit()));
    Ok(space)
}

/// The space as far as it is declared; dimension 0 if that is not.
fn declared_space(spec: &ModelSpec) -> Space {
    let with_dimension = ModelSpec { dimension: Some(spec.dimension.unwrap_or(0)), ..spec.clone() };
    with_dimension.declared_space().unwrap_or_else(|| Space::named(&spec.name, 0))
}

fn from_collection(
    request: &Request,
    location: &str,
    name: &str,
    namespace: Option<&str>,
    context: &Context<'_>,
) -> Result<Training> {
    let store = store::open(location)?;
    let description = store.describe()?;
    let collection = store::find_collection(&description, name, namespace)?;
    let target = Opened::new(&request.target_model, request.target_provider.as_deref(), request, context)?;
    let spec = match &request.source_model {
        Some(spec) => Some(spec.clone()),
        None => identification::recorded(collection).map(|named| named.spec),
    };
    let provider = request.source_provider.as_deref();
    let here = match &spec {
        Some(spec) => runnable(spec, provider, request, context)?,
        None => Runnable::default(),
    };
    let declared = Declared {
        space: request.source_model.as_ref().map(declared_space),
        model: here.model.as_deref(),
        why_not: here.why_not,
        ways: here.ways.as_ref(),
    };
    let source = Source::Collection { store: store.as_ref(), collection, declared };
    train(source, &target.side(), &request.options, context)
}

/// The source model, or why it cannot be run.
#[derive(Default)]
struct Runnable {
    model: Option<Box<dyn Embedder>>,
    ways: Option<Candidate<'static>>,
    why_not: Option<String>,
}

/// The model if it lies on this machine and can be run. Loads nothing from a network.
fn runnable(
    spec: &ModelSpec,
    provider: Option<&str>,
    request: &Request,
    context: &Context<'_>,
) -> Result<Runnable> {
    let named = vec![Named { spec: spec.clone(), origin: Origin::Given }];
    let because = |why: &str| Runnable { why_not: Some(why.to_owned()), ..Runnable::default() };
    match embed::find_local(spec, &request.models) {
        None => Ok(Runnable::default()),
        Some(Local::Vectors(_)) => Ok(because("finished vectors cannot embed texts")),
        Some(Local::Bundled | Local::Folder(_)) => {
            match embed::open(spec, provider, &request.models, context) {
                Ok(model) => {
                    let stored = model.space().dimension;
                    let (ways, _) = prepare(named, stored, &request.models, context)?;
                    Ok(Runnable { model: Some(model), ways: ways.into_iter().next(), why_not: None })
                }
                Err(error) if error.kind() == Kind::Unsupported => Ok(because(error.message())),
                Err(error) => Err(error),
            }
        }
    }
}

fn from_texts(request: &Request, texts: texts::TextSet, context: &Context<'_>) -> Result<Training> {
    let source = Opened::new(source_model(request)?, request.source_provider.as_deref(), request, context)?;
    let target = Opened::new(&request.target_model, request.target_provider.as_deref(), request, context)?;
    train(Source::Texts { texts, side: source.side() }, &target.side(), &request.options, context)
}

fn from_rows(request: &Request, source: &Path, target: &Path, context: &Context<'_>) -> Result<Training> {
    let spec = source_model(request)?;
    let (source, target) = (PrecomputedVectors::load(source)?, PrecomputedVectors::load(target)?);
    let (from, to) = (source.ids().len(), target.ids().len());
    if from != to {
        return Err(Error::new(
            Kind::Mismatch,
            format!("{from} source vectors and {to} target vectors are no pairs"),
        )
        .hint("row i of both files has to be the same text"));
    }
    let side =
        Side::Rows { space: space_of(&request.target_model, &target)?, rows: target.get(source.ids())? };
    let space = space_of(spec, &source)?;
    let rows = source.rows().to_owned();
    let ids = Some(source.ids().to_vec());
    train(Source::Rows { ids, space, rows }, &side, &request.options, context)
}

fn source_model(request: &Request) -> Result<&ModelSpec> {
    request.source_model.as_ref().ok_or_else(|| {
        Error::new(Kind::Usage, "no source model is named").hint("name it with --source-model")
    })
}
