//! Reading the rows of a plain table: the statement, and what its columns are.

use std::ops::Range;

use ndarray::Array2;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::entry::{Entry, list};
use super::sink::{HASH, ValuesHash};
use crate::error::{Error, Kind, Result};
use crate::store::Batch;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::Writer;

/// Rows of a batch that room is made for beforehand.
const AT_ONCE: usize = 1024;
/// How many rows are all rows.
pub(super) const ALL: i64 = -1;

/// What is read of each row beside its key and its identifier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    pub vectors: bool,
    pub texts: bool,
    /// All that is stored, for its hash.
    pub others: bool,
}

/// A statement that reads rows in the order of their keys, and where its columns are.
pub(super) struct Select {
    pub sql: String,
    /// Columns of the key, which come first.
    pub key: usize,
    ids: usize,
    pub vectors: Range<usize>,
    text: Option<usize>,
    /// Texts are wanted, though there may be none.
    texts: bool,
    pub others: Range<usize>,
    /// Says whether the row lies behind the key: in a damaged file some do not, and reading would go round in circles.
    ahead: Option<usize>,
}

impl Select {
    /// Parameters: the key, if it is to read `behind` one, and how many rows.
    pub fn new(entry: &Entry, behind: bool, wanted: Columns) -> Select {
        let (key, ids) = (entry.key.len(), entry.id_columns());
        let mut columns = [&entry.key[..], &ids].concat();
        let mut add = |more: &[String], wanted: bool| {
            let from = columns.len();
            columns.extend(more.iter().filter(|_| wanted).cloned());
            from..columns.len()
        };
        let vectors = add(&entry.vector_columns(), wanted.vectors);
        let text = add(entry.text_column.as_slice(), wanted.texts).next();
        let others = add(&entry.others, wanted.others);
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
        Select { sql, key, ids: ids.len(), vectors, text, texts: wanted.texts, others, ahead }
    }
}

/// Reads values of rows.
pub(super) struct RowReader<'a> {
    pub entry: &'a Entry,
    pub select: &'a Select,
}

impl RowReader<'_> {
    /// At most `max` rows behind the key `behind`, which is that of the last of them then; each is shown to `more` too.
    /// `None` behind the last.
    pub fn batch(
        &self,
        connection: &Connection,
        dimension: usize,
        behind: &mut Vec<Value>,
        max: usize,
        more: &mut dyn FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<Option<Batch>> {
        let doing = "read records";
        let mut statement = connection.prepare_cached(&self.select.sql).doing(doing)?;
        let limit = Value::Integer(i64::try_from(max.max(1)).unwrap_or(i64::MAX));
        let parameters = std::mem::take(behind).into_iter().chain([limit]);
        let mut rows = statement.query(params_from_iter(parameters)).doing(doing)?;
        let mut batch = Batch { ids: Vec::new(), vectors: Array2::zeros((0, 0)), texts: Vec::new() };
        let mut vectors = Vec::with_capacity(max.min(AT_ONCE) * dimension);
        while let Some(row) = rows.next().doing(doing)? {
            let id = self.id(row)?;
            self.vector(row, &id, dimension, &mut vectors)?;
            if self.select.texts {
                batch.texts.push(self.text(row)?.map(str::to_owned));
            }
            batch.ids.push(id);
            behind.clear();
            self.key(row, behind)?;
            more(row)?;
        }
        if batch.ids.is_empty() {
            return Ok(None);
        }
        batch.vectors = shaped(batch.ids.len(), dimension, vectors)?;
        Ok(Some(batch))
    }

    /// Appends the key of a row.
    pub fn key(&self, row: &Row<'_>, out: &mut Vec<Value>) -> Result<()> {
        (0..self.select.key)
            .try_for_each(|column| row.get(column).doing("read keys").map(|value| out.push(value)))
    }

    /// Identifier of a row.
    pub fn id(&self, row: &Row<'_>) -> Result<String> {
        if let Some(ahead) = self.select.ahead
            && row.get::<_, Option<bool>>(ahead).doing("read keys")? != Some(true)
        {
            let found = format!("rows of table `{}` are not in the order of their keys", self.entry.table);
            return Err(Error::new(Kind::Damaged, found)
                .hint("recover the file (`sqlite3 FILE .recover`) or restore it from a copy"));
        }
        identifier(row, self.select.key, self.select.ids)
    }

    fn vector(&self, row: &Row<'_>, id: &str, dimension: usize, out: &mut Vec<f32>) -> Result<()> {
        let doing = "read vectors";
        let mut columns = self.select.vectors.clone();
        let value = columns.next().map(|at| row.get_ref(at)).transpose().doing(doing)?;
        let scale = columns.next().map(|at| row.get(at)).transpose().doing(doing)?.flatten();
        vector(self.entry, id, dimension, value.unwrap_or(ValueRef::Null), scale, out)
    }

    pub fn text<'r>(&self, row: &'r Row<'_>) -> Result<Option<&'r str>> {
        let Some(column) = self.select.text else { return Ok(None) };
        Ok(row.get_ref(column).doing("read texts")?.as_str().ok())
    }

    /// Hash of all that a row holds beside its vector.
    pub fn contents(&self, row: &Row<'_>) -> Result<[u8; HASH]> {
        let mut hash = ValuesHash::new();
        for at in self.select.others.clone() {
            hash.add(row.get_ref(at).doing("read records")?);
        }
        Ok(hash.finish())
    }
}

/// Appends the vector in a value of a row (and the factor in the other).
pub(super) fn vector(
    entry: &Entry,
    id: &str,
    dimension: usize,
    value: ValueRef<'_>,
    scale: Option<f64>,
    out: &mut Vec<f32>,
) -> Result<()> {
    let start = out.len();
    let damaged = |found: String| {
        let place = format!("record `{}` of table `{}`", id.escape_debug(), entry.table);
        Error::new(Kind::Damaged, format!("{place}: {found}"))
            .hint("`embedport inspect --deep` lists what is wrong; write that row's vector again, or set it to NULL")
    };
    match entry.encoding.decode(value, scale, out) {
        Some(found) if found == dimension => {}
        found => {
            let wanted = format!("{dimension} components as {}", entry.encoding.name());
            return Err(damaged(match found {
                Some(found) => format!("its vector has {found} components, wanted {wanted}"),
                None => format!("column `{}` holds no vector of {wanted}", entry.vector),
            }));
        }
    }
    match out.get(start..).is_some_and(crate::simd::all_finite) {
        true => Ok(()),
        false => Err(damaged("its vector has a component that is not a finite number".into())),
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
        let all = Columns { vectors: true, texts: true, others: true };
        let (first, next) = (Select::new(entry, false, all), Select::new(entry, true, all));
        Pieces { connection, entry, dimension, rows, first, next, behind: Vec::new() }
    }

    /// The next piece; `None` behind the last. `save`: takes key and every stored column of each row.
    pub fn next(&mut self, mut save: Option<&mut Writer<'_>>) -> Result<Option<Piece>> {
        let Pieces { connection, entry, dimension, rows, first, next, behind } = self;
        let select = if behind.is_empty() { first } else { next };
        let reader = RowReader { entry, select };
        let (mut keys, mut contents) = (Vec::with_capacity(*rows * select.key), Vec::new());
        let mut more = |row: &Row<'_>| {
            if let Some(save) = &mut save {
                save.row(row, (0..select.key).chain(select.others.clone()).chain(select.vectors.clone()))?;
            }
            contents.push(reader.contents(row)?);
            reader.key(row, &mut keys)
        };
        let batch = reader.batch(connection, *dimension, behind, *rows, &mut more)?;
        Ok(batch.map(|batch| Piece { batch, keys, contents }))
    }
}
