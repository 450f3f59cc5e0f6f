//! Arguments of `identify`.

use clap::Args;

use super::{DeviceChoice, RegistryFile};

/// Arguments of `identify`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 identified, 26 no candidate fits, 27 rows of more than one model or way"
)]
pub struct Identify {
    /// The store: a folder, or SCHEME:PATH
    #[arg(long, value_name = "PATH")]
    pub store: String,
    /// The collection, by name or id
    #[arg(long, value_name = "NAME")]
    pub collection: String,
    /// Namespace (for Chroma DATABASE or TENANT/DATABASE), where the name alone is not unique
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Model that may have made the vectors: hub id, folder, or NAME,path=FOLDER; can be given more than once. Without
    /// it: what the collection names, what ships with embedport, what the registry knows, what the hub cache holds
    #[arg(long, value_name = "MODEL")]
    pub candidate: Vec<String>,
    /// Records that are embedded again; as many as the collection has look at every one
    #[arg(long, value_name = "N", default_value_t = embedport::identification::SAMPLES as u32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub samples: u32,
    /// Where models run
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryFile,
}
