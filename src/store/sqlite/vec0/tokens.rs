//! Where the tokens of SQL lie in a text: as much of SQLite's tokenizer as a declaration needs.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name without quotes, or a number.
    Word,
    /// Anything in quotes of any kind, brackets included.
    Quoted,
    Open,
    Close,
    Comma,
    Other,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub at: Range<usize>,
}

/// The tokens of `sql` without white space and comments; `None` if a quotation does not end.
/// Their ends are ends of characters.
pub(super) fn tokens(sql: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(rest) = sql.get(start..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = first(rest)?;
        if let Some(kind) = kind {
            tokens.push(Token { kind, at: start..start + length });
        }
        start += length;
    }
    Some(tokens)
}

/// Kind (none: white space or a comment) and length of what `text`, which is not empty, begins with.
fn first(text: &str) -> Option<(Option<Kind>, usize)> {
    let bytes = text.as_bytes();
    let run = |belongs: fn(u8) -> bool| bytes.iter().take_while(|byte| belongs(**byte)).count();
    Some(match *bytes.first()? {
        b' ' | b'\t' | b'\n' | b'\r' | 0x0c => {
            (None, run(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)))
        }
        b'-' if text.starts_with("--") => (None, text.find('\n').map_or(text.len(), |at| at + 1)),
        b'/' if text.starts_with("/*") => (None, text.get(2..)?.find("*/").map_or(text.len(), |at| at + 4)),
        quote @ (b'"' | b'\'' | b'`') => (Some(Kind::Quoted), quotation(bytes, quote)?),
        b'[' => (Some(Kind::Quoted), text.find(']')? + 1),
        b'(' => (Some(Kind::Open), 1),
        b')' => (Some(Kind::Close), 1),
        b',' => (Some(Kind::Comma), 1),
        byte if is_word(byte) => (Some(Kind::Word), run(is_word)),
        _ => (Some(Kind::Other), 1),
    })
}

/// Length of the quotation that `bytes` begin with; a quote in it is written twice.
fn quotation(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == quote)? + 1;
        if bytes.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// Every byte of a character beyond ASCII belongs to words, as in SQLite.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The name that a token stands for.
pub(super) fn name(token: &str) -> String {
    let inside = || {
        let mut characters = token.chars();
        characters.next();
        characters.next_back();
        characters.as_str()
    };
    match token.bytes().next() {
        Some(b'[') => inside().to_owned(),
        Some(quote @ (b'"' | b'\'' | b'`')) => {
            let quote = char::from(quote);
            inside().replace(&format!("{quote}{quote}"), &quote.to_string())
        }
        _ => token.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        tokens(sql).unwrap().into_iter().map(|token| &sql[token.at]).collect()
    }

    #[test]
    fn comments_and_quotations_are_seen_as_sqlite_sees_them() {
        assert_eq!(texts("a -- b ' \n c/* d, */,\"e\"\"f\"[g'h]"), ["a", "c", ",", "\"e\"\"f\"", "[g'h]"]);
        assert_eq!(texts("x /* open"), ["x"]);
        assert_eq!(texts("fl\u{f6}at[3]+é"), ["fl\u{f6}at", "[3]", "+", "é"]);
        assert_eq!(tokens("'open"), None);
        assert_eq!(tokens("[open"), None);
    }

    #[test]
    fn names_lose_their_quotes() {
        for (token, wanted) in
            [("\"a\"\"b\"", "a\"b"), ("[a\"b]", "a\"b"), ("`a`", "a"), ("'a''b'", "a'b"), ("a", "a")]
        {
            assert_eq!(name(token), wanted);
        }
    }
}
