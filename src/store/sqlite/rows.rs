//! Reading the rows of a plain table: the statement, and what its columns are.

use ndarray::Array2;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::entry::{Entry, list};
use super::sink::{HASH, put, short_hash};
use crate::error::{Error, Kind, Result};
use crate::store::Batch;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::Writer;

/// A statement that reads rows behind a key, and where its columns are.
pub(super) struct Select {
    pub sql: String,
    /// Columns of the key, which come first.
    pub key: usize,
    id: usize,
    vectors: usize,
    text: Option<usize>,
    /// Says whether the row lies behind the key: in a damaged file some do not, and reading would go round in circles.
    ahead: Option<usize>,
}

impl Select {
    /// Columns: key, identifier, vector, text (if wanted), then `more`. Parameters: the key, if `behind` one, and how
    /// many rows.
    pub fn new(entry: &Entry, behind: bool, texts: bool, more: &[String]) -> Select {
        let (key, ids) = (entry.key.len(), entry.id_columns());
        let mut columns = [&entry.key[..], &ids, &entry.vector_columns()].concat();
        let vectors = columns.len() - key - ids.len();
        let text = entry.text_column.as_ref().filter(|_| texts).map(|text| {
            columns.push(text.clone());
            columns.len() - 1
        });
        columns.extend(more.iter().cloned());
        let ahead = behind.then_some(columns.len());
        let places: Vec<String> = (1..=key).map(|at| format!("?{at}")).collect();
        let is_ahead = format!("({}) > ({})", entry.key_columns(), places.join(", "));
        let (column, condition, limit) = match behind {
            true => (format!(", {is_ahead}"), format!(" AND {is_ahead}"), key + 1),
            false => (String::new(), String::new(), 1),
        };
        let sql = format!(
            "SELECT {}{column} FROM main.{} WHERE {}{condition} ORDER BY {} LIMIT ?{limit}",
            list(&columns),
            entry.table_name(),
            entry.belongs(),
            entry.key_columns()
        );
        Select { sql, key, id: ids.len(), vectors, text, ahead }
    }

    fn vector(&self) -> usize {
        self.key + self.id
    }

    pub fn more(&self) -> usize {
        self.vector() + self.vectors + usize::from(self.text.is_some())
    }
}

/// Reads values of rows.
pub(super) struct RowReader<'a> {
    pub entry: &'a Entry,
    pub dimension: usize,
    pub select: &'a Select,
}

impl RowReader<'_> {
    /// Identifier of a row.
    pub fn id(&self, row: &Row<'_>) -> Result<String> {
        if let Some(ahead) = self.select.ahead
            && row.get::<_, Option<bool>>(ahead).doing("read keys")? != Some(true)
        {
            let found = format!("rows of table `{}` are not in the order of their keys", self.entry.table);
            return Err(Error::new(Kind::Damaged, found)
                .hint("recover the file (`sqlite3 FILE .recover`) or restore it from a copy"));
        }
        identifier(row, self.select.key, self.select.id)
    }

    /// Appends the vector of a row.
    pub fn vector(&self, row: &Row<'_>, id: &str, out: &mut Vec<f32>) -> Result<()> {
        let doing = "read vectors";
        let at = self.select.vector();
        let value = row.get_ref(at).doing(doing)?;
        let scale = match self.select.vectors {
            1 => None,
            _ => row.get(at + 1).doing(doing)?,
        };
        let start = out.len();
        let damaged = |found: String| {
            let entry = self.entry;
            let place = format!("record `{}` of table `{}`", id.escape_debug(), entry.table);
            Error::new(Kind::Damaged, format!("{place}: {found}"))
                .hint("`embedport inspect --deep` lists what is wrong; write that row's vector again, or set it to NULL")
        };
        match self.entry.encoding.decode(value, scale, out) {
            Some(found) if found == self.dimension => {}
            found => {
                let wanted = format!("{} components as {}", self.dimension, self.entry.encoding.name());
                return Err(damaged(match found {
                    Some(found) => format!("its vector has {found} components, wanted {wanted}"),
                    None => format!("column `{}` holds no vector of {wanted}", self.entry.vector),
                }));
            }
        }
        match out.get(start..).is_some_and(crate::simd::all_finite) {
            true => Ok(()),
            false => Err(damaged("its vector has a component that is not a finite number".into())),
        }
    }

    pub fn text<'r>(&self, row: &'r Row<'_>) -> Result<Option<&'r str>> {
        let Some(column) = self.select.text else { return Ok(None) };
        Ok(row.get_ref(column).doing("read texts")?.as_str().ok())
    }
}

/// Identifier in some columns of a row: the value of one, or the values of all as a JSON array.
pub(super) fn identifier(row: &Row<'_>, first: usize, columns: usize) -> Result<String> {
    let part = |column: usize| -> Result<String> {
        Ok(match row.get_ref(column).doing("read identifiers")? {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(n) => n.to_string(),
            ValueRef::Real(x) => x.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(blob) => crate::platform::files::hex(blob),
        })
    };
    if columns == 1 {
        return part(first);
    }
    let parts = (first..first + columns).map(part).collect::<Result<Vec<_>>>()?;
    serde_json::to_string(&parts)
        .map_err(|e| Error::new(Kind::Internal, "an identifier cannot be written as JSON").because(e))
}

/// Appends the key of a row.
pub(super) fn key_of(row: &Row<'_>, columns: usize, out: &mut Vec<Value>) -> Result<()> {
    (0..columns).try_for_each(|column| row.get(column).doing("read keys").map(|value| out.push(value)))
}

pub(super) fn shaped(rows: usize, dimension: usize, values: Vec<f32>) -> Result<Array2<f32>> {
    Array2::from_shape_vec((rows, dimension), values)
        .map_err(|e| Error::new(Kind::Internal, "a batch of records has the wrong shape").because(e))
}

/// Some rows that are to be rewritten.
pub(super) struct Piece {
    pub batch: Batch,
    /// Of one row after the other.
    pub keys: Vec<Value>,
    /// Hash of what each holds beside its vector.
    pub contents: Vec<[u8; HASH]>,
}

/// Reads a table in pieces, each behind the one before.
pub(super) struct Pieces<'c> {
    connection: &'c Connection,
    entry: &'c Entry,
    dimension: usize,
    rows: usize,
    first: Select,
    next: Select,
    behind: Vec<Value>,
}

impl<'c> Pieces<'c> {
    /// Pieces of `rows` rows with vectors of `dimension` components.
    pub fn new(connection: &'c Connection, entry: &'c Entry, dimension: usize, rows: usize) -> Self {
        let others = &entry.others;
        let (first, next) = (Select::new(entry, false, true, others), Select::new(entry, true, true, others));
        Pieces { connection, entry, dimension, rows, first, next, behind: Vec::new() }
    }

    /// The next piece; `None` behind the last. `save`: takes key and every stored column of each row.
    pub fn next(&mut self, mut save: Option<&mut Writer<'_>>) -> Result<Option<Piece>> {
        let doing = "read records";
        let select = if self.behind.is_empty() { &self.first } else { &self.next };
        let reader = RowReader { entry: self.entry, dimension: self.dimension, select };
        let mut statement = self.connection.prepare_cached(&select.sql).doing(doing)?;
        let limit = Value::Integer(self.rows as i64);
        let behind = std::mem::take(&mut self.behind);
        let mut rows = statement.query(params_from_iter(behind.into_iter().chain([limit]))).doing(doing)?;
        let mut batch = Batch { ids: Vec::new(), vectors: Array2::zeros((0, 0)), texts: Vec::new() };
        let (mut keys, mut contents) = (Vec::with_capacity(self.rows * select.key), Vec::new());
        let mut vectors = Vec::with_capacity(self.rows * self.dimension);
        let (more, others) = (select.more(), self.entry.others.len());
        let saved: Vec<usize> = (0..select.key)
            .chain(more..more + others)
            .chain(select.vector()..select.vector() + select.vectors)
            .collect();
        let mut values: Vec<u8> = Vec::new();
        while let Some(row) = rows.next().doing(doing)? {
            let id = reader.id(row)?;
            reader.vector(row, &id, &mut vectors)?;
            if let Some(save) = &mut save {
                save.row(row, saved.iter().copied())?;
            }
            values.clear();
            for at in more..more + others {
                put(&mut values, row.get_ref(at).doing(doing)?);
            }
            contents.push(short_hash(&values));
            batch.texts.push(reader.text(row)?.map(str::to_owned));
            batch.ids.push(id);
            key_of(row, select.key, &mut keys)?;
        }
        if batch.ids.is_empty() {
            return Ok(None);
        }
        self.behind = keys.get(keys.len() - select.key..).unwrap_or_default().to_vec();
        batch.vectors = shaped(batch.ids.len(), self.dimension, vectors)?;
        Ok(Some(Piece { batch, keys, contents }))
    }
}
