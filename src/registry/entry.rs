//! One line of the registry: what a projection file holds, without opening it.

use serde::{Deserialize, Serialize};

use crate::projection::{Header, Role};
use crate::space::Space;

/// A registered projection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Name, unique in its registry.
    pub name: String,
    /// File, relative to the folder of the registry, with `/` between folders.
    pub file: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Whose vectors it maps.
    #[serde(default, skip_serializing_if = "Role::is_records")]
    pub role: Role,
    /// Space of the vectors that it takes.
    pub source: Space,
    /// Space of the vectors that it gives.
    pub target: Space,
    /// What is applied.
    pub kind: String,
    /// How it was found.
    pub method: String,
    /// Pairs that it was fitted to.
    pub training_pairs: usize,
    /// When it was fitted, RFC 3339, UTC.
    pub created: String,
    /// Held-out figures.
    #[serde(default)]
    pub metrics: Metrics,
}

/// The held-out figures by which projections are compared; none where undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean cosine between projected and true vectors.
    pub cosine_mean: Option<f64>,
    /// Share of each row's 10 nearest held-out rows that stays.
    pub overlap_at_10: Option<f64>,
    /// Share of projected rows that find their own true vector first.
    pub recall_at_1: Option<f64>,
    /// Of a bridge: share of the 10 records that the collection's own model finds which a query finds over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_found: Option<f64>,
    /// Of a bridge: the same of the 10 that the query finds among vectors of its own model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_found: Option<f64>,
}

impl Entry {
    pub(crate) fn new(header: &Header, file: String, sha256: String) -> Self {
        Entry {
            name: header.name.clone(),
            file,
            sha256,
            role: header.role,
            source: header.source.clone(),
            target: header.target.clone(),
            kind: header.kind.clone(),
            method: header.method.clone(),
            training_pairs: header.training_pairs,
            created: header.created.clone(),
            metrics: Metrics {
                cosine_mean: header.report.value("cosine_mean"),
                overlap_at_10: header.report.value("overlap_at_10"),
                recall_at_1: header.report.value("recall_at_1"),
                own_found: header.bridge.as_ref().and_then(|bridge| bridge.own.value),
                native_found: header.bridge.as_ref().and_then(|bridge| bridge.native.value),
            },
        }
    }
}
