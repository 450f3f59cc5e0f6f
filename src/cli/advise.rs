//! Arguments of `advise`.

use std::path::PathBuf;

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
    /// Your own queries, texts as for `evaluate` (.jsonl with `id` and `text`), asked of every way that can be made now
    #[arg(long, value_name = "FILE", requires = "qrels")]
    pub queries: Option<PathBuf>,
    /// Judgements of these queries, as for `evaluate`: query id, record id, grade, with tabs between
    #[arg(long, value_name = "FILE", requires = "queries")]
    pub qrels: Option<PathBuf>,
    /// Write a report with plots to this file: one .html file that needs no network, without vectors, ids and texts
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Where models and gradient fits run
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Go on although the stored vectors are not what the declared source model makes of the texts
    #[arg(long)]
    pub accept_mismatch: bool,
}

const AFTER: &str = "\
The store is not written. Asked are records, by the target model's vectors. Projecting is not advised (exit code 25) if
less than 0.35 of the native top 10 is expected to stay, or less than 0.25 at the lower end of the 90 % interval; if the
source vectors as they are give as much; if it could not be measured; or if re-embedding everything is cheap: at most ten
minutes at the measured speed, and a price of at most 1 where one was given. Tokens are estimated as characters / 4.";

fn price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() && price >= 0.0 => Ok(price),
        _ => Err("a price is a number, 0 or more".into()),
    }
}
