//! One argument of a vec0 declaration: a column, or an option of the table. Grammar: the functions
//! `vec0_parse_...` of sqlite-vec 0.1.9 in the order in which it tries them.

use std::ops::Range;

use super::declaration::{Distance, Element, Holds, Metadata, Vectors};
use crate::store::Metric;

/// What an argument is. Columns have the number 0.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed {
    Column(String, Holds),
    /// Name of the primary key, and whether it holds texts.
    Key(String, bool),
    ChunkSize(usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Number(&'a str),
    Sign(u8),
}

/// Tokens of the extension's own tokenizer, with their places; they end where it would stumble.
struct Scanner<'a> {
    text: &'a str,
    next: usize,
    /// Place of the last token.
    at: Range<usize>,
}

impl<'a> Scanner<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.text.get(self.next..)?;
        let bare = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let start = self.next + rest.len() - bare.len();
        let first = bare.bytes().next()?;
        let run = |belongs: fn(char) -> bool| bare.find(|c| !belongs(c)).unwrap_or(bare.len());
        let (token, length) = match first {
            b'a'..=b'z' | b'A'..=b'Z' => {
                let length = run(|c| c.is_ascii_alphanumeric() || c == '_');
                (Token::Word(bare.get(..length)?), length)
            }
            b'0'..=b'9' => {
                let length = run(|c| c.is_ascii_digit());
                (Token::Number(bare.get(..length)?), length)
            }
            b'+' | b'[' | b']' | b'=' | b'(' | b')' | b',' => (Token::Sign(first), 1),
            _ => return None,
        };
        self.at = start..start + length;
        self.next = self.at.end;
        Some(token)
    }

    fn word(&mut self) -> Option<&'a str> {
        match self.next()? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<usize> {
        match self.next()? {
            Token::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    fn sign(&mut self, sign: u8) -> Option<()> {
        (self.next()? == Token::Sign(sign)).then_some(())
    }

    /// Nothing but white space is left.
    fn end(&self) -> Option<()> {
        self.text.get(self.next..)?.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).then_some(())
    }
}

/// What `text` declares; `None` if that is not understood.
pub(super) fn parse(text: &str) -> Option<Parsed> {
    let scanner = || Scanner { text, next: 0, at: 0..0 };
    let mut start = scanner();
    match (start.next()?, start.next()?) {
        (Token::Sign(b'+'), Token::Word(name)) => {
            let is_text = match start.word()?.to_ascii_lowercase().as_str() {
                "text" => true,
                "int" | "integer" | "float" | "double" | "blob" => false,
                _ => return None,
            };
            // As the extension has it: what stands behind the type does not matter.
            Some(Parsed::Column(name.to_owned(), Holds::Auxiliary(0, is_text)))
        }
        (Token::Word(key), Token::Sign(b'=')) => {
            let size = start.number()?;
            start.end()?;
            key.eq_ignore_ascii_case("chunk_size").then_some(Parsed::ChunkSize(size))
        }
        (Token::Word(name), Token::Word(kind)) => typed(name, &kind.to_ascii_lowercase(), start),
        _ => None,
    }
}

fn typed(name: &str, kind: &str, mut rest: Scanner<'_>) -> Option<Parsed> {
    let is_vector = rest.text.get(rest.next..)?.trim_start().starts_with('[');
    if is_vector {
        let element = match kind {
            "float" | "float32" | "f32" => Element::F32,
            "int8" | "i8" => Element::Int8,
            "bit" => Element::Bit,
            _ => return None,
        };
        return Some(Parsed::Column(name.to_owned(), Holds::Vectors(0, vectors(element, &mut rest)?)));
    }
    let words: [Option<String>; 2] = [(); 2].map(|()| rest.word().map(str::to_ascii_lowercase));
    let is_text = kind == "text";
    let is_key = is_text || matches!(kind, "int" | "integer");
    let metadata = match kind {
        "boolean" | "bool" => Metadata::Boolean,
        "int64" | "integer64" | "integer" | "int" => Metadata::Integer,
        "float" | "double" | "float64" | "f64" => Metadata::Float,
        "text" => Metadata::Text,
        _ => return None,
    };
    Some(match [words[0].as_deref(), words[1].as_deref()] {
        [Some("partition"), Some("key")] if is_key => Parsed::Column(name.to_owned(), Holds::Partition(0)),
        [Some("primary"), Some("key")] if is_key => Parsed::Key(name.to_owned(), is_text),
        // Half of one of these is nothing that anybody meant.
        [Some("partition" | "primary"), _] => return None,
        _ => Parsed::Column(name.to_owned(), Holds::Metadata(0, metadata)),
    })
}

fn vectors(element: Element, rest: &mut Scanner<'_>) -> Option<Vectors> {
    rest.sign(b'[')?;
    let dimension = rest.number()?;
    let at = rest.at.clone();
    rest.sign(b']')?;
    let mut distance = Distance::Known(Metric::L2);
    while rest.end().is_none() {
        if element == Element::Bit || !rest.word()?.eq_ignore_ascii_case("distance_metric") {
            return None;
        }
        rest.sign(b'=')?;
        distance = match rest.word()?.to_ascii_lowercase().as_str() {
            "l2" => Distance::Known(Metric::L2),
            "cosine" => Distance::Known(Metric::Cosine),
            "l1" => Distance::L1,
            _ => return None,
        };
    }
    Some(Vectors { element, dimension, distance, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_argument_is_told_apart() {
        let column = |name: &str, holds| Some(Parsed::Column(name.into(), holds));
        assert_eq!(parse("chunk_size = 8"), Some(Parsed::ChunkSize(8)));
        assert_eq!(parse("Id  TEXT\nPrimary Key"), Some(Parsed::Key("Id".into(), true)));
        assert_eq!(parse("id integer primary key"), Some(Parsed::Key("id".into(), false)));
        assert_eq!(parse("u int partition key"), column("u", Holds::Partition(0)));
        assert_eq!(parse("+ body text"), column("body", Holds::Auxiliary(0, true)));
        assert_eq!(parse("+raw blob not null"), column("raw", Holds::Auxiliary(0, false)));
        assert_eq!(parse("year integer"), column("year", Holds::Metadata(0, Metadata::Integer)));
        assert_eq!(parse("ok bool"), column("ok", Holds::Metadata(0, Metadata::Boolean)));
        let wanted = Vectors { element: Element::Int8, dimension: 12, distance: Distance::L1, at: 8..10 };
        assert_eq!(parse("e int8[ 12 ] distance_metric=L1"), column("e", Holds::Vectors(0, wanted)));
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        for text in [
            "",
            "e",
            "e float",
            "e float[",
            "e float[x]",
            "e float[4",
            "e float[4] x",
            "e float[4] distance_metric=ip",
            "e bit[8] distance_metric=l2",
            "e floatx[4]",
            "\"e\" float[4]",
            "_e float[4]",
            "e te",
            "e text partition",
            "e blob",
            "+e",
            "+e date",
            "chunk_size=",
            "chunk_size=8 8",
            "size=8",
            "e float[99999999999999999999999]",
            "e float[4] indexed by rescore(quantizer=bit)",
            "e float[4] -- no",
        ] {
            let parsed = parse(text)
                .filter(|parsed| *parsed != Parsed::Column("e".into(), Holds::Metadata(0, Metadata::Float)));
            assert_eq!(parsed, None, "{text}");
        }
    }
}
