//! A column of a plain table that may hold vectors: which encodings its values can be in, and its collections.

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::columns::{self, TableInfo};
use super::condition;
use super::encoding::{self, Encoding};
use super::entry::{Entry, collection_id};
use super::find::{Depth, Found};
use super::groups::Groups;
use super::settings::Wishes;
use super::stamp::Stamp;
use super::table::Table;
use crate::error::Result;
use crate::store::Metric;

const PICKLES: &str = "its vectors are Python pickles, which can hold programs: write them as numpy bytes \
                       (`array.astype('<f4').tobytes()`) first";
const QDRANT: &str = "Qdrant's local mode keeps Python pickles here and the dimension in a second file: the two cannot be \
                      changed in one instant; move the collection to a Qdrant server, or make it anew";

const HIDDEN: &str = "nothing tells its rows apart: columns have all three names of a row's number (rowid, _rowid_, oid): rename \
                      one of them first (ALTER TABLE ... RENAME COLUMN)";

/// Some values of a column that are there.
pub(super) fn sample(connection: &Connection, table: &TableInfo, column: &str) -> Result<Vec<Value>> {
    let (mut values, mut is_other) = (Vec::new(), false);
    columns::first_values(connection, table, column, &mut |value| {
        // Nothing else can be a vector: the column is none.
        is_other = match value {
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Null => true,
            ValueRef::Text(text) => !text.trim_ascii_start().starts_with(b"["),
            ValueRef::Blob(_) => false,
        };
        values.extend(Value::try_from(value));
        !is_other
    })?;
    Ok(if is_other { Vec::new() } else { values })
}

/// Encodings that the values may be in.
pub(super) fn likely(sample: &[Value]) -> Vec<Encoding> {
    match sample {
        [] => Vec::new(),
        sample => encoding::ALL.into_iter().filter(|encoding| encoding.is_likely(sample)).collect(),
    }
}

/// Whether every value can be a vector in an encoding.
pub(super) fn is_all(sample: &[Value], encoding: Encoding) -> bool {
    !sample.is_empty() && sample.iter().all(|value| encoding.dimension(value.into()).is_some())
}

/// Whether the values look like what Python's pickle writes.
pub(super) fn is_pickled(sample: &[Value]) -> bool {
    let pickled = |value: &Value| match value {
        Value::Blob(bytes) => matches!(bytes.as_slice(), [0x80, 2..=5, .., b'.']),
        _ => false,
    };
    !sample.is_empty() && sample.iter().all(pickled)
}

/// A column with vectors.
pub(super) struct Candidate<'a> {
    pub table: &'a TableInfo,
    pub name: &'a str,
    /// The table has others.
    pub several: bool,
    pub sample: &'a [Value],
    pub depth: Depth<'a>,
}

impl Candidate<'_> {
    /// Its collections: one for each dimension of the vectors that fulfil the condition.
    pub fn collections(
        &self,
        connection: &Connection,
        wishes: &Wishes,
        condition: Option<String>,
        stamps: &[Stamp],
    ) -> Result<Vec<Found>> {
        let mut unsupported = None;
        let encoding = match (wishes.encoding, likely(self.sample).as_slice()) {
            (Some(Encoding::Npy(_)), [one @ Encoding::Npy(_)]) => *one,
            (Some(said), _) => said,
            (None, [one]) => *one,
            (None, _) if is_pickled(self.sample) => {
                let is_qdrant = self.table.name == "points" && self.name == "point";
                unsupported = Some(if is_qdrant { QDRANT.to_owned() } else { PICKLES.to_owned() });
                Encoding::F32
            }
            (None, []) => {
                unsupported =
                    Some("its values are no vectors that embedport knows: say which with --encoding".into());
                Encoding::F32
            }
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|encoding| encoding.name()).collect();
                unsupported =
                    Some(format!("its values may be {}: say which with --encoding", names.join(" or ")));
                Encoding::F32
            }
        };
        let scale = wishes.scale.clone().filter(|_| encoding == Encoding::Int8Scaled);
        if encoding == Encoding::Int8Scaled && scale.is_none() {
            unsupported = Some(
                "its vectors are int8 times a factor: name the factor's column with --scale-column".into(),
            );
        }
        let table = self.table;
        let mut ids = wishes.id.clone().map_or_else(|| table.primary_key(), |id| vec![id]);
        if ids == table.key() || matches!(ids.as_slice(), [id] if table.is_rowid(id)) {
            ids.clear();
        }
        if table.hides_rowid() {
            unsupported = Some(HIDDEN.to_owned());
        }
        let is_vector = |name: &String| name == self.name || scale.as_ref() == Some(name);
        let mut entry = Entry {
            id: String::new(),
            name: String::new(),
            table: table.name.clone(),
            key: table.key(),
            ids,
            text_column: wishes.text.clone().or_else(|| self.text()),
            vector: self.name.to_owned(),
            others: table.columns.iter().map(|c| c.name.clone()).filter(|name| !is_vector(name)).collect(),
            scale,
            encoding,
            dimension: None,
            metric: wishes.metric.unwrap_or(Metric::Cosine),
            condition,
            grouped: false,
            fire_triggers: wishes.fire_triggers,
            unsupported,
        };
        if let Some(why) = condition::reads_vector(connection, &entry)? {
            entry.unsupported = Some(why);
        }
        let groups = match (self.depth, &entry.unsupported) {
            (Depth::Form, _) => Groups::default(),
            (Depth::Count(_), Some(_)) => Groups::count(connection, &entry)?,
            (Depth::Count(more), None) => Groups::of(connection, more, &entry)?,
        };
        let mixed = groups.dimensions.len() > 1 || groups.strange > 0 && !groups.dimensions.is_empty();
        let mut all = Vec::new();
        let whole = [(None, groups.all, groups.texts)];
        let dimensions: Vec<_> = groups.dimensions.iter().map(|(d, n, t)| (Some(*d), *n, *t)).collect();
        let each = if dimensions.is_empty() { whole.to_vec() } else { dimensions };
        for (dimension, count, texts) in each {
            let mut entry = Entry { dimension, grouped: mixed, ..entry.clone() };
            let own = |group| collection_id(&entry.table, &entry.vector, entry.condition.as_deref(), group);
            let stamp = stamps.iter().find(|stamp| {
                Some(stamp.space.dimension) == dimension
                    && entry.goes_by(&stamp.collection)
                    && stamp.wishes().is_ok_and(|said| said.condition == entry.condition)
            });
            let id = stamp.map_or_else(|| own(dimension.filter(|_| mixed)), |stamp| stamp.collection.clone());
            entry.name = self.name(&entry);
            entry.id = id;
            all.push(Found {
                entry,
                holder: Box::new(Table),
                count,
                texts,
                strange: groups.strange,
                stamp: stamp.cloned(),
            });
        }
        Ok(all)
    }

    fn name(&self, entry: &Entry) -> String {
        let mut name = entry.table.clone();
        if self.several {
            name = format!("{name}.{}", entry.vector);
        }
        if let Some(condition) = &entry.condition {
            name = format!("{name}[{condition}]");
        }
        match entry.dimension.filter(|_| entry.grouped) {
            Some(dimension) => format!("{name}[{dimension}]"),
            None => name,
        }
    }

    /// The column with the texts, by its name.
    fn text(&self) -> Option<String> {
        let free = |c: &&columns::Column| c.key == 0 && c.name != self.name;
        let columns: Vec<&columns::Column> = self.table.columns.iter().filter(free).collect();
        columns::likely_text(&columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>())
    }
}
