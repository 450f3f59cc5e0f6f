//! Store x projection: rewriting a collection in place, and the way back.
//!
//! [`MigrationPlan`] is computed, shown and then consumed by [`execute`]. Until the store's one commit
//! nothing is visible; [`journal`] remembers how far it came, [`recovery`] brings a store that saw a
//! crash into step again.

pub mod all;
pub mod backups;
mod crowded;
pub mod delivery;
mod embedded;
pub mod exact;
pub mod execute;
pub mod fingerprint;
mod gathered;
pub mod indexing;
pub mod journal;
pub mod judge;
mod keep;
pub mod leftover;
mod made;
pub mod meaning;
pub mod own;
mod pass;
pub mod plan;
pub mod prune;
pub mod questions;
pub mod rating;
pub mod recovery;
pub mod reembed;
mod remembered;
pub mod rollback;
pub mod sketch;
pub mod source;
pub mod verification;
pub mod verify;
mod watch;

use std::path::Path;

pub use all::{PlanOfAll, ReportOfAll};
pub use backups::Backups;
pub use execute::{MigrationReport, execute};
pub use indexing::IndexReport;
pub use plan::{MigrationPlan, PlanOptions};
pub use prune::{PruneOptions, PrunePlan, PruneReport, Which, prune};
pub use rating::{check_output, execute_rated};
pub use reembed::{ReEmbedOptions, ReEmbedPlan, re_embed};
pub use rollback::{LaterRecords, RollbackOptions, RollbackReport, rollback};
pub use verification::{Check, VerificationReport};
pub use verify::{VerifyOptions, verify};

/// Records handled at a time: bounds memory and the time between two looks at the cancel flag.
pub(crate) const BATCH: usize = 4096;

/// File names inside a migration's folder.
pub(crate) const BACKUP: &str = "backup";
pub(crate) const SKETCHES: &str = "sketches.bin";
pub(crate) const EMBEDDED: &str = "embedded.bin";
pub(crate) const PROJECTION: &str = "projection.safetensors";

/// Whether a folder's name has the form of a migration's identifier.
pub(crate) fn is_migration_folder(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else { return false };
    let Some((time, random)) = name.split_once('-') else { return false };
    time.len() == 18 && random.len() == 8 && random.bytes().all(|b| b.is_ascii_hexdigit())
}
