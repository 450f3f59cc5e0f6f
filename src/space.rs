//! What a vector means: the identity of a coordinate system.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Identity of a coordinate system. Two vectors may be compared only if their spaces agree;
/// equal dimension is not agreement.
///
/// A field that is `None` is *not known*, which is another thing than known to be absent:
/// no prompt is `Some("")`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Name of the embedding model, a hub id where there is one. Case is kept and not compared.
    pub model: String,
    /// Components of a vector.
    pub dimension: usize,
    /// Revision of the model (commit or tag).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How token vectors become one: `mean`, `cls`, `max`, `last_token`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<String>,
    /// Whether vectors have length 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalised: Option<bool>,
    /// Text put before a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_prompt: Option<String>,
    /// Text put before a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_prompt: Option<String>,
    /// Longest input in tokens; longer texts are cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
}

/// One field in which two spaces differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Field name as in [`Space`].
    pub field: &'static str,
    /// Value of the left side.
    pub found: String,
    /// Value of the right side.
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is `{}`, `{}` is wanted", self.field, self.found, self.wanted)
    }
}

/// Outcome of [`Space::compare`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Every field is known on both sides and equal.
    Same,
    /// Equal wherever both sides are known; these fields are not.
    AsFarAsKnown(Vec<&'static str>),
    /// At least one known field differs.
    Different(Vec<Difference>),
}

impl Agreement {
    /// Nothing known contradicts.
    pub fn is_compatible(&self) -> bool {
        !matches!(self, Agreement::Different(_))
    }

    /// What contradicts, in words; empty if nothing does.
    pub fn contradictions(&self) -> String {
        let Agreement::Different(differences) = self else { return String::new() };
        differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

impl Space {
    /// Largest dimension that is read.
    pub const MOST_COMPONENTS: usize = 1 << 16;
    /// In the place of a model's name where nobody knows it.
    pub const UNKNOWN: &'static str = "unknown";

    /// A space of which only model and dimension are known.
    pub fn named(model: impl Into<String>, dimension: usize) -> Self {
        Space {
            model: model.into(),
            dimension,
            revision: None,
            pooling: None,
            normalised: None,
            document_prompt: None,
            query_prompt: None,
            max_tokens: None,
        }
    }

    /// First eight hexadecimal digits of the SHA-256 over all known fields.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in self.fields() {
            if let Some(value) = value {
                hash.update(format!("{name}={}:{value};", value.len()));
            }
        }
        hash.finalize().iter().take(4).map(|b| format!("{b:02x}")).collect()
    }

    /// Compares `self` (found) with `wanted`, field by field.
    pub fn compare(&self, wanted: &Space) -> Agreement {
        let mut unknown = Vec::new();
        let mut different = Vec::new();
        for ((field, a), (_, b)) in self.fields().into_iter().zip(wanted.fields()) {
            match (a, b) {
                (Some(a), Some(b)) if a == b => {}
                (Some(found), Some(wanted)) => different.push(Difference { field, found, wanted }),
                (None, None) => {}
                _ => unknown.push(field),
            }
        }
        if !different.is_empty() {
            Agreement::Different(different)
        } else if unknown.is_empty() {
            Agreement::Same
        } else {
            Agreement::AsFarAsKnown(unknown)
        }
    }

    fn fields(&self) -> [(&'static str, Option<String>); 8] {
        [
            ("model", Some(canonical_model_name(&self.model))),
            ("dimension", Some(self.dimension.to_string())),
            ("revision", self.revision.clone()),
            ("pooling", self.pooling.clone()),
            ("normalised", self.normalised.map(|n| n.to_string())),
            ("document_prompt", self.document_prompt.clone()),
            ("query_prompt", self.query_prompt.clone()),
            ("max_tokens", self.max_tokens.map(|n| n.to_string())),
        ]
    }
}

/// Short form, such as `sentence-transformers/all-MiniLM-L6-v2@384#a3ac94a8`.
impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.model, self.dimension, self.fingerprint())
    }
}

/// Whether two model names mean one model: case is ignored, and a name without an owner is
/// sought under `sentence-transformers/`, as the sentence-transformers library does.
pub fn same_model(a: &str, b: &str) -> bool {
    canonical_model_name(a) == canonical_model_name(b)
}

/// Lower case, with the owner that sentence-transformers supplies for bare names.
pub fn canonical_model_name(name: &str) -> String {
    let name = name.trim().to_lowercase();
    if name.contains('/') { name } else { format!("sentence-transformers/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_dimension_is_not_agreement() {
        let a = Space::named("a/x", 384);
        let b = Space::named("a/y", 384);
        let Agreement::Different(d) = a.compare(&b) else { panic!("models differ") };
        assert_eq!(d.len(), 1);
        assert_eq!(d[0].field, "model");
    }

    #[test]
    fn unknown_fields_are_named() {
        let a = Space::named("all-MiniLM-L6-v2", 384);
        let mut b = Space::named("sentence-transformers/all-minilm-l6-v2", 384);
        assert_eq!(a.compare(&b), Agreement::Same);
        b.pooling = Some("mean".into());
        assert_eq!(a.compare(&b), Agreement::AsFarAsKnown(vec!["pooling"]));
    }

    #[test]
    fn no_prompt_differs_from_a_prompt() {
        let mut a = Space::named("a/x", 8);
        let mut b = a.clone();
        a.document_prompt = Some(String::new());
        b.document_prompt = Some("passage: ".into());
        assert!(!a.compare(&b).is_compatible());
        assert_ne!(a.fingerprint(), b.fingerprint());
    }
}
