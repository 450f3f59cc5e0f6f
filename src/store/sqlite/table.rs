//! Vectors in a column of a plain table.

use ndarray::Array2;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, Statement, params_from_iter};

use super::entry::{Entry, list};
use super::holder::{Cursor, Holder, Send};
use super::pipeline::{self, Ends};
use super::sink::{HASH, Sink, hash_values};
use super::{back, obstacles};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::store::Batch;
use crate::store::rewriting::expect_shape;
use crate::store::sql::Doing;
use crate::store::sql::rows_file::quoted;

/// Name of the table with the saved rows, and of the columns with their keys in it.
pub(super) const SAVED: &str = "records";
pub(super) const KEY: &str = "embedport_key";
/// Bytes of vectors that are read, mapped and written at a time.
const PIECE: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Table;

/// A statement that reads rows behind a key, and where its columns are.
struct Select {
    sql: String,
    key: usize,
    id: usize,
    vectors: usize,
    text: Option<usize>,
    /// Says whether the row lies behind the key: in a damaged file some do not, and reading would go round in circles.
    ahead: Option<usize>,
}

impl Select {
    /// Columns: key, identifier, vector, text (if wanted), then `more`. Parameters: the key, if `behind` one, and how
    /// many rows.
    fn new(entry: &Entry, behind: bool, texts: bool, more: &[String]) -> Select {
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

    fn more(&self) -> usize {
        self.vector() + self.vectors + usize::from(self.text.is_some())
    }
}

/// Reads rows into batches.
struct Reader<'a> {
    entry: &'a Entry,
    dimension: usize,
    select: &'a Select,
}

impl Reader<'_> {
    /// Identifier of a row.
    fn id(&self, row: &Row<'_>) -> Result<String> {
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
    fn vector(&self, row: &Row<'_>, id: &str, out: &mut Vec<f32>) -> Result<()> {
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

    fn text<'r>(&self, row: &'r Row<'_>) -> Result<Option<&'r str>> {
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

fn key_of(row: &Row<'_>, columns: usize) -> Result<Vec<Value>> {
    (0..columns).map(|column| row.get(column).doing("read keys")).collect()
}

fn shaped(rows: usize, dimension: usize, values: Vec<f32>) -> Result<Array2<f32>> {
    Array2::from_shape_vec((rows, dimension), values)
        .map_err(|e| Error::new(Kind::Internal, "a batch of records has the wrong shape").because(e))
}

/// Components of the collection's vectors.
pub(super) fn dimension(entry: &Entry) -> Result<usize> {
    entry.dimension.ok_or_else(|| {
        Error::new(Kind::Refused, format!("column `{}` of `{}` holds no vector", entry.vector, entry.table))
    })
}

impl Holder for Table {
    fn next_batch(
        &self,
        connection: &Connection,
        entry: &Entry,
        cursor: &mut Cursor,
        max: usize,
        texts: bool,
    ) -> Result<Option<Batch>> {
        let doing = "read records";
        let dimension = dimension(entry)?;
        let select = Select::new(entry, !cursor.0.is_empty(), texts, &[]);
        let reader = Reader { entry, dimension, select: &select };
        let mut statement = connection.prepare_cached(&select.sql).doing(doing)?;
        let limit = Value::Integer(i64::try_from(max.max(1)).unwrap_or(i64::MAX));
        let behind = std::mem::take(&mut cursor.0);
        let mut rows = statement.query(params_from_iter(behind.into_iter().chain([limit]))).doing(doing)?;
        let mut batch = Batch { ids: Vec::new(), vectors: Array2::zeros((0, 0)), texts: Vec::new() };
        let mut vectors = Vec::new();
        while let Some(row) = rows.next().doing(doing)? {
            let id = reader.id(row)?;
            reader.vector(row, &id, &mut vectors)?;
            if texts {
                batch.texts.push(reader.text(row)?.map(str::to_owned));
            }
            batch.ids.push(id);
            cursor.0 = key_of(row, select.key)?;
        }
        if batch.ids.is_empty() {
            return Ok(None);
        }
        batch.vectors = shaped(batch.ids.len(), dimension, vectors)?;
        Ok(Some(batch))
    }

    fn transform(
        &self,
        connection: &Connection,
        entry: &Entry,
        dimension: usize,
        send: &Send<'_>,
        sink: &mut Sink<'_, '_>,
        context: &Context<'_>,
    ) -> Result<()> {
        let source = self::dimension(entry)?;
        let stored = [&entry.others[..], &entry.vector_columns()].concat();
        sink.rows.table(SAVED, &[&back::key_names(entry)[..], &stored].concat())?;
        let mut rewrite = Rewriting {
            connection,
            entry,
            source,
            rows: (PIECE / 4 / source.max(dimension)).clamp(16, 4096),
            first: Select::new(entry, false, true, &stored),
            next: Select::new(entry, true, true, &stored),
            update: connection
                .prepare(&update(entry, &entry.vector_columns()))
                .doing("prepare the rewrite")?,
            behind: Vec::new(),
            sink,
            context,
        };
        let encoding = entry.encoding;
        pipeline::run(&mut rewrite, &|piece: Piece| {
            let new = send(&piece.batch)?;
            expect_shape(&new, piece.keys.len(), dimension)?;
            let mut values = Vec::with_capacity(piece.keys.len());
            for (vector, id) in new.outer_iter().zip(&piece.batch.ids) {
                let vector = vector.to_slice().unwrap_or_default();
                if !crate::simd::all_finite(vector) {
                    let found = format!("the new vector of record `{}` is not finite", id.escape_debug());
                    return Err(Error::new(Kind::Damaged, found));
                }
                let (value, scale) = encoding.encode(vector);
                let value: Vec<Value> = std::iter::once(value).chain(scale.map(Value::Real)).collect();
                let hash = hash_values(&value.iter().map(ValueRef::from).collect::<Vec<_>>());
                values.push((value, hash));
            }
            Ok(Done { keys: piece.keys, contents: piece.contents, values })
        })?;
        drop(rewrite);
        sink.rows.end_table()
    }

    fn restore(&self, connection: &Connection, entry: &Entry, changed: bool) -> Result<()> {
        back::rows(connection, entry, changed)
    }

    fn saved(&self, _: &Connection, entry: &Entry) -> Result<Entry> {
        Ok(Entry {
            table: SAVED.to_owned(),
            key: back::key_names(entry),
            condition: None,
            grouped: false,
            ..entry.clone()
        })
    }

    fn obstacle(&self, connection: &Connection, entry: &Entry, dimension: usize) -> Result<Option<String>> {
        obstacles::find(connection, entry, dimension)
    }
}

/// `UPDATE` of some columns of the row with a key; values: those of the columns, then the key's.
pub(super) fn update(entry: &Entry, columns: &[String]) -> String {
    let set: Vec<String> = columns.iter().map(|column| format!("{} = ?", quoted(column))).collect();
    let key: Vec<String> = entry.key.iter().map(|column| format!("{} = ?", quoted(column))).collect();
    format!("UPDATE main.{} SET {} WHERE {}", entry.table_name(), set.join(", "), key.join(" AND "))
}

/// The two ends of a rewrite.
struct Rewriting<'a, 's, 'o> {
    connection: &'a Connection,
    entry: &'a Entry,
    source: usize,
    /// Rows of a piece.
    rows: usize,
    first: Select,
    next: Select,
    update: Statement<'a>,
    behind: Vec<Value>,
    sink: &'a mut Sink<'s, 'o>,
    context: &'a Context<'a>,
}

struct Piece {
    batch: Batch,
    keys: Vec<Vec<Value>>,
    contents: Vec<[u8; HASH]>,
}

struct Done {
    keys: Vec<Vec<Value>>,
    contents: Vec<[u8; HASH]>,
    values: Vec<(Vec<Value>, [u8; HASH])>,
}

impl Ends for Rewriting<'_, '_, '_> {
    type In = Piece;
    type Out = Done;

    fn next(&mut self) -> Result<Option<Piece>> {
        self.context.check()?;
        let doing = "read records";
        let select = if self.behind.is_empty() { &self.first } else { &self.next };
        let reader = Reader { entry: self.entry, dimension: self.source, select };
        let mut statement = self.connection.prepare_cached(&select.sql).doing(doing)?;
        let limit = Value::Integer(self.rows as i64);
        let behind = std::mem::take(&mut self.behind);
        let mut rows = statement.query(params_from_iter(behind.into_iter().chain([limit]))).doing(doing)?;
        let mut batch = Batch { ids: Vec::new(), vectors: Array2::zeros((0, 0)), texts: Vec::new() };
        let (mut keys, mut contents) = (Vec::new(), Vec::new());
        let mut vectors = Vec::with_capacity(self.rows * self.source);
        let (more, others) = (select.more(), self.entry.others.len());
        let saved = more..more + others + select.vectors;
        while let Some(row) = rows.next().doing(doing)? {
            let id = reader.id(row)?;
            reader.vector(row, &id, &mut vectors)?;
            self.sink.rows.row(row, (0..select.key).chain(saved.clone()))?;
            let values: Vec<ValueRef<'_>> = (more..more + others)
                .map(|at| row.get_ref(at))
                .collect::<rusqlite::Result<_>>()
                .doing(doing)?;
            contents.push(self.sink.contents.record(&id, reader.text(row)?, &values));
            batch.ids.push(id);
            keys.push(key_of(row, select.key)?);
        }
        let Some(last) = keys.last() else { return Ok(None) };
        self.behind = last.clone();
        batch.vectors = shaped(keys.len(), self.source, vectors)?;
        Ok(Some(Piece { batch, keys, contents }))
    }

    fn take(&mut self, done: Done) -> Result<()> {
        let doing = "write vectors";
        let records = done.keys.len() as u64;
        for ((key, contents), (values, hash)) in done.keys.into_iter().zip(done.contents).zip(done.values) {
            self.sink.note(&key.iter().map(ValueRef::from).collect::<Vec<_>>(), &contents, &hash)?;
            let changed =
                self.update.execute(params_from_iter(values.into_iter().chain(key))).doing(doing)?;
            if changed != 1 {
                let found = format!("a key of `{}` stands for {changed} rows, wanted 1", self.entry.table);
                return Err(Error::new(Kind::Damaged, found));
            }
        }
        self.context.progress.advance(records);
        Ok(())
    }
}
