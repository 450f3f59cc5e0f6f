//! Arguments that say how a collection lies in tables.

use clap::{Args, ValueEnum};

// Not for the whole struct: it would go on to the arguments behind it.
const TABLES: &str = "Tables (SQLite)";

/// How the records lie in a table, where the store has tables of any form (SQLite). What is not said is found by
/// looking; the same can be said behind the path: SQLITE:PATH?table=NAME&vector=COLUMN.
#[derive(Args, Debug)]
pub struct TableArguments {
    /// Table with the vectors
    #[arg(help_heading = TABLES, long, value_name = "NAME")]
    pub table: Option<String>,
    /// Column with the vectors
    #[arg(help_heading = TABLES, long, value_name = "COLUMN", requires = "table")]
    pub vector_column: Option<String>,
    /// Column with the identifiers [default: the primary key]
    #[arg(help_heading = TABLES, long, value_name = "COLUMN", requires = "table")]
    pub id_column: Option<String>,
    /// Column with the texts
    #[arg(help_heading = TABLES, long, value_name = "COLUMN", requires = "table")]
    pub text_column: Option<String>,
    /// Rows that belong to the collection, as an SQL expression
    #[arg(help_heading = TABLES, long = "where", value_name = "SQL", requires = "table")]
    pub condition: Option<String>,
    /// How a vector is written: f32, f64, f16, int8, int8-scaled, bit, json, npy
    #[arg(help_heading = TABLES, long, value_name = "ENCODING", requires = "table")]
    pub encoding: Option<String>,
    /// Column with the factor of an int8 vector
    #[arg(help_heading = TABLES, long, value_name = "COLUMN", requires = "table")]
    pub scale_column: Option<String>,
    /// How closeness is measured, where the store does not say it
    #[arg(help_heading = TABLES, long, value_enum)]
    pub metric: Option<MetricArgument>,
    /// Triggers may see the rewrite
    #[arg(help_heading = TABLES, long)]
    pub fire_triggers: bool,
    /// Put no table into the file that names the space of its vectors
    #[arg(help_heading = TABLES, long)]
    pub no_stamp: bool,
}

/// How closeness is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetricArgument {
    /// Squared Euclidean distance
    L2,
    /// Angle
    Cosine,
    /// Inner product
    Ip,
}

impl TableArguments {
    /// As settings of a store: see [`embedport::store::open`].
    pub fn settings(&self) -> Vec<(&'static str, &str)> {
        let metric = self.metric.map(|metric| match metric {
            MetricArgument::L2 => "l2",
            MetricArgument::Cosine => "cosine",
            MetricArgument::Ip => "ip",
        });
        let given = [
            ("table", self.table.as_deref()),
            ("vector", self.vector_column.as_deref()),
            ("id", self.id_column.as_deref()),
            ("text", self.text_column.as_deref()),
            ("where", self.condition.as_deref()),
            ("encoding", self.encoding.as_deref()),
            ("scale", self.scale_column.as_deref()),
            ("metric", metric),
            ("fire-triggers", self.fire_triggers.then_some("yes")),
            ("stamp", self.no_stamp.then_some("no")),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
