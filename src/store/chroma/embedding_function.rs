//! The embedding function that Chroma keeps in a collection's configuration, and the model it means.
//!
//! Names and keys are those of the JSON schemas that chromadb 1.5.9 ships (`schemas/embedding_functions`).

use serde_json::{Map, Value, json};

use crate::space::{Space, same_model};

/// What `default` embeds with.
const DEFAULT_MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";
const DEFAULT_DIMENSION: usize = 384;

/// Hub owners whose models the sentence-transformers library loads by name.
const LIBRARY_OWNERS: [&str; 4] = ["sentence-transformers/", "baai/", "thenlper/", "mixedbread-ai/"];

/// A collection's entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum EmbeddingFunction {
    /// No entry.
    None,
    /// An entry without a name: `legacy`, `unknown`, or something that came later.
    Nameless(String),
    /// One of Chroma's own.
    Known { name: String, config: Map<String, Value> },
}

impl EmbeddingFunction {
    /// From the JSON value.
    pub fn parse(value: Option<&Value>) -> EmbeddingFunction {
        let Some(Value::Object(entry)) = value else { return EmbeddingFunction::None };
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        match (text("type"), text("name")) {
            (Some("known"), Some(name)) => EmbeddingFunction::Known {
                name: name.to_owned(),
                config: entry.get("config").and_then(Value::as_object).cloned().unwrap_or_default(),
            },
            (kind, _) => EmbeddingFunction::Nameless(kind.unwrap_or("unknown").to_owned()),
        }
    }

    /// In words, for reports.
    pub fn name(&self) -> &str {
        match self {
            EmbeddingFunction::None => "none",
            EmbeddingFunction::Nameless(kind) => kind,
            EmbeddingFunction::Known { name, .. } => name,
        }
    }

    /// The model that the entry means.
    pub fn model(&self) -> Option<String> {
        let EmbeddingFunction::Known { name, config } = self else { return None };
        let model = config.get("model_name").or_else(|| config.get("model")).and_then(Value::as_str);
        match (name.as_str(), model) {
            ("default" | "onnx_mini_lm_l6_v2", _) => Some(DEFAULT_MODEL.to_owned()),
            ("sentence_transformer" | "huggingface", Some(model)) if model.contains('/') => {
                Some(model.to_owned())
            }
            ("sentence_transformer" | "huggingface", Some(model)) => {
                Some(format!("sentence-transformers/{model}"))
            }
            (_, Some(model)) => Some(format!("{name}/{model}")),
            (_, None) => None,
        }
    }

    /// The entry after the collection moved to `target`: `None` if it stays as it is, `Some(None)` if
    /// it has to go because Chroma has no function for that space.
    pub fn after(&self, target: &Space) -> Option<Option<Value>> {
        match self {
            EmbeddingFunction::Known { name, config } => Some(known(target, name, config)),
            _ => None,
        }
    }
}

/// Chroma's own function for a space, if it has one that gives these very vectors.
fn known(target: &Space, name: &str, config: &Map<String, Value>) -> Option<Value> {
    let entry = |name: &str, config: Value| json!({ "type": "known", "name": name, "config": config });
    if same_model(&target.model, DEFAULT_MODEL) && target.dimension == DEFAULT_DIMENSION {
        return Some(entry("default", json!({})));
    }
    if let Some(model) = target.model.strip_prefix("openai/") {
        // Only the third generation takes a number of dimensions; a smaller one has to be asked for.
        let dimensions = model.contains("text-embedding-3").then_some(target.dimension);
        let inherited = |key: &str| if name == "openai" { config.get(key).cloned() } else { None };
        return Some(entry(
            "openai",
            json!({
                "api_key_env_var": inherited("api_key_env_var").unwrap_or_else(|| json!("CHROMA_OPENAI_API_KEY")),
                "model_name": model,
                "organization_id": inherited("organization_id"),
                "api_base": inherited("api_base"),
                "api_type": inherited("api_type"),
                "api_version": inherited("api_version"),
                "deployment_id": null,
                "default_headers": inherited("default_headers"),
                "dimensions": dimensions,
            }),
        ));
    }
    // That function puts no prompt before a text, so a space that has one is not what it gives.
    let prompted =
        [&target.document_prompt, &target.query_prompt].into_iter().flatten().any(|p| !p.is_empty());
    let bare = !target.model.contains('/');
    let owned = LIBRARY_OWNERS.iter().any(|owner| target.model.to_lowercase().starts_with(owner));
    ((bare || owned) && !prompted).then(|| {
        let device = (name == "sentence_transformer").then(|| config.get("device").cloned()).flatten();
        entry(
            "sentence_transformer",
            json!({
                "model_name": target.model,
                "device": device.unwrap_or_else(|| json!("cpu")),
                "normalize_embeddings": target.normalised.unwrap_or(false),
                "kwargs": {},
            }),
        )
    })
}

/// Where the entries are in `schema_str`.
const SCHEMA_PLACES: [&str; 2] =
    ["/defaults/float_list/vector_index/config", "/keys/#embedding/float_list/vector_index/config"];

/// Puts `entry` into both places of `schema_str`, or removes it from both.
pub(super) fn set_in_schema(schema: &mut Value, entry: Option<&Value>) {
    for place in SCHEMA_PLACES {
        if let Some(Value::Object(config)) = schema.pointer_mut(place) {
            match entry {
                Some(entry) => drop(config.insert("embedding_function".into(), entry.clone())),
                None => drop(config.shift_remove("embedding_function")),
            }
        }
    }
}

/// Puts `entry` into `config_json_str`, or a null.
pub(super) fn set_in_config(config: &mut Value, entry: Option<&Value>) {
    if let Value::Object(config) = config {
        config.insert("embedding_function".into(), entry.cloned().unwrap_or(Value::Null));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, config: Value) -> EmbeddingFunction {
        EmbeddingFunction::parse(Some(&json!({"type": "known", "name": name, "config": config})))
    }

    #[test]
    fn models_behind_the_entries() {
        let model = |name, config| entry(name, config).model();
        assert_eq!(model("default", json!({})).as_deref(), Some(DEFAULT_MODEL));
        assert_eq!(
            model("sentence_transformer", json!({"model_name": "all-mpnet-base-v2"})).as_deref(),
            Some("sentence-transformers/all-mpnet-base-v2")
        );
        assert_eq!(
            model("openai", json!({"model_name": "text-embedding-3-small"})).as_deref(),
            Some("openai/text-embedding-3-small")
        );
        assert_eq!(
            model("mistral", json!({"model": "mistral-embed"})).as_deref(),
            Some("mistral/mistral-embed")
        );
        assert_eq!(model("custom", json!({})), None);
        assert_eq!(EmbeddingFunction::parse(Some(&json!({"type": "legacy"}))).model(), None);
        assert_eq!(EmbeddingFunction::parse(Some(&Value::Null)), EmbeddingFunction::None);
    }

    #[test]
    fn a_collection_without_a_function_keeps_none() {
        let target = Space::named("sentence-transformers/all-mpnet-base-v2", 768);
        assert_eq!(EmbeddingFunction::None.after(&target), None);
        assert_eq!(EmbeddingFunction::Nameless("legacy".into()).after(&target), None);
    }

    #[test]
    fn a_space_with_a_prompt_is_not_what_chromas_function_gives() {
        let mut target = Space::named("BAAI/bge-small-en-v1.5", 384);
        let from = entry("default", json!({}));
        assert!(from.after(&target).is_some_and(|after| after.is_some()));
        target.query_prompt = Some("Represent this sentence: ".into());
        assert_eq!(from.after(&target), Some(None));
    }

    #[test]
    fn the_default_model_becomes_the_default_function() {
        let after = entry("openai", json!({"model_name": "x"})).after(&Space::named("all-minilm-l6-v2", 384));
        assert_eq!(after, Some(Some(json!({"type": "known", "name": "default", "config": {}}))));
    }

    #[test]
    fn an_entry_is_set_and_removed_in_both_places() {
        let config = json!({"space": "l2", "embedding_function": {"type": "legacy"}});
        let list = json!({"float_list": {"vector_index": {"config": config}}});
        let mut schema = json!({"defaults": list, "keys": {"#embedding": list}});
        set_in_schema(&mut schema, Some(&json!(1)));
        for place in SCHEMA_PLACES {
            assert_eq!(schema.pointer(place), Some(&json!({"space": "l2", "embedding_function": 1})));
        }
        set_in_schema(&mut schema, None);
        for place in SCHEMA_PLACES {
            assert_eq!(schema.pointer(place), Some(&json!({"space": "l2"})));
        }
    }
}
