//! One collection of a SQLite file in the words of SQL: a table (or virtual table), its key, its vector column.

use crate::store::sql::rows_file::quoted;
use crate::store::{Metric, Settings};

use super::encoding::Encoding;

/// A column with vectors, and all that is needed to read and rewrite it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// See [`Collection::id`](crate::store::Collection::id): table, vector column and condition.
    pub id: String,
    pub name: String,
    pub table: String,
    /// Columns that tell rows apart, in their order: the rowid under a name that no column has, or the primary key.
    pub key: Vec<String>,
    /// Columns with the record's identifier; none: the key is it.
    pub ids: Vec<String>,
    pub text_column: Option<String>,
    pub vector: String,
    /// Column with the factor of an int8 vector.
    pub scale: Option<String>,
    /// Every other column that the file stores, in the table's order.
    pub others: Vec<String>,
    pub encoding: Encoding,
    /// Components of the vectors; none: there is no vector yet.
    pub dimension: Option<usize>,
    pub metric: Metric,
    /// Rows that belong to the collection, as SQL.
    pub condition: Option<String>,
    /// The column has vectors of other dimensions too, which are not of this collection.
    pub grouped: bool,
    /// Triggers may see the rewrite.
    pub fire_triggers: bool,
    /// See [`Collection::unsupported`](crate::store::Collection::unsupported).
    pub unsupported: Option<String>,
}

impl Entry {
    pub fn table_name(&self) -> String {
        quoted(&self.table)
    }

    /// [`Entry::id`] of a column whose vectors are of one dimension.
    pub fn own_id(&self) -> String {
        collection_id(&self.table, &self.vector, self.condition.as_deref(), None)
    }

    /// Whether `id` is a collection's of this column and condition: that of all its vectors, or of those of one dimension.
    pub fn goes_by(&self, id: &str) -> bool {
        let rest = id.strip_prefix(self.own_id().as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(GROUP))
    }

    /// Columns of the key as a list for SQL.
    pub fn key_columns(&self) -> String {
        list(&self.key)
    }

    /// What gives the record's identifier: one column, or those of the key.
    pub fn id_columns(&self) -> Vec<String> {
        if self.ids.is_empty() { self.key.clone() } else { self.ids.clone() }
    }

    /// The condition that a row with a vector belongs to the collection.
    pub fn belongs(&self) -> String {
        format!("{} IS NOT NULL AND {}", quoted(&self.vector), self.belongs_or_empty())
    }

    /// As [`Entry::belongs`], but rows without a vector may fulfil it too. SQLite copies a vector to say whether there is one:
    /// who looks at it anyway does not ask. Not where the user gave a condition, which may fail for such rows.
    pub fn belongs_or_empty(&self) -> String {
        let condition = self.condition.as_deref().map(enclosed);
        let group = self.dimension.filter(|_| self.grouped).map(|dimension| self.has_dimension(dimension));
        let all: Vec<String> = condition.into_iter().chain(group).collect();
        // Not `TRUE`, which may be a column's name.
        if all.is_empty() { "1".to_owned() } else { all.join(" AND ") }
    }

    /// That a row's vector has so many components.
    pub fn has_dimension(&self, dimension: usize) -> String {
        let vector = quoted(&self.vector);
        match self.encoding.length(dimension) {
            Some(length) => format!("length({vector}) = {length}"),
            None => format!("{} = {dimension}", json_length(&vector)),
        }
    }

    /// What tells how many components a row's vector has: see [`Entry::dimension_of`].
    pub fn length(&self) -> String {
        let vector = quoted(&self.vector);
        match self.encoding {
            Encoding::Json => json_length(&vector),
            _ => format!("length({vector})"),
        }
    }

    /// The columns of a vector: its own, and that of its factor.
    pub fn vector_columns(&self) -> Vec<String> {
        std::iter::once(&self.vector).chain(&self.scale).cloned().collect()
    }

    /// Leaves out the other columns that are not among these: they came later, and are not the collection's.
    pub fn keep_others(&mut self, columns: &[String]) {
        self.others.retain(|column| columns.contains(column));
    }

    /// The collection once its vectors have so many components.
    pub fn with_dimension(&self, dimension: usize) -> Entry {
        Entry { dimension: Some(dimension), ..self.clone() }
    }
}

/// Length of a JSON array; NULL for what is no JSON, where SQLite would end the statement.
fn json_length(vector: &str) -> String {
    format!("CASE WHEN json_valid({vector}) THEN json_array_length({vector}) END")
}

/// What stands in an id before the dimension of one group of several.
const GROUP: &str = "&dimension=";

/// Whether an id is that of one group of several dimensions.
pub(super) fn is_group(id: &str) -> bool {
    id.contains(GROUP)
}

/// A condition as a part of others. A line comment at its end ends with the line.
pub(super) fn enclosed(condition: &str) -> String {
    format!("({condition}\n)")
}

/// Names as a list for SQL.
pub(super) fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// What names a collection for good: its table and vector column, the condition on its rows, and among vectors of several
/// dimensions the one that it had first.
pub(super) fn collection_id(
    table: &str,
    vector: &str,
    condition: Option<&str>,
    dimension: Option<usize>,
) -> String {
    let dimension = dimension.map(|d| d.to_string());
    Settings::of(&[
        ("table", Some(table)),
        ("vector", Some(vector)),
        ("where", condition),
        ("dimension", dimension.as_deref()),
    ])
    .to_text()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn what_is_no_json_has_no_length_and_ends_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        let length = |value: &str| -> Option<i64> {
            connection.query_row(&format!("SELECT {}", json_length(value)), [], |row| row.get(0)).unwrap()
        };
        assert_eq!(length("'[1,2.5]'"), Some(2));
        assert_eq!([length("'[1,2'"), length("x'ff'"), length("''")], [None; 3]);
    }
}
