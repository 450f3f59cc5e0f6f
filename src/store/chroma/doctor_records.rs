//! Checks of the tables and the queue.

use std::collections::HashSet;

use super::doctor::{Check, Symptom};
use super::doctor_facts::{Facts, Queued};
use crate::store::Severity;
use crate::store::sql::Doing;

/// In the order of the report.
pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "metadata_behind",
        severity: Severity::Blocks,
        look: metadata_behind,
        migration: "refuses: records are in the queue that the tables do not have yet",
        advice: "open the collection once with Chroma (`get_collection` and `count()`), which finishes them",
    },
    Check {
        name: "queue_rows",
        severity: Severity::Blocks,
        look: queue_rows,
        migration: "refuses: what the rows mean is not known",
        advice: "restore the folder from a copy",
    },
    Check {
        name: "queued_dimension",
        severity: Severity::Blocks,
        look: queued_dimension,
        migration: "refuses: these vectors have another dimension than the collection",
        advice: "write these records again with Chroma, or delete them",
    },
    Check {
        name: "records_without_vector",
        severity: Severity::Blocks,
        look: records_without_vector,
        migration: "refuses: there is nothing to migrate for them",
        advice: "write these records again with Chroma (their texts are there), or delete them, or restore the folder from a copy",
    },
    Check {
        name: "repeated_ids",
        severity: Severity::Blocks,
        look: repeated_ids,
        migration: "refuses: one vector cannot belong to two records",
        advice: "delete all but one row of each id",
    },
    Check {
        name: "not_finite",
        severity: Severity::Blocks,
        look: not_finite,
        migration: "refuses: no map makes a vector out of NaN or infinity",
        advice: "write these records again with Chroma, or delete them",
    },
    Check {
        name: "zero_vectors",
        severity: Severity::Harmless,
        look: zero_vectors,
        migration: "migrates them like all others and counts them",
        advice: "look whether these records have empty texts; a zero vector says nothing",
    },
    Check {
        name: "queue_restarted",
        severity: Severity::Repaired,
        look: queue_restarted,
        migration: "leaves a row in the queue at the newest sequence number, so that new records count again",
        advice: "until then Chroma silently drops what is added to this collection: add nothing before",
    },
    Check {
        name: "queue_at_risk",
        severity: Severity::Repaired,
        look: queue_at_risk,
        migration: "leaves a row in the queue at the newest sequence number of this collection",
        advice: "do not delete other collections before: additions to this one could then be dropped silently",
    },
];

fn metadata_behind(facts: &Facts<'_>) -> Option<Symptom> {
    let (last, seen) = (facts.entry.queue_last?, facts.entry.metadata_seq.unwrap_or(0));
    let unread: i64 = facts
        .connection
        .query_row(
            "SELECT count(*) FROM embeddings_queue WHERE topic = ?1 AND seq_id > ?2",
            rusqlite::params![facts.entry.topic, seen],
            |row| row.get(0),
        )
        .unwrap_or(0);
    (seen < last).then(|| Symptom {
        records: unread.unsigned_abs(),
        ..Symptom::said(format!("the tables have read the queue up to {seen}, it goes up to {last}"))
    })
}

fn queue_rows(facts: &Facts<'_>) -> Option<Symptom> {
    facts.pending.as_ref().err().map(|error| Symptom::said(error.message()))
}

fn queued_dimension(facts: &Facts<'_>) -> Option<Symptom> {
    let misfits = facts.queued.iter().filter(|(_, queued)| matches!(queued, Queued::Misfit));
    let mut ids: Vec<&str> = misfits.map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    let dimension = facts.dimension().unwrap_or(0);
    Symptom::of(ids.into_iter(), |n| format!("{n} vectors in the queue have not {dimension} components"))
}

fn records_without_vector(facts: &Facts<'_>) -> Option<Symptom> {
    // Where the index cannot be read at all, that is the finding.
    let readable = facts.files.as_ref().is_none_or(|f| f.header.is_ok() && f.pickle.is_ok());
    if !readable || facts.pending.is_err() {
        return None;
    }
    let without = facts.live().filter(|(_, square)| square.is_none()).map(|(id, _)| id);
    Symptom::of(without, |n| format!("{n} records have no vector, neither in the index nor in the queue"))
}

fn repeated_ids(facts: &Facts<'_>) -> Option<Symptom> {
    let mut seen = HashSet::new();
    let repeated = facts.ids.iter().map(String::as_str).filter(|id| !seen.insert(*id));
    Symptom::of(repeated, |n| format!("{n} records have the id of another one"))
}

fn not_finite(facts: &Facts<'_>) -> Option<Symptom> {
    let bad = facts.live().filter(|(_, square)| square.is_some_and(|s| !s.is_finite())).map(|(id, _)| id);
    Symptom::of(bad, |n| format!("the vectors of {n} records are not finite"))
}

fn zero_vectors(facts: &Facts<'_>) -> Option<Symptom> {
    let zero = facts.live().filter(|(_, square)| *square == Some(0.0)).map(|(id, _)| id);
    Symptom::of(zero, |n| format!("the vectors of {n} records are zero"))
}

/// Newest sequence number of the whole queue: the next row gets the one after it.
fn newest(facts: &Facts<'_>) -> Option<i64> {
    let sql = "SELECT coalesce(max(seq_id), 0) FROM embeddings_queue";
    facts.connection.query_row(sql, [], |row| row.get(0)).doing("read the queue").ok()
}

/// What the segments have consumed.
fn consumed(facts: &Facts<'_>) -> Option<i64> {
    facts.entry.vector_seq.max(facts.entry.metadata_seq).filter(|seq| *seq > 0)
}

fn queue_restarted(facts: &Facts<'_>) -> Option<Symptom> {
    let (consumed, newest) = (consumed(facts)?, newest(facts)?);
    (newest < consumed).then(|| {
        Symptom::said(format!(
            "the collection has read the queue up to {consumed}, which now ends at {newest}"
        ))
    })
}

fn queue_at_risk(facts: &Facts<'_>) -> Option<Symptom> {
    let (consumed, newest) = (consumed(facts)?, newest(facts)?);
    let own = facts.entry.queue_last.unwrap_or(0);
    (own < consumed && consumed <= newest).then(|| {
        Symptom::said(format!(
            "the collection has read the queue up to {consumed}, its own last row is {own}"
        ))
    })
}
