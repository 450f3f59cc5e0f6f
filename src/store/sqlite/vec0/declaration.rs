//! What `CREATE VIRTUAL TABLE ... USING vec0(...)` declares: only there stands how a table's shadow tables are to be read.
//!
//! Stricter than the extension, which takes the beginning of a word for the word: what is not understood is an error.

use std::ops::Range;

use super::column::{self, Parsed};
use super::tokens::{self, Kind as TokenKind, Token, tokens};
use crate::error::{Error, Kind, Result};
use crate::store::Metric;

/// Limits of sqlite-vec 0.1.
pub(super) const MOST_COMPONENTS: usize = 8192;
const LARGEST_CHUNK: usize = 4096;
const USUAL_CHUNK: usize = 1024;
/// Most columns of a kind: vectors, partition keys, auxiliary, metadata.
const MOST_COLUMNS: [usize; 4] = [16, 4, 16, 16];

/// The numbers of a vector column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    Int8,
    Bit,
}

/// How a vector column measures closeness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distance {
    Known(Metric),
    /// Sum of the absolute differences.
    L1,
}

/// The values of a metadata column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    Boolean,
    Integer,
    Float,
    Text,
}

/// A vector column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vectors {
    pub element: Element,
    pub dimension: usize,
    pub distance: Distance,
    /// Where the dimension stands in the text.
    pub(super) at: Range<usize>,
}

/// What a column holds, with its number among the columns of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Vectors(usize, Vectors),
    Partition(usize),
    /// Whether it is declared to hold text.
    Auxiliary(usize, bool),
    Metadata(usize, Metadata),
}

/// A column other than the primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub name: String,
    pub holds: Holds,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Declaration {
    pub(super) sql: String,
    pub table: String,
    /// Name of the primary key column, and whether it holds texts; none: rows go by their rowid.
    pub key: Option<(String, bool)>,
    /// In the order of the declaration.
    pub columns: Vec<Column>,
    pub chunk_size: usize,
}

impl Element {
    /// Bytes of a vector.
    pub fn bytes(self, dimension: usize) -> usize {
        match self {
            Element::F32 => 4 * dimension,
            Element::Int8 => dimension,
            Element::Bit => dimension / 8,
        }
    }
}

/// The name and module of a virtual table, and its arguments; `None` if `sql` declares none.
pub(super) fn virtual_table(sql: &str) -> Option<(String, String, Vec<Range<usize>>)> {
    let all = tokens(sql)?;
    let word = |token: &Token, wanted: &str| {
        sql.get(token.at.clone()).is_some_and(|t| t.eq_ignore_ascii_case(wanted))
    };
    let [create, is_virtual, table, name, using, module, rest @ ..] = all.as_slice() else { return None };
    let keywords = [(create, "CREATE"), (is_virtual, "VIRTUAL"), (table, "TABLE"), (using, "USING")];
    if !keywords.iter().all(|(token, wanted)| word(token, wanted))
        || ![name, module].iter().all(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted))
    {
        return None;
    }
    let text = |token: &Token| sql.get(token.at.clone()).map(tokens::name);
    Some((text(name)?, text(module)?, arguments(rest)?))
}

/// The arguments between the outermost parentheses, each from its first token to its last; SQLite leaves out empty ones.
fn arguments(all: &[Token]) -> Option<Vec<Range<usize>>> {
    let [open, inside @ .., close] = all else { return all.is_empty().then(Vec::new) };
    if (open.kind, close.kind) != (TokenKind::Open, TokenKind::Close) {
        return None;
    }
    let (mut arguments, mut current, mut depth) = (Vec::new(), None::<Range<usize>>, 0usize);
    for token in inside {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.checked_sub(1)?,
            TokenKind::Comma if depth == 0 => {
                arguments.extend(current.take());
                continue;
            }
            _ => {}
        }
        let start = current.map_or(token.at.start, |range| range.start);
        current = Some(start..token.at.end);
    }
    arguments.extend(current);
    (depth == 0).then_some(arguments)
}

impl Declaration {
    /// Reads the text that SQLite keeps of the declaration.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] with the argument that is not understood.
    pub fn parse(sql: &str) -> Result<Declaration> {
        let Some((table, module, arguments)) = virtual_table(sql) else {
            return Err(unsupported("the text does not declare a virtual table"));
        };
        if !module.eq_ignore_ascii_case("vec0") {
            return Err(unsupported("the virtual table is not one of sqlite-vec"));
        }
        let mut declaration = Declaration {
            sql: sql.to_owned(),
            table,
            key: None,
            columns: Vec::new(),
            chunk_size: USUAL_CHUNK,
        };
        let mut counts = [0; 4];
        for at in arguments {
            let text = sql.get(at.clone()).unwrap_or_default();
            match column::parse(text).ok_or_else(|| {
                unsupported(&format!(
                    "`{}` in the declaration of a vec0 table is not understood",
                    text.escape_debug()
                ))
            })? {
                Parsed::Key(name, is_text) if declaration.key.is_none() => {
                    declaration.key = Some((name, is_text))
                }
                Parsed::Key(..) => return Err(unsupported("a vec0 table is declared with two primary keys")),
                Parsed::ChunkSize(size) => declaration.chunk_size = size,
                Parsed::Column(name, holds) => declaration.push(name, holds, at.start, &mut counts)?,
            }
        }
        declaration.check(&counts)
    }

    fn push(&mut self, name: String, mut holds: Holds, start: usize, counts: &mut [usize; 4]) -> Result<()> {
        let (kind, number) = match &mut holds {
            Holds::Vectors(number, vectors) => {
                vectors.at = start + vectors.at.start..start + vectors.at.end;
                (0, number)
            }
            Holds::Partition(number) => (1, number),
            Holds::Auxiliary(number, _) => (2, number),
            Holds::Metadata(number, _) => (3, number),
        };
        let most = MOST_COLUMNS.get(kind).copied().unwrap_or_default();
        if let Some(count) = counts.get_mut(kind).filter(|count| **count < most) {
            *number = *count;
            *count += 1;
            self.columns.push(Column { name, holds });
            return Ok(());
        }
        Err(unsupported(&format!("a vec0 table is declared with more than {most} columns of one kind")))
    }

    fn check(self, counts: &[usize; 4]) -> Result<Declaration> {
        if counts.first() == Some(&0) {
            return Err(unsupported("a vec0 table is declared without a vector column"));
        }
        if self.chunk_size == 0 || !self.chunk_size.is_multiple_of(8) || self.chunk_size > LARGEST_CHUNK {
            return Err(unsupported(&format!(
                "a vec0 table is declared with chunks of {} rows, wanted a multiple of 8 up to {LARGEST_CHUNK}",
                self.chunk_size
            )));
        }
        for (_, vectors) in self.vectors() {
            if vectors.dimension == 0 || vectors.dimension > MOST_COMPONENTS {
                return Err(unsupported(&format!(
                    "a vec0 table is declared with vectors of {} components, wanted 1 to {MOST_COMPONENTS}",
                    vectors.dimension
                )));
            }
        }
        let mut names: Vec<String> =
            self.columns.iter().map(|column| column.name.to_ascii_lowercase()).collect();
        names.extend(["distance".to_owned(), "k".to_owned(), self.key_column().to_ascii_lowercase()]);
        names.sort();
        match names.windows(2).any(|pair| pair.first() == pair.last()) {
            true => Err(unsupported("a vec0 table is declared with two columns of one name")),
            false => Ok(self),
        }
    }

    /// The declaration's text with another dimension of a vector column; every other byte as it was.
    ///
    /// # Errors
    /// [`Kind::Internal`] if there is no such vector column.
    pub fn with_dimension(&self, column: &str, dimension: usize) -> Result<String> {
        let mut sql = self.sql.clone();
        let found = self.vectors().find(|(name, _)| *name == column);
        let Some(at) =
            found.map(|(_, vectors)| vectors.at.clone()).filter(|at| sql.get(at.clone()).is_some())
        else {
            return Err(Error::new(Kind::Internal, "a vector column is not in the declaration of its table"));
        };
        sql.replace_range(at, &dimension.to_string());
        Ok(sql)
    }

    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The column that tells rows apart.
    pub fn key_column(&self) -> &str {
        self.key.as_ref().map_or("rowid", |(name, _)| name)
    }

    /// Whether rows go by texts.
    pub fn has_text_keys(&self) -> bool {
        self.key.as_ref().is_some_and(|(_, text)| *text)
    }

    /// The vector columns with their names, in the order of their numbers.
    pub fn vectors(&self) -> impl Iterator<Item = (&str, &Vectors)> {
        self.columns.iter().filter_map(|column| match &column.holds {
            Holds::Vectors(_, vectors) => Some((column.name.as_str(), vectors)),
            _ => None,
        })
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

fn unsupported(found: &str) -> Error {
    Error::new(Kind::Unsupported, found)
}
