//! `embedport demo`: the whole job on a real database, in a temporary folder, offline.

use std::path::Path;
use std::process::ExitCode;

use embedport::context::Context;
use embedport::demo_assets;
use embedport::detect::{Expectation, Status, detect};
use embedport::embed::{self, BUNDLED_NAME, Embedder, ModelSpec, Role};
use embedport::error::{Error, Kind, Result};
use embedport::migration::{self, LaterRecords, MigrationPlan, PlanOptions, RollbackOptions, VerifyOptions};
use embedport::registry::Registry;
use embedport::store::{self, VectorStore, find_collection};
use embedport::training::{self, Declared, Side, Source, TrainOptions};

use crate::cli::{Demo, DeviceChoice};
use crate::output::{Answer, DemoReport, Output};

/// Hits looked at for each question.
const HITS: usize = 3;

pub fn run(args: Demo, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    let begun = (context.now)();
    let temporary;
    let folder = match &args.keep {
        Some(folder) => folder.as_path(),
        None => {
            temporary = tempfile::tempdir()
                .map_err(|e| Error::new(Kind::CannotWrite, "cannot make a temporary folder").because(e))?;
            temporary.path()
        }
    };
    let mut report = demonstrate(folder, context)?;
    report.kept = args.keep;
    report.seconds = (context.now)().duration_since(begun).as_secs_f64();
    output.result(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn demonstrate(folder: &Path, context: &Context<'_>) -> Result<DemoReport> {
    let database = folder.join("chroma");
    let location = database.display().to_string();
    demo_assets::unpack(&database)?;
    let model = embed::open(
        &BUNDLED_NAME.parse::<ModelSpec>()?,
        None,
        &super::model_options(DeviceChoice::Cpu.into()),
        context,
    )?;

    let mut registry = Registry::open_or_empty(folder.join("registry.json"))?;
    let mut store = store::open(&location)?;
    let expectation = Expectation::of_space(model.space().clone());
    let collection = Some((demo_assets::COLLECTION, None));
    let before = detect(store.as_ref(), collection, &expectation, &registry)?;
    let training = train(store.as_ref(), model.as_ref(), context)?;
    let file = training::save(&training, &folder.join("projections"), Some(&mut registry))?;
    let projection = registry.resolve(&training.projection.header.name)?;

    let options = PlanOptions { collection: demo_assets::COLLECTION.to_owned(), ..PlanOptions::default() };
    let plan = MigrationPlan::new(store.as_ref(), &projection, &options, context)?;
    let migrated = migration::execute(plan, store.as_mut(), &projection, Some(model.as_ref()), context)?;
    let after = detect(store.as_ref(), collection, &expectation, &registry)?;
    let answers = ask(store.as_ref(), model.as_ref(), context)?;
    let which = VerifyOptions { migration: Some(migrated.migration.clone()), ..VerifyOptions::default() };
    let verified = migration::verify(store.as_ref(), &which, Some(model.as_ref()), context)?;
    verified.verification.require()?;
    let back = RollbackOptions {
        collection: None,
        namespace: None,
        migration: Some(migrated.migration.clone()),
        since: LaterRecords::Refuse,
    };
    let rolled_back = migration::rollback(store.as_mut(), &back, context)?;
    rolled_back.verification.require()?;
    if after.status != Status::Match {
        return Err(Error::new(Kind::Internal, "the migrated collection does not fit the target model"));
    }
    Ok(DemoReport {
        before: before.collections,
        after: after.collections,
        training: training.projection.header,
        projection_file: file,
        migrated,
        answers,
        rolled_back,
        kept: None,
        seconds: 0.0,
    })
}

/// A projection from the collection's own texts to the bundled model.
fn train(store: &dyn VectorStore, model: &dyn Embedder, context: &Context<'_>) -> Result<training::Training> {
    let description = store.describe()?;
    let collection = find_collection(&description, demo_assets::COLLECTION, None)?;
    let source = Source::Collection { store, collection, declared: Declared::default() };
    training::train(source, &Side::Model(model), &TrainOptions::default(), context)
}

/// Asks the store the demo's questions, in the target model's words.
fn ask(store: &dyn VectorStore, model: &dyn Embedder, context: &Context<'_>) -> Result<Vec<Answer>> {
    let questions = demo_assets::questions()?;
    let texts: Vec<&str> = questions.iter().map(|q| q.question.as_str()).collect();
    context.progress.start("asking", Some(texts.len() as u64), "questions");
    let vectors = model.embed(&texts, Role::Query, context)?;
    context.progress.finish();
    let description = store.describe()?;
    let collection = find_collection(&description, demo_assets::COLLECTION, None)?;
    let hits = store.search(collection, vectors.view(), HITS)?;
    let answers = questions.into_iter().zip(hits).map(|(question, hits)| Answer {
        question: question.question,
        expected: question.expected,
        hits: hits.into_iter().map(|h| h.id).collect(),
    });
    Ok(answers.collect())
}
