//! What was checked, against which bound, with which outcome.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Everything arrived: counts, ids, finite values, read-back, untouched neighbours.
    Delivery,
    /// It means the right thing: direction, held-out pairs, the index against exact search.
    Meaning,
}

/// How the measured value and the bound relate when the check passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// measured = bound
    Equal,
    /// measured >= bound
    AtLeast,
    /// measured <= bound
    AtMost,
}

/// One check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What was measured, in words.
    pub name: String,
    /// Delivery or meaning.
    pub family: Family,
    /// What was found.
    pub measured: f64,
    /// What was wanted.
    pub bound: f64,
    /// How the two must relate.
    pub relation: Relation,
    /// Whether they do.
    pub passed: bool,
}

/// All checks of one result.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VerificationReport {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// What could not be measured, and why.
    pub not_measured: Vec<String>,
}

impl VerificationReport {
    /// Adds a check and decides it. A value that is no number never passes.
    pub fn check(
        &mut self,
        family: Family,
        name: impl Into<String>,
        measured: f64,
        relation: Relation,
        bound: f64,
    ) {
        let passed = match relation {
            Relation::Equal => measured == bound,
            Relation::AtLeast => measured >= bound,
            Relation::AtMost => measured <= bound,
        };
        self.checks.push(Check { name: name.into(), family, measured, bound, relation, passed });
    }

    /// Whether every check passed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|c| c.passed)
    }

    /// The checks that did not pass.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|c| !c.passed)
    }

    /// An error that names every failed check, if there is one.
    ///
    /// # Errors
    /// [`Kind::Verification`].
    pub fn require(&self) -> Result<()> {
        if self.passed() {
            return Ok(());
        }
        let failed: Vec<String> = self
            .failures()
            .map(|c| {
                let wanted = match c.relation {
                    Relation::Equal => "wanted",
                    Relation::AtLeast => "wanted at least",
                    Relation::AtMost => "wanted at most",
                };
                format!("{} is {}, {wanted} {}", c.name, plain(c.measured), plain(c.bound))
            })
            .collect();
        Err(Error::new(
            Kind::Verification,
            format!("{} of {} checks failed: {}", failed.len(), self.checks.len(), failed.join("; ")),
        ))
    }
}

/// Whole numbers without decimals, others with four.
fn plain(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_no_number_never_passes() {
        let mut report = VerificationReport::default();
        report.check(Family::Meaning, "recall@1", f64::NAN, Relation::AtLeast, 0.1);
        report.check(Family::Meaning, "error", f64::NAN, Relation::AtMost, 0.1);
        assert_eq!(report.failures().count(), 2);
    }

    #[test]
    fn every_failed_check_is_named() {
        let mut report = VerificationReport::default();
        report.check(Family::Delivery, "records", 9.0, Relation::Equal, 10.0);
        report.check(Family::Delivery, "dimension", 3.0, Relation::Equal, 3.0);
        let error = report.require().unwrap_err();
        assert_eq!(error.kind(), Kind::Verification);
        assert_eq!(error.message(), "1 of 2 checks failed: records is 9, wanted 10");
    }
}
