//! Arguments of `train` and of `bridge`.

use clap::Args;

use super::pairing::Pairing;

/// Arguments of `train`.
#[derive(Args, Debug)]
pub struct Train {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pairing: Pairing,
    /// How the projection is found
    #[arg(long, value_name = "METHOD", default_value = embedport::projection::fit::DEFAULT_METHOD, value_parser = clap::builder::PossibleValuesParser::new(method_names()))]
    pub method: String,
    /// Words of the texts that the target model embeds, so that texts assist the projection; 0 for none. Without it 20000,
    /// where the texts are not the bundled ones and the method is `auto`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=65536))]
    pub words: Option<u32>,
}

fn method_names() -> Vec<&'static str> {
    embedport::projection::fit::METHODS.iter().map(|m| m.name).collect()
}

/// Arguments of `bridge`.
#[derive(Args, Debug)]
#[command(after_help = "\
A bridge is for the time until the collection is migrated: it finds less than a projected collection. The source \
model need not exist any more; the target model embeds the queries. Nothing in the collection is changed. \
`embedport apply` maps vectors of queries with a bridge; `migrate-collection` refuses it.")]
pub struct Bridge {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pairing: Pairing,
}
