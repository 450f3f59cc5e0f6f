//! Saved rows in one flat file: written while rows stream by, read back only when something is to be restored.
//!
//! After a line that names the format come tables, one after the other: `T`, name, number of columns, their names;
//! then `R` and the values of each row; `.` at the end of a table and `Z` at the end of the file. Every value is
//! preceded by its type; texts and blobs by their length (64 bits, little-endian).

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::Doing;
use crate::error::{Error, Kind, Result};

const FORMAT: &[u8] = b"embedport rows 1\n";
/// As many columns as a table of SQLite can have by default.
const MOST_COLUMNS: u64 = 2000;

/// Bytes that are put together before they are written.
const TOGETHER: usize = 1 << 16;

/// Writes tables; what [`Writer::finish`] did not end is not all there.
pub(in crate::store) struct Writer<'a> {
    out: &'a mut dyn Write,
    waiting: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut dyn Write) -> Result<Self> {
        let mut writer = Writer { out, waiting: Vec::with_capacity(TOGETHER) };
        writer.bytes(FORMAT)?;
        Ok(writer)
    }

    pub fn table(&mut self, name: &str, columns: &[String]) -> Result<()> {
        self.bytes(b"T")?;
        self.long(name.as_bytes())?;
        self.bytes(&(columns.len() as u64).to_le_bytes())?;
        columns.iter().try_for_each(|column| self.long(column.as_bytes()))
    }

    /// Some columns of a row in this order, with their values as stored, types included.
    pub fn row(&mut self, row: &Row<'_>, columns: impl Iterator<Item = usize>) -> Result<()> {
        self.begin_row()?;
        for column in columns {
            self.value(row.get_ref(column).doing("save rows for the way back")?)?;
        }
        Ok(())
    }

    /// Begins a row, for values one after the other: as many as the table has columns.
    pub fn begin_row(&mut self) -> Result<()> {
        self.bytes(b"R")
    }

    /// One value of a row that was begun.
    pub fn value(&mut self, value: ValueRef<'_>) -> Result<()> {
        match value {
            ValueRef::Null => self.bytes(b"n"),
            ValueRef::Integer(n) => self.bytes(b"i").and_then(|()| self.bytes(&n.to_le_bytes())),
            ValueRef::Real(x) => self.bytes(b"f").and_then(|()| self.bytes(&x.to_le_bytes())),
            ValueRef::Text(text) => self.bytes(b"t").and_then(|()| self.long(text)),
            ValueRef::Blob(blob) => self.bytes(b"b").and_then(|()| self.long(blob)),
        }
    }

    pub fn end_table(&mut self) -> Result<()> {
        self.bytes(b".")
    }

    pub fn finish(mut self) -> Result<()> {
        self.bytes(b"Z")?;
        self.write()
    }

    fn long(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes(&(bytes.len() as u64).to_le_bytes())?;
        self.bytes(bytes)
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if self.waiting.len() + bytes.len() > TOGETHER {
            self.write()?;
            if bytes.len() > TOGETHER {
                return self.out.write_all(bytes).map_err(cannot_save);
            }
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    #[cold]
    fn write(&mut self) -> Result<()> {
        self.out.write_all(&self.waiting).map_err(cannot_save)?;
        self.waiting.clear();
        Ok(())
    }
}

fn cannot_save(cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::PermissionDenied => {
            Kind::CannotWrite
        }
        _ => Kind::Io,
    };
    Error::new(kind, "cannot save rows for the way back").because(cause)
}

/// Opens a file of this format and reads its first line.
fn open(path: &Path) -> Result<Reader> {
    let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
    let size = file.metadata().map_err(|e| Error::io("look at", path, e))?.len();
    let mut reader = Reader { input: BufReader::with_capacity(1 << 18, file), size };
    let mut head = [0; FORMAT.len()];
    reader.input.read_exact(&mut head).map_err(|e| broken(path, e))?;
    if head != FORMAT {
        return Err(broken(path, io::ErrorKind::InvalidData.into()));
    }
    Ok(reader)
}

fn broken(path: &Path, cause: io::Error) -> Error {
    Error::new(Kind::Damaged, format!("`{}` does not hold saved rows", path.display())).because(cause)
}

/// Rows of the first table of the file `path`, evenly from all of it: at least `some` if there are so many, fewer than twice
/// as many.
///
/// # Errors
/// As [`load`].
pub(in crate::store) fn some(path: &Path, some: usize) -> Result<Vec<Vec<Stored>>> {
    let mut reader = open(path)?;
    let mut read = || -> io::Result<Vec<Vec<Stored>>> {
        let mut rows: Vec<Vec<Stored>> = Vec::new();
        if reader.byte()? != b'T' {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (_, columns) = reader.table()?;
        let (mut at, mut apart) = (0usize, 1);
        while reader.another_row()? {
            let row = columns.iter().map(|_| reader.value()).collect::<io::Result<_>>()?;
            if at.is_multiple_of(apart) {
                rows.push(row);
            }
            at += 1;
            if rows.len() >= 2 * some.max(1) {
                let mut keep = false;
                rows.retain(|_| {
                    keep = !keep;
                    keep
                });
                apart *= 2;
            }
        }
        Ok(rows)
    };
    read().map_err(|e| broken(path, e))
}

/// Puts the tables of the file `path` for which `wanted` into the schema `schema` of `connection`.
///
/// # Errors
/// [`Kind::Damaged`] if the file is none of these; lengths are never believed beyond the file's size.
pub(in crate::store) fn load(
    connection: &Connection,
    schema: &str,
    path: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    let mut reader = open(path)?;
    let broken = |cause| broken(path, cause);
    let doing = "load the saved rows";
    loop {
        match reader.byte().map_err(broken)? {
            b'Z' => return Ok(()),
            b'T' => {}
            _ => return Err(broken(io::ErrorKind::InvalidData.into())),
        }
        let (name, columns) = reader.table().map_err(broken)?;
        let mut insert = None;
        if wanted(&name) {
            let table = format!("{schema}.{}", quoted(&name));
            let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
            connection.execute_batch(&format!("CREATE TABLE {table} ({})", names.join(", "))).doing(doing)?;
            let places = vec!["?"; columns.len()].join(", ");
            let sql = format!("INSERT INTO {table} VALUES ({places})");
            insert = Some(connection.prepare(&sql).doing(doing)?);
        }
        while reader.another_row().map_err(broken)? {
            let row: Vec<Stored> =
                columns.iter().map(|_| reader.value()).collect::<io::Result<_>>().map_err(broken)?;
            if let Some(insert) = &mut insert {
                insert.execute(params_from_iter(row)).doing(doing)?;
            }
        }
    }
}

/// A column's or table's name as an identifier.
pub(in crate::store) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as it was stored: SQLite also keeps texts that are no UTF-8.
pub(in crate::store) enum Stored {
    Value(Value),
    Text(Vec<u8>),
}

impl ToSql for Stored {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Stored::Value(value) => value.to_sql(),
            Stored::Text(text) => Ok(ToSqlOutput::Borrowed(ValueRef::Text(text))),
        }
    }
}

struct Reader {
    input: BufReader<File>,
    size: u64,
}

impl Reader {
    fn byte(&mut self) -> io::Result<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn long(&mut self) -> io::Result<Vec<u8>> {
        let length = u64::from_le_bytes(self.bytes()?);
        if length > self.size {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        (&mut self.input).take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn text(&mut self) -> io::Result<String> {
        String::from_utf8(self.long()?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    fn table(&mut self) -> io::Result<(String, Vec<String>)> {
        let name = self.text()?;
        let columns = u64::from_le_bytes(self.bytes()?);
        if columns == 0 || columns > MOST_COLUMNS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((name, (0..columns).map(|_| self.text()).collect::<io::Result<_>>()?))
    }

    fn another_row(&mut self) -> io::Result<bool> {
        match self.byte()? {
            b'R' => Ok(true),
            b'.' => Ok(false),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn value(&mut self) -> io::Result<Stored> {
        Ok(Stored::Value(match self.byte()? {
            b'n' => Value::Null,
            b'i' => Value::Integer(i64::from_le_bytes(self.bytes()?)),
            b'f' => Value::Real(f64::from_le_bytes(self.bytes()?)),
            b't' => return self.long().map(Stored::Text),
            b'b' => Value::Blob(self.long()?),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes).unwrap();
        for table in ["a \"table\"", "b"] {
            writer.table(table, &["id".to_owned(), "value".to_owned()]).unwrap();
            for (id, value) in [
                (1, ValueRef::Text("\u{1f600}".as_bytes())),
                (2, ValueRef::Blob(&[0, 9])),
                (3, ValueRef::Null),
                (4, ValueRef::Text(b"\xff")),
            ] {
                writer.begin_row().unwrap();
                writer.value(ValueRef::Integer(id)).unwrap();
                writer.value(value).unwrap();
            }
            writer.end_table().unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    fn load_bytes(bytes: &[u8]) -> Result<Connection> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        std::fs::write(&path, bytes).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        load(&connection, "main", &path, |name| name != "b")?;
        let first: Vec<Vec<String>> = some(&path, 1000)
            .unwrap()
            .iter()
            .map(|row| row.iter().map(|value| format!("{:?}", value.to_sql().unwrap())).collect())
            .collect();
        assert_eq!(first, loaded(&connection, 1000), "the rows are those that are loaded");
        Ok(connection)
    }

    /// The first rows of the table that was made first.
    fn loaded(connection: &Connection, most: usize) -> Vec<Vec<String>> {
        let sql = "SELECT name FROM sqlite_master ORDER BY rowid LIMIT 1";
        let table: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        let mut query =
            connection.prepare(&format!("SELECT * FROM {} LIMIT {most}", quoted(&table))).unwrap();
        let columns = query.column_count();
        let shown = |row: &Row<'_>| {
            (0..columns)
                .map(|i| row.get_ref(i).map(|value| format!("{:?}", ToSqlOutput::Borrowed(value))))
                .collect()
        };
        query.query_map([], shown).unwrap().map(std::result::Result::unwrap).collect()
    }

    #[test]
    fn rows_come_back_with_their_types() {
        let connection = load_bytes(&written()).unwrap();
        let types: String = connection
            .query_row("SELECT group_concat(id || typeof(value)) FROM \"a \"\"table\"\"\"", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(types, "1text,2blob,3null,4text");
        assert!(connection.prepare("SELECT * FROM b").is_err(), "not wanted");
    }

    #[test]
    fn some_rows_are_of_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        for n in [0, 1, 3, 4, 7, 8, 9, 1000] {
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes).unwrap();
            writer.table("a", &["id".to_owned()]).unwrap();
            for id in 0..n {
                writer.begin_row().unwrap();
                writer.value(ValueRef::Integer(id)).unwrap();
            }
            writer.end_table().unwrap();
            writer.finish().unwrap();
            std::fs::write(&path, bytes).unwrap();
            let rows = some(&path, 4).unwrap();
            assert!(rows.len() as i64 >= n.min(4) && rows.len() < 8, "{n}: {}", rows.len());
            let Some([Stored::Value(Value::Integer(last))]) = rows.last().map(Vec::as_slice) else {
                assert_eq!(n, 0);
                continue;
            };
            assert!(n - last <= n / 4 + 1, "{n}: {last}");
        }
    }

    #[test]
    fn cut_files_are_refused() {
        let bytes = written();
        for end in 0..bytes.len() {
            assert!(load_bytes(&bytes[..end]).is_err_and(|e| e.kind() == Kind::Damaged), "{end}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn wrong_bytes_never_panic(at in 0usize..200, byte: u8) {
            let mut bytes = written();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = load_bytes(&bytes);
        }
    }
}
