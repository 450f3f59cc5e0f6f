//! Metrics: matrices in, numbers out. Knows nothing of stores, models or projections.

pub mod bootstrap;
mod estimate;
mod mixture;
pub mod nearest;
pub mod overlap;
pub mod pairs;
pub mod proportion;
pub mod ranking;
mod report;
pub mod retention;
mod scores;
pub mod similarity;
mod space_match;
mod ways;

pub use estimate::{COVERAGE, Estimate};
pub use mixture::{Mixture, find_mixture};
pub use report::{Better, Figure, HeldOutReport};
pub use retention::Retention;
pub use scores::{ScorePoint, ScoreScale};
pub use space_match::{FEWEST_ROWS, SourceMatch, Verdict, match_space};
pub use ways::{AmongPairs, BUDGETS, Foretold, HITS, Near, Reembedded, Rescored, Ways};
