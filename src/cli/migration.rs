//! Arguments of the commands that rewrite a collection, check that, and undo it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{BackupArgument, DeviceChoice, IndexArgument, RegistryFile, SinceChoice, StoreCollection};

/// Whether a plan is carried out.
#[derive(Args, Debug)]
pub struct Consent {
    /// Print the plan and stop
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// How a collection is rewritten.
#[derive(Args, Debug)]
pub struct Rewriting {
    /// Model that made the stored vectors, where the store does not record it
    #[arg(long, value_name = "MODEL")]
    pub source_model: Option<String>,
    /// Keep nothing for the way back: saves disk, and there is no rollback
    #[arg(long)]
    pub no_backup: bool,
    /// Go on although the stored vectors do not look like the projection's source
    #[arg(long)]
    pub accept_unrecognised_vectors: bool,
    /// What becomes of the neighbour graph
    #[arg(long, value_enum, default_value_t = IndexArgument::Auto)]
    pub index: IndexArgument,
    /// What is saved for the way back
    #[arg(long, value_enum, default_value_t = BackupArgument::Auto, conflicts_with = "no_backup")]
    pub backup: BackupArgument,
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
    /// Where the target model's files are (NAME,path=FOLDER), to ask the result real questions; found by
    /// itself if bundled or in the hub cache
    #[arg(long, value_name = "MODEL")]
    pub target_model: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub consent: Consent,
    /// Write for each record how near the truth its new vector is expected to be (cosine) and how crowded it lies: id,
    /// confidence, crowding, with tabs between. The most crowded are worth most when they are embedded again
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub confidence: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub rewriting: Rewriting,
}

/// Arguments of `re-embed`.
#[derive(Args, Debug)]
#[command(after_help = embedport::platform::holders::SIGHT)]
pub struct ReEmbed {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreCollection,
    /// Model to embed the texts with: NAME, or NAME,path=FOLDER
    #[arg(long, value_name = "MODEL")]
    pub target_model: String,
    /// Projection to that model's space: it maps what is not embedded, and tells which records are worst served
    #[arg(long, value_name = "FILE_OR_NAME")]
    pub projection: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryFile,
    /// Embed the texts of so many percent of the records, the most crowded first; the rest is projected, or keeps the model's
    /// vectors that it has [default: every text]
    #[arg(long, value_name = "P", value_parser = percent)]
    pub percent: Option<f64>,
    /// Where the model runs
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub consent: Consent,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub rewriting: Rewriting,
}

fn percent(text: &str) -> Result<f64, String> {
    let found = text.trim_end_matches('%').parse::<f64>().ok().filter(|p| *p > 0.0 && *p <= 100.0);
    found.ok_or_else(|| "wanted a number above 0 and at most 100".to_owned())
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
    #[arg(long, value_name = "FILE_OR_NAME")]
    pub reverse_projection: Option<String>,
    /// Model of the source space, for --since keep: it embeds the texts of later records; a reverse projection then maps those
    /// without a text
    #[arg(long, value_name = "MODEL")]
    pub source_model: Option<String>,
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
    /// Every backup of the store, and the texts that stopped runs embedded
    #[arg(long, conflicts_with_all = ["migration", "collection", "keep_latest"])]
    pub all: bool,
    /// Print the plan and stop
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}
