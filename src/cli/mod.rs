//! Arguments and help of the command line program.

mod advise;
mod choices;
mod evaluate;
mod identify;
mod pairing;
mod train;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use embedport::error::Result;

pub use advise::Advise;
pub use choices::{BackupArgument, DeviceChoice, IndexArgument, SinceChoice};
pub use evaluate::Evaluate;
pub use identify::Identify;
pub use pairing::Pairing;
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

    /// No progress, no notes; results and errors only
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

/// Name of the registry file where none is given.
const REGISTRY: &str = "registry.json";

/// Where projections are looked up.
#[derive(Args, Debug)]
pub struct RegistryFile {
    /// Registry of fitted projections; those that ship with embedport are always known
    #[arg(long, value_name = "FILE", default_value = REGISTRY, global = true)]
    pub registry: PathBuf,
}

impl RegistryFile {
    /// The registry to look in. The one of the current folder need not exist; one that was asked for must.
    pub fn open(&self) -> Result<embedport::registry::Registry> {
        match self.is_default() {
            true => embedport::registry::Registry::open_or_empty(&self.registry),
            false => embedport::registry::Registry::open(&self.registry),
        }
    }

    /// Whether no other than the usual one is meant.
    pub fn is_default(&self) -> bool {
        self.registry == Path::new(REGISTRY)
    }
}

/// Which collection of which store.
#[derive(Args, Debug)]
pub struct StoreCollection {
    /// The store: a folder, or SCHEME:PATH
    #[arg(long, value_name = "PATH")]
    pub store: String,
    /// The collection, by name or id
    #[arg(long, value_name = "NAME")]
    pub collection: Option<String>,
    /// Namespace (for Chroma DATABASE or TENANT/DATABASE), where the name alone is not unique
    #[arg(long, value_name = "NAMESPACE", requires = "collection")]
    pub namespace: Option<String>,
}

/// Arguments of `migrate-collection`.
#[derive(Args, Debug)]
#[command(after_help = embedport::platform::holders::SIGHT)]
pub struct MigrateCollection {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreCollection,
    /// Every collection of the store that the projection fits
    #[arg(long, conflicts_with = "collection")]
    pub all: bool,
    /// Not possible: a collection has one space, so that a part of it cannot be migrated
    #[arg(long, value_name = "WHERE", hide = true)]
    pub filter: Option<String>,
    /// Projection: a .safetensors file, or a name in the registry
    #[arg(long, value_name = "FILE_OR_NAME")]
    pub projection: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryFile,
    /// Model that made the stored vectors, where the store does not record it
    #[arg(long, value_name = "MODEL")]
    pub source_model: Option<String>,
    /// Where the target model's files are (NAME,path=FOLDER), to ask the result real questions; found by
    /// itself if bundled or in the hub cache
    #[arg(long, value_name = "MODEL")]
    pub target_model: Option<String>,
    /// Print the plan and stop
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Keep nothing for the way back: saves disk, and there is no rollback
    #[arg(long)]
    pub no_backup: bool,
    /// Go on although the stored vectors do not look like the projection's source
    #[arg(long)]
    pub accept_unrecognised_vectors: bool,
    /// Write for each record how near the truth its new vector is expected to be (cosine) and how crowded it lies: id,
    /// confidence, crowding, with tabs between. The most crowded are worth most when they are embedded again
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub confidence: Option<PathBuf>,
    /// What becomes of the neighbour graph
    #[arg(long, value_enum, default_value_t = IndexArgument::Auto)]
    pub index: IndexArgument,
    /// What is saved for the way back
    #[arg(long, value_enum, default_value_t = BackupArgument::Rows, conflicts_with = "no_backup")]
    pub backup: BackupArgument,
}

/// Arguments of `verify`.
#[derive(Args, Debug)]
pub struct Verify {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreCollection,
    /// One migration, by its identifier
    #[arg(long, value_name = "ID")]
    pub migration: Option<String>,
    /// Where the target model's files are (NAME,path=FOLDER), if not bundled or in the hub cache
    #[arg(long, value_name = "MODEL")]
    pub target_model: Option<String>,
}

/// Arguments of `rollback`.
#[derive(Args, Debug)]
pub struct Rollback {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreCollection,
    /// One migration, by its identifier
    #[arg(long, value_name = "ID")]
    pub migration: Option<String>,
    /// Records that came or changed since the migration
    #[arg(long, value_enum, default_value_t = SinceChoice::Refuse)]
    pub since: SinceChoice,
    /// Projection from the target space back to the source space, for --since keep
    #[arg(long, value_name = "FILE_OR_NAME", required_if_eq("since", "keep"))]
    pub reverse_projection: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryFile,
}

/// Arguments of `backups`.
#[derive(Args, Debug)]
pub struct Backups {
    /// What to do
    #[command(subcommand)]
    pub action: BackupsAction,
}

/// Verbs of `backups`.
#[derive(Debug, Subcommand)]
pub enum BackupsAction {
    /// List the migrations of a store with what is kept of each, and whether it is a way back
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        store: StoreCollection,
    },
    /// Remove backups: at least one of --migration, --collection, --keep-latest, --all says which
    Prune(Prune),
}

/// Arguments of `backups prune`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["migration", "collection", "keep_latest", "all"]))]
pub struct Prune {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreCollection,
    /// The backup of one migration, by its identifier
    #[arg(long, value_name = "ID", conflicts_with = "collection")]
    pub migration: Option<String>,
    /// All but the N latest backups of each collection; what rollbacks left goes too
    #[arg(long, value_name = "N", conflicts_with = "migration")]
    pub keep_latest: Option<usize>,
    /// Every backup of the store
    #[arg(long, conflicts_with_all = ["migration", "collection", "keep_latest"])]
    pub all: bool,
    /// Print the plan and stop
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
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

/// Arguments of `registry`.
#[derive(Args, Debug)]
pub struct Registry {
    /// What to do
    #[command(subcommand)]
    pub action: RegistryAction,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryFile,
}

/// Verbs of `registry`.
#[derive(Debug, Subcommand)]
pub enum RegistryAction {
    /// List the projections
    List,
    /// Show one projection with its held-out report
    Show {
        /// Name in the registry, or a file
        name: String,
        /// Translate a threshold for cosines between source vectors into one for projected vectors
        #[arg(long, value_name = "COSINE", allow_negative_numbers = true)]
        threshold: Option<f64>,
    },
    /// Check that every file is there, undamaged, and says what the registry says
    Check,
    /// Make one projection of two: from A to B and from B to C
    Compose {
        /// The first: name in the registry, or a file
        first: String,
        /// The second, which starts where the first leads to
        second: String,
        /// Name of the result; FIRST--then--SECOND if not given
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Folder that it is saved to
        #[arg(long, value_name = "FOLDER", default_value = "projections")]
        output_dir: PathBuf,
    },
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
