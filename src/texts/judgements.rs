//! Judgements: which record answers which query, and how well.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::platform::files;

/// Largest accepted file in bytes (1 GiB): it is held in memory.
const MOST_BYTES: u64 = 1 << 30;

/// Grades by query and record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgements {
    by_query: BTreeMap<String, BTreeMap<String, i32>>,
}

impl Judgements {
    /// Reads judgements, one a line: query id, record id, grade, with tabs between (or blanks, where no line has a
    /// tab in it). A line of four columns is one of TREC: query id, a number that means nothing, record id, grade. A first
    /// line of column names, as BEIR has it, and empty lines are passed over.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Damaged`] naming the first line that is not UTF-8, has other columns, a
    /// grade that is no whole number, an empty id, or judges again what was judged; and for a file without a judgement.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = files::read_at_most(path, MOST_BYTES)?;
        Self::parse(&bytes).map_err(|error| error.context(format!("`{}`", path.display())))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut judgements = Judgements::default();
        let mut is_first = true;
        for (line, number) in bytes.split(|b| *b == b'\n').zip(1usize..) {
            let line = std::str::from_utf8(line)
                .map_err(|_| damaged(number, "is not UTF-8").hint("convert the file to UTF-8"))?;
            if line.trim().is_empty() {
                continue;
            }
            let [query, record, grade] = columns(line).ok_or_else(|| {
                damaged(number, "has other than three or four columns").hint(
                    "a line is QUERY-ID, RECORD-ID, GRADE with tabs between, or QUERY-ID 0 RECORD-ID GRADE",
                )
            })?;
            let is_head = std::mem::take(&mut is_first) && is_name(grade);
            if is_head {
                continue;
            }
            if query.is_empty() || record.is_empty() {
                return Err(damaged(number, "has an empty id"));
            }
            let grade: i32 =
                grade.parse().map_err(|_| damaged(number, "has a grade that is no whole number"))?;
            let records = judgements.by_query.entry(query.to_owned()).or_default();
            if records.insert(record.to_owned(), grade).is_some() {
                return Err(damaged(number, "judges a record again that was judged for its query"));
            }
        }
        match judgements.by_query.is_empty() {
            true => Err(Error::new(Kind::Damaged, "there is no judgement in it")),
            false => Ok(judgements),
        }
    }

    /// Queries that were judged, in the order of their ids.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.by_query.keys().map(String::as_str)
    }

    /// Records that are relevant to a query (grade above zero), with their grades, in the order of their ids.
    pub fn relevant<'a>(&'a self, query: &str) -> impl Iterator<Item = (&'a str, u32)> + use<'a> {
        let records = self.by_query.get(query).into_iter().flatten();
        records.filter_map(|(record, grade)| {
            u32::try_from(*grade).ok().filter(|grade| *grade > 0).map(|grade| (record.as_str(), grade))
        })
    }
}

/// Query, record and grade of a line.
fn columns(line: &str) -> Option<[&str; 3]> {
    let columns: Vec<&str> = match line.contains('\t') {
        true => line.split('\t').map(str::trim).collect(),
        false => line.split_whitespace().collect(),
    };
    match columns[..] {
        [query, record, grade] | [query, _, record, grade] => Some([query, record, grade]),
        _ => None,
    }
}

/// Whether this heads a column of grades.
fn is_name(grade: &str) -> bool {
    ["score", "grade", "relevance", "rel", "label"].iter().any(|name| grade.eq_ignore_ascii_case(name))
}

fn damaged(number: usize, what: &str) -> Error {
    Error::new(Kind::Damaged, format!("line {number} {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relevant(judgements: &Judgements, query: &str) -> Vec<(String, u32)> {
        judgements.relevant(query).map(|(record, grade)| (record.to_owned(), grade)).collect()
    }

    #[test]
    fn three_columns_four_columns_and_a_head_are_read() {
        let beir = Judgements::parse(b"query-id\tcorpus-id\tscore\nq 1\td 1\t2\r\nq 1\td 2\t0\n\n").unwrap();
        assert_eq!(relevant(&beir, "q 1"), [("d 1".to_owned(), 2)]);
        let trec = Judgements::parse("\u{feff}7 0 x 1\n7 0 y -1\n8 0 x 3\n".as_bytes()).unwrap();
        assert_eq!(trec.queries().collect::<Vec<_>>(), ["7", "8"]);
        assert_eq!(relevant(&trec, "7"), [("x".to_owned(), 1)]);
        assert_eq!(relevant(&trec, "9"), []);
    }

    #[test]
    fn broken_lines_are_named_by_number_and_never_quoted() {
        for bad in
            ["q\tgeheim", "q\tgeheim\tvery", "q\t\t1", "a\tb\t1", "q\tgeheim\t1.5", "q\tgeheim\t99999999999"]
        {
            let error = Judgements::parse(format!("a\tb\t1\n{bad}\n").as_bytes()).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged);
            assert!(error.message().starts_with("line 2 "), "{error}");
            assert!(!format!("{error:?}").contains("geheim"));
        }
        assert!(Judgements::parse(b"a\tb\t\xff").unwrap_err().message().contains("line 1 is not UTF-8"));
    }

    #[test]
    fn a_head_is_a_head_on_the_first_line_only() {
        assert!(Judgements::parse(b"a\tb\tscore\n").unwrap_err().message().contains("no judgement"));
        assert!(Judgements::parse(b"a\tb\t1\nq\td\tscore\n").unwrap_err().message().starts_with("line 2 "));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(judgements) = Judgements::parse(&bytes) {
                prop_assert!(judgements.queries().count() > 0);
            }
        }

        #[test]
        fn what_was_written_is_read(
            grades in proptest::collection::btree_map(("[a-z/!é]{1,8}", "[a-z0-9.]{1,8}"), -2i32..4, 1..30),
            is_trec in any::<bool>(),
        ) {
            let middle = if is_trec { "\t0" } else { "" };
            let text: String =
                grades.iter().map(|((query, record), grade)| format!("{query}{middle}\t{record}\t{grade}\n")).collect();
            let judgements = Judgements::parse(text.as_bytes()).unwrap();
            for ((query, record), grade) in &grades {
                let found = judgements.relevant(query).find(|(r, _)| r == record).map(|(_, g)| g);
                prop_assert_eq!(found, u32::try_from(*grade).ok().filter(|g| *g > 0));
            }
        }
    }
}
