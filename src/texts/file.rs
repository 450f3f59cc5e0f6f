//! Texts from a file: one a line, plain or as JSON.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use super::{Collector, TextSet};
use crate::error::{Error, Kind, Result};

/// Longest accepted line in bytes (16 MiB).
pub const MOST_LINE_BYTES: usize = 16 << 20;

/// Largest accepted file in bytes (2 GiB): all texts are held in memory.
pub const MOST_BYTES: u64 = 2 << 30;

/// Key of the text in a JSON object when none is named.
const TEXT_KEY: &str = "text";

/// Reads the texts of a file.
///
/// `.txt`: one a line, `line N` is its id. `.jsonl` and `.ndjson`: a JSON string a line, or an object whose
/// `text_key` (`text` by default) is a string; its `id`, a string or a number, is the id, else `line N`.
/// Empty lines and empty or repeated texts are left out and counted.
///
/// # Errors
/// [`Kind::NotFound`], [`Kind::Usage`] for another extension, [`Kind::Damaged`] naming the first line that is not
/// UTF-8, not JSON, without a text, or longer than [`MOST_LINE_BYTES`].
pub fn read(path: &Path, text_key: Option<&str>) -> Result<TextSet> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let parse = match extension.as_str() {
        "txt" => from_lines,
        "jsonl" | "ndjson" => from_jsonl,
        _ => {
            return Err(Error::new(
                Kind::Usage,
                format!("`{}` is neither a .txt nor a .jsonl file", path.display()),
            )
            .hint("give one text a line as .txt, or one JSON object with a `text` a line as .jsonl"));
        }
    };
    if extension == "txt" && text_key.is_some() {
        return Err(Error::new(
            Kind::Usage,
            "a key of the text was given for a .txt file, which has no keys",
        ));
    }
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let metadata = file.metadata().map_err(|e| Error::io("read", path, e))?;
    if metadata.is_dir() {
        return Err(Error::new(Kind::Usage, format!("`{}` is a folder, a file is wanted", path.display())));
    }
    if metadata.len() > MOST_BYTES {
        return Err(Error::new(
            Kind::Unsupported,
            format!("`{}` has {} bytes, at most {MOST_BYTES} are read", path.display(), metadata.len()),
        )
        .hint("a few thousand texts are enough: give a random part of the lines"));
    }
    parse(BufReader::new(file), path, text_key)
}

pub(super) fn from_jsonl(input: impl BufRead, path: &Path, text_key: Option<&str>) -> Result<TextSet> {
    let key = text_key.unwrap_or(TEXT_KEY);
    each_line(input, path, |number, line| {
        let value: Value = serde_json::from_str(line)
            .map_err(|e| damaged(path, number, "is not JSON").because(CleanJson(e.classify())))?;
        let numbered = || format!("line {number}");
        match value {
            Value::String(text) => Ok((numbered(), text)),
            Value::Object(mut object) => match object.remove(key) {
                Some(Value::String(text)) => {
                    Ok((object.get("id").and_then(id_of).unwrap_or_else(numbered), text))
                }
                _ => Err(damaged(path, number, &format!("has no string under `{key}`"))
                    .hint("name the key that holds the text with --text-key")),
            },
            _ => Err(damaged(path, number, "is neither a JSON object nor a JSON string")),
        }
    })
}

fn from_lines(input: impl BufRead, path: &Path, _: Option<&str>) -> Result<TextSet> {
    each_line(input, path, |number, line| Ok((format!("line {number}"), line.to_owned())))
}

/// Hands over each line without its end, and without the byte order mark that some editors put first.
fn each_line(
    mut input: impl BufRead,
    path: &Path,
    mut parse: impl FnMut(usize, &str) -> Result<(String, String)>,
) -> Result<TextSet> {
    let mut collector = Collector::new(origin(path));
    let mut line = Vec::new();
    let mut left = MOST_BYTES;
    for number in 1.. {
        line.clear();
        let most = MOST_LINE_BYTES as u64 + 1;
        let read =
            input.by_ref().take(most).read_until(b'\n', &mut line).map_err(|e| Error::io("read", path, e))?;
        if read == 0 {
            break;
        }
        left = left.checked_sub(read as u64).ok_or_else(|| {
            Error::new(Kind::Unsupported, format!("`{}` grew beyond {MOST_BYTES} bytes", path.display()))
        })?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.len() > MOST_LINE_BYTES {
            return Err(damaged(path, number, &format!("has more than {MOST_LINE_BYTES} bytes")));
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| damaged(path, number, "is not UTF-8").hint("convert the file to UTF-8"))?;
        let text = if number == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.trim().is_empty() {
            collector.set.empty += 1;
            continue;
        }
        let (id, text) = parse(number, text)?;
        collector.add(id, text);
    }
    Ok(collector.finish())
}

fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn damaged(path: &Path, number: usize, what: &str) -> Error {
    Error::new(Kind::Damaged, format!("line {number} of `{}` {what}", path.display()))
}

/// The class of a JSON error: its own words could quote the text.
#[derive(Debug)]
struct CleanJson(serde_json::error::Category);

impl std::fmt::Display for CleanJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            serde_json::error::Category::Eof => "the line ends inside a value",
            serde_json::error::Category::Io => "the line cannot be read",
            _ => "the line breaks the syntax",
        })
    }
}

impl std::error::Error for CleanJson {}

/// In words. The name alone: the origin goes into projection files, which travel; where a file lay does not.
fn origin(path: &Path) -> String {
    format!("the file {}", path.file_name().unwrap_or(path.as_os_str()).display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jsonl(text: &str) -> Result<TextSet> {
        from_jsonl(text.as_bytes(), Path::new("x.jsonl"), None)
    }

    fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn objects_strings_and_numbered_ids_are_read() {
        let set = jsonl(
            "{\"id\":\"a\",\"text\":\"one\"}\n\"two\"\n{\"text\":\"three\"}\n{\"id\":7,\"text\":\"four\"}",
        )
        .unwrap();
        assert_eq!(set.ids, ["a", "line 2", "line 3", "7"]);
        assert_eq!(set.texts, ["one", "two", "three", "four"]);
    }

    #[test]
    fn empty_lines_and_repeated_texts_are_counted() {
        let (_folder, path) = written("t.txt", "\u{feff}one\r\n\n  \ntwo\none\n".as_bytes());
        let set = read(&path, None).unwrap();
        assert_eq!(set.texts, ["one", "two"]);
        assert_eq!((set.empty, set.duplicates), (2, 1));
    }

    #[test]
    fn another_key_can_hold_the_text() {
        let input = b"{\"body\":\"one\",\"text\":3}\n";
        let set = from_jsonl(&input[..], Path::new("x"), Some("body")).unwrap();
        assert_eq!(set.texts, ["one"]);
        assert_eq!(jsonl("{\"body\":\"one\"}").unwrap_err().kind(), Kind::Damaged);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named() {
        let (_folder, path) = written("t.txt", b"fine\n\xff\xfe\n");
        let error = read(&path, None).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged);
        assert!(error.message().starts_with("line 2 "), "{error}");
    }

    #[test]
    fn an_overlong_line_is_refused_at_its_limit() {
        let mut bytes = b"short\n".to_vec();
        bytes.resize(bytes.len() + MOST_LINE_BYTES, b'x');
        bytes.extend_from_slice(b"\nlast\n");
        let (_folder, path) = written("t.txt", &bytes);
        assert_eq!(read(&path, None).unwrap().len(), 3);
        bytes.insert(6, b'x');
        std::fs::write(&path, &bytes).unwrap();
        assert!(read(&path, None).unwrap_err().message().starts_with("line 2 "));
    }

    #[test]
    fn messages_never_quote_a_text() {
        for bad in ["{\"text\": \"geheim", "{\"geheim\": 1}", "[\"geheim\"]", "geheim"] {
            let error = format!("{:?}", jsonl(bad).unwrap_err());
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn other_files_are_refused_with_a_hint() {
        let (folder, path) = written("t.csv", b"a,b");
        let error = read(&path, None).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(!error.hints().is_empty());
        assert!(read(&folder.path().join("none.txt"), None).unwrap_err().is_not_found());
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_jsonl(&bytes[..], Path::new("x"), None);
            if let Ok(set) = from_lines(&bytes[..], Path::new("x"), None) {
                prop_assert_eq!(set.ids.len(), set.texts.len());
                prop_assert!(set.texts.iter().all(|t| !t.trim().is_empty()));
            }
        }

        #[test]
        fn json_texts_come_back_as_they_were(texts in proptest::collection::hash_set("\\PC{1,30}", 0..20)) {
            let texts: Vec<String> = texts.into_iter().filter(|t| !t.trim().is_empty()).collect();
            let lines: String =
                texts.iter().map(|t| format!("{}\n", serde_json::json!({ "text": t }))).collect();
            prop_assert_eq!(jsonl(&lines).unwrap().texts, texts);
        }
    }
}
