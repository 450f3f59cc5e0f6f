//! Checks of the index files.

use std::collections::{HashMap, HashSet};

use super::doctor::{Check, Symptom};
use super::doctor_facts::{Element, Facts, Files};
use super::index::{LENGTHS, LEVEL0, LINKS};
use super::queue::Place;
use crate::error::Error;
use crate::store::{Metric, Severity};

const RESTORE: &str =
    "restore the folder from a copy, or write the records of this collection again with Chroma";
const NOTHING: &str = "nothing has to be done";

/// In the order of the report.
pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "header",
        severity: Severity::Blocks,
        look: header,
        migration: "refuses: without it no vector can be found",
        advice: RESTORE,
    },
    Check {
        name: "level0",
        severity: Severity::Blocks,
        look: level0,
        migration: "refuses: vectors are missing",
        advice: RESTORE,
    },
    Check {
        name: "lengths",
        severity: Severity::Blocks,
        look: lengths,
        migration: "refuses a cosine collection: the vectors as they were given cannot be restored; other metrics do not use the file",
        advice: RESTORE,
    },
    Check {
        name: "link_lists",
        severity: Severity::Blocks,
        look: link_lists,
        migration: "refuses: a broken file must not become a backup",
        advice: RESTORE,
    },
    Check {
        name: "pickle",
        severity: Severity::Blocks,
        look: pickle,
        migration: "refuses: which vector is whose is not known",
        advice: RESTORE,
    },
    Check {
        name: "index_dimension",
        severity: Severity::Blocks,
        look: dimension,
        migration: "refuses: either number may be the wrong one",
        advice: "if `collections.dimension` was edited by hand, set it back to what the index has; Chroma 1.x may crash on this folder until then",
    },
    Check {
        name: "stray_links",
        severity: Severity::Repaired,
        look: stray_links,
        migration: "makes the graph anew (--index rebuild)",
        advice: "searches may miss records until then",
    },
    Check {
        name: "repeated_labels",
        severity: Severity::Blocks,
        look: repeated_labels,
        migration: "refuses: which of the vectors is right is not known",
        advice: RESTORE,
    },
    Check {
        name: "labels_without_element",
        severity: Severity::Repaired,
        look: labels_without_element,
        migration: "leaves these entries out",
        advice: NOTHING,
    },
    Check {
        name: "elements_without_label",
        severity: Severity::Repaired,
        look: elements_without_label,
        migration: "leaves these vectors out",
        advice: NOTHING,
    },
    Check {
        name: "vectors_without_record",
        severity: Severity::Repaired,
        look: vectors_without_record,
        migration: "leaves these vectors out",
        advice: "nothing has to be done; if the records are missed, restore the folder from a copy",
    },
    Check {
        name: "not_normalised",
        severity: Severity::Repaired,
        look: not_normalised,
        migration: "takes each vector times its stored length and normalises the result",
        advice: "distances are wrong until then; if the vectors are, write the records again with Chroma",
    },
];

fn why(error: &Error) -> Symptom {
    Symptom::said(error.message())
}

fn files<'a>(facts: &'a Facts<'_>) -> Option<&'a Files> {
    facts.files.as_ref()
}

fn header(facts: &Facts<'_>) -> Option<Symptom> {
    files(facts)?.header.as_ref().err().map(why)
}

fn level0(facts: &Facts<'_>) -> Option<Symptom> {
    let files = files(facts)?;
    let header = files.header.as_ref().ok()?;
    let Some(found) = files.level0_bytes else {
        return Some(Symptom::said(format!("{LEVEL0} is missing")));
    };
    let (count, size) = (header.count, header.element_bytes());
    let missing = count.saturating_sub(found / size.max(1));
    (missing > 0).then(|| Symptom {
        found: format!("{LEVEL0} has {found} bytes for {count} elements of {size}"),
        records: missing,
        ..Symptom::default()
    })
}

fn lengths(facts: &Facts<'_>) -> Option<Symptom> {
    let files = files(facts)?;
    let wanted = files.header.as_ref().ok()?.count.saturating_mul(4);
    let found = files.lengths_bytes.unwrap_or(0);
    (found < wanted).then(|| Symptom {
        records: wanted.saturating_sub(found).div_ceil(4),
        severity: (facts.entry.settings.metric != Metric::Cosine).then_some(Severity::Harmless),
        ..Symptom::said(format!("{LENGTHS} has {found} bytes, wanted {wanted}"))
    })
}

fn link_lists(facts: &Facts<'_>) -> Option<Symptom> {
    files(facts)?.links.as_ref().err().map(why)
}

fn pickle(facts: &Facts<'_>) -> Option<Symptom> {
    let files = files(facts)?;
    // With a header that is no help the bound of the pickle is none: one finding is enough.
    files.header.as_ref().ok()?;
    files.pickle.as_ref().err().map(why)
}

fn dimension(facts: &Facts<'_>) -> Option<Symptom> {
    let files = files(facts)?;
    let index = files.header.as_ref().ok()?.dimension;
    let said = files.pickle.as_ref().ok().and_then(|pickle| pickle.dimensionality);
    let others = [said.and_then(|d| usize::try_from(d).ok()), facts.entry.dimension];
    let other = others.into_iter().flatten().find(|other| *other != index)?;
    Some(Symptom::said(format!("the index holds vectors of {index} components, the collection says {other}")))
}

fn stray_links(facts: &Facts<'_>) -> Option<Symptom> {
    let files = files(facts)?;
    let header = files.header.as_ref().ok()?;
    let level0 = files.elements.iter().filter(|element| element.stray_links).count() as u64;
    let upper = if files.links.is_ok() { stray_upper(files, header.count, header.m) } else { 0 };
    (level0 + upper > 0).then(|| Symptom {
        records: level0 + upper,
        ..Symptom::said(format!("{} lists of links name elements that do not exist", level0 + upper))
    })
}

/// Lists above level 0 with links outside; their sizes were checked.
fn stray_upper(files: &Files, count: u64, m: usize) -> u64 {
    let bytes = std::fs::read(files.folder.join(LINKS)).unwrap_or_default();
    let (mut rest, mut stray) = (bytes.as_slice(), 0);
    for _ in 0..count {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { break };
        let size = u32::from_le_bytes(*length) as usize;
        let Some((lists, after)) = after.split_at_checked(size) else { break };
        rest = after;
        for list in lists.chunks_exact(4 + 4 * m) {
            let words = list.as_chunks::<4>().0;
            let used = words.first().map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
            let outside = words.iter().skip(1).take(used).any(|b| u64::from(u32::from_le_bytes(*b)) >= count);
            stray += u64::from(outside || used > m);
        }
    }
    stray
}

fn repeated_labels(facts: &Facts<'_>) -> Option<Symptom> {
    let mut seen = HashSet::new();
    let repeated = live(files(facts)?).filter(|element| !seen.insert(element.label)).count() as u64;
    (repeated > 0).then(|| Symptom {
        records: repeated,
        ..Symptom::said(format!("{repeated} elements have the label of another one"))
    })
}

fn live(files: &Files) -> impl Iterator<Item = &Element> {
    files.elements.iter().filter(|element| !element.deleted)
}

fn labels_without_element(facts: &Facts<'_>) -> Option<Symptom> {
    let files = files(facts)?;
    let header = files.header.as_ref().ok()?;
    // What was cut off is found by another check.
    if (files.elements.len() as u64) < header.count {
        return None;
    }
    let names = files.pickle.as_ref().ok()?.labels.iter().map(|(id, _)| id.as_str());
    Symptom::of(names.filter(|id| !facts.indexed.contains_key(*id)), |n| {
        format!("the index names {n} records for which it has no vector")
    })
}

fn elements_without_label(facts: &Facts<'_>) -> Option<Symptom> {
    let files = files(facts)?;
    let named: HashSet<u64> = files.pickle.as_ref().ok()?.labels.iter().map(|(_, label)| *label).collect();
    let unnamed = live(files).filter(|element| !named.contains(&element.label)).count() as u64;
    (unnamed > 0).then(|| Symptom {
        records: unnamed,
        ..Symptom::said(format!("{unnamed} vectors of the index have a label that belongs to no id"))
    })
}

fn vectors_without_record(facts: &Facts<'_>) -> Option<Symptom> {
    let records: HashSet<&str> = facts.ids.iter().map(String::as_str).collect();
    let mut without: Vec<&str> = facts
        .indexed
        .keys()
        .map(String::as_str)
        .filter(|id| !records.contains(id) && facts.place(id) != Some(Place::Gone))
        .collect();
    without.sort_unstable();
    Symptom::of(without.into_iter(), |n| format!("{n} vectors of the index belong to no record"))
}

fn not_normalised(facts: &Facts<'_>) -> Option<Symptom> {
    if facts.entry.settings.metric != Metric::Cosine {
        return None;
    }
    // Chroma's single precision is within 1e-6; a zero vector stays zero.
    let wrong: HashMap<&str, f64> = facts
        .indexed
        .iter()
        .filter(|(_, e)| e.square.is_finite() && e.square > 0.0 && (e.square.sqrt() - 1.0).abs() > 1e-3)
        .map(|(id, e)| (id.as_str(), e.square))
        .collect();
    let mut ids: Vec<&str> = wrong.into_keys().collect();
    ids.sort_unstable();
    Symptom::of(ids.into_iter(), |n| format!("{n} stored vectors are not of length 1 in a cosine index"))
}
