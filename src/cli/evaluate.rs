//! Arguments of `evaluate`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use embedport::measure::nearest::Metric;

use super::DeviceChoice;

/// Arguments of `evaluate`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("corpus").required(true).args(["store", "vectors"]))]
pub struct Evaluate {
    /// Evaluate a collection of this store: a folder, or SCHEME:PATH
    #[arg(long, value_name = "PATH", requires = "collection")]
    pub store: Option<String>,
    /// The collection, by name or id
    #[arg(long, value_name = "NAME", requires = "store")]
    pub collection: Option<String>,
    /// Namespace of the collection, where the name alone is not unique
    #[arg(long, value_name = "NAMESPACE", requires = "store")]
    pub namespace: Option<String>,
    /// Evaluate a vector file: .npy with its ids in NAME.ids.txt beside it, or .jsonl with `id` and `vector`
    #[arg(long, value_name = "FILE")]
    pub vectors: Option<PathBuf>,
    /// The queries: a vector file as for --vectors or, with --query-model, texts (.jsonl with `id` and `text`)
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// Model that embeds the queries: hub id, folder, `embedport/static-256`, or NAME,path=FOLDER
    #[arg(long, value_name = "MODEL")]
    pub query_model: Option<String>,
    /// Judgements: query id, record id, grade, with tabs between; the layouts of BEIR and TREC are read
    #[arg(long, value_name = "FILE")]
    pub qrels: Option<PathBuf>,
    /// True vectors of the target model for all records or some, by id: what a re-embedding would give
    #[arg(long, value_name = "FILE")]
    pub native: Option<PathBuf>,
    /// Something to compare with, such as the vectors before a migration; may be given several times
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    pub baseline: Vec<(String, PathBuf)>,
    /// The same queries as vectors for one baseline, if it is in another space than the corpus
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file, requires = "baseline")]
    pub baseline_queries: Vec<(String, PathBuf)>,
    /// Lengths at which rankings are cut, the most important first
    #[arg(long, value_name = "K", value_delimiter = ',', default_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub k: Vec<u16>,
    /// How closeness is measured; by default as the collection does, and by cosine for files
    #[arg(long, value_enum)]
    pub metric: Option<MetricChoice>,
    /// Write a report with plots to this file: one .html file that needs no network, without vectors, ids and texts
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Show the ten worst queries with their ids, and their texts where queries are texts
    #[arg(long, requires = "qrels")]
    pub with_texts: bool,
    /// Where the query model runs
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Seed of resamples and samples
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
}

/// How closeness is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetricChoice {
    /// The angle
    Cosine,
    /// Euclidean distance
    L2,
    /// Inner product
    Ip,
}

impl From<MetricChoice> for Metric {
    fn from(choice: MetricChoice) -> Self {
        match choice {
            MetricChoice::Cosine => Self::Cosine,
            MetricChoice::L2 => Self::L2,
            MetricChoice::Ip => Self::InnerProduct,
        }
    }
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), file.into())),
        _ => Err("wanted NAME=FILE".to_owned()),
    }
}
