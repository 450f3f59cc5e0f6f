//! The vec0 tables of a file, one entry for each vector column.

use rusqlite::Connection;

use super::declaration::{Declaration, Distance, Element, Holds, Metadata, Vectors, virtual_table};
use super::{Vec0, shadow};
use crate::error::Result;
use crate::store::Metric;
use crate::store::sql::Doing;
use crate::store::sqlite::columns::likely_text;
use crate::store::sqlite::encoding::Encoding;
use crate::store::sqlite::entry::{Entry, collection_id};

/// Every vector column of every vec0 table, in the order of their names.
pub(in crate::store::sqlite) fn entries(connection: &Connection) -> Result<Vec<(Entry, Vec0)>> {
    let mut entries = Vec::new();
    for (table, sql) in declared(connection, "vec0")? {
        match Declaration::parse(&sql) {
            Ok(declaration) => {
                let unsupported = shadow::obstacle(connection, &declaration)?;
                for (number, (vector, vectors)) in declaration.vectors().enumerate() {
                    let entry = entry(&declaration, vector, vectors, unsupported.clone());
                    let holder = Vec0 { declaration: declaration.clone(), number, element: vectors.element };
                    entries.push((entry, holder));
                }
            }
            Err(error) => {
                let unknown = Declaration { table: table.clone(), ..Declaration::default() };
                let unsupported = Some(error.message().to_owned());
                let none = Vectors { element: Element::F32, dimension: 0, distance: Distance::L1, at: 0..0 };
                let entry = Entry { dimension: None, ..entry(&unknown, "", &none, unsupported) };
                entries.push((entry, Vec0 { declaration: unknown, number: 0, element: Element::F32 }));
            }
        }
    }
    entries.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(entries)
}

/// Tables of sqlite-vss, the extension before sqlite-vec.
pub(in crate::store::sqlite) fn vss_tables(connection: &Connection) -> Result<Vec<String>> {
    Ok(declared(connection, "vss0")?.into_iter().map(|(table, _)| table).collect())
}

/// Name and declaration of each virtual table of a module.
fn declared(connection: &Connection, module: &str) -> Result<Vec<(String, String)>> {
    let doing = "list the virtual tables";
    let mut statement = connection
        .prepare_cached(
            "SELECT name, sql FROM main.sqlite_master WHERE type = 'table' AND rootpage = 0 ORDER BY name",
        )
        .doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        let (name, sql): (String, String) = (row.get(0).doing(doing)?, row.get(1).doing(doing)?);
        if virtual_table(&sql).is_some_and(|(_, of, _)| of.eq_ignore_ascii_case(module)) {
            found.push((name, sql));
        }
    }
    Ok(found)
}

fn entry(declaration: &Declaration, vector: &str, vectors: &Vectors, unsupported: Option<String>) -> Entry {
    let table = &declaration.table;
    let alone = declaration.vectors().count() <= 1;
    let (metric, strange) = match vectors.distance {
        Distance::Known(metric) => (metric, None),
        Distance::L1 => (Metric::L2, Some("its metric is L1, which embedport does not measure".to_owned())),
    };
    let odd = (vectors.element == Element::Bit && !vectors.dimension.is_multiple_of(8))
        .then(|| format!("its bit column has {} components, wanted a multiple of 8", vectors.dimension));
    Entry {
        id: collection_id(table, vector, None, None),
        name: if alone { table.clone() } else { format!("{table}.{vector}") },
        table: table.clone(),
        key: vec![declaration.key_column().to_owned()],
        ids: Vec::new(),
        text_column: text_column(declaration),
        vector: vector.to_owned(),
        scale: None,
        others: others(declaration),
        encoding: match vectors.element {
            Element::F32 => Encoding::F32,
            Element::Int8 => Encoding::Int8Unit,
            Element::Bit => Encoding::Bit,
        },
        dimension: Some(vectors.dimension),
        metric,
        condition: None,
        grouped: false,
        fire_triggers: false,
        unsupported: unsupported.or(odd).or(strange),
    }
}

/// Columns beside key and vectors. Those of other vector columns are not counted: each is a collection of its own.
fn others(declaration: &Declaration) -> Vec<String> {
    let plain = declaration.columns.iter().filter(|column| !matches!(column.holds, Holds::Vectors(..)));
    plain.map(|column| column.name.clone()).collect()
}

fn text_column(declaration: &Declaration) -> Option<String> {
    let texts = declaration.columns.iter().filter(|column| {
        matches!(column.holds, Holds::Auxiliary(_, true) | Holds::Metadata(_, Metadata::Text))
    });
    likely_text(&texts.map(|column| column.name.as_str()).collect::<Vec<_>>())
}

/// Triggers on the shadow tables.
pub(super) fn triggers(connection: &Connection, declaration: &Declaration) -> Result<Vec<String>> {
    let doing = "list the triggers";
    let tables = shadow::wanted(declaration).into_iter().map(|(suffix, _)| suffix).chain(["info".to_owned()]);
    let tables: Vec<String> = tables.map(|suffix| format!("{}_{suffix}", declaration.table)).collect();
    let mut statement = connection
        .prepare_cached("SELECT name, tbl_name FROM main.sqlite_master WHERE type = 'trigger' ORDER BY name")
        .doing(doing)?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).doing(doing)?;
    let found: Vec<(String, String)> = found.collect::<rusqlite::Result<_>>().doing(doing)?;
    let on_shadow = |table: &str| tables.iter().any(|shadow| shadow.eq_ignore_ascii_case(table));
    Ok(found.into_iter().filter(|(_, table)| on_shadow(table)).map(|(name, _)| name).collect())
}
