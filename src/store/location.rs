//! Where a store lies, as one line of text: `PATH`, `SCHEME:PATH` or `SCHEME:PATH?setting=value&setting=value`.

use std::borrow::Cow;
use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{SCHEMES, Scheme};
use crate::error::{Error, Kind, Result};
use crate::platform::identity;

/// What would end a path behind a scheme, or stand for something else.
const IN_PATHS: &AsciiSet = &CONTROLS.add(b'%').add(b'?');
/// What would end a setting's name or value, or stand for something else.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%').add(b'&').add(b'=').add(b'?').add(b'#').add(b'+').add(b' ');

/// A location in its parts.
pub(super) struct Location<'a> {
    /// Named before the colon; none: it has to be recognised.
    pub scheme: Option<&'static Scheme>,
    pub path: Cow<'a, str>,
    pub settings: Settings,
}

impl<'a> Location<'a> {
    /// A path alone is taken as it is; behind a scheme `?` begins the settings, and `%3F` is a question mark.
    ///
    /// # Errors
    /// [`Kind::Usage`] for settings that are not written as such.
    pub fn parse(location: &'a str) -> Result<Location<'a>> {
        for scheme in SCHEMES {
            let Some(rest) = location.strip_prefix(scheme.name).and_then(|rest| rest.strip_prefix(':'))
            else {
                continue;
            };
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let Some((path, settings)) = rest.split_once('?') else {
                return Ok(Location {
                    scheme: Some(scheme),
                    path: rest.into(),
                    settings: Settings::default(),
                });
            };
            let path = percent_decode_str(path).decode_utf8_lossy();
            return Ok(Location { scheme: Some(scheme), path, settings: Settings::parse(settings)? });
        }
        Ok(Location { scheme: None, path: location.into(), settings: Settings::default() })
    }
}

/// `location` with more settings; they come last, and so replace those of the same name. A store without a scheme before
/// its path is recognised first; what is not recognised stays as it is.
pub fn with_settings(location: &str, settings: &[(&str, &str)]) -> Result<String> {
    if settings.is_empty() {
        return Ok(location.to_owned());
    }
    let parsed = Location::parse(location)?;
    let path = Path::new(parsed.path.as_ref());
    let Some(scheme) = parsed.scheme.or_else(|| SCHEMES.iter().find(|s| (s.recognises)(path))) else {
        return Ok(location.to_owned());
    };
    let mut all = parsed.settings;
    for (name, value) in settings {
        all.0.retain(|(known, _)| known != name);
        all.0.push(((*name).to_owned(), (*value).to_owned()));
    }
    let path = utf8_percent_encode(&parsed.path, IN_PATHS);
    Ok(format!("{}:{path}?{}", scheme.name, all.to_text()))
}

/// What may not be read cannot be recognised, and is no other thing for that.
pub(super) fn may_be_read(path: &Path) -> Result<()> {
    let look = || {
        let found = path.metadata()?;
        match (found.is_dir(), found.is_file()) {
            (true, _) => path.join(".").metadata().map(drop),
            (_, true) => identity::expect_readable(path),
            _ => Ok(()),
        }
    };
    match look() {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Err(Error::io("read", path, e)),
        // That nothing is there is for others to say, in words of their own.
        _ => Ok(()),
    }
}

/// How a store is to be read, in the store's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// Reads `name=value&name=value`, percent-encoded.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a part without `=`, a name given twice, or bytes that are no UTF-8.
    pub fn parse(text: &str) -> Result<Settings> {
        let mut settings = Settings::default();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let wrong =
                || Error::new(Kind::Usage, format!("`{}` is no setting of a store", part.escape_debug()));
            let (name, value) = part.split_once('=').ok_or_else(wrong)?;
            let decoded =
                |text: &str| percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| wrong());
            let (name, value) = (decoded(name)?, decoded(value)?);
            if settings.get(&name).is_some() {
                return Err(Error::new(Kind::Usage, format!("the setting `{name}` is given twice")));
            }
            settings.0.push((name, value));
        }
        Ok(settings)
    }

    /// As [`Settings::parse`] reads it.
    pub fn to_text(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let parts = self.0.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        parts.collect::<Vec<_>>().join("&")
    }

    /// From names and values.
    pub fn of(parts: &[(&str, Option<&str>)]) -> Settings {
        let given = parts.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
        Settings(given.collect())
    }

    /// The value of `name`, if it is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses settings that are not among `known`.
    ///
    /// # Errors
    /// [`Kind::Usage`] with what is known.
    pub fn expect(&self, scheme: &str, known: &[&str]) -> Result<()> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let error = Error::new(
                    Kind::Usage,
                    format!("a store of the kind {scheme} has no setting `{}`", name.escape_debug()),
                );
                Err(match known {
                    [] => error.hint("it has no settings: its own files say how it is to be read"),
                    known => error.hint(format!("its settings are: {}", known.join(", "))),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_alone_may_hold_anything() {
        let location = Location::parse("a?b=c:d").unwrap();
        assert!(location.scheme.is_none() && location.settings.is_empty());
        assert_eq!(location.path, "a?b=c:d");
    }

    #[test]
    fn settings_follow_a_scheme_and_a_path() {
        let location = Location::parse("sqlite:a%3Fb.db?table=my%20docs&where=a%3D1").unwrap();
        assert_eq!((location.path.as_ref(), location.scheme.unwrap().name), ("a?b.db", "sqlite"));
        assert_eq!(location.settings.get("table"), Some("my docs"));
        assert_eq!(location.settings.get("where"), Some("a=1"));
        let more = with_settings("sqlite:a%3Fb.db?table=x", &[("table", "y & z")]).unwrap();
        assert_eq!(more, "sqlite:a%3Fb.db?table=y%20%26%20z");
        assert!(Location::parse("sqlite:a?table").is_err());
        assert!(Location::parse("sqlite:a?table=b&table=c").is_err());
        assert!(Settings::parse("colour=blue").unwrap().expect("sqlite", &["table"]).is_err());
    }

    proptest! {
        #[test]
        fn settings_come_back(values in proptest::collection::vec(".*", 3)) {
            let settings = Settings(["a", "b", "c"].map(str::to_owned).into_iter().zip(values).collect());
            prop_assert_eq!(Settings::parse(&settings.to_text()).unwrap(), settings);
        }
    }
}
