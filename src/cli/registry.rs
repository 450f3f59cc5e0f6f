//! Where projections are looked up, and the arguments of `registry`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use embedport::error::Result;
use embedport::registry::{self, Resolved};

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
    pub fn open(&self) -> Result<registry::Registry> {
        match self.is_default() {
            true => registry::Registry::open_or_empty(&self.registry),
            false => registry::Registry::open(&self.registry),
        }
    }

    /// A projection by its name; or by its file, for which no registry is needed.
    pub fn resolve(&self, name_or_file: &str) -> Result<Resolved> {
        match self.open() {
            Err(_) if Path::new(name_or_file).is_file() => {
                registry::Registry::bundled()?.resolve(name_or_file)
            }
            registry => registry?.resolve(name_or_file),
        }
    }

    /// The registry's file and those that it names, as far as it can be read.
    pub fn files(&self) -> Vec<PathBuf> {
        self.open().map_or_else(|_| vec![self.registry.clone()], |registry| registry.files())
    }

    /// Whether no other than the usual one is meant.
    pub fn is_default(&self) -> bool {
        self.registry == Path::new(REGISTRY)
    }
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
