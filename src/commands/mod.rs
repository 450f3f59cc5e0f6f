//! One verb a file; each reads as a list of nouns.

mod advise;
mod apply;
mod backups;
mod bridge;
mod demo;
mod detect;
mod evaluate;
mod identify;
mod inspect;
mod migrate_collection;
mod mixed_spaces;
mod reembed;
mod registry;
mod rollback;
mod train;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use embedport::context::Context;
use embedport::embed::{self, DeviceChoice, Embedder, HubConfig, Local, ModelSpec};
use embedport::error::{Error, Kind, Result};
use embedport::migration::{PlanOptions, recovery};
use embedport::platform::outputs;
use embedport::space::{Space, same_model};
use embedport::store::{SCHEMES, VectorStore};

use crate::cli::{Cli, Command, Consent, RegistryFile, Rewriting, StoreCollection};
use crate::output::Output;

/// Runs one command. The exit code is that of a command that did what it was asked.
pub fn run(command: Command, output: Output, context: &Context<'_>) -> Result<ExitCode> {
    match command {
        Command::Train(args) => train::run(args, output, context),
        Command::Bridge(args) => bridge::run(args, output, context),
        Command::Advise(args) => advise::run(args, output, context),
        Command::MigrateCollection(args) => migrate_collection::run(args, output, context),
        Command::ReEmbed(args) => reembed::run(args, output, context),
        Command::Verify(args) => verify::run(args, output, context),
        Command::Rollback(args) => rollback::run(args, output, context),
        Command::Backups(args) => backups::run(args.action, output, context),
        Command::Detect(args) => detect::run(args, output, context),
        Command::Identify(args) => identify::run(args, output, context),
        Command::Inspect(args) => inspect::run(args, output, context),
        Command::Registry(args) => registry::run(args, output, context),
        Command::Apply(args) => apply::run(args, output, context),
        Command::Evaluate(args) => evaluate::run(args, output, context),
        Command::Demo(args) => demo::run(args, output, context),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "embedport", &mut script);
            output.raw(&script)
        }
        Command::Man { command } => {
            let mut page = Vec::new();
            clap_mangen::Man::new(described(command.as_deref())?)
                .render(&mut page)
                .map_err(|e| Error::new(Kind::Io, "cannot render the manual page").because(e))?;
            output.raw(&page)
        }
    }
}

/// The program, or one of its commands, for a manual page.
fn described(command: Option<&str>) -> Result<clap::Command> {
    let mut program = Cli::command();
    program.build();
    let Some(name) = command else { return Ok(program) };
    let found = program.get_subcommands().find(|c| c.get_name() == name).cloned();
    let found = found.ok_or_else(|| {
        let names: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
        Error::new(Kind::Usage, format!("there is no command `{name}`"))
            .hint(format!("the commands are: {}", names.join(", ")))
    })?;
    Ok(found)
}

/// How models are run by this program.
fn model_options(device: DeviceChoice) -> embed::Options {
    embed::Options { device, hub: HubConfig::from_env(), threads: 0 }
}

/// What a model is recorded as, of what names it on the command line: a name with options, or a folder.
fn model_name(text: &str) -> Result<String> {
    text.parse::<ModelSpec>().map(|spec| spec.name)
}

/// What is asked of a plan.
fn plan_options(collection: String, store: &StoreCollection, rewriting: &Rewriting) -> Result<PlanOptions> {
    Ok(PlanOptions {
        collection,
        namespace: store.namespace.clone(),
        source_model: rewriting.source_model.as_deref().map(model_name).transpose()?,
        accept_unrecognised_vectors: rewriting.accept_unrecognised_vectors,
        discard_backup: rewriting.no_backup,
        index: rewriting.index.into(),
        backup: rewriting.backup.into(),
    })
}

/// Finishes what an earlier run left, where there is nothing else to do: one that was killed behind its commit and is run again
/// has something to tidy.
fn tidied(refused: Error, consent: &Consent, store: &mut dyn VectorStore, context: &Context<'_>) -> Error {
    if consent.dry_run || refused.is_locked() {
        return refused;
    }
    match recovery::finish(store, context) {
        Ok(_) => refused,
        Err(e) => refused.hint(format!("what an earlier run left could not be tidied: {e}")),
    }
}

/// Whether the model can embed texts here, now, without a download.
fn is_runnable(spec: &ModelSpec, options: &embed::Options) -> bool {
    matches!(embed::find_local(spec, options), Some(Local::Bundled | Local::Folder(_)))
}

/// The target model, if it can run here without a download: as the user says where, or bundled, or cached.
/// A migration needs no model; one that is there asks the result real questions.
fn target_model(
    given: Option<&str>,
    target: &Space,
    context: &Context<'_>,
) -> Result<Option<Box<dyn Embedder>>> {
    let spec = match given {
        Some(text) => text.parse::<ModelSpec>()?,
        None => match target.model.parse::<ModelSpec>() {
            Ok(spec) => spec,
            Err(_) => return Ok(None),
        },
    };
    if !same_model(&spec.name, &target.model) {
        return Err(Error::new(
            Kind::Mismatch,
            format!(
                "`{}` was given as the target model, the projection leads to `{}`",
                &spec.name, target.model
            ),
        ));
    }
    let options = model_options(DeviceChoice::Auto);
    if given.is_none() && !is_runnable(&spec, &options) {
        return Ok(None);
    }
    let model = embed::open(&spec, None, &options, context)?;
    match model.space().compare(target).is_compatible() {
        true => Ok(Some(model)),
        false if given.is_none() => {
            context
                .progress
                .note("a target model is here, in another space: it is not used for verification");
            Ok(None)
        }
        false => Err(Error::new(
            Kind::Mismatch,
            format!("the target model gives {}, the projection leads to {target}", model.space()),
        )),
    }
}

/// Refuses an output that would take the place of a store, of the projection, of the registry, or of what else is `in_use`.
fn check_output(
    output: &Path,
    projection: &str,
    registry: &RegistryFile,
    in_use: &[(&str, &Path)],
) -> Result<()> {
    if SCHEMES.iter().any(|scheme| (scheme.recognises)(output)) {
        let found = format!("`{}` is a store, which would be lost", output.display());
        return Err(Error::new(Kind::Usage, found).hint("name a file that is not in use"));
    }
    let registered = registry.files();
    let mut in_use = in_use.to_vec();
    in_use.extend(registered.iter().map(|path| ("the registry or one of its projections", path.as_path())));
    // A name in the registry need not be a path.
    in_use.extend(
        Some(Path::new(projection)).filter(|path| path.is_file()).map(|path| ("the projection", path)),
    );
    outputs::refuse_in_use(output, &in_use)
}

/// The report replaces what is at its path: a slip of the hand shall not cost a vector file.
fn is_html(path: &Path) -> Result<()> {
    match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("html") || e.eq_ignore_ascii_case("htm")) {
        true => Ok(()),
        false => Err(Error::new(Kind::Usage, format!("`{}` does not end in .html", path.display()))
            .hint("give --html a file name that ends in .html")),
    }
}
