//! What a sentence-transformers folder says about a model: modules, pooling, lengths, prompts.

use serde_json::Value;

use super::files::Files;
use super::pooling::Pooling;
use super::spec::ModelSpec;
use crate::error::{Error, Kind, Result};

/// The first module of a model: what turns a text into token vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// A transformer with its config.json.
    Transformer,
    /// One vector per token, no context.
    Static,
}

/// modules.json, reduced to what embedport runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Modules {
    pub body: Body,
    /// Folder of the body inside the repository, empty or ending in `/`.
    pub body_folder: String,
    /// Folder of the pooling module; `None` means mean pooling (no modules.json).
    pub pooling_folder: Option<String>,
    pub normalise: bool,
}

const RUNS: &str = "embedport runs Transformer + Pooling [+ Normalize] and StaticEmbedding [+ Normalize]";

impl Modules {
    /// Reads modules.json. Without one, sentence-transformers takes a transformer with mean pooling and
    /// no normalisation, and so does this.
    pub(crate) fn read(files: &dyn Files) -> Result<Modules> {
        let Some(json) = files.json("modules.json")? else {
            return Ok(Modules {
                body: Body::Transformer,
                body_folder: String::new(),
                pooling_folder: None,
                normalise: false,
            });
        };
        let Some(list) = json.as_array() else {
            return Err(Error::new(Kind::Damaged, format!("modules.json in {} is no list", files.place())));
        };
        let mut modules = list.iter().map(module).collect::<Result<Vec<_>>>()?;
        modules.sort_by_key(|m| m.0);
        let kinds: Vec<&str> = modules.iter().map(|(_, kind, _)| kind.as_str()).collect();
        if let Some(unknown) =
            kinds.iter().find(|k| !["Transformer", "Pooling", "Normalize", "StaticEmbedding"].contains(k))
        {
            return Err(
                Error::new(Kind::Unsupported, format!("module `{unknown}` of {}", files.place())).hint(RUNS)
            );
        }
        let folder = |index: usize| modules.get(index).map_or_else(String::new, |m| m.2.clone());
        let normalise = kinds.last() == Some(&"Normalize");
        match kinds.as_slice() {
            ["Transformer", "Pooling"] | ["Transformer", "Pooling", "Normalize"] => Ok(Modules {
                body: Body::Transformer,
                body_folder: folder(0),
                pooling_folder: Some(folder(1)),
                normalise,
            }),
            ["StaticEmbedding"] | ["StaticEmbedding", "Normalize"] => {
                Ok(Modules { body: Body::Static, body_folder: folder(0), pooling_folder: None, normalise })
            }
            other => Err(Error::new(
                Kind::Unsupported,
                format!("modules {} in this order, of {}", other.join(" + "), files.place()),
            )
            .hint(RUNS)),
        }
    }
}

fn module(value: &Value) -> Result<(u64, String, String)> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let (Some(index), Some(kind)) = (value.get("idx").and_then(Value::as_u64), text("type")) else {
        return Err(Error::new(Kind::Damaged, "an entry of modules.json has no `idx` or no `type`"));
    };
    let path = text("path").unwrap_or("").trim_end_matches('/');
    let path = if path == "." { "" } else { path };
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    if !plain || path.starts_with('/') || path.contains("..") {
        return Err(Error::new(Kind::Damaged, "a path in modules.json leaves the folder of the model"));
    }
    let folder = if path.is_empty() { String::new() } else { format!("{path}/") };
    Ok((index, kind.rsplit('.').next().unwrap_or(kind).to_owned(), folder))
}

/// How texts become tokens and tokens become a vector, after what the user declared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub pooling: Pooling,
    pub normalise: bool,
    /// sentence_bert_config.json; `None` if it says nothing.
    pub max_tokens: Option<usize>,
    pub lower_case: bool,
    pub prompts: Prompts,
}

impl Settings {
    /// Settings of a transformer.
    pub(crate) fn read(files: &dyn Files, modules: &Modules, spec: &ModelSpec) -> Result<Settings> {
        let mut pooling = match &modules.pooling_folder {
            None => Pooling::mean(),
            Some(folder) => {
                let name = format!("{folder}config.json");
                let json = files.json(&name)?;
                Pooling::parse(&json.ok_or_else(|| {
                    Error::new(Kind::NotFound, format!("no `{name}` in {}", files.place())).hint(
                        "modules.json lists a pooling module; without its config the vectors would be others",
                    )
                })?)?
            }
        };
        if let Some(name) = &spec.pooling {
            pooling.modes = Pooling::modes_of_name(name)?;
        }
        let lengths = files.json(&format!("{}sentence_bert_config.json", modules.body_folder))?;
        let lengths = lengths.as_ref();
        let declared = lengths.and_then(|l| l.get("max_seq_length")).and_then(Value::as_u64);
        Ok(Settings {
            pooling,
            normalise: spec.normalised.unwrap_or(modules.normalise),
            max_tokens: spec.max_tokens.or(declared.and_then(|n| usize::try_from(n).ok())),
            lower_case: lengths.and_then(|l| l.get("do_lower_case")).and_then(Value::as_bool) == Some(true),
            prompts: Prompts::read(files, spec)?,
        })
    }
}

/// Texts put before documents and queries; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prompts {
    pub document: String,
    pub query: String,
}

impl Prompts {
    /// From config_sentence_transformers.json: `query` for queries, the first of `document`, `passage`,
    /// `corpus` for documents, else `default_prompt_name`, else none.
    pub(crate) fn read(files: &dyn Files, spec: &ModelSpec) -> Result<Prompts> {
        let json = files.json("config_sentence_transformers.json")?.unwrap_or(Value::Null);
        let prompt = |name: &str| json.get("prompts").and_then(|p| p.get(name)).and_then(Value::as_str);
        let default = json.get("default_prompt_name").and_then(Value::as_str).map(|name| {
            prompt(name).ok_or_else(|| {
                Error::new(
                    Kind::Damaged,
                    format!("the default prompt `{name}` of {} is not among its prompts", files.place()),
                )
            })
        });
        let default = default.transpose()?.unwrap_or("");
        let document = ["document", "passage", "corpus"].into_iter().find_map(prompt).unwrap_or(default);
        let query = prompt("query").unwrap_or(default);
        Ok(Prompts {
            document: spec.document_prompt.clone().unwrap_or_else(|| document.to_owned()),
            query: spec.query_prompt.clone().unwrap_or_else(|| query.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Memory(Vec<(&'static str, Value)>);

    impl Files for Memory {
        fn find(&self, name: &str) -> Result<Option<PathBuf>> {
            Ok(self.0.iter().any(|(n, _)| *n == name).then(|| PathBuf::from(name)))
        }
        fn place(&self) -> String {
            "memory".into()
        }
        fn json(&self, name: &str) -> Result<Option<Value>> {
            Ok(self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone()))
        }
    }

    fn entry(idx: u64, kind: &str, path: &str) -> Value {
        serde_json::json!({"idx": idx, "type": format!("sentence_transformers.models.{kind}"), "path": path})
    }

    #[test]
    fn normalisation_happens_only_if_listed() {
        let list = |normalise: bool| {
            let mut entries = vec![entry(1, "Pooling", "1_Pooling"), entry(0, "Transformer", "")];
            entries.extend(normalise.then(|| entry(2, "Normalize", "2_Normalize")));
            Modules::read(&Memory(vec![("modules.json", Value::Array(entries))])).unwrap()
        };
        assert!(list(true).normalise);
        assert!(!list(false).normalise);
        assert_eq!(list(false).pooling_folder.as_deref(), Some("1_Pooling/"));
        assert!(!Modules::read(&Memory(vec![])).unwrap().normalise);
    }

    #[test]
    fn modules_that_are_not_run_are_refused_by_name() {
        for kind in ["Dense", "LayerNorm", "Router"] {
            let entries = vec![entry(0, "Transformer", ""), entry(1, "Pooling", "p"), entry(2, kind, "d")];
            let error = Modules::read(&Memory(vec![("modules.json", Value::Array(entries))])).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported);
            assert!(error.message().contains(kind));
        }
        let entries = vec![entry(0, "Transformer", ""), entry(1, "Normalize", "n")];
        let error = Modules::read(&Memory(vec![("modules.json", Value::Array(entries))])).unwrap_err();
        assert!(error.message().contains("Transformer + Normalize"));
    }

    #[test]
    fn a_module_path_cannot_leave_the_folder() {
        for path in ["../x", "/etc", "a/../../b"] {
            let list = Value::Array(vec![entry(0, "StaticEmbedding", path)]);
            let error = Modules::read(&Memory(vec![("modules.json", list)])).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged);
        }
    }

    #[test]
    fn prompts_are_chosen_by_role_then_default_then_none() {
        let of = |json: Value| {
            let files = Memory(vec![("config_sentence_transformers.json", json)]);
            Prompts::read(&files, &ModelSpec::default()).map(|p| (p.document, p.query))
        };
        let pair = |d: &str, q: &str| (d.to_owned(), q.to_owned());
        let both = serde_json::json!({"prompts": {"query": "q: ", "passage": "p: "}});
        assert_eq!(of(both).unwrap(), pair("p: ", "q: "));
        let default =
            serde_json::json!({"prompts": {"query": "q: ", "x": "x: "}, "default_prompt_name": "x"});
        assert_eq!(of(default).unwrap(), pair("x: ", "q: "));
        let empty = serde_json::json!({"prompts": {"document": ""}, "default_prompt_name": null});
        assert_eq!(of(empty).unwrap(), pair("", ""));
        let wrong = serde_json::json!({"prompts": {}, "default_prompt_name": "x"});
        assert_eq!(of(wrong).unwrap_err().kind(), Kind::Damaged);
    }
}
