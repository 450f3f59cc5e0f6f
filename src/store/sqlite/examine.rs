//! A deep look at a SQLite file. Nothing is changed.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::entry::{Entry, list};
use super::find::{self, Depth, Found};
use super::rows::identifier;
use super::settings::Wishes;
use super::{identifiers, overlooked};
use crate::context::Context;
use crate::error::Result;
use crate::simd;
use crate::store::sql::Doing;
use crate::store::{Collection, Examination, Finding, Severity};

/// Looks at one collection, or at all and at the file.
pub(super) fn examine(
    connection: &Connection,
    wishes: &Wishes,
    said: &[Wishes],
    only: Option<&Collection>,
    context: &Context<'_>,
) -> Result<Examination> {
    let mut examination = Examination::default();
    if only.is_none() {
        examination.findings.extend(integrity(connection)?);
    }
    let all = find::all(connection, wishes, said, Depth::Count(None))?;
    if only.is_none() {
        examination.findings.extend(overlooked::columns(connection, &all)?.into_iter().map(unrecognised));
    }
    for found in all {
        context.check()?;
        if only.is_none_or(|only| only.id == found.entry.id) {
            examination.findings.extend(collection(connection, &found, context)?);
        }
    }
    Ok(examination)
}

/// What SQLite itself finds in its file.
fn integrity(connection: &Connection) -> Result<Option<Finding>> {
    let doing = "check the file";
    let mut statement = connection.prepare("PRAGMA main.quick_check(100)").doing(doing)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0)).doing(doing)?;
    let lines: Vec<String> = lines.collect::<rusqlite::Result<_>>().doing(doing)?;
    if lines.iter().all(|line| line == "ok") {
        return Ok(None);
    }
    Ok(Some(Finding {
        check: "integrity",
        collection: None,
        severity: Severity::Blocks,
        found: format!("SQLite finds its file damaged in {} places", lines.len()),
        records: 0,
        examples: lines.into_iter().take(Finding::EXAMPLES).collect(),
        migration: "refuses",
        advice: "recover the file (`sqlite3 FILE .recover`) or restore it from a copy",
    }))
}

fn unrecognised(column: String) -> Finding {
    Finding {
        check: "unrecognised",
        collection: None,
        severity: Severity::Harmless,
        found: format!("{column} may hold vectors, and was not recognised"),
        records: 0,
        examples: Vec::new(),
        migration: "leaves it as it is",
        advice: "if they are vectors, say so with --table, --vector-column and --encoding",
    }
}

/// One kind of finding in a collection.
struct Kind {
    check: &'static str,
    severity: Severity,
    found: &'static str,
    migration: &'static str,
    advice: &'static str,
}

const NO_VECTORS: Kind = Kind {
    check: "values that are no vectors",
    severity: Severity::Carried,
    found: "values of the vector column are no vectors",
    migration: "leaves them as they are",
    advice: "write those rows' vectors again, or set them to NULL",
};
const NOT_FINITE: Kind = Kind {
    check: "not finite",
    severity: Severity::Blocks,
    found: "vectors have a component that is not a finite number",
    migration: "refuses",
    advice: "write those rows' vectors again, or set them to NULL",
};
const ZERO: Kind = Kind {
    check: "zero vectors",
    severity: Severity::Carried,
    found: "vectors are all zeros: they say nothing",
    migration: "maps them to the same place each",
    advice: "embed those rows again",
};
const NO_SCALE: Kind = Kind {
    check: "no factor",
    severity: Severity::Blocks,
    found: "int8 vectors have no factor in the other column",
    migration: "refuses",
    advice: "write the factor, or set the vector to NULL",
};

fn collection(connection: &Connection, found: &Found, context: &Context<'_>) -> Result<Vec<Finding>> {
    let entry = &found.entry;
    let mut findings = Vec::new();
    if let Some(why) = &entry.unsupported {
        findings.push(Finding {
            check: "unsupported",
            collection: Some(entry.name.clone()),
            severity: Severity::Blocks,
            found: why.clone(),
            records: found.count,
            examples: Vec::new(),
            migration: "refuses",
            advice: "see above",
        });
        return Ok(findings);
    }
    if let Some(unnamed) = identifiers::unnamed(connection, entry)? {
        findings.push(Finding {
            check: "identifiers",
            collection: Some(entry.name.clone()),
            severity: Severity::Blocks,
            found: unnamed.found,
            records: unnamed.rows,
            examples: Vec::new(),
            migration: "refuses",
            advice: "name a column that identifies every row with --id-column; `rowid` is one in most tables",
        });
    }
    let mut met = [
        (&NO_VECTORS, 0, Vec::new()),
        (&NOT_FINITE, 0, Vec::new()),
        (&ZERO, 0, Vec::new()),
        (&NO_SCALE, 0, Vec::new()),
    ];
    look(connection, entry, context, &mut |kind, id| {
        if let Some((_, count, examples)) = met.iter_mut().find(|(known, ..)| known.check == kind.check) {
            *count += 1;
            if examples.len() < Finding::EXAMPLES {
                examples.push(id.escape_default().to_string());
            }
        }
    })?;
    findings.extend(met.into_iter().filter(|(_, count, _)| *count > 0).map(|(kind, records, examples)| {
        Finding {
            check: kind.check,
            collection: Some(entry.name.clone()),
            severity: kind.severity,
            found: format!("{records} {}", kind.found),
            records,
            examples,
            migration: kind.migration,
            advice: kind.advice,
        }
    }));
    Ok(findings)
}

/// Looks at every value of the vector column; what is wrong goes to `wrong` with the row's identifier.
fn look(
    connection: &Connection,
    entry: &Entry,
    context: &Context<'_>,
    wrong: &mut dyn FnMut(&Kind, String),
) -> Result<()> {
    let doing = "look at the vectors";
    let whole = Entry { grouped: false, ..entry.clone() };
    let ids = entry.id_columns();
    let columns = [&ids[..], &entry.vector_columns()].concat();
    let sql = format!("SELECT {} FROM main.{} WHERE {}", list(&columns), entry.table_name(), whole.belongs());
    let mut statement = connection.prepare(&sql).doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let mut vector = Vec::new();
    let mut seen = 0u64;
    while let Some(row) = rows.next().doing(doing)? {
        seen += 1;
        if seen.is_multiple_of(4096) {
            context.check()?;
        }
        vector.clear();
        let value = row.get_ref(ids.len()).doing(doing)?;
        let scale = match entry.scale {
            Some(_) => match row.get_ref(ids.len() + 1).doing(doing)? {
                ValueRef::Real(x) => Some(x),
                ValueRef::Integer(n) => Some(n as f64),
                _ => {
                    wrong(&NO_SCALE, identifier(row, 0, ids.len())?);
                    continue;
                }
            },
            None => None,
        };
        let kind = match entry.encoding.decode(value, scale, &mut vector) {
            None => &NO_VECTORS,
            Some(_) if !simd::all_finite(&vector) => &NOT_FINITE,
            Some(_) if vector.iter().all(|x| *x == 0.0) => &ZERO,
            Some(_) => continue,
        };
        wrong(kind, identifier(row, 0, ids.len())?);
    }
    Ok(())
}
