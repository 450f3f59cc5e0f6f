//! Arguments of `bridge`.

use std::path::PathBuf;

use clap::Args;

use super::{DeviceChoice, RegistryFile};

/// Arguments of `bridge`.
#[derive(Args, Debug)]
#[command(after_help = "\
A bridge is for the time until the collection is migrated: it finds less than a projected collection. \
`embedport apply` maps vectors of queries with it; `migrate-collection` refuses it.")]
pub struct Bridge {
    /// Store of the collection that is to be searched; nothing in it is changed
    #[arg(long, visible_alias = "from", value_name = "PATH", conflicts_with_all = ["texts", "source_vectors"])]
    pub store: Option<String>,
    /// The collection, by name or id
    #[arg(long, value_name = "NAME", requires = "store")]
    pub collection: Option<String>,
    /// Namespace of the collection, where the name alone is not unique
    #[arg(long, value_name = "NAMESPACE", requires = "store")]
    pub namespace: Option<String>,
    /// Model that made the collection's vectors: hub id, folder, or NAME,path=FOLDER; it need not exist any more
    #[arg(long, value_name = "MODEL")]
    pub source_model: Option<String>,
    /// Model that embeds the queries: hub id, folder, `embedport/static-256`, or NAME,path=FOLDER
    #[arg(long, value_name = "MODEL")]
    pub target_model: String,
    /// How the source model is run: sentence-transformers, bundled, precomputed
    #[arg(long, value_name = "PROVIDER")]
    pub source_provider: Option<String>,
    /// How the target model is run: sentence-transformers, bundled, precomputed
    #[arg(long, value_name = "PROVIDER")]
    pub target_provider: Option<String>,
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
    /// Where models run
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Seed of sampling and splits
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// Go on although the stored vectors are not what the declared source model makes of the texts
    #[arg(long)]
    pub accept_mismatch: bool,
    /// Name of the bridge; made from the models if not given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Folder that the bridge is saved to
    #[arg(long, value_name = "FOLDER", default_value = "projections")]
    pub output_dir: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryFile,
}
