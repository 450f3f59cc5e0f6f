//! How a model is named by the user: `NAME[,path=FOLDER][,revision=REV][,dimension=N]...`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::space::Space;

/// A model, and what the user declares about it.
///
/// `NAME` is a hub id, a bare name (sought under `sentence-transformers/`), a folder, or the bundled
/// model. Options follow after commas: `path` (where the weights or vectors are, while `NAME` stays the
/// identity), `revision`, `dimension`, `pooling`, `normalised`, `document_prompt`, `query_prompt`,
/// `max_tokens`. What is declared overrides what the model's own configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelSpec {
    /// Identity of the model, verbatim.
    pub name: String,
    /// Folder of the weights, or file of the vectors, if not on the hub.
    pub path: Option<PathBuf>,
    /// Branch, tag or commit on the hub.
    pub revision: Option<String>,
    /// Components of a vector.
    pub dimension: Option<usize>,
    /// Pooling as in [`Space::pooling`].
    pub pooling: Option<String>,
    /// Whether vectors have length 1.
    pub normalised: Option<bool>,
    /// Text put before a document.
    pub document_prompt: Option<String>,
    /// Text put before a query.
    pub query_prompt: Option<String>,
    /// Longest input in tokens.
    pub max_tokens: Option<usize>,
}

const KEYS: &str =
    "path, revision, dimension, pooling, normalised, document_prompt, query_prompt, max_tokens";

impl FromStr for ModelSpec {
    type Err = Error;

    /// # Errors
    /// [`Kind::Usage`], naming the part that is not understood.
    fn from_str(text: &str) -> Result<Self> {
        let mut spec = ModelSpec::default();
        for (index, part) in text.split(',').enumerate() {
            match part.split_once('=') {
                Some((key, value)) => spec.set(key.trim(), value)?,
                None if index == 0 => spec.name = part.trim().to_owned(),
                None => {
                    return Err(usage(format!("`{part}` in the model `{text}` is no KEY=VALUE"))
                        .hint(format!("known keys: {KEYS}")));
                }
            }
        }
        if spec.path.is_none() && looks_like_a_folder(&spec.name) {
            spec.path = Some(PathBuf::from(std::mem::take(&mut spec.name)));
        }
        if spec.name.is_empty() {
            spec.name = match &spec.path {
                Some(path) => last_component(path)?,
                None => {
                    return Err(usage("the model has no name".into())
                        .hint("give a hub id such as sentence-transformers/all-MiniLM-L6-v2, or a folder"));
                }
            };
        }
        Ok(spec)
    }
}

impl ModelSpec {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let number = || match value.trim().parse::<usize>() {
            Ok(n) if n > 0 => Ok(Some(n)),
            _ => Err(usage(format!("`{key}={value}` wants a positive number"))),
        };
        match key {
            "path" if !value.is_empty() => self.path = Some(PathBuf::from(value)),
            "revision" if is_revision(value) => self.revision = Some(value.to_owned()),
            "dimension" => self.dimension = number()?,
            "max_tokens" => self.max_tokens = number()?,
            "pooling" if !value.is_empty() => self.pooling = Some(value.to_owned()),
            "normalised" | "normalized" => match value {
                "true" | "yes" => self.normalised = Some(true),
                "false" | "no" => self.normalised = Some(false),
                _ => return Err(usage(format!("`{key}={value}` wants true or false"))),
            },
            "document_prompt" => self.document_prompt = Some(value.to_owned()),
            "query_prompt" => self.query_prompt = Some(value.to_owned()),
            "path" | "revision" | "pooling" => {
                return Err(usage(format!("`{key}={value}` is not usable as {key}")));
            }
            _ => {
                return Err(
                    usage(format!("unknown key `{key}` of a model")).hint(format!("known keys: {KEYS}"))
                );
            }
        }
        Ok(())
    }

    /// The space as far as it is declared, for a model that is not run. `None` without a dimension.
    pub fn declared_space(&self) -> Option<Space> {
        let mut space = Space::named(&self.name, self.dimension?);
        space.revision = self.revision.clone();
        space.pooling = self.pooling.clone();
        space.normalised = self.normalised;
        space.document_prompt = self.document_prompt.clone();
        space.query_prompt = self.query_prompt.clone();
        space.max_tokens = self.max_tokens;
        Some(space)
    }

    /// The id under which the hub is asked: the owner is supplied for bare names.
    ///
    /// # Errors
    /// [`Kind::Usage`] if the name cannot be a hub id.
    pub fn hub_id(&self) -> Result<String> {
        let id = match self.name.contains('/') {
            true => self.name.clone(),
            false => format!("sentence-transformers/{}", self.name),
        };
        let mut parts = id.split('/');
        let fits = |part: Option<&str>| {
            part.is_some_and(|p| {
                !p.is_empty()
                    && p.len() <= 96
                    && !p.starts_with(['.', '-'])
                    && !p.contains("..")
                    && !p.contains("--")
                    && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            })
        };
        if fits(parts.next()) && fits(parts.next()) && parts.next().is_none() {
            Ok(id)
        } else {
            Err(usage(format!("`{}` is neither a folder nor a hub id", self.name))
                .hint("a hub id is OWNER/NAME of letters, digits, `.`, `_` and `-`"))
        }
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(path) = &self.path {
            write!(f, ",path={}", path.display())?;
        }
        let texts = [
            ("revision", self.revision.clone()),
            ("dimension", self.dimension.map(|n| n.to_string())),
            ("pooling", self.pooling.clone()),
            ("normalised", self.normalised.map(|n| n.to_string())),
            ("document_prompt", self.document_prompt.clone()),
            ("query_prompt", self.query_prompt.clone()),
            ("max_tokens", self.max_tokens.map(|n| n.to_string())),
        ];
        texts.iter().try_for_each(|(key, value)| match value {
            Some(value) => write!(f, ",{key}={value}"),
            None => Ok(()),
        })
    }
}

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

fn is_revision(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && !text.contains("..")
        && !text.starts_with('/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
}

fn looks_like_a_folder(name: &str) -> bool {
    let path = Path::new(name);
    name.starts_with("./") || name.starts_with("../") || path.is_absolute() || path.is_dir()
}

fn last_component(path: &Path) -> Result<String> {
    let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned());
    name(path)
        .or_else(|| path.canonicalize().ok().as_deref().and_then(name))
        .ok_or_else(|| usage(format!("`{}` has no last component to name the model", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_stays_the_identity_when_a_path_is_given() {
        let spec: ModelSpec = "a/b,path=./there,revision=v1,dimension=384".parse().unwrap();
        assert_eq!(spec.name, "a/b");
        assert_eq!(spec.path.as_deref(), Some(Path::new("./there")));
        assert_eq!((spec.revision.as_deref(), spec.dimension), (Some("v1"), Some(384)));
    }

    #[test]
    fn a_folder_gives_its_last_component_as_name() {
        let spec: ModelSpec = "./models/mine".parse().unwrap();
        assert_eq!(spec.name, "mine");
        assert_eq!(spec.path.as_deref(), Some(Path::new("./models/mine")));
    }

    #[test]
    fn a_bare_name_is_sought_under_its_usual_owner() {
        let spec: ModelSpec = "all-MiniLM-L6-v2".parse().unwrap();
        assert_eq!(spec.name, "all-MiniLM-L6-v2");
        assert_eq!(spec.hub_id().unwrap(), "sentence-transformers/all-MiniLM-L6-v2");
    }

    #[test]
    fn names_that_would_leave_the_cache_are_refused() {
        for name in ["a/b/c", "a/..", "a/b--c", "a/", "a b/c", "a/b?x", "../x/y%2f"] {
            let spec = ModelSpec { name: name.into(), ..ModelSpec::default() };
            assert_eq!(spec.hub_id().unwrap_err().kind(), Kind::Usage, "{name}");
        }
    }

    #[test]
    fn a_declared_space_carries_what_was_said() {
        let spec: ModelSpec = "openai/text-embedding-3-small,dimension=1536,normalised=true".parse().unwrap();
        let space = spec.declared_space().unwrap();
        assert_eq!((space.dimension, space.normalised, space.pooling), (1536, Some(true), None));
        assert_eq!(ModelSpec::default().declared_space(), None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_round_trips(text in "[a-z/=,.0-9_]{0,40}") {
            if let Ok(spec) = text.parse::<ModelSpec>() {
                prop_assert_eq!(spec.to_string().parse::<ModelSpec>().unwrap(), spec);
            }
        }
    }
}
