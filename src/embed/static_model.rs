//! Static models: one vector per token, no context, mean over the tokens of a text.
//!
//! Two libraries write them. model2vec drops unknown tokens and cuts texts (`max_length`, 512 tokens
//! unless its config says otherwise, after a cut by characters); StaticEmbedding of
//! sentence-transformers keeps unknown tokens and cuts only as tokenizer.json says.
//! Source: model2vec `model.py` (`tokenize`, `encode`), sentence-transformers `static_embedding.py`.

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde_json::Value;
use tokenizers::Tokenizer;

use super::config::{Modules, Prompts};
use super::files::{Files, MAX_TEXT_BYTES, MAX_WEIGHT_BYTES, read};
use super::pooling::normalise;
use super::spec::ModelSpec;
use super::static_tensors::Tensors;
use super::{Embedder, Options, Role, batching, tokens};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::space::Space;

/// Texts between two looks at the cancellation flag.
const BLOCK: usize = 4096;

/// A static model with its tokenizer.
pub(crate) struct StaticModel {
    space: Space,
    tokenizer: Tokenizer,
    tensors: Tensors,
    unknown: Option<u32>,
    max_characters: Option<usize>,
    pool: rayon::ThreadPool,
}

/// The files of a static model, read.
pub(crate) struct Parts<'a> {
    pub weights: &'a [u8],
    pub tokenizer: &'a [u8],
    pub config: Value,
    /// Whether modules.json lists a normalisation.
    pub normalise: bool,
    pub prompts: Prompts,
    /// Where the files are from, in words.
    pub place: String,
}

impl StaticModel {
    /// Loads the model of `files`; `folder` is that of the static module inside the repository.
    pub(crate) fn load(
        files: &dyn Files,
        folder: &str,
        spec: &ModelSpec,
        modules: &Modules,
        prompts: Prompts,
        options: &Options,
    ) -> Result<Self> {
        let parts = Parts {
            weights: &read(&files.require(&format!("{folder}model.safetensors"))?, MAX_WEIGHT_BYTES)?,
            tokenizer: &read(&files.require(&format!("{folder}tokenizer.json"))?, MAX_TEXT_BYTES)?,
            config: files.json("config.json")?.unwrap_or(Value::Null),
            normalise: modules.normalise,
            prompts,
            place: files.place(),
        };
        Self::from_parts(parts, spec, options.worker_count())
    }

    /// Builds the model from its files.
    pub(crate) fn from_parts(parts: Parts<'_>, spec: &ModelSpec, threads: usize) -> Result<Self> {
        let Parts { weights, tokenizer: tokenizer_bytes, config, place, prompts, .. } = parts;
        let tokenizer = tokens::read(tokenizer_bytes, &place)?;
        let tensors = Tensors::read(weights, tokens::highest_id(&tokenizer), &place)?;
        let saved: Value = serde_json::from_slice(tokenizer_bytes).unwrap_or(Value::Null);
        let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());

        let (max_tokens, unknown, max_characters, normalised);
        if tensors.by_sentence_transformers {
            max_tokens = saved.pointer("/truncation/max_length").and_then(number);
            (unknown, max_characters, normalised) = (None, None, parts.normalise);
        } else {
            max_tokens = config.get("max_length").map_or(Some(512), number);
            unknown = unknown_token(&saved, &tokenizer);
            max_characters = max_tokens.map(|n| n.saturating_mul(median_token_length(&tokenizer)));
            normalised = config.get("normalize").and_then(Value::as_bool).unwrap_or(parts.normalise);
        }
        let space = Space {
            model: spec.name.clone(),
            dimension: tensors.dimension,
            revision: spec.revision.clone(),
            pooling: Some("mean".to_owned()),
            normalised: Some(spec.normalised.unwrap_or(normalised)),
            document_prompt: Some(prompts.document),
            query_prompt: Some(prompts.query),
            max_tokens: spec.max_tokens.or(max_tokens),
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|cause| {
            Error::new(Kind::Io, "cannot start threads for the embedding model").because(cause)
        })?;
        Ok(StaticModel { space, tokenizer, tensors, unknown, max_characters, pool })
    }

    fn embed_one(&self, prompt: &str, text: &str, out: &mut [f32]) -> Result<()> {
        let joined;
        let mut text = text;
        if !prompt.is_empty() {
            joined = format!("{prompt}{text}");
            text = &joined;
        }
        if let Some(max) = self.max_characters
            && let Some((end, _)) = text.char_indices().nth(max)
        {
            text = text.get(..end).unwrap_or(text);
        }
        let mut ids = tokens::ids(&self.tokenizer, text, false)?;
        ids.truncate(self.space.max_tokens.unwrap_or(usize::MAX));
        ids.retain(|id| Some(*id) != self.unknown);
        for id in &ids {
            let (row, weight) = self.tensors.token(*id);
            out.iter_mut().zip(row).for_each(|(o, x)| *o += weight * x);
        }
        let count = ids.len().max(1) as f32;
        out.iter_mut().for_each(|o| *o /= count);
        if self.space.normalised == Some(true) {
            normalise(out);
        }
        Ok(())
    }
}

impl Embedder for StaticModel {
    fn space(&self) -> &Space {
        &self.space
    }

    fn embed(&self, texts: &[&str], role: Role, context: &Context<'_>) -> Result<Array2<f32>> {
        let prompt = match role {
            Role::Document => self.space.document_prompt.as_deref(),
            Role::Query => self.space.query_prompt.as_deref(),
        };
        let prompt = prompt.unwrap_or("");
        let mut rows = Array2::zeros((texts.len(), self.space.dimension));
        for (texts, mut rows) in texts.chunks(BLOCK).zip(rows.axis_chunks_iter_mut(Axis(0), BLOCK)) {
            context.check()?;
            let dimension = self.space.dimension;
            let Some(flat) = rows.as_slice_mut() else {
                return Err(Error::new(Kind::Internal, "rows of a block are not contiguous"));
            };
            self.pool.install(|| {
                let pairs = flat.par_chunks_exact_mut(dimension).zip(texts.par_iter());
                pairs.try_for_each(|(row, text)| self.embed_one(prompt, text, row))
            })?;
            context.progress.advance(texts.len() as u64);
        }
        batching::check_finite(rows.view())?;
        Ok(rows)
    }
}

/// The id of the unknown token, by name (WordPiece, BPE, WordLevel) or by number (Unigram).
fn unknown_token(saved: &Value, tokenizer: &Tokenizer) -> Option<u32> {
    let model = saved.get("model")?;
    let by_name = model.get("unk_token").and_then(Value::as_str).and_then(|t| tokenizer.token_to_id(t));
    by_name.or_else(|| model.get("unk_id").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()))
}

/// Median length of a token in characters, rounded down, as model2vec cuts texts by it.
fn median_token_length(tokenizer: &Tokenizer) -> usize {
    let mut lengths: Vec<usize> = tokenizer.get_vocab(true).keys().map(|t| t.chars().count()).collect();
    lengths.sort_unstable();
    let middle = lengths.len() / 2;
    let at = |i: usize| lengths.get(i).copied().unwrap_or(1);
    match lengths.len() % 2 {
        0 => (at(middle.saturating_sub(1)) + at(middle)) / 2,
        _ => at(middle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::context;
    use crate::embed::bundled;

    fn model() -> StaticModel {
        bundled::load(&ModelSpec { name: bundled::NAME.into(), ..ModelSpec::default() }, 2).unwrap()
    }

    #[test]
    fn vectors_have_length_one_and_texts_without_tokens_length_zero() {
        let rows = model().embed(&["list files", "", "  "], Role::Document, &context()).unwrap();
        let norm = |i: usize| rows.row(i).dot(&rows.row(i)).sqrt();
        assert!((norm(0) - 1.0).abs() < 1e-6);
        assert_eq!((norm(1), norm(2)), (0.0, 0.0));
    }

    #[test]
    fn unknown_tokens_do_not_count() {
        let model = model();
        let unknown = "\u{1F9EA}";
        let rows = model.embed(&["files", &format!("files {unknown}")], Role::Query, &context()).unwrap();
        assert_eq!(rows.row(0), rows.row(1));
    }

    #[test]
    fn the_vector_is_the_mean_of_weighted_rows() {
        let model = model();
        let ids = tokens::ids(&model.tokenizer, "copy files", false).unwrap();
        let mut wanted = vec![0.0f32; 256];
        for id in &ids {
            let (row, weight) = model.tensors.token(*id);
            wanted.iter_mut().zip(row).for_each(|(o, x)| *o += weight * x / ids.len() as f32);
        }
        normalise(&mut wanted);
        let row = model.embed(&["copy files"], Role::Document, &context()).unwrap();
        assert!(row.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn texts_are_cut_after_the_longest_length() {
        let model = model();
        let (short, long) = ("word ".repeat(512), format!("{}{}", "word ".repeat(512), "other ".repeat(40)));
        let rows = model.embed(&[&short, &long], Role::Document, &context()).unwrap();
        let cosine = rows.row(0).dot(&rows.row(1));
        assert!((cosine - 1.0).abs() < 1e-5, "{cosine}");
    }
}
