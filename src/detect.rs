//! Does what a store holds still fit what a program expects? Made for the start-up of programs that
//! embed this library: reads names, dimensions and stamps, never weights. Of a Chroma folder no vector is read. A SQLite file
//! does not say what its columns hold: some values of each are looked at, and rows are counted.

mod identified;

use serde::Serialize;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::migration::{self, MigrationPlan, MigrationReport, PlanOptions, journal::Recovery};
use crate::registry::{Entry, Registry};
use crate::space::{Space, same_model};
use crate::store::{self, Collection, VectorStore, find_collection};

pub use identified::identify_unrecorded;

/// What a program expects of the vectors in a store. A field that is `None` is not asked.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Components of a vector.
    pub dimension: Option<usize>,
    /// Name of the embedding model.
    pub model: Option<String>,
    /// Everything that is known about the space; dimension and model of it are expected too.
    pub space: Option<Space>,
}

impl Expectation {
    /// Expects exactly this space, as far as the store records it.
    pub fn of_space(space: Space) -> Self {
        Expectation { dimension: None, model: None, space: Some(space) }
    }

    fn dimension(&self) -> Option<usize> {
        self.dimension.or(self.space.as_ref().map(|s| s.dimension))
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref().or(self.space.as_ref().map(|s| s.model.as_str()))
    }
}

/// How a collection relates to the expectation. Ordered by severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Fits in everything that was asked.
    Match,
    /// The dimension fits or was not asked; which model made the vectors is not recorded.
    Unknown,
    /// Another model, whatever the dimension.
    ModelMismatch,
    /// Another dimension.
    DimensionMismatch,
    /// A migration of this collection did not finish.
    Unfinished,
}

impl Status {
    /// Exit code of `embedport detect`.
    pub fn exit_code(self) -> u8 {
        match self {
            Status::Match => 0,
            Status::DimensionMismatch => 20,
            Status::ModelMismatch => 21,
            Status::Unknown => 22,
            Status::Unfinished => 23,
        }
    }
}

/// One collection beside the expectation.
#[derive(Clone, Debug, Serialize)]
pub struct Detected {
    /// The collection's own identifier.
    pub id: String,
    /// Its name.
    pub collection: String,
    /// Its namespace.
    pub namespace: String,
    /// Live records.
    pub records: u64,
    /// Components of its vectors.
    pub dimension: Option<usize>,
    /// Model that made them, as recorded.
    pub model: Option<String>,
    /// The verdict.
    pub status: Status,
    /// Why, in words.
    pub reason: String,
    /// A registered projection that would make it fit.
    pub fix: Option<String>,
}

/// The whole answer.
#[derive(Clone, Debug, Serialize)]
pub struct Detection {
    /// Where the store lies.
    pub store: String,
    /// The most severe status of all collections.
    pub status: Status,
    /// Each collection.
    pub collections: Vec<Detected>,
}

/// Looks at every collection of `store`, or at `collection` alone.
pub fn detect(
    store: &dyn VectorStore,
    collection: Option<(&str, Option<&str>)>,
    expectation: &Expectation,
    registry: &Registry,
) -> Result<Detection> {
    let description = store.describe()?;
    // A store says itself what it holds: a journal that cannot be read must not keep a program from starting.
    let (journals, broken) = migration::journal::Journal::load_readable(&store.state_folder())?;
    let mut unfinished = Vec::new();
    for (_, journal) in &journals {
        if migration::recovery::of(store, journal)? == Recovery::Sweep {
            unfinished.push(journal);
        }
    }
    let is_running = !unfinished.is_empty() && migration::recovery::is_running(store);
    let chosen: Vec<&Collection> = match collection {
        Some((name, namespace)) => vec![find_collection(&description, name, namespace)?],
        None => description.collections.iter().collect(),
    };
    let collections: Vec<Detected> = chosen
        .into_iter()
        .map(|c| {
            let open = unfinished.iter().find(|j| j.plan.collection_id == c.id);
            let (status, reason) = match open {
                Some(journal) => {
                    let how = if is_running { "is under way" } else { "did not finish" };
                    let id = &journal.migration;
                    (Status::Unfinished, format!("migration {id} {how}; the vectors are those of before"))
                }
                None => judge(c, expectation),
            };
            let reason = broken.iter().fold(reason, |reason, error| format!("{reason}; {error}"));
            Detected {
                id: c.id.clone(),
                collection: c.name.clone(),
                namespace: c.namespace.clone(),
                records: c.count,
                dimension: c.dimension,
                model: c.recorded_model().map(str::to_owned),
                status,
                reason,
                fix: fix(c, status, expectation, registry).map(|e| e.name.clone()),
            }
        })
        .collect();
    Ok(Detection {
        store: description.path.display().to_string(),
        status: collections.iter().map(|c| c.status).max().unwrap_or(Status::Match),
        collections,
    })
}

/// Judges one collection. Pure.
fn judge(collection: &Collection, expectation: &Expectation) -> (Status, String) {
    if let (Some(found), Some(wanted)) = (collection.dimension, expectation.dimension())
        && found != wanted
    {
        return (Status::DimensionMismatch, format!("{found} components found, {wanted} wanted"));
    }
    if let (Some(found), Some(wanted)) = (&collection.stamped, &expectation.space) {
        let agreement = found.compare(wanted);
        if !agreement.is_compatible() {
            return (Status::ModelMismatch, agreement.contradictions());
        }
    }
    match (collection.recorded_model(), expectation.model()) {
        (Some(found), Some(wanted)) if !same_model(found, wanted) => {
            (Status::ModelMismatch, format!("made by `{found}`, wanted `{wanted}`"))
        }
        (None, Some(_)) if collection.dimension.is_some() => {
            let how = if collection.texts > 0 { "; its texts can tell (--identify)" } else { "" };
            (Status::Unknown, format!("the store does not record which model made the vectors{how}"))
        }
        (None, None) if expectation.dimension().is_none() => (Status::Unknown, "nothing was expected".into()),
        _ if collection.dimension.is_none() => (Status::Match, "empty: the first record decides".into()),
        _ => (Status::Match, "fits".into()),
    }
}

/// A registered projection from what the collection holds to what is expected, by spaces.
fn fix<'a>(
    collection: &Collection,
    status: Status,
    expectation: &Expectation,
    registry: &'a Registry,
) -> Option<&'a Entry> {
    if !matches!(status, Status::ModelMismatch | Status::DimensionMismatch) {
        return None;
    }
    let source = match (&collection.stamped, collection.recorded_model(), collection.dimension) {
        (Some(space), _, _) => space.clone(),
        (None, Some(model), Some(dimension)) => Space::named(model, dimension),
        _ => return None,
    };
    let leads = |entry: &&Entry| {
        let fits_space = expectation.space.as_ref().is_none_or(|s| entry.target.compare(s).is_compatible());
        let fits_model = expectation.model().is_some_and(|m| same_model(m, &entry.target.model));
        let fits_dimension = expectation.dimension().is_none_or(|d| d == entry.target.dimension);
        fits_space && fits_model && fits_dimension
    };
    // The first of those that fit the spaces equally well is not the best: the one that keeps most neighbours is.
    registry.find(&source, None).into_iter().filter(leads).max_by(|a, b| {
        let overlap = |e: &Entry| e.metrics.overlap_at_10.unwrap_or(0.0);
        overlap(a).total_cmp(&overlap(b))
    })
}

/// What [`ensure`] may do.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// Say what is there, change nothing.
    Report,
    /// Migrate a mismatched collection if a registered projection exists whose held-out neighbour overlap@10
    /// is at least this much, lower end of its interval (0 to 1). There is no default: what is good enough is
    /// the program's decision.
    Migrate {
        /// Least acceptable lower end of the overlap@10 interval.
        least_overlap: f64,
    },
}

/// What [`ensure`] found and did.
#[derive(Debug)]
pub enum Outcome {
    /// The collection fits.
    Fits(Detection),
    /// It does not, and nothing was changed; the reason says why not.
    Reported {
        /// What was found.
        detection: Detection,
        /// Why nothing was done.
        reason: String,
    },
    /// It did not, and it was migrated.
    Migrated(Box<MigrationReport>),
}

/// The start-up check: opens the store, compares one collection with `expected`, and acts by `policy`.
///
/// # Errors
/// Those of opening and describing the store; with [`Policy::Migrate`] those of the migration, after which the
/// collection is as it was.
pub fn ensure(
    location: &str,
    collection: &str,
    expected: &Space,
    policy: &Policy,
    registry: &Registry,
    context: &Context<'_>,
) -> Result<Outcome> {
    let mut opened = store::open(location)?;
    let expectation = Expectation::of_space(expected.clone());
    let detection = detect(opened.as_ref(), Some((collection, None)), &expectation, registry)?;
    if detection.status == Status::Match {
        return Ok(Outcome::Fits(detection));
    }
    let report = |detection, reason: String| Ok(Outcome::Reported { detection, reason });
    let Policy::Migrate { least_overlap } = policy else {
        return report(detection, "the policy is to report".into());
    };
    let Some(name) = detection.collections.first().and_then(|c| c.fix.clone()) else {
        return report(
            detection,
            "no registered projection leads from what is there to what is expected".into(),
        );
    };
    let projection = registry.resolve(&name)?;
    let overlap = projection.projection.header.report.figure("overlap_at_10").and_then(|f| f.low);
    match overlap {
        Some(low) if low >= *least_overlap => {}
        _ => {
            let found = overlap.map_or_else(|| "not measured".into(), |low| format!("{low:.3}"));
            return report(
                detection,
                format!(
                    "projection `{name}` has an overlap@10 of at least {found}, wanted {least_overlap:.3}"
                ),
            );
        }
    }
    let options = PlanOptions { collection: collection.to_owned(), ..PlanOptions::default() };
    let plan = MigrationPlan::new(opened.as_ref(), &projection, &options, context)?;
    if !plan.target.compare(expected).is_compatible() {
        return Err(Error::new(Kind::Internal, "the projection found does not lead to the expected space"));
    }
    let report = migration::execute(plan, opened.as_mut(), &projection, None, context)?;
    Ok(Outcome::Migrated(Box::new(report)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Metric;

    fn collection(dimension: Option<usize>, model: Option<&str>) -> Collection {
        Collection {
            id: "1".into(),
            name: "docs".into(),
            namespace: "t/d".into(),
            count: 3,
            dimension,
            metric: Metric::Cosine,
            texts: 3,
            stamped: None,
            configured_model: model.map(str::to_owned),
            embedding_function: "none".into(),
            migration: None,
            bytes: 0,
            layout: None,
            rounded_to: None,
            unsupported: None,
        }
    }

    fn expect(dimension: Option<usize>, model: Option<&str>) -> Expectation {
        Expectation { dimension, model: model.map(str::to_owned), space: None }
    }

    #[test]
    fn verdicts() {
        let judged = |c: Collection, e: Expectation| judge(&c, &e).0;
        let minilm = "sentence-transformers/all-MiniLM-L6-v2";
        assert_eq!(
            judged(collection(Some(384), Some(minilm)), expect(Some(384), Some("all-minilm-l6-v2"))),
            Status::Match
        );
        assert_eq!(
            judged(collection(Some(384), Some(minilm)), expect(Some(768), None)),
            Status::DimensionMismatch
        );
        assert_eq!(
            judged(collection(Some(384), Some(minilm)), expect(Some(384), Some("a/b"))),
            Status::ModelMismatch
        );
        assert_eq!(judged(collection(Some(384), None), expect(Some(384), Some("a/b"))), Status::Unknown);
        assert_eq!(judged(collection(Some(384), None), expect(Some(384), None)), Status::Match);
        assert_eq!(judged(collection(None, None), expect(Some(384), Some("a/b"))), Status::Match);
    }

    #[test]
    fn a_stamp_is_compared_field_by_field() {
        let mut c = collection(Some(8), None);
        let mut stamped = Space::named("a/b", 8);
        stamped.document_prompt = Some("passage: ".into());
        c.stamped = Some(stamped.clone());
        stamped.document_prompt = Some(String::new());
        let e = Expectation::of_space(stamped);
        assert_eq!(judge(&c, &e).0, Status::ModelMismatch);
    }

    #[test]
    fn exit_codes_are_distinct() {
        let all = [
            Status::Match,
            Status::Unknown,
            Status::ModelMismatch,
            Status::DimensionMismatch,
            Status::Unfinished,
        ];
        let codes: std::collections::HashSet<u8> = all.iter().map(|s| s.exit_code()).collect();
        assert_eq!(codes.len(), all.len());
    }
}
