//! Arguments of the commands that fit a map to pairs.

use std::path::PathBuf;

use clap::Args;

use super::{DeviceChoice, RegistryFile};

/// Where the pairs come from, and where what is fitted to them goes.
#[derive(Args, Debug)]
pub struct Pairing {
    /// Model that made the stored vectors: hub id, folder, or NAME,path=FOLDER
    #[arg(long, value_name = "MODEL")]
    pub source_model: Option<String>,
    /// Model to move to: hub id, folder, `embedport/static-256`, or NAME,path=FOLDER
    #[arg(long, value_name = "MODEL")]
    pub target_model: String,
    /// How the source model is run: sentence-transformers, bundled, precomputed
    #[arg(long, value_name = "PROVIDER")]
    pub source_provider: Option<String>,
    /// How the target model is run: sentence-transformers, bundled, precomputed
    #[arg(long, value_name = "PROVIDER")]
    pub target_provider: Option<String>,
    /// Take the texts, and the source vectors, from a collection of this store
    #[arg(long, visible_alias = "store", value_name = "STORE", conflicts_with_all = ["texts", "source_vectors"])]
    pub from: Option<String>,
    /// The collection of --from
    #[arg(long, value_name = "NAME", requires = "from")]
    pub collection: Option<String>,
    /// Namespace of the collection, where the name alone is not unique
    #[arg(long, value_name = "NAMESPACE", requires = "from")]
    pub namespace: Option<String>,
    /// Take the texts from a file: .txt (one per line) or .jsonl (key `text`)
    #[arg(long, value_name = "FILE", conflicts_with = "source_vectors")]
    pub texts: Option<PathBuf>,
    /// Key of the text in the objects of a .jsonl file
    #[arg(long, value_name = "KEY", requires = "texts")]
    pub text_key: Option<String>,
    /// Paired rows: vectors of the source model (.npy); texts are not needed
    #[arg(long, value_name = "FILE", requires = "target_vectors")]
    pub source_vectors: Option<PathBuf>,
    /// Paired rows: vectors of the target model (.npy)
    #[arg(long, value_name = "FILE", requires = "source_vectors")]
    pub target_vectors: Option<PathBuf>,
    /// Texts to embed, held-out ones included
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(20..))]
    pub samples: u32,
    /// Where models and gradient fits run
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Seed of sampling, splits and fits
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// Go on although the stored vectors are not what the declared source model makes of the texts
    #[arg(long)]
    pub accept_mismatch: bool,
    /// Name of what is fitted; made from the models if not given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Folder that it is saved to
    #[arg(long, value_name = "FOLDER", default_value = "projections")]
    pub output_dir: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryFile,
}
