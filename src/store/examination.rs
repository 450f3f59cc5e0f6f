//! What a deep look at a store found.

use serde::Serialize;

/// What a finding means for a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing has to be done.
    Harmless,
    /// A migration leaves it in order.
    Repaired,
    /// A migration goes on and cannot mend it.
    Carried,
    /// A migration refuses.
    Blocks,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name of the check.
    pub check: &'static str,
    /// Name of the collection; none where the finding is about the whole store.
    pub collection: Option<String>,
    /// What it means for a migration.
    pub severity: Severity,
    /// What was found, in words: lower case, no full stop.
    pub found: String,
    /// How many records (or elements, or folders) it is about; 0 where it is about all or cannot be counted.
    pub records: u64,
    /// Up to [`Finding::EXAMPLES`] of their identifiers.
    pub examples: Vec<String>,
    /// What a migration does about it.
    pub migration: &'static str,
    /// What the user can do.
    pub advice: &'static str,
}

impl Finding {
    /// Most examples that a finding carries.
    pub const EXAMPLES: usize = 3;
}

/// Everything that a deep look found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// In the order of the store's checks, collection by collection.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// Whether a migration would be refused.
    pub fn blocks(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Blocks)
    }
}
