//! One file from the hub into the cache: asked for first, then transferred by hf-hub, then checked.
//!
//! hf-hub alone does not tell a gated model from a missing one, appends to a partial file whatever the
//! server answers, and checks neither size nor hash. The question before and the check after do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};
use sha2::{Digest, Sha256};

use super::hub::HubConfig;
use super::hub_progress::Bar;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::platform::files;

/// Transfers of one file before giving up; each goes on where the last broke off.
const ATTEMPTS: u32 = 4;

/// What the hub had to say about a file.
pub(crate) enum Answer {
    /// In the cache now.
    Loaded(PathBuf),
    /// The model has no such file, in this commit if it was told.
    Absent { commit: Option<String> },
}

/// A request for files of one model.
pub(crate) struct Request<'a> {
    pub config: &'a HubConfig,
    pub context: &'a Context<'a>,
    pub id: &'a str,
    pub revision: &'a str,
    /// Folder of the model in the cache.
    pub repository: &'a Path,
}

/// Headers that describe a file.
struct Description {
    etag: String,
    size: Option<u64>,
}

enum Asked {
    Present(Description),
    Absent(Option<String>),
}

impl Request<'_> {
    /// Loads `name` into the cache.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for no such model or revision, [`Kind::Refused`] if the hub wants a token or an
    /// accepted licence, [`Kind::Network`] for everything that may pass, [`Kind::CannotWrite`].
    pub(crate) fn load(&self, name: &str) -> Result<Answer> {
        self.context.check()?;
        match self.ask(name)? {
            Asked::Present(description) => self.transfer(name, &description).map(Answer::Loaded),
            Asked::Absent(commit) => Ok(Answer::Absent { commit }),
        }
    }

    fn ask(&self, name: &str) -> Result<Asked> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .build()
            .into();
        let endpoint = &self.config.endpoint;
        let revision = self.revision.replace('/', "%2F");
        let mut url = format!("{endpoint}/{}/resolve/{revision}/{name}", self.id);
        for _ in 0..5 {
            let mut request = agent.head(&url).header("Accept-Encoding", "identity");
            if let Some(token) = &self.config.token {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|cause| {
                Error::new(Kind::Network, format!("cannot reach the hub at {endpoint}"))
                    .hint("check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 uses the cache alone")
                    .hint("a model that is on this machine can be given as NAME,path=FOLDER")
                    .because(cause)
            })?;
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let status = response.status().as_u16();
            if (300..400).contains(&status) {
                match header("location") {
                    // A renamed model: same host, other path.
                    Some(place) if place.starts_with('/') && !place.starts_with("//") => {
                        url = format!("{endpoint}{place}");
                        continue;
                    }
                    Some(_) => {}
                    None => return Err(self.odd("a redirection to nowhere")),
                }
            }
            let commit = header("x-repo-commit").filter(|c| is_plain(c)).map(str::to_owned);
            if status >= 400 {
                return self.refusal(status, header("x-error-code").unwrap_or(""), commit);
            }
            let etag = header("x-linked-etag").or_else(|| header("etag")).map(|e| e.replace('"', ""));
            let etag = etag.filter(|e| is_plain(e.strip_prefix("W/").unwrap_or(e)));
            let (Some(_), Some(etag)) = (commit, etag) else {
                return Err(self.odd("no usable x-repo-commit or etag"));
            };
            let size = header("x-linked-size").or_else(|| header("content-length"));
            return Ok(Asked::Present(Description { etag, size: size.and_then(|s| s.parse().ok()) }));
        }
        Err(self.odd("redirections without end"))
    }

    fn refusal(&self, status: u16, code: &str, commit: Option<String>) -> Result<Asked> {
        let Request { id, config, revision, .. } = self;
        let page = format!("{}/{id}", config.endpoint);
        let token = match config.token {
            Some(_) => "the token in use (HF_TOKEN or the token file) does not open it",
            None => "set HF_TOKEN to a token of an account that may read it",
        };
        Err(match (status, code) {
            (404, "RepoNotFound") => {
                Error::new(Kind::NotFound, format!("no model `{id}` on the hub {}", config.endpoint))
                    .hint("check the name: OWNER/NAME, as in the address of its page")
            }
            (404, "RevisionNotFound") => {
                Error::new(Kind::NotFound, format!("no revision `{revision}` of `{id}` on the hub"))
            }
            (404, _) => return Ok(Asked::Absent(commit)),
            (401 | 403, "GatedRepo") => {
                Error::new(Kind::Refused, format!("`{id}` is gated: its conditions must be accepted first"))
                    .hint(format!("accept them at {page}, then set HF_TOKEN to a token of that account"))
            }
            (401, _) => {
                Error::new(Kind::Refused, format!("the hub says 401: `{id}` is private or does not exist"))
                    .hint("check the name: OWNER/NAME, as in the address of its page")
                    .hint(token)
            }
            (403, _) => {
                Error::new(Kind::Refused, format!("the hub says 403: `{id}` must not be read")).hint(token)
            }
            _ => Error::new(Kind::Network, format!("the hub at {} answers {status}", config.endpoint))
                .hint("try again later"),
        })
    }

    fn odd(&self, what: &str) -> Error {
        Error::new(Kind::Network, format!("{} does not answer as a hub does: {what}", self.config.endpoint))
            .hint("check HF_ENDPOINT")
    }

    fn transfer(&self, name: &str, wanted: &Description) -> Result<PathBuf> {
        let api = ApiBuilder::new()
            .with_cache_dir(self.config.cache.clone())
            .with_endpoint(self.config.endpoint.clone())
            .with_token(self.config.token.clone())
            .with_progress(false)
            .with_retries(0)
            .build()
            .map_err(|cause| Error::new(Kind::Network, "cannot talk to the hub").because(cause))?;
        let repo = Repo::with_revision(self.id.to_owned(), RepoType::Model, self.revision.to_owned());
        let repo = api.repo(repo);
        let blob = self.repository.join("blobs").join(&wanted.etag);
        let part = blob.with_extension("part");
        let mut failure = Error::new(Kind::Network, format!("`{name}` of `{}` did not arrive", self.id));
        for attempt in 0..ATTEMPTS {
            self.context.check()?;
            // hf-hub cannot resume a partial file that is already as long as the whole.
            if let (Ok(found), Some(size)) = (fs::metadata(&part), wanted.size)
                && found.len() >= size
            {
                remove(&part)?;
            }
            let progress =
                Bar { context: self.context, name: format!("loading {}/{name}", self.id), begun: false };
            match repo.download_with_progress(name, progress) {
                Ok(path) => match check(&path, &blob, wanted) {
                    Ok(()) => return Ok(path),
                    Err(error) => {
                        // Too short: the transfer broke off unnoticed, and goes on from there.
                        let short =
                            fs::metadata(&blob).is_ok_and(|b| wanted.size.is_some_and(|s| b.len() < s));
                        remove(&path)?;
                        match short {
                            true => fs::rename(&blob, &part).map_err(|c| Error::io("rename", &blob, c))?,
                            false => remove(&blob)?,
                        }
                        failure = error;
                    }
                },
                Err(hf_hub::api::sync::ApiError::IoError(cause)) if is_local(&cause) => {
                    return Err(Error::io("write into the hub cache", self.repository, cause)
                        .hint("HF_HUB_CACHE or HF_HOME name another place for the cache"));
                }
                Err(hf_hub::api::sync::ApiError::LockAcquisition(_)) => {
                    return Err(Error::new(Kind::Locked, format!("another process loads `{}` now", self.id))
                        .hint("wait for it, then run the same command again"));
                }
                Err(cause) => failure = self.broken(name, &part, wanted, cause),
            }
            std::thread::sleep(Duration::from_millis(100 << attempt));
        }
        Err(failure)
    }

    fn broken(
        &self,
        name: &str,
        part: &Path,
        wanted: &Description,
        cause: hf_hub::api::sync::ApiError,
    ) -> Error {
        let have = fs::metadata(part).map_or(0, |found| found.len());
        let size = wanted.size.map_or_else(|| "?".to_owned(), |s| s.to_string());
        Error::new(
            Kind::Network,
            format!("the transfer of `{name}` of `{}` broke off at {have} of {size} bytes", self.id),
        )
        .hint("run the same command again: it goes on where it broke off")
        .because(cause)
    }
}

/// Checks size, and SHA-256 where the etag is one (as it is for large files).
fn check(path: &Path, blob: &Path, wanted: &Description) -> Result<()> {
    let found = fs::metadata(path).map_err(|cause| Error::io("read", path, cause))?.len();
    let damaged = |what: String| {
        Error::new(Kind::Network, format!("`{}` arrived damaged: {what}", blob.display()))
            .hint("run the same command again; if it persists, the hub or a proxy alters files")
    };
    if let Some(size) = wanted.size
        && size != found
    {
        return Err(damaged(format!("{found} bytes, {size} were announced")));
    }
    if wanted.etag.len() == 64 && wanted.etag.bytes().all(|b| b.is_ascii_hexdigit()) {
        let mut hash = Sha256::new();
        let mut file = fs::File::open(path).map_err(|cause| Error::io("read", path, cause))?;
        std::io::copy(&mut file, &mut hash).map_err(|cause| Error::io("read", path, cause))?;
        let hash = files::hex(&hash.finalize());
        if hash != wanted.etag.to_lowercase() {
            return Err(damaged("its SHA-256 is not the announced one".to_owned()));
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, cause)),
        _ => Ok(()),
    }
}

/// Whether a failure is of the disk here, not of the connection.
fn is_local(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    matches!(
        cause.kind(),
        E::PermissionDenied | E::ReadOnlyFilesystem | E::StorageFull | E::QuotaExceeded | E::NotADirectory
    )
}

/// Commits and etags become file names.
fn is_plain(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_headers_cannot_leave_the_cache() {
        assert!(is_plain("e4ce9877abf3edfe10b0d82785e83bdcb973e22e"));
        for text in ["", "../x", "a/b", "a.part", "a\\b"] {
            assert!(!is_plain(text), "{text}");
        }
    }
}
