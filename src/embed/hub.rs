//! Models of the hub: its settings, its cache on this machine, and the files of one model.
//!
//! The cache has the layout of the Python library (`models--OWNER--NAME/{blobs,refs,snapshots}`), so
//! that both share it. What is in the cache is used without asking the hub again.

use std::fmt;
use std::path::{Path, PathBuf};

use super::files::{Files, is_complete};
use super::hub_request::{Answer, Request};
use super::spec::ModelSpec;
use crate::context::Context;
use crate::error::{Error, Kind, Result};

/// Where the hub and its cache are, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// Folder of the cache (`.../hub`).
    pub cache: PathBuf,
    /// Address of the hub without a slash at the end.
    pub endpoint: String,
    /// Token that opens private and gated models.
    pub token: Option<String>,
    /// Use the cache only.
    pub offline: bool,
}

/// Address of the hub unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

impl HubConfig {
    /// Reads the environment: `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`; `HF_TOKEN`, `HF_TOKEN_PATH`
    /// or the token file in `HF_HOME`; `HF_ENDPOINT`; `HF_HUB_OFFLINE`. The only reader of the
    /// environment in this library.
    pub fn from_env() -> Self {
        Self::from_lookup(&|name| std::env::var(name).ok())
    }

    /// Like [`HubConfig::from_env`] with another source of variables.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let home = set("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            let cache = set("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
                let user = set("HOME").or_else(|| set("USERPROFILE")).unwrap_or_else(|| ".".to_owned());
                PathBuf::from(user).join(".cache")
            });
            cache.join("huggingface")
        });
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).map(PathBuf::from);
        let cache = cache.unwrap_or_else(|| home.join("hub"));
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(|| {
            let file = set("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
            let bytes = super::files::read(&file, 4096).ok()?;
            String::from_utf8(bytes).ok()
        });
        let yes = |text: String| ["1", "on", "yes", "true"].contains(&text.trim().to_lowercase().as_str());
        HubConfig {
            cache: std::path::absolute(&cache).unwrap_or(cache),
            endpoint: set("HF_ENDPOINT")
                .map_or_else(|| ENDPOINT.to_owned(), |text| text.trim().trim_end_matches('/').to_owned()),
            token: token.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()),
            offline: set("HF_HUB_OFFLINE").or_else(|| set("TRANSFORMERS_OFFLINE")).is_some_and(yes),
        }
    }
}

/// Never shows the token.
impl fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubConfig")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("offline", &self.offline)
            .finish()
    }
}

/// The snapshot of the model in the cache, if it has weights.
pub(crate) fn find_cached(spec: &ModelSpec, config: &HubConfig) -> Option<PathBuf> {
    let repository = repository(&config.cache, &spec.hub_id().ok()?);
    let commit = commit(&repository, spec.revision.as_deref().unwrap_or("main"))?;
    let snapshot = repository.join("snapshots").join(commit);
    is_complete(&snapshot).then_some(snapshot)
}

/// Folder of a model in the cache.
fn repository(cache: &Path, id: &str) -> PathBuf {
    cache.join(hf_hub::Repo::model(id.to_owned()).folder_name())
}

/// The commit that the cache has for `revision`.
fn commit(repository: &Path, revision: &str) -> Option<String> {
    let named = super::files::read(&repository.join("refs").join(revision), 256).ok();
    let commit = match named {
        Some(bytes) => String::from_utf8(bytes).ok()?.trim().to_owned(),
        None => revision.to_owned(),
    };
    let plain = !commit.is_empty() && commit.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && repository.join("snapshots").join(&commit).is_dir()).then_some(commit)
}

/// The files of one model on the hub: from the cache, else loaded into it.
pub(crate) struct HubFiles<'a> {
    id: String,
    revision: String,
    repository: PathBuf,
    config: &'a HubConfig,
    context: Context<'a>,
}

impl<'a> HubFiles<'a> {
    /// # Errors
    /// [`Kind::NotFound`] if the hub must not be asked and the cache has no snapshot.
    pub(crate) fn new(spec: &ModelSpec, config: &'a HubConfig, context: &Context<'a>) -> Result<Self> {
        let id = spec.hub_id()?;
        let repository = repository(&config.cache, &id);
        let revision = spec.revision.clone().unwrap_or_else(|| "main".to_owned());
        let files = HubFiles { id, revision, repository, config, context: *context };
        match config.offline && commit(&files.repository, &files.revision).is_none() {
            true => Err(files.offline_miss("modules.json, config.json, tokenizer.json, model.safetensors")),
            false => Ok(files),
        }
    }

    fn offline_miss(&self, files: &str) -> Error {
        Error::new(
            Kind::NotFound,
            format!("{files} of `{}` not in the hub cache, and HF_HUB_OFFLINE forbids to load", self.id),
        )
        .hint(format!(
            "looked in `{}` for revision {} (HF_HUB_CACHE or HF_HOME name another cache)",
            self.repository.display(),
            self.revision
        ))
        .hint("unset HF_HUB_OFFLINE once to load the model into the cache")
        .hint(format!("or copy the model's folder here and give `{},path=FOLDER`", self.id))
    }

    fn mark_absent(&self, commit: &str, name: &str) {
        let mark = self.repository.join(".no_exist").join(commit).join(name);
        // Only spares a later question to the hub; a cache that cannot be written is no failure here.
        let made = mark.parent().map(std::fs::create_dir_all);
        if let Some(Ok(())) = made {
            let _unmarked = std::fs::File::create(&mark);
        }
    }
}

impl Files for HubFiles<'_> {
    fn find(&self, name: &str) -> Result<Option<PathBuf>> {
        let commit = commit(&self.repository, &self.revision);
        if let Some(commit) = &commit {
            let path = self.repository.join("snapshots").join(commit).join(name);
            if path.is_file() {
                return Ok(Some(path));
            }
            if self.repository.join(".no_exist").join(commit).join(name).is_file() {
                return Ok(None);
            }
        }
        if self.config.offline {
            self.context
                .progress
                .note(&format!("{name} of {} is not in the hub cache, taken as absent", self.id));
            return Ok(None);
        }
        // Asking for the commit of the cached snapshot keeps files of two commits from being mixed.
        let revision = commit.as_deref().unwrap_or(&self.revision);
        let request = Request {
            config: self.config,
            context: &self.context,
            id: &self.id,
            revision,
            repository: &self.repository,
        };
        match request.load(name)? {
            Answer::Loaded(path) => Ok(Some(path)),
            Answer::Absent { commit } => {
                if let Some(commit) = &commit {
                    self.mark_absent(commit, name);
                }
                Ok(None)
            }
        }
    }

    fn place(&self) -> String {
        format!("the hub model `{}`", self.id)
    }

    fn require(&self, name: &str) -> Result<PathBuf> {
        if let Some(path) = self.find(name)? {
            return Ok(path);
        }
        if self.config.offline {
            return Err(self.offline_miss(name));
        }
        let other = |name: &str| matches!(self.find(name), Ok(Some(_)));
        if name.ends_with("model.safetensors") && other("model.safetensors.index.json") {
            return Err(Error::new(
                Kind::Unsupported,
                format!("`{}` keeps its weights in several files", self.id),
            )
            .hint("embedport reads a single model.safetensors"));
        }
        Err(Error::new(Kind::NotFound, format!("no `{name}` in {}", self.place())).hint(
            match name.ends_with("model.safetensors") {
                true => {
                    "embedport reads safetensors only; for a repository with pytorch_model.bin, save the \
                     model once with sentence-transformers and give NAME,path=FOLDER"
                }
                false => "check the name of the model; it must be one for sentence-transformers",
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> HubConfig {
        HubConfig::from_lookup(&|name| pairs.iter().find(|p| p.0 == name).map(|p| p.1.to_owned()))
    }

    #[test]
    fn the_cache_is_found_as_the_python_library_finds_it() {
        let cache = |pairs: &[(&str, &str)]| config(pairs).cache;
        assert_eq!(cache(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]), Path::new("/c"));
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HOME", "/u")]), Path::new("/h/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/u")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/u")]), Path::new("/u/.cache/huggingface/hub"));
    }

    #[test]
    fn offline_and_endpoint_are_read() {
        let found = config(&[("HF_HUB_OFFLINE", "YES"), ("HF_ENDPOINT", "http://mirror/"), ("HOME", "/u")]);
        assert!(found.offline);
        assert_eq!(found.endpoint, "http://mirror");
        assert!(!config(&[("HF_HUB_OFFLINE", "0")]).offline);
    }

    #[test]
    fn the_token_comes_from_its_file_and_is_never_shown() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "hf_secret\n").unwrap();
        let found = config(&[("HF_HOME", home.path().to_str().unwrap())]);
        assert_eq!(found.token.as_deref(), Some("hf_secret"));
        assert!(!format!("{found:?}").contains("secret"));
        let direct = config(&[("HF_HOME", home.path().to_str().unwrap()), ("HF_TOKEN", "other")]);
        assert_eq!(direct.token.as_deref(), Some("other"));
    }

    #[test]
    fn a_ref_cannot_lead_out_of_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--a--b");
        std::fs::create_dir_all(repository.join("refs")).unwrap();
        std::fs::create_dir_all(repository.join("snapshots/abc")).unwrap();
        std::fs::write(repository.join("refs/main"), "abc\n").unwrap();
        assert_eq!(commit(&repository, "main").as_deref(), Some("abc"));
        std::fs::write(repository.join("refs/main"), "../snapshots/abc").unwrap();
        assert_eq!(commit(&repository, "main"), None);
    }
}
