//! Provider `precomputed`: finished vectors looked up by id, for models that are not run here.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView2, Axis};
use serde::Deserialize;

use super::{Embedder, ModelSpec, Options};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::vector_file::NpyReader;

/// Longest line of a jsonl file, in bytes.
const MAX_LINE: u64 = 16 << 20;

/// Vectors by id.
#[derive(Debug)]
pub struct PrecomputedVectors {
    rows: Array2<f32>,
    by_id: HashMap<String, usize>,
    ids: Vec<String>,
}

#[derive(Deserialize)]
struct Line {
    id: serde_json::Value,
    #[serde(alias = "embedding")]
    vector: Vec<f32>,
}

/// Vectors are no embedding model: the entry of the provider table exists to say so.
pub(super) fn open(spec: &ModelSpec, _: &Options, _: &Context<'_>) -> Result<Box<dyn Embedder>> {
    Err(Error::new(Kind::Unsupported, format!("`{}` has finished vectors and cannot embed texts", spec.name))
        .hint("give the vectors of both sides, or a model that runs here"))
}

impl PrecomputedVectors {
    /// Loads `.jsonl` (`{"id": ..., "vector" or "embedding": [...]}` per line), or `.npy` with its ids
    /// in `NAME.ids.txt` or `NAME.ids.jsonl` beside it (one id a line); without such a file the ids are
    /// the row numbers, from 0.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for lines that are no such records, uneven or not finite vectors, repeated ids;
    /// [`Kind::Mismatch`] if ids and rows differ in number; [`Kind::NotFound`]; [`Kind::Unsupported`].
    pub fn load(path: &Path) -> Result<Self> {
        let ends = |end: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(end));
        let (ids, rows) = if ends("npy") {
            let rows = NpyReader::open(path)?.read_all()?;
            let ids = match ids_file(path) {
                Some(file) => read_ids(&file)?,
                None => (0..rows.nrows()).map(|i| i.to_string()).collect(),
            };
            (ids, rows)
        } else if ends("jsonl") {
            read_jsonl(path)?
        } else {
            return Err(Error::new(
                Kind::Unsupported,
                format!("`{}` is neither .npy nor .jsonl", path.display()),
            ));
        };
        Self::new(ids, rows).map_err(|error| error.context(format!("`{}`", path.display())))
    }

    /// Pairs ids with rows.
    ///
    /// # Errors
    /// As [`PrecomputedVectors::load`].
    pub fn new(ids: Vec<String>, rows: Array2<f32>) -> Result<Self> {
        if ids.len() != rows.nrows() {
            return Err(Error::new(
                Kind::Mismatch,
                format!("{} ids for {} vectors", ids.len(), rows.nrows()),
            ));
        }
        let broken = rows.rows().into_iter().filter(|row| !row.iter().all(|x| x.is_finite())).count();
        if broken > 0 {
            return Err(Error::new(
                Kind::Damaged,
                format!("{broken} of {} vectors have values that are not finite", rows.nrows()),
            ));
        }
        let by_id: HashMap<_, _> = ids.iter().enumerate().map(|(row, id)| (id.clone(), row)).collect();
        match ids.len() - by_id.len() {
            0 => Ok(PrecomputedVectors { rows, by_id, ids }),
            repeated => Err(Error::new(Kind::Damaged, format!("{repeated} ids occur more than once"))),
        }
    }

    /// Components of a vector.
    pub fn dimension(&self) -> usize {
        self.rows.ncols()
    }

    /// The ids, in the order of the file.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// All vectors, in the order of [`PrecomputedVectors::ids`].
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.rows.view()
    }

    /// Ids and vectors, in the order of the file.
    pub fn into_parts(self) -> (Vec<String>, Array2<f32>) {
        (self.ids, self.rows)
    }

    /// The vectors of `ids`: `ids.len()` x dimension, in their order.
    ///
    /// # Errors
    /// [`Kind::NotFound`], with the number of missing ids and the first few.
    pub fn get<S: AsRef<str>>(&self, ids: &[S]) -> Result<Array2<f32>> {
        let mut found = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids.iter().map(AsRef::as_ref) {
            match self.by_id.get(id) {
                Some(row) => found.push(*row),
                None => missing.push(id),
            }
        }
        if missing.is_empty() {
            return Ok(self.rows.select(Axis(0), &found));
        }
        let first: Vec<_> = missing.iter().take(3).map(|id| format!("`{id}`")).collect();
        Err(Error::new(
            Kind::NotFound,
            format!("no vector for {} of {} ids, among them {}", missing.len(), ids.len(), first.join(", ")),
        )
        .hint("the file must have a vector for every record that is used"))
    }
}

fn ids_file(path: &Path) -> Option<PathBuf> {
    ["ids.txt", "ids.jsonl"].map(|end| path.with_extension(end)).into_iter().find(|p| p.is_file())
}

fn read_ids(path: &Path) -> Result<Vec<String>> {
    let is_json = path.extension().is_some_and(|e| e == "jsonl");
    let mut ids = Vec::new();
    each_line(path, |number, line| {
        if !is_json {
            ids.push(line.to_owned());
            return Ok(());
        }
        let value: serde_json::Value = serde_json::from_str(line).map_err(|cause| {
            Error::new(Kind::Damaged, format!("line {number} is not JSON")).because(cause)
        })?;
        ids.push(id_text(value.get("id").unwrap_or(&value), number)?);
        Ok(())
    })?;
    Ok(ids)
}

fn read_jsonl(path: &Path) -> Result<(Vec<String>, Array2<f32>)> {
    let (mut ids, mut values, mut dimension) = (Vec::new(), Vec::new(), 0);
    each_line(path, |number, line| {
        let Line { id, vector } = serde_json::from_str(line).map_err(|_| {
            // The cause would quote the line.
            Error::new(Kind::Damaged, format!("line {number} is no record with `id` and `vector`"))
                .hint(r#"each line must be {"id": "...", "vector": [numbers]}"#)
        })?;
        if ids.is_empty() {
            dimension = vector.len();
        }
        if vector.len() != dimension || dimension == 0 {
            return Err(Error::new(
                Kind::Damaged,
                format!("line {number} has {} components, the first line {dimension}", vector.len()),
            ));
        }
        ids.push(id_text(&id, number)?);
        values.extend_from_slice(&vector);
        Ok(())
    })?;
    let rows = Array2::from_shape_vec((ids.len(), dimension), values)
        .map_err(|cause| Error::new(Kind::Internal, "vectors have another shape").because(cause))?;
    Ok((ids, rows))
}

fn id_text(value: &serde_json::Value, number: u64) -> Result<String> {
    match value {
        serde_json::Value::String(text) => Ok(text.clone()),
        serde_json::Value::Number(n) => Ok(n.to_string()),
        _ => {
            Err(Error::new(Kind::Damaged, format!("line {number} has an id that is neither text nor number")))
        }
    }
}

/// Calls `each` with number and text of every line that is not empty.
fn each_line(path: &Path, mut each: impl FnMut(u64, &str) -> Result<()>) -> Result<()> {
    let place = |error: Error| error.context(format!("`{}`", path.display()));
    let mut reader = BufReader::new(File::open(path).map_err(|cause| Error::io("open", path, cause))?);
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE).read_line(&mut line);
        match read.map_err(|cause| Error::io("read", path, cause))? as u64 {
            0 => break,
            MAX_LINE => {
                return Err(place(Error::new(
                    Kind::Damaged,
                    format!("line {number} is beyond {MAX_LINE} bytes"),
                )));
            }
            _ => {}
        }
        let text = line.trim_end_matches(['\n', '\r']);
        if !text.is_empty() {
            each(number, text).map_err(place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn load(name: &str, text: &str) -> Result<PrecomputedVectors> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        PrecomputedVectors::load(&path)
    }

    #[test]
    fn vectors_are_found_by_id_in_the_order_asked() {
        let text = "{\"id\": \"a\", \"vector\": [1, 2]}\n\n{\"id\": 7, \"embedding\": [3, 4.5]}\n";
        let vectors = load("x.jsonl", text).unwrap();
        assert_eq!(vectors.get(&["7", "a", "7"]).unwrap(), array![[3.0, 4.5], [1.0, 2.0], [3.0, 4.5]]);
        assert_eq!((vectors.dimension(), vectors.ids().len()), (2, 2));
    }

    #[test]
    fn missing_ids_are_counted_and_the_first_named() {
        let vectors = load("x.jsonl", "{\"id\": \"a\", \"vector\": [1]}\n").unwrap();
        let error = vectors.get(&["b", "a", "c", "d", "e"]).unwrap_err();
        assert!(error.is_not_found());
        assert!(error.message().contains("4 of 5") && error.message().contains("`b`, `c`, `d`"));
    }

    #[test]
    fn broken_lines_are_named_by_number_and_never_quoted() {
        for text in [
            "{\"id\": \"a\", \"vector\": [1]}\nsecret",
            "{\"id\": \"a\", \"vector\": [1]}\n{\"id\": \"b\", \"vector\": [1, 2]}",
            "{\"id\": \"a\", \"vector\": [1]}\n{\"id\": [], \"vector\": [1]}",
        ] {
            let error = load("x.jsonl", text).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged);
            assert!(error.message().contains("line 2"));
            assert!(!format!("{error:?}").contains("secret"));
        }
        let error =
            load("x.jsonl", "{\"id\": 1, \"vector\": [1]}\n{\"id\": 1, \"vector\": [1]}").unwrap_err();
        assert!(error.message().contains("more than once"));
    }

    #[test]
    fn rows_are_paired_with_an_ids_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let mut writer = crate::vector_file::NpyWriter::create(&path, 1).unwrap();
        writer.write(array![[1.0], [2.0]].view()).unwrap();
        writer.finish().unwrap();
        assert_eq!(PrecomputedVectors::load(&path).unwrap().get(&["1"]).unwrap(), array![[2.0]]);
        std::fs::write(folder.path().join("x.ids.txt"), "p\nq\n").unwrap();
        assert_eq!(PrecomputedVectors::load(&path).unwrap().get(&["q"]).unwrap(), array![[2.0]]);
        std::fs::write(folder.path().join("x.ids.txt"), "p\n").unwrap();
        assert!(PrecomputedVectors::load(&path).unwrap_err().is_mismatch());
    }
}
