//! The files of one model, wherever they come from, each read with an upper bound of its size.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// Largest configuration or tokenizer that is read.
pub(crate) const MAX_TEXT_BYTES: u64 = 256 << 20;
/// Largest weights that are read.
pub(crate) const MAX_WEIGHT_BYTES: u64 = 64 << 30;

/// Finds the files of a model by their path in its repository.
pub(crate) trait Files {
    /// Where `name` lies on this machine, after loading it if need be. `None`: the model has no such file.
    fn find(&self, name: &str) -> Result<Option<PathBuf>>;

    /// Where was sought, in words for a message.
    fn place(&self) -> String;

    /// Like [`Files::find`] for a file that a model must have.
    fn require(&self, name: &str) -> Result<PathBuf> {
        self.find(name)?.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no `{name}` in {}", self.place()))
                .hint("a model needs config.json, tokenizer.json and model.safetensors")
        })
    }

    /// A JSON file, `None` if the model has no such file.
    fn json(&self, name: &str) -> Result<Option<Value>> {
        let Some(path) = self.find(name)? else { return Ok(None) };
        let bytes = read(&path, MAX_TEXT_BYTES)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|cause| {
            Error::new(Kind::Damaged, format!("`{}` is not JSON", path.display()))
                .hint("remove the file and load the model again")
                .because(cause)
        })
    }
}

/// A model in a folder.
pub(crate) struct Folder<'a>(pub &'a Path);

impl Files for Folder<'_> {
    fn find(&self, name: &str) -> Result<Option<PathBuf>> {
        let path = self.0.join(name);
        Ok(path.is_file().then_some(path))
    }

    fn place(&self) -> String {
        format!("`{}`", self.0.display())
    }
}

/// Whether `folder` holds what every model needs.
pub(crate) fn is_complete(folder: &Path) -> bool {
    let weights =
        ["model.safetensors", "0_Transformer/model.safetensors", "0_StaticEmbedding/model.safetensors"];
    weights.iter().any(|name| folder.join(name).is_file())
}

/// Reads a whole file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
    let size = file.metadata().map_err(|cause| Error::io("read", path, cause))?.len();
    if size > max {
        return Err(Error::new(
            Kind::Damaged,
            format!("`{}` has {size} bytes, at most {max} are read", path.display()),
        ));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(max).read_to_end(&mut bytes).map_err(|cause| Error::io("read", path, cause))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beyond_the_bound_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, b"{\"a\": 1}").unwrap();
        assert_eq!(read(&path, 7).unwrap_err().kind(), Kind::Damaged);
        assert_eq!(read(&path, 8).unwrap().len(), 8);
    }

    #[test]
    fn a_missing_file_and_a_broken_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), b"{\"a\": ").unwrap();
        let files = Folder(folder.path());
        assert!(files.json("modules.json").unwrap().is_none());
        assert_eq!(files.json("config.json").unwrap_err().kind(), Kind::Damaged);
        assert_eq!(files.require("tokenizer.json").unwrap_err().kind(), Kind::NotFound);
    }
}
