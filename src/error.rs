//! The one public error of the crate.
//!
//! Messages are lower case, carry no full stop, and name what was found and what was wanted.
//! What the user can do next goes into [`Error::hint`], never into the message.
//! Vectors, document texts and keys never appear in either.

use std::error::Error as StdError;
use std::fmt;

/// Result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What class of failure this is. Each kind has one documented exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Arguments that contradict each other or make no sense.
    Usage,
    /// A store, collection, projection, model or file that is not there.
    NotFound,
    /// Dimensions, spaces or directions that do not fit each other.
    Mismatch,
    /// Input that is damaged or hostile: a file that breaks its own format.
    Damaged,
    /// Something else uses the store.
    Locked,
    /// A check of vectors failed: a migration leaves the collection as it was, a rollback leaves what it restored, `verify`
    /// changes nothing.
    Verification,
    /// The request is understood and was not carried out: a decision or a condition is missing.
    Refused,
    /// No room, no permission, read-only medium.
    CannotWrite,
    /// A format, release or feature that is recognised and not supported.
    Unsupported,
    /// A hub or server that could not be reached or said no.
    Network,
    /// Stopped by the user.
    Interrupted,
    /// Any other input/output failure.
    Io,
    /// A broken promise inside embedport.
    Internal,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Kind; 13] = [
        Kind::Usage,
        Kind::NotFound,
        Kind::Mismatch,
        Kind::Damaged,
        Kind::Locked,
        Kind::Verification,
        Kind::Refused,
        Kind::CannotWrite,
        Kind::Unsupported,
        Kind::Network,
        Kind::Interrupted,
        Kind::Io,
        Kind::Internal,
    ];

    /// Stable name, used as the JSON key `error.kind`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::NotFound => "not_found",
            Kind::Mismatch => "mismatch",
            Kind::Damaged => "damaged",
            Kind::Locked => "locked",
            Kind::Verification => "verification",
            Kind::Refused => "refused",
            Kind::CannotWrite => "cannot_write",
            Kind::Unsupported => "unsupported",
            Kind::Network => "network",
            Kind::Interrupted => "interrupted",
            Kind::Io => "io",
            Kind::Internal => "internal",
        }
    }

    /// Exit code of the command line program.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Io | Kind::Internal => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Mismatch => 4,
            Kind::Damaged => 5,
            Kind::Locked => 6,
            Kind::Verification => 7,
            Kind::Refused => 8,
            Kind::CannotWrite => 9,
            Kind::Unsupported => 10,
            Kind::Network => 11,
            Kind::Interrupted => 130,
        }
    }
}

/// A failure: kind, message, hints, cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of `kind`. `message`: lower case, no full stop, found and wanted.
    #[cold]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), hints: Vec::new(), source: None }))
    }

    /// Adds what the user can do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(cause.into());
        self
    }

    /// Puts `context: ` before the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// An input/output failure on `path`, classed by its cause (missing, forbidden, no room, other).
    #[cold]
    pub fn io(doing: &str, path: &std::path::Path, cause: std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        let kind = match cause.kind() {
            E::NotFound => Kind::NotFound,
            E::PermissionDenied
            | E::ReadOnlyFilesystem
            | E::StorageFull
            | E::QuotaExceeded
            | E::FileTooLarge => Kind::CannotWrite,
            E::Interrupted => Kind::Interrupted,
            _ => Kind::Io,
        };
        let error = Error::new(kind, format!("cannot {doing} `{}`", path.display())).because(cause);
        match kind {
            Kind::CannotWrite => error
                .hint("check free room, quota and permissions there, and whether the medium is read-only"),
            Kind::NotFound => error.hint("check the path"),
            _ => error,
        }
    }

    /// The class of the failure.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message without causes and hints.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, most useful first.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// Spaces, dimensions or directions do not fit.
    pub fn is_mismatch(&self) -> bool {
        self.0.kind == Kind::Mismatch
    }

    /// Something else uses the store.
    pub fn is_locked(&self) -> bool {
        self.0.kind == Kind::Locked
    }

    /// A store, collection, projection, model or file is missing.
    pub fn is_not_found(&self) -> bool {
        self.0.kind == Kind::NotFound
    }

    /// The user stopped the run.
    pub fn is_interrupted(&self) -> bool {
        self.0.kind == Kind::Interrupted
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.name(), self.0.message)?;
        let mut cause = self.source();
        while let Some(c) = cause {
            write!(f, ": {c}")?;
            cause = c.source();
        }
        for hint in &self.0.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_failures_are_classed_by_their_cause() {
        let of = |k| Error::io("read", std::path::Path::new("x"), std::io::Error::from(k)).kind();
        assert_eq!(of(std::io::ErrorKind::NotFound), Kind::NotFound);
        assert_eq!(of(std::io::ErrorKind::StorageFull), Kind::CannotWrite);
        assert_eq!(of(std::io::ErrorKind::UnexpectedEof), Kind::Io);
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::HashSet<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
