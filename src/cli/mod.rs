//! Arguments and help of the command line program.

mod advise;
mod choices;
mod evaluate;
mod identify;
mod migration;
mod pairing;
mod registry;
mod table;
mod train;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use embedport::error::Result;
use embedport::store::with_settings;

pub use advise::Advise;
pub use choices::{BackupArgument, DeviceChoice, IndexArgument, SinceChoice};
pub use evaluate::Evaluate;
pub use identify::Identify;
pub use migration::{
    Backups, BackupsAction, Consent, MigrateCollection, Prune, ReEmbed, Rewriting, Rollback, Verify,
};
pub use pairing::Pairing;
pub use registry::{Registry, RegistryAction, RegistryFile};
pub use table::TableArguments;
pub use train::{Bridge, Train};

/// Moves a vector store from one embedding model to another, in place, and proves that it worked
#[derive(Debug, Parser)]
#[command(name = "embedport", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,

    /// Print one JSON document to standard output instead of text
    #[arg(long, global = true)]
    pub json: bool,

    /// No progress, no notes; results, warnings and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 done    1 failed (input/output, internal)    2 usage    3 not found
  4 mismatch of dimension, space or direction    5 damaged input    6 store in use
  7 verification failed    8 refused, a decision is missing    9 cannot write
  10 not supported    11 network    130 interrupted
  detect: 0 match    20 dimension mismatch    21 model mismatch    22 unknown
          23 unfinished migration
  inspect --deep: 0 nothing blocks a migration    24 something does
  identify: 0 identified    26 no candidate fits    27 rows of more than one model or way
  advise: 0 projecting is advised    25 it is not";

/// One verb each; the code of `verb` is in `commands/verb.rs`.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)]
pub enum Command {
    /// Fit a projection from a source model's space to a target model's
    Train(Train),
    /// Fit a bridge: queries of a new model ask an untouched collection of the old one
    Bridge(Bridge),
    /// Say how much of its neighbours a collection would keep each way, and what to do; writes nothing
    Advise(Advise),
    /// Rewrite the vectors of a collection in place, with backup and verification
    MigrateCollection(MigrateCollection),
    /// Embed the texts of a collection anew with the target model, all or the worst served, in place
    ReEmbed(ReEmbed),
    /// Check a migrated collection again
    Verify(Verify),
    /// Restore a collection as it was before its last migration
    Rollback(Rollback),
    /// List the backups of a store, and remove those that are not wanted any more
    Backups(Backups),
    /// Say whether a store still fits the model a program uses
    Detect(Detect),
    /// Name the model that made a collection's vectors
    Identify(Identify),
    /// Show what a store holds
    Inspect(Inspect),
    /// Look into the registry of projections
    Registry(Registry),
    /// Project the rows of a vector file
    Apply(Apply),
    /// Measure how well vectors answer queries whose answers are known
    Evaluate(Evaluate),
    /// See the whole job on a real database that ships with embedport, offline
    Demo(Demo),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page: of the program, or of one command
    Man {
        /// Which command
        command: Option<String>,
    },
}

/// Which collection of which store.
#[derive(Args, Debug)]
pub struct StoreCollection {
    /// The store: a folder or a file, or SCHEME:PATH
    #[arg(long, value_name = "PATH")]
    pub store: String,
    /// The collection, by name or id
    #[arg(long, value_name = "NAME")]
    pub collection: Option<String>,
    /// Namespace (for Chroma DATABASE or TENANT/DATABASE), where the name alone is not unique
    #[arg(long, value_name = "NAMESPACE", requires = "collection")]
    pub namespace: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub table: TableArguments,
}

impl StoreCollection {
    /// The store with what is said of its tables: see [`embedport::store::open`].
    pub fn location(&self) -> Result<String> {
        with_settings(&self.store, &self.table.settings())
    }
}

/// Arguments of `detect`.
#[derive(Args, Debug)]
pub struct Detect {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreCollection,
    /// Dimension of the vectors that the program will send
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub expect_dimension: Option<u32>,
    /// Model that the program will use
    #[arg(long, value_name = "MODEL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub expect_model: Option<String>,
    /// Where it is not recorded which model made the vectors, compare them with the models on this machine
    #[arg(long)]
    pub identify: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryFile,
}

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreCollection,
    /// Read everything, say what is wrong and what a migration would do about it; changes nothing
    #[arg(long)]
    pub deep: bool,
}

/// Arguments of `apply`.
#[derive(Args, Debug)]
pub struct Apply {
    /// Projection: a .safetensors file, or a name in the registry
    #[arg(long, value_name = "FILE_OR_NAME")]
    pub projection: String,
    /// Vectors to project: .npy, float16 or float32, one row each
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where the projected vectors go: .npy, float32
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write for each vector how near the truth it is expected to be (cosine) and how crowded it lies: .npy, two columns.
    /// The most crowded are worth most when they are embedded again
    #[arg(long, value_name = "FILE")]
    pub confidence: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryFile,
}

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Work in this folder and keep it, instead of a temporary one
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
}
