//! What a user can say about how a collection lies in a SQLite file; what is not said is found by looking.

use super::encoding::{self, Encoding};
use crate::error::{Error, Kind, Result};
use crate::store::{Metric, Settings};

/// Names of the settings.
const KNOWN: [&str; 10] =
    ["table", "vector", "id", "text", "scale", "encoding", "metric", "where", "fire-triggers", "stamp"];
/// Those of them that are not about one table.
const OF_ANY: [&str; 4] = ["table", "metric", "fire-triggers", "stamp"];

/// See [`KNOWN`].
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub table: Option<String>,
    pub vector: Option<String>,
    pub id: Option<String>,
    pub text: Option<String>,
    pub scale: Option<String>,
    pub encoding: Option<Encoding>,
    pub metric: Option<Metric>,
    pub condition: Option<String>,
    pub fire_triggers: bool,
    /// No table of embedport's is to be in the file.
    pub no_stamp: bool,
}

impl Wishes {
    /// # Errors
    /// [`Kind::Usage`] for settings that there are not, and values that they cannot have.
    pub fn read(settings: &Settings) -> Result<Wishes> {
        settings.expect(super::SCHEME, &KNOWN)?;
        let text = |name: &str| settings.get(name).map(str::to_owned);
        let encoding = settings.get("encoding").map(|name| {
            Encoding::of_name(name).ok_or_else(|| {
                let mut names: Vec<_> = encoding::ALL.iter().map(|encoding| encoding.name()).collect();
                names.dedup();
                wrong("encoding", name, &names.join(", "))
            })
        });
        let metric = settings.get("metric").map(|name| {
            let known = [Metric::L2, Metric::Cosine, Metric::Ip];
            let found = known.into_iter().find(|metric| metric.name() == name);
            found.ok_or_else(|| wrong("metric", name, "l2, cosine, ip"))
        });
        let says = |name: &str, unsaid: bool| match settings.get(name) {
            None => Ok(unsaid),
            Some("no") => Ok(false),
            Some("yes") => Ok(true),
            Some(other) => Err(wrong(name, other, "yes, no")),
        };
        let (fire_triggers, no_stamp) = (says("fire-triggers", false)?, !says("stamp", true)?);
        if settings.get("table").is_none()
            && let Some(name) =
                KNOWN.iter().find(|name| !OF_ANY.contains(name) && settings.get(name).is_some())
        {
            return Err(Error::new(
                Kind::Usage,
                format!("the setting `{name}` is about a table, and none is named"),
            )
            .hint("name it as well: table=NAME, or --table NAME"));
        }
        Ok(Wishes {
            table: text("table"),
            vector: text("vector"),
            id: text("id"),
            text: text("text"),
            scale: text("scale"),
            encoding: encoding.transpose()?,
            metric: metric.transpose()?,
            condition: text("where"),
            fire_triggers,
            no_stamp,
        })
    }

    /// These, and where they say nothing those of `other`.
    pub fn or(&self, other: &Wishes) -> Wishes {
        let text = |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone());
        Wishes {
            table: text(&self.table, &other.table),
            vector: text(&self.vector, &other.vector),
            id: text(&self.id, &other.id),
            text: text(&self.text, &other.text),
            scale: text(&self.scale, &other.scale),
            encoding: self.encoding.or(other.encoding),
            metric: self.metric.or(other.metric),
            condition: text(&self.condition, &other.condition),
            fire_triggers: self.fire_triggers || other.fire_triggers,
            no_stamp: self.no_stamp,
        }
    }
}

fn wrong(name: &str, value: &str, known: &str) -> Error {
    Error::new(Kind::Usage, format!("the setting `{name}` cannot be `{}`", value.escape_debug()))
        .hint(format!("it can be: {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wishes> {
        Wishes::read(&Settings::parse(text).unwrap())
    }

    #[test]
    fn what_is_said_twice_is_taken_from_the_first() {
        let user = read("table=docs&encoding=f16").unwrap();
        let stamp = read("table=docs&encoding=f32&id=key&metric=l2").unwrap();
        let both = user.or(&stamp);
        assert_eq!((both.encoding, both.metric), (Some(Encoding::F16), Some(Metric::L2)));
        assert_eq!((both.id.as_deref(), both.text), (Some("key"), None));
    }

    #[test]
    fn wrong_values_say_which_there_are() {
        for (text, hint) in [
            ("table=t&encoding=f8", "it can be: f32, f64, f16"),
            ("metric=l1", "it can be: l2, cosine, ip"),
            ("colour=blue", "its settings are: table"),
            ("id=key", "--table NAME"),
            ("fire-triggers=perhaps", "yes, no"),
            ("stamp=later", "yes, no"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.hints().iter().any(|h| h.contains(hint)), "{text}: {:?}", error.hints());
        }
    }
}
