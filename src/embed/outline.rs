//! What the configuration of a model says, its weights unread wherever that is possible.

use serde_json::Value;

use super::config::{Body, Modules, Prompts, Settings};
use super::files::Files;
use super::{ModelSpec, bert};
use crate::error::{Error, Kind, Result};
use crate::space::Space;

/// Most prompts that are taken from one configuration.
const MOST_PROMPTS: usize = 16;

/// How a model makes vectors, after what a specification declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Components of one pooled vector.
    pub width: usize,
    /// Pooling as in [`Space::pooling`].
    pub pooling: String,
    /// Whether another pooling can be asked for.
    pub chooses_pooling: bool,
    /// Whether vectors are scaled to length 1.
    pub normalised: bool,
    /// Text put before a document.
    pub document_prompt: String,
    /// Every prompt that the configuration names, whatever for; none twice.
    pub prompts: Vec<String>,
    /// Longest input in tokens, if it is bounded.
    pub max_tokens: Option<usize>,
}

impl Outline {
    /// Components of a vector.
    pub fn dimension(&self) -> usize {
        self.width.saturating_mul(self.pooling.split('+').count())
    }

    /// The outline of a model that is open already.
    pub fn of_space(space: &Space) -> Self {
        let pooling = space.pooling.clone().unwrap_or_else(|| "mean".to_owned());
        let document_prompt = space.document_prompt.clone().unwrap_or_default();
        let query_prompt = space.query_prompt.clone().unwrap_or_default();
        Outline {
            width: space.dimension / pooling.split('+').count().max(1),
            pooling,
            chooses_pooling: false,
            normalised: space.normalised.unwrap_or(false),
            prompts: distinct([document_prompt.clone(), query_prompt]),
            document_prompt,
            max_tokens: space.max_tokens,
        }
    }
}

/// Reads the configuration of a transformer; `None` for a static model, whose weights are small and say more.
pub(super) fn read(files: &dyn Files, spec: &ModelSpec) -> Result<Option<Outline>> {
    let modules = Modules::read(files)?;
    let Some(config) = files.json(&format!("{}config.json", modules.body_folder))? else {
        return match modules.body {
            Body::Static => Ok(None),
            Body::Transformer => Err(Error::new(
                Kind::NotFound,
                format!("no `{}config.json` in {}", modules.body_folder, files.place()),
            )),
        };
    };
    if modules.body == Body::Static || config.get("model_type").is_some_and(|kind| kind == "model2vec") {
        return Ok(None);
    }
    let config = bert::parse(config)?;
    let settings = Settings::read(files, &modules, spec)?;
    Ok(Some(Outline {
        width: config.hidden_size,
        pooling: settings.pooling.name(),
        chooses_pooling: true,
        normalised: settings.normalise,
        prompts: prompts(files, &settings.prompts)?,
        document_prompt: settings.prompts.document,
        max_tokens: Some(settings.max_tokens.unwrap_or(usize::MAX).min(config.max_position_embeddings)),
    }))
}

/// Prompts by role, and every other one that config_sentence_transformers.json names.
pub(super) fn prompts(files: &dyn Files, known: &Prompts) -> Result<Vec<String>> {
    let json = files.json("config_sentence_transformers.json")?.unwrap_or(Value::Null);
    let named = json.get("prompts").and_then(Value::as_object);
    let named = named.into_iter().flat_map(|all| all.values()).filter_map(Value::as_str).map(str::to_owned);
    Ok(distinct([known.document.clone(), known.query.clone()].into_iter().chain(named)))
}

fn distinct(prompts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for prompt in prompts {
        if all.len() < MOST_PROMPTS && !all.contains(&prompt) {
            all.push(prompt);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::files::Folder;
    use std::fs::write;

    #[test]
    fn the_configuration_tells_without_weights() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| write(folder.path().join(name), text).unwrap();
        file("config.json", r#"{"model_type": "bert", "hidden_size": 384, "num_attention_heads": 12}"#);
        file("sentence_bert_config.json", r#"{"max_seq_length": 256}"#);
        let prompts = r#"{"prompts": {"query": "q: ", "passage": "p: ", "cluster": "c: ", "again": "q: "}}"#;
        file("config_sentence_transformers.json", prompts);
        let read = |spec: &str| read(&Folder(folder.path()), &spec.parse().unwrap()).unwrap().unwrap();
        let found = read("a/b");
        assert_eq!((found.width, found.dimension(), found.max_tokens), (384, 384, Some(256)));
        assert_eq!((found.pooling.as_str(), found.normalised), ("mean", false));
        assert_eq!(found.document_prompt, "p: ");
        assert_eq!(found.prompts.iter().collect::<std::collections::HashSet<_>>().len(), 3);
        let declared = read("a/b,pooling=cls+mean,normalised=true,document_prompt=x");
        assert_eq!((declared.dimension(), declared.normalised), (768, true));
        assert_eq!(declared.document_prompt, "x");
    }

    #[test]
    fn a_transformer_that_cannot_be_run_is_refused_before_its_weights_are_sought() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path().join("config.json"), r#"{"model_type": "mpnet"}"#).unwrap();
        let error = read(&Folder(folder.path()), &"a/b".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
    }
}
