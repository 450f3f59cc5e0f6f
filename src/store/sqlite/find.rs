//! Finding the collections of a file: by what the user says, what a stamp says, and what the columns hold.

use rusqlite::Connection;

use super::candidate::{Candidate, is_all, is_pickled, likely, sample};
use super::columns::{self, TableInfo};
use super::entry::Entry;
use super::holder::Holder;
use super::parts::More;
use super::settings::Wishes;
use super::stamp::{self, Stamp};
use super::twin::{self, Twin};
use super::vec0::{self, Vec0};
use crate::error::{Error, Kind, Result};
use crate::store::Settings;

/// A collection, and what was seen of it without reading its vectors.
#[derive(Debug)]
pub(super) struct Found {
    pub entry: Entry,
    pub holder: Box<dyn Holder>,
    pub count: u64,
    pub texts: u64,
    /// Values of the column that are no vectors of any collection.
    pub strange: u64,
    /// The stamp, if it holds.
    pub stamp: Option<Stamp>,
}

impl Found {
    /// How the collection is read, for a stamp.
    pub fn settings(&self) -> Settings {
        let entry = &self.entry;
        let id = match (entry.ids.as_slice(), entry.key.as_slice()) {
            ([id], _) => Some(id.as_str()),
            // The number of the row: a primary key would be taken for it where nothing is said.
            ([], [key]) if !entry.others.contains(key) => Some(key.as_str()),
            _ => None,
        };
        Settings::of(&[
            ("table", Some(&entry.table)),
            ("vector", Some(&entry.vector)),
            ("id", id),
            ("text", entry.text_column.as_deref()),
            ("scale", entry.scale.as_deref()),
            ("encoding", Some(entry.encoding.name())),
            ("metric", Some(entry.metric.name())),
            ("where", entry.condition.as_deref()),
        ])
    }
}

/// How far is looked.
#[derive(Clone, Copy)]
pub(super) enum Depth<'a> {
    /// At some rows: tables, columns, encodings. Dimensions and numbers of records are not known.
    Form,
    /// At the length of every vector, by several connections.
    Count(More<'a>),
}

/// Every collection of the file that `wishes` leave in, ordered by name. `said`: how collections were read that have no
/// stamp any more.
pub(super) fn all(
    connection: &Connection,
    wishes: &Wishes,
    said: &[Wishes],
    depth: Depth<'_>,
) -> Result<Vec<Found>> {
    let stamps = stamp::all(connection)?;
    let mut said = said.to_vec();
    for stamp in &stamps {
        said.push(stamp.wishes()?);
    }
    let tables = columns::tables(connection)?;
    let mut found = Vec::new();
    for table in &tables {
        if wishes.table.as_ref().is_none_or(|name| *name == table.name) {
            found.extend(in_table(connection, table, wishes, &said, &stamps, depth)?);
        }
    }
    let vss = vec0::vss_tables(connection)?;
    if let Some(index) = vss.first() {
        for one in &mut found {
            one.entry.unsupported = Some(format!(
                "the file has a table `{index}` of sqlite-vss, which would keep the vectors of before: sqlite-vss is no longer \
                 maintained, move to sqlite-vec first"
            ));
        }
    }
    for (entry, holder) in vec0::entries(connection)? {
        if let Some(at) = twin::joined(connection, &found, &entry)? {
            let one = found.swap_remove(at);
            found.push(Twin::of(one, entry, holder));
            continue;
        }
        let wanted = |wish: &Option<String>, is: &str| wish.as_ref().is_none_or(|wish| wish == is);
        if wanted(&wishes.table, &entry.table) && wanted(&wishes.vector, &entry.vector) {
            found.push(virtual_table(connection, entry, holder, wishes, &stamps, depth)?);
        }
    }
    if let Some(name) = wishes.table.as_ref().filter(|_| found.is_empty()) {
        return Err(nothing_in(name, &tables));
    }
    found.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    Ok(found)
}

/// A vector column of a vec0 table.
fn virtual_table(
    connection: &Connection,
    entry: Entry,
    holder: Vec0,
    wishes: &Wishes,
    stamps: &[Stamp],
    depth: Depth<'_>,
) -> Result<Found> {
    let stamp = stamps
        .iter()
        .find(|stamp| stamp.collection == entry.id && Some(stamp.space.dimension) == entry.dimension);
    let said = stamp.map(Stamp::wishes).transpose()?.map_or_else(|| wishes.clone(), |said| wishes.or(&said));
    let mut entry = Entry {
        text_column: said.text.filter(|text| entry.others.contains(text)).or(entry.text_column),
        fire_triggers: wishes.fire_triggers,
        ..entry
    };
    if said.condition.is_some() {
        entry.unsupported =
            Some("a virtual table has one space: some of its rows alone cannot be rewritten".into());
    }
    let (mut count, mut texts) = (0, 0);
    if matches!(depth, Depth::Count(_)) && entry.unsupported.is_none() {
        count = holder.count(connection)?;
        if let Some(text) = &entry.text_column {
            texts = holder.texts(connection, text)?;
        }
    }
    Ok(Found { entry, holder: Box::new(holder), count, texts, strange: 0, stamp: stamp.cloned() })
}

fn nothing_in(name: &str, tables: &[TableInfo]) -> Error {
    match tables.iter().any(|table| table.name == name) {
        true => Error::new(Kind::NotFound, format!("no column of table `{name}` holds vectors"))
            .hint("name the column and how its vectors are written: --vector-column and --encoding"),
        false => {
            let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).take(10).collect();
            Error::new(Kind::NotFound, format!("no table `{name}` in this file"))
                .hint(format!("its tables are: {}", names.join(", ")))
        }
    }
}

/// The collections of one table.
fn in_table(
    connection: &Connection,
    table: &TableInfo,
    wishes: &Wishes,
    said: &[Wishes],
    stamps: &[Stamp],
    depth: Depth<'_>,
) -> Result<Vec<Found>> {
    for column in [&wishes.vector, &wishes.id, &wishes.text, &wishes.scale].into_iter().flatten() {
        // A filter on the table alone may meet several; names are of the one that was named.
        let is_id = wishes.id.as_ref() == Some(column) && table.is_rowid(column);
        if wishes.table.is_some() && !table.has(column) && !is_id {
            let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
            return Err(Error::new(
                Kind::NotFound,
                format!("table `{}` has no column `{column}`", table.name),
            )
            .hint(format!("its columns are: {}", names.join(", "))));
        }
    }
    let said: Vec<&Wishes> = said.iter().filter(|said| said.table.as_ref() == Some(&table.name)).collect();
    let mut columns = Vec::new();
    for column in &table.columns {
        let named = wishes.vector.as_ref().is_some_and(|name| *name == column.name);
        let sample = sample(connection, table, &column.name)?;
        let known = said.iter().any(|said| said.vector.as_ref() == Some(&column.name));
        let fits = wishes.encoding.is_some_and(|said| is_all(&sample, said));
        if named || known || fits || !likely(&sample).is_empty() || is_pickled(&sample) {
            columns.push((column.name.clone(), sample));
        }
    }
    let several = columns.len() > 1;
    let mut found = Vec::new();
    for (column, sample) in columns {
        if wishes.vector.as_ref().is_some_and(|name| *name != column) {
            continue;
        }
        let own = said.iter().filter(|said| said.vector.as_ref() == Some(&column));
        let mut conditions = vec![None];
        conditions.extend(own.clone().filter_map(|said| said.condition.clone()).map(Some));
        if wishes.condition.is_some() {
            conditions = vec![wishes.condition.clone()];
        }
        conditions.sort();
        conditions.dedup();
        for condition in conditions {
            let said = own.clone().find(|said| said.condition == condition);
            let wishes = said.map_or_else(|| wishes.clone(), |said| wishes.or(said));
            let seen = Candidate { table, name: &column, several, sample: &sample, depth };
            found.extend(seen.collections(connection, &wishes, condition, stamps)?);
        }
    }
    Ok(found)
}
