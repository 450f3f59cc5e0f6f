//! Arguments of `advise`.

use clap::Args;

use super::{DeviceChoice, StoreCollection};

/// Arguments of `advise`.
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Advise {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreCollection,
    /// Model to move to: hub id, folder, `embedport/static-256`, or NAME,path=FOLDER
    #[arg(long, value_name = "MODEL")]
    pub target_model: String,
    /// Model that made the stored vectors, where the store does not record it
    #[arg(long, value_name = "MODEL")]
    pub source_model: Option<String>,
    /// How the source model is run: sentence-transformers, bundled, precomputed
    #[arg(long, value_name = "PROVIDER")]
    pub source_provider: Option<String>,
    /// How the target model is run: sentence-transformers, bundled, precomputed
    #[arg(long, value_name = "PROVIDER")]
    pub target_provider: Option<String>,
    /// Texts to embed with the target model
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(20..))]
    pub samples: u32,
    /// Price of a million tokens of the target model, in any currency
    #[arg(long, value_name = "PRICE", value_parser = price)]
    pub price_per_million_tokens: Option<f64>,
    /// Where models and gradient fits run
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Go on although the stored vectors are not what the declared source model makes of the texts
    #[arg(long)]
    pub accept_mismatch: bool,
}

const AFTER: &str = "\
Nothing is written. Projecting is not advised (exit code 25) if less than 0.30 of the native top 10 would be
kept even at the upper end of the 90 % interval, if the source vectors as they are give as much, or if it
could not be measured. Tokens are estimated as characters / 4.";

fn price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() && price >= 0.0 => Ok(price),
        _ => Err("a price is a number, 0 or more".into()),
    }
}
