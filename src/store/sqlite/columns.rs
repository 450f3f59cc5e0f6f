//! What the schema of a file says of its tables.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::error::Result;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::quoted;

/// Values of a column that are looked at to tell whether they are vectors.
const SAMPLE: usize = 24;

/// Names of columns with texts, the likeliest first.
const TEXTS: [&str; 10] = [
    "document",
    "text",
    "content",
    "contents",
    "page_content",
    "body",
    "chunk",
    "chunk_text",
    "passage",
    "sentence",
];

/// Names of the number of a row.
const ROWID: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// Which of these columns holds the texts, by its name.
pub(super) fn likely_text(names: &[&str]) -> Option<String> {
    TEXTS
        .iter()
        .find_map(|text| names.iter().find(|name| name.eq_ignore_ascii_case(text)))
        .map(|name| (*name).to_owned())
}

/// Shows the first values of a column that are there, as long as `look` wants more.
pub(super) fn first_values(
    connection: &Connection,
    table: &TableInfo,
    column: &str,
    look: &mut dyn FnMut(ValueRef<'_>) -> bool,
) -> Result<()> {
    let doing = "look at the columns";
    let (table, column) = (quoted(&table.name), quoted(column));
    let sql = format!("SELECT {column} FROM main.{table} WHERE {column} IS NOT NULL LIMIT {SAMPLE}");
    let mut statement = connection.prepare(&sql).doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        if !look(row.get_ref(0).doing(doing)?) {
            break;
        }
    }
    Ok(())
}

/// A table that holds rows of its own.
#[derive(Clone, Debug)]
pub(super) struct TableInfo {
    pub name: String,
    pub without_rowid: bool,
    pub columns: Vec<Column>,
}

/// A column that is stored; generated ones are not among them.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    /// As declared, upper case.
    pub declared: String,
    /// Place in the primary key, from 1; 0: not in it.
    pub key: i64,
}

impl TableInfo {
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|c| c.name == column)
    }

    /// Columns of the primary key in their order.
    pub fn primary_key(&self) -> Vec<String> {
        let mut primary: Vec<&Column> = self.columns.iter().filter(|column| column.key > 0).collect();
        primary.sort_by_key(|column| column.key);
        primary.into_iter().map(|column| column.name.clone()).collect()
    }

    /// Columns that tell rows apart: see [`Entry::key`](super::entry::Entry::key).
    pub fn key(&self) -> Vec<String> {
        let primary = self.primary_key();
        let is_rowid =
            |name: &String| self.columns.iter().any(|c| c.name == *name && c.declared == "INTEGER");
        match primary.as_slice() {
            _ if self.without_rowid => primary,
            // This one is the rowid by another name.
            [one] if is_rowid(one) => primary,
            _ => {
                let name = ROWID.into_iter().find(|name| self.is_rowid(name));
                vec![name.unwrap_or(ROWID[0]).to_owned()]
            }
        }
    }

    /// Whether a name that is no column's stands for the number of the row.
    pub fn is_rowid(&self, name: &str) -> bool {
        let is = |other: &str| other.eq_ignore_ascii_case(name);
        !self.without_rowid && ROWID.into_iter().any(is) && !self.columns.iter().any(|c| is(&c.name))
    }

    /// Whether nothing tells rows apart: columns have every name of the number of the row.
    pub fn hides_rowid(&self) -> bool {
        let key = self.key();
        key != self.primary_key() && !key.iter().all(|name| self.is_rowid(name))
    }
}

/// Every table with rows of its own that SQLite or a virtual table did not make for itself.
pub(super) fn tables(connection: &Connection) -> Result<Vec<TableInfo>> {
    let doing = "list the tables";
    let mut statement = connection
        .prepare(
            "SELECT name, wr, type FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY name",
        )
        .doing(doing)?;
    let found = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?, row.get::<_, String>(2)?)))
        .doing(doing)?;
    let found: Vec<_> = found.collect::<rusqlite::Result<_>>().doing(doing)?;
    // Not every virtual table tells which tables are its own.
    let owners: Vec<String> =
        found.iter().filter(|(_, _, kind)| kind == "virtual").map(|(name, ..)| format!("{name}_")).collect();
    let shadow = |name: &str| {
        owners.iter().any(|owner| name.strip_prefix(owner.as_str()).is_some_and(is_shadow_of_vectors))
    };
    let own = |name: &str| name != super::stamp::TABLE && !shadow(name);
    found
        .iter()
        .filter(|(name, _, kind)| kind == "table" && own(name))
        .map(|(name, without_rowid, _)| {
            let columns = columns(connection, name)?;
            Ok(TableInfo { name: name.clone(), without_rowid: *without_rowid, columns })
        })
        .collect()
}

/// Whether sqlite-vec gives such a name, behind the table's own and `_`, to a table with what that one holds.
fn is_shadow_of_vectors(suffix: &str) -> bool {
    let stem = suffix.trim_end_matches(|c: char| c.is_ascii_digit());
    matches!(suffix, "chunks" | "rowids" | "info" | "auxiliary")
        || stem.len() < suffix.len() && matches!(stem, "vector_chunks" | "metadatachunks" | "metadatatext")
}

fn columns(connection: &Connection, table: &str) -> Result<Vec<Column>> {
    let doing = "list the columns";
    let mut statement = connection
        .prepare_cached("SELECT name, upper(type), pk FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0")
        .doing(doing)?;
    let columns = statement
        .query_map([table], |row| Ok(Column { name: row.get(0)?, declared: row.get(1)?, key: row.get(2)? }))
        .doing(doing)?;
    columns.collect::<rusqlite::Result<_>>().doing(doing)
}
