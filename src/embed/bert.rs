//! BERT models through candle-transformers: f32 arithmetic, attention mask always given.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use ndarray::Array2;
use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::batching::{self, Plan};
use super::config::{Prompts, Settings};
use super::files::{Files, MAX_TEXT_BYTES, MAX_WEIGHT_BYTES, read};
use super::pooling::normalise;
use super::spec::ModelSpec;
use super::{Embedder, Options, Role, tokens};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::space::Space;

/// A BERT model with its tokenizer and its settings.
pub(crate) struct Bert {
    space: Space,
    model: BertModel,
    tokenizer: Tokenizer,
    hidden: usize,
    settings: Settings,
    plan: Plan,
}

impl Bert {
    /// Loads the model of `files`; `folder` is that of the transformer inside the repository.
    pub(crate) fn load(
        files: &dyn Files,
        folder: &str,
        spec: &ModelSpec,
        settings: Settings,
        options: &Options,
    ) -> Result<Self> {
        let place = files.place();
        let config = files.json(&format!("{folder}config.json"))?;
        let config =
            parse(config.ok_or_else(|| {
                Error::new(Kind::NotFound, format!("no `{folder}config.json` in {place}"))
            })?)?;
        let tokenizer = files
            .find(&format!("{folder}tokenizer.json"))?
            .map_or_else(|| files.require("tokenizer.json"), Ok)?;
        let mut tokenizer = tokens::read(&read(&tokenizer, MAX_TEXT_BYTES)?, &place)?;
        let highest = tokens::highest_id(&tokenizer);
        if highest >= config.vocab_size {
            return Err(Error::new(
                Kind::Mismatch,
                format!(
                    "the tokenizer of {place} has ids up to {highest}, the model {} rows",
                    config.vocab_size
                ),
            )
            .hint("config.json and tokenizer.json are of different models"));
        }
        let max_tokens = settings.max_tokens.unwrap_or(usize::MAX).min(config.max_position_embeddings);
        tokens::limit(&mut tokenizer, Some(max_tokens), &place)?;

        let device = options.device.resolve()?;
        let weights = read(&files.require(&format!("{folder}model.safetensors"))?, MAX_WEIGHT_BYTES)?;
        let model = load_weights(weights, &config, &device).map_err(|cause| {
            Error::new(Kind::Damaged, format!("the weights of {place} do not fit its config.json"))
                .hint("remove model.safetensors and load the model again")
                .because(cause)
        })?;
        let space = Space {
            model: spec.name.clone(),
            dimension: config.hidden_size * settings.pooling.modes.len(),
            revision: spec.revision.clone(),
            pooling: Some(settings.pooling.name()),
            normalised: Some(settings.normalise),
            document_prompt: Some(settings.prompts.document.clone()),
            query_prompt: Some(settings.prompts.query.clone()),
            max_tokens: Some(max_tokens),
        };
        let plan = match device {
            Device::Cpu => Plan { tokens: 768, texts: 32, workers: options.worker_count() },
            _ => Plan { tokens: 32_768, texts: 512, workers: 1 },
        };
        Ok(Bert { space, model, tokenizer, hidden: config.hidden_size, settings, plan })
    }

    fn encode(&self, prompt: &str, text: &str) -> Result<Vec<u32>> {
        let mut text = format!("{prompt}{text}");
        if self.settings.lower_case {
            text = text.to_lowercase();
        }
        tokens::ids(&self.tokenizer, &text, true)
    }

    /// Tokens of the prompt, the opening special token included and the closing one not.
    fn prompt_length(&self, prompt: &str) -> Result<usize> {
        match prompt.is_empty() || self.settings.pooling.include_prompt {
            true => Ok(0),
            false => Ok(self.encode(prompt, "")?.len().saturating_sub(1)),
        }
    }

    fn forward(&self, batch: &[&[u32]], skip: usize) -> Result<Array2<f32>> {
        let longest = batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let (hidden, dimension) = (self.hidden, self.space.dimension);
        let states = self.hidden_states(batch, longest).map_err(|cause| {
            Error::new(Kind::Internal, format!("the model failed on a batch of {} texts", batch.len()))
                .hint("try --device cpu")
                .because(cause)
        })?;
        let mut rows = Array2::zeros((batch.len(), dimension));
        let texts = states.chunks_exact((longest * hidden).max(1));
        for ((mut row, ids), states) in rows.rows_mut().into_iter().zip(batch).zip(texts) {
            if let (Some(row), Some(states)) = (row.as_slice_mut(), states.get(..ids.len() * hidden)) {
                self.settings.pooling.apply(states, hidden, skip, row);
                if self.settings.normalise {
                    normalise(row);
                }
            }
        }
        Ok(rows)
    }

    /// Last hidden states, `batch.len()` x `longest` x hidden, flat.
    fn hidden_states(&self, batch: &[&[u32]], longest: usize) -> candle_core::Result<Vec<f32>> {
        let padded = |pad: fn(u32) -> u32, fill: u32| -> Vec<u32> {
            let line = |ids: &&[u32]| {
                let rest = longest - ids.len();
                ids.iter().map(|id| pad(*id)).chain(std::iter::repeat_n(fill, rest)).collect::<Vec<_>>()
            };
            batch.iter().flat_map(line).collect()
        };
        let shape = (batch.len(), longest);
        let device = &self.model.device;
        let ids = Tensor::from_vec(padded(|id| id, 0), shape, device)?;
        let mask = Tensor::from_vec(padded(|_| 1, 0), shape, device)?;
        let states = self.model.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        states.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    }
}

impl Embedder for Bert {
    fn space(&self) -> &Space {
        &self.space
    }

    fn embed(&self, texts: &[&str], role: Role, context: &Context<'_>) -> Result<Array2<f32>> {
        let Prompts { document, query } = &self.settings.prompts;
        let prompt = if role == Role::Document { document } else { query };
        let skip = self.prompt_length(prompt)?;
        let encode = |text: &str| self.encode(prompt, text);
        batching::run(texts, self.space.dimension, self.plan, context, encode, |b| self.forward(b, skip))
    }
}

fn load_weights(bytes: Vec<u8>, config: &Config, device: &Device) -> candle_core::Result<BertModel> {
    BertModel::load(VarBuilder::from_buffered_safetensors(bytes, DType::F32, device)?, config)
}

/// config.json with transformers' defaults for what it leaves out.
pub(super) fn parse(json: Value) -> Result<Config> {
    let Value::Object(found) = json else {
        return Err(Error::new(Kind::Damaged, "config.json of the model is no object"));
    };
    let kind = found.get("model_type").and_then(Value::as_str).unwrap_or("unknown");
    if kind != "bert" {
        return Err(Error::new(Kind::Unsupported, format!("model type `{kind}`"))
            .hint("embedport runs models of type bert, and static models (model2vec, StaticEmbedding)"));
    }
    if let Some(position) = found.get("position_embedding_type").and_then(Value::as_str)
        && position != "absolute"
    {
        return Err(Error::new(Kind::Unsupported, format!("position embedding `{position}`"))
            .hint("embedport runs bert models with absolute positions"));
    }
    let mut all: Map<String, Value> = match json!({
        "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02,
        "layer_norm_eps": 1e-12, "pad_token_id": 0,
    }) {
        Value::Object(defaults) => defaults,
        _ => Map::new(),
    };
    all.extend(found.into_iter().filter(|(_, value)| !value.is_null()));
    if let Some(Value::String(act)) = all.get_mut("hidden_act")
        && ["gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_approximate"].contains(&act.as_str())
    {
        *act = "geluapproximate".to_owned();
    }
    let config: Config = serde_json::from_value(Value::Object(all)).map_err(|cause| {
        Error::new(Kind::Unsupported, "config.json has values that are not understood").because(cause)
    })?;
    let heads = config.num_attention_heads;
    let sane = heads > 0
        && config.hidden_size > 0
        && config.hidden_size.is_multiple_of(heads)
        && config.hidden_size <= 1 << 16
        && config.max_position_embeddings >= 3
        && config.num_hidden_layers <= 1 << 10;
    match sane {
        true => Ok(config),
        false => Err(Error::new(
            Kind::Damaged,
            format!(
                "config.json: {} components, {heads} heads, {} layers, {} positions do not go together",
                config.hidden_size, config.num_hidden_layers, config.max_position_embeddings
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_model_type_is_refused_by_name() {
        let error = parse(json!({"model_type": "mpnet"})).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.message().contains("mpnet") && error.hints()[0].contains("bert"));
    }

    #[test]
    fn a_config_without_every_key_takes_the_usual_defaults() {
        let config =
            parse(json!({"model_type": "bert", "hidden_size": 384, "hidden_act": "gelu_new"})).unwrap();
        assert_eq!((config.hidden_size, config.max_position_embeddings), (384, 512));
    }

    #[test]
    fn a_config_that_contradicts_itself_is_damaged() {
        for json in [
            json!({"model_type": "bert", "num_attention_heads": 0}),
            json!({"model_type": "bert", "hidden_size": 10, "num_attention_heads": 3}),
            json!({"model_type": "bert", "num_hidden_layers": 1_000_000_000_000u64}),
        ] {
            assert_eq!(parse(json).unwrap_err().kind(), Kind::Damaged);
        }
        assert_eq!(parse(json!([])).unwrap_err().kind(), Kind::Damaged);
    }
}
