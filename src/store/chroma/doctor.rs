//! A deep look: every check on every collection, whatever the others found. Nothing is changed.
//!
//! The facts are gathered once, without trust and without stopping; a check is one function over them and
//! one line of a table.

use super::catalog::{self, Entry};
use super::doctor_facts::Facts;
use super::{ChromaStore, doctor_folders, doctor_index, doctor_records};
use crate::context::Context;
use crate::error::Result;
use crate::store::{Collection, Examination, Finding, Severity};

/// What a check found: nothing, or a thing of which the table says what it means.
#[derive(Debug, Default)]
pub(super) struct Symptom {
    pub found: String,
    pub records: u64,
    pub examples: Vec<String>,
    /// Instead of the table's severity.
    pub severity: Option<Severity>,
}

impl Symptom {
    /// One that cannot be counted by records.
    pub fn said(found: impl Into<String>) -> Symptom {
        Symptom { found: found.into(), ..Symptom::default() }
    }

    /// One that is about these; none of them is no symptom.
    pub fn of<'a>(ids: impl Iterator<Item = &'a str>, found: impl FnOnce(u64) -> String) -> Option<Symptom> {
        let mut symptom = Symptom::default();
        for id in ids {
            symptom.records += 1;
            if symptom.examples.len() < Finding::EXAMPLES {
                symptom.examples.push(id.escape_default().to_string());
            }
        }
        (symptom.records > 0).then(|| Symptom { found: found(symptom.records), ..symptom })
    }
}

/// One check, and what its finding means.
pub(super) struct Check {
    pub name: &'static str,
    pub severity: Severity,
    pub look: fn(&Facts<'_>) -> Option<Symptom>,
    pub migration: &'static str,
    pub advice: &'static str,
}

/// Looks at one collection, or at all and at the folder.
pub(super) fn examine(
    store: &ChromaStore,
    only: Option<&Collection>,
    context: &Context<'_>,
) -> Result<Examination> {
    let (connection, release) = store.read()?;
    let mut found = Examination::default();
    for entry in catalog::read(&connection, release)? {
        context.check()?;
        if only.is_some_and(|collection| collection.id != entry.id) {
            continue;
        }
        if let Some(why) = entry.unsupported.as_ref().filter(|_| release.unsupported().is_none()) {
            found.findings.push(unsupported(&entry, why));
            continue;
        }
        let name = entry.name.clone();
        let facts = Facts::gather(&connection, &store.folder, entry)?;
        for check in doctor_index::CHECKS.iter().chain(doctor_records::CHECKS) {
            let Some(symptom) = (check.look)(&facts) else { continue };
            found.findings.push(Finding {
                check: check.name,
                collection: Some(name.clone()),
                severity: symptom.severity.unwrap_or(check.severity),
                found: symptom.found,
                records: symptom.records,
                examples: symptom.examples,
                migration: check.migration,
                advice: check.advice,
            });
        }
    }
    if only.is_none() {
        found.findings.extend(doctor_folders::orphans(&connection, &store.folder)?);
    }
    Ok(found)
}

fn unsupported(entry: &Entry, why: &str) -> Finding {
    Finding {
        check: "not_supported",
        collection: Some(entry.name.clone()),
        severity: Severity::Blocks,
        found: why.to_owned(),
        records: 0,
        examples: Vec::new(),
        migration: "refuses this collection",
        advice: "if Chroma itself cannot open it either, restore the folder from a copy",
    }
}
