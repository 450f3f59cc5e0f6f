//! The index of fitted projections, looked up by spaces and never by dimension alone.

mod bundled;
mod entry;

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use entry::{Entry, Metrics};

use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::projection::Projection;
use crate::space::{Agreement, Space};

/// Format of registry files that this release writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// Largest registry file that is read.
const MOST_BYTES: u64 = 16 << 20;

/// The projections of one registry file, after them those that ship with the program.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    own: Vec<Entry>,
    bundled: Vec<Entry>,
}

/// A projection that was looked up, ready to apply.
#[derive(Debug)]
pub struct Resolved {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// The projection.
    pub projection: Projection,
}

impl Resolved {
    /// A projection that comes from no file.
    pub fn unregistered(projection: Projection) -> Resolved {
        Resolved { name: projection.header.name.clone(), sha256: String::new(), projection }
    }
}

/// What [`Registry::check`] found for one entry.
#[derive(Debug)]
pub struct Status<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// Whether it ships with the program.
    pub bundled: bool,
    /// What is wrong, if anything is.
    pub problem: Option<Error>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    projections: Vec<Entry>,
}

impl Registry {
    /// Opens the registry file at `path`, which must exist.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if there is none, [`Kind::Damaged`] if it breaks its format or names a file outside
    /// of its folder, [`Kind::Unsupported`] if a newer release wrote it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let own = parse(&files::read_at_most(&path, MOST_BYTES)?).map_err(|e| {
            e.context(format!("registry `{}`", path.display())).hint(
                "restore it from a copy, or move it away: the projections beside it can be named by their files",
            )
        })?;
        Ok(Registry { path, own, bundled: parse(bundled::REGISTRY)? })
    }

    /// As [`Registry::open`]; a file that does not exist is an empty registry, which the first addition writes.
    ///
    /// # Errors
    /// As [`Registry::open`], without the missing file.
    pub fn open_or_empty(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        match Self::open(&path) {
            Err(e) if e.is_not_found() => {
                Ok(Registry { path, own: Vec::new(), bundled: parse(bundled::REGISTRY)? })
            }
            other => other,
        }
    }

    /// Only the projections that ship with the program. Nothing can be added.
    ///
    /// # Errors
    /// [`Kind::Damaged`] if the program was built with a broken registry.
    pub fn bundled() -> Result<Self> {
        Ok(Registry { path: PathBuf::new(), own: Vec::new(), bundled: parse(bundled::REGISTRY)? })
    }

    /// Entries, those of the registry file first, without bundled ones of the same name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let hidden = |e: &&Entry| !self.own.iter().any(|own| own.name == e.name);
        self.own.iter().chain(self.bundled.iter().filter(hidden))
    }

    /// The entry of this name that does not ship with the program.
    pub fn own(&self, name: &str) -> Option<&Entry> {
        self.own.iter().find(|entry| entry.name == name)
    }

    /// The registry's file and those of its own projections.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = self.own.iter().map(|entry| self.folder().join(&entry.file));
        std::iter::once(self.path.clone()).chain(own).collect()
    }

    /// Adds the projection that lies in `file` (in the folder of the registry or below) and saves the registry.
    /// An entry of the same name is replaced.
    ///
    /// # Errors
    /// [`Kind::Usage`] if `file` lies elsewhere, [`Kind::Mismatch`] if it does not hold `projection`,
    /// [`Kind::CannotWrite`] and others by cause.
    pub fn add(&mut self, projection: &Projection, file: &Path) -> Result<()> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::new(Kind::Usage, "the bundled registry cannot be changed"));
        }
        let (found, sha256) = Projection::load(file)?;
        if found.header.name != projection.header.name || found.header.source != projection.header.source {
            return Err(Error::new(
                Kind::Mismatch,
                format!("`{}` holds another projection than `{}`", file.display(), projection.header.name),
            ));
        }
        let relative = self.relative(file)?;
        let entry = Entry::new(&projection.header, relative, sha256);
        match self.own.iter_mut().find(|e| e.name == entry.name) {
            Some(same) => *same = entry,
            None => self.own.push(entry),
        }
        self.save()
    }

    /// Whether files in `folder`, which need not exist yet, could be added.
    ///
    /// # Errors
    /// [`Kind::Usage`] if `folder` is not the folder of the registry and does not lie below it.
    pub fn check_folder(&self, folder: &Path) -> Result<()> {
        let (own, folder) = (files::resolved(self.folder())?, files::resolved(folder)?);
        match folder.starts_with(&own) {
            true => Ok(()),
            false => Err(elsewhere(&folder, &own)),
        }
    }

    /// Entries that map records of `source` (and to `target`, if given): no known field of a space contradicts.
    /// Those whose spaces agree in every field come first. Bridges are not among them.
    pub fn find(&self, source: &Space, target: Option<&Space>) -> Vec<&Entry> {
        let mut found: Vec<(usize, &Entry)> = self
            .entries()
            .filter(|e| e.role.is_records())
            .filter_map(|e| {
                let wanted = target.map_or(Some(0), |t| distance(t, &e.target));
                Some((distance(source, &e.source)? + wanted?, e))
            })
            .collect();
        found.sort_by_key(|(distance, _)| *distance);
        found.into_iter().map(|(_, e)| e).collect()
    }

    /// Loads a projection by its name in the registry (checking its SHA-256) or from a file.
    ///
    /// # Errors
    /// [`Kind::NotFound`] with the names that exist, [`Kind::Damaged`] if the file is not the registered one,
    /// and those of [`Projection::load`].
    pub fn resolve(&self, name_or_file: &str) -> Result<Resolved> {
        if let Some(entry) = self.own.iter().find(|e| e.name == name_or_file) {
            return self.load(entry, false);
        }
        if let Some(entry) = self.bundled.iter().find(|e| e.name == name_or_file) {
            return self.load(entry, true);
        }
        let path = Path::new(name_or_file);
        if path.exists() {
            return Projection::load(path).map(Resolved::from);
        }
        let names: Vec<&str> = self.entries().map(|e| e.name.as_str()).collect();
        let error = Error::new(
            Kind::NotFound,
            format!("there is no projection file or registered projection `{name_or_file}`"),
        );
        Err(if names.is_empty() {
            error.hint("the registry is empty; make a projection with `embedport train`")
        } else {
            error.hint(format!("registered projections are: {}", names.join(", ")))
        })
    }

    /// Loads every entry and says what is wrong with it.
    pub fn check(&self) -> Vec<Status<'_>> {
        self.entries()
            .map(|entry| {
                let bundled = !self.own.iter().any(|own| std::ptr::eq(own, entry));
                Status { entry, bundled, problem: self.load(entry, bundled).err() }
            })
            .collect()
    }

    fn load(&self, entry: &Entry, bundled: bool) -> Result<Resolved> {
        let (projection, sha256) = if bundled {
            let bytes = bundled::FILES.iter().find(|(name, _)| *name == entry.file).map(|(_, bytes)| *bytes);
            let bytes = bytes.ok_or_else(|| {
                Error::new(Kind::NotFound, format!("bundled projection `{}` has no file", entry.name))
            })?;
            (Projection::from_bytes(bytes)?, files::hex(&Sha256::digest(bytes)))
        } else {
            Projection::load(&self.folder().join(inside(&entry.file)?))?
        };
        if sha256 != entry.sha256 {
            return Err(Error::new(
                Kind::Damaged,
                format!(
                    "the file of projection `{}` is not the one that was registered (SHA-256 differs)",
                    entry.name
                ),
            )
            .hint("train it again, or name the file itself if you trust it"));
        }
        let header = &projection.header;
        if (&header.source, &header.target, header.role) != (&entry.source, &entry.target, entry.role) {
            return Err(Error::new(
                Kind::Damaged,
                format!(
                    "the file of projection `{}` has other spaces or another role than its entry",
                    entry.name
                ),
            ));
        }
        Ok(Resolved::from((projection, sha256)))
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    fn relative(&self, file: &Path) -> Result<String> {
        let absolute = |p: &Path| p.canonicalize().map_err(|e| Error::io("find", p, e));
        let (folder, file) = (absolute(self.folder())?, absolute(file)?);
        let relative = file.strip_prefix(&folder).ok().and_then(|p| {
            p.components().map(|c| c.as_os_str().to_str()).collect::<Option<Vec<_>>>().map(|c| c.join("/"))
        });
        relative.ok_or_else(|| elsewhere(&file, &folder))
    }

    fn save(&self) -> Result<()> {
        let file = File { format: FORMAT, projections: self.own.clone() };
        let mut json = serde_json::to_vec_pretty(&file)
            .map_err(|e| Error::new(Kind::Internal, "the registry cannot be serialised").because(e))?;
        json.push(b'\n');
        files::write(&self.path, &json)
    }
}

impl From<(Projection, String)> for Resolved {
    fn from((projection, sha256): (Projection, String)) -> Self {
        Resolved { name: projection.header.name.clone(), sha256, projection }
    }
}

fn elsewhere(found: &Path, folder: &Path) -> Error {
    Error::new(
        Kind::Usage,
        format!("`{}` does not lie in the registry's folder `{}`", found.display(), folder.display()),
    )
    .hint("save projections beside the registry or below it: choose another --output-dir, or a --registry there")
}

fn parse(bytes: &[u8]) -> Result<Vec<Entry>> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let broken = |e: serde_json::Error| Error::new(Kind::Damaged, "not a registry of projections").because(e);
    let Version { format } = serde_json::from_slice(bytes).map_err(broken)?;
    if format != FORMAT {
        let kind = if format > FORMAT { Kind::Unsupported } else { Kind::Damaged };
        return Err(Error::new(kind, format!("registry format {format}, this release reads {FORMAT}")));
    }
    let File { projections, .. } = serde_json::from_slice(bytes).map_err(broken)?;
    for entry in &projections {
        inside(&entry.file)?;
    }
    Ok(projections)
}

/// The path, if it cannot leave the folder that it is joined to.
fn inside(file: &str) -> Result<&Path> {
    let path = Path::new(file);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    if !plain || file.is_empty() || file.contains(['\\', ':', '\0']) {
        return Err(Error::new(
            Kind::Damaged,
            format!("the file `{}` of an entry lies outside of the registry's folder", file.escape_debug()),
        ));
    }
    Ok(path)
}

/// Number of fields that are known on one side only; none if a known field contradicts.
fn distance(found: &Space, wanted: &Space) -> Option<usize> {
    match found.compare(wanted) {
        Agreement::Same => Some(0),
        Agreement::AsFarAsKnown(unknown) => Some(unknown.len()),
        Agreement::Different(_) => None,
    }
}

#[cfg(test)]
mod tests;
