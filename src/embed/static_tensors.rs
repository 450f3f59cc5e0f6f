//! The tensors of a static model: rows as f32, the token's row, the token's weight.

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::error::{Error, Kind, Result};

/// What a static model's safetensors file holds.
#[derive(Debug)]
pub(crate) struct Tensors {
    /// rows x dimension, row-major.
    pub rows: Vec<f32>,
    pub dimension: usize,
    /// Row of each token; `None`: the token's own number.
    pub mapping: Option<Vec<u32>>,
    /// Factor of each token; `None`: 1.
    pub weights: Option<Vec<f32>>,
    /// Stored by sentence-transformers itself (`embedding.weight`), not by model2vec (`embeddings`).
    pub by_sentence_transformers: bool,
}

impl Tensors {
    /// Reads the file and checks that every token up to `highest` has its row.
    pub(crate) fn read(bytes: &[u8], highest: usize, place: &str) -> Result<Tensors> {
        let damaged = |what: String| {
            Error::new(Kind::Damaged, format!("the weights of {place}: {what}"))
                .hint("remove model.safetensors and load the model again")
        };
        let file = SafeTensors::deserialize(bytes)
            .map_err(|cause| damaged("not a whole safetensors file".into()).because(cause))?;
        let (embeddings, by_sentence_transformers) =
            match (file.tensor("embeddings"), file.tensor("embedding.weight")) {
                (Ok(tensor), _) => (tensor, false),
                (_, Ok(tensor)) => (tensor, true),
                _ => return Err(damaged("neither `embeddings` nor `embedding.weight` inside".into())),
            };
        let &[count, dimension] = embeddings.shape() else {
            return Err(damaged(format!("embeddings of {} axes, wanted 2", embeddings.shape().len())));
        };
        if count == 0 || dimension == 0 {
            return Err(damaged(format!("{count} x {dimension} embeddings")));
        }
        let rows = floats(&embeddings).ok_or_else(|| kind_error("embeddings", &embeddings, place))?;
        let optional = |name: &str| match file.tensor(name) {
            Ok(tensor) if tensor.shape().len() == 1 => Ok(Some(tensor)),
            Ok(tensor) => Err(damaged(format!("`{name}` of {} axes, wanted 1", tensor.shape().len()))),
            Err(_) => Ok(None),
        };
        let weights = optional("weights")?
            .map(|tensor| floats(&tensor).ok_or_else(|| kind_error("weights", &tensor, place)))
            .transpose()?;
        let mapping = optional("mapping")?
            .map(|tensor| rows_of_tokens(&tensor).ok_or_else(|| kind_error("mapping", &tensor, place)))
            .transpose()?;
        let tokens = [weights.as_ref().map(Vec::len), Some(mapping.as_ref().map_or(count, Vec::len))];
        if let Some(few) = tokens.into_iter().flatten().find(|n| *n <= highest) {
            return Err(damaged(format!(
                "rows or weights for {few} tokens, the tokenizer has {}",
                highest + 1
            )));
        }
        if let Some(beyond) = mapping.iter().flatten().find(|row| **row as usize >= count) {
            return Err(damaged(format!("a token is mapped to row {beyond} of {count}")));
        }
        Ok(Tensors { rows, dimension, mapping, weights, by_sentence_transformers })
    }

    /// The row and the weight of `token`, which must not exceed the highest id of the tokenizer.
    pub(crate) fn token(&self, token: u32) -> (&[f32], f32) {
        let index = token as usize;
        let row = self.mapping.as_ref().map_or(index, |m| m.get(index).map_or(0, |row| *row as usize));
        let weight = self.weights.as_ref().map_or(1.0, |w| w.get(index).copied().unwrap_or(0.0));
        let start = row.saturating_mul(self.dimension);
        (self.rows.get(start..start.saturating_add(self.dimension)).unwrap_or(&[]), weight)
    }
}

fn kind_error(name: &str, tensor: &TensorView<'_>, place: &str) -> Error {
    Error::new(Kind::Unsupported, format!("`{name}` of {place} has type {:?}", tensor.dtype()))
        .hint("embedport reads f32, f16, bf16, f64 and i8 vectors, and integer mappings")
}

fn numbers<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| of(*chunk)).collect()
}

fn floats(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Some(numbers(bytes, f32::from_le_bytes)),
        Dtype::F16 => Some(numbers(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Some(numbers(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
        Dtype::F64 => Some(numbers(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::I8 => Some(numbers(bytes, |b| f32::from(i8::from_le_bytes(b)))),
        _ => None,
    }
}

/// Negative numbers become `u32::MAX`, which no model has rows for.
fn rows_of_tokens(tensor: &TensorView<'_>) -> Option<Vec<u32>> {
    let bytes = tensor.data();
    let wide = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    match tensor.dtype() {
        Dtype::I64 => Some(numbers(bytes, |b| wide(i64::from_le_bytes(b)))),
        Dtype::I32 => Some(numbers(bytes, |b| wide(i32::from_le_bytes(b).into()))),
        Dtype::U32 => Some(numbers(bytes, u32::from_le_bytes)),
        Dtype::I16 => Some(numbers(bytes, |b| wide(i16::from_le_bytes(b).into()))),
        Dtype::U16 => Some(numbers(bytes, |b| u16::from_le_bytes(b).into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
        let views: Vec<_> = tensors
            .iter()
            .map(|(name, kind, shape, data)| (*name, TensorView::new(*kind, shape.clone(), data).unwrap()))
            .collect();
        safetensors::serialize(views, None).unwrap()
    }

    fn small(mapping: [i32; 3]) -> Vec<u8> {
        let weights: Vec<u8> = [1.0f32, 0.5, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let mapping: Vec<u8> = mapping.iter().flat_map(|x| x.to_le_bytes()).collect();
        file(&[
            ("embeddings", Dtype::I8, vec![2, 2], vec![0, 0, 4, 0xff]),
            ("weights", Dtype::F32, vec![3], weights),
            ("mapping", Dtype::I32, vec![3], mapping),
        ])
    }

    #[test]
    fn rows_are_found_through_mapping_and_weight() {
        let tensors = Tensors::read(&small([0, 1, 1]), 2, "here").unwrap();
        assert_eq!(tensors.token(1), (&[4.0, -1.0][..], 0.5));
        assert_eq!(tensors.token(2), (&[4.0, -1.0][..], 2.0));
        assert_eq!(tensors.token(0), (&[0.0, 0.0][..], 1.0));
    }

    #[test]
    fn a_mapping_beyond_the_rows_is_damaged() {
        for mapping in [[0, 1, 2], [0, -1, 1]] {
            assert_eq!(Tensors::read(&small(mapping), 2, "here").unwrap_err().kind(), Kind::Damaged);
        }
        assert_eq!(Tensors::read(&small([0, 1, 1]), 3, "here").unwrap_err().kind(), Kind::Damaged);
    }

    #[test]
    fn cut_and_hostile_files_are_damaged() {
        let whole = small([0, 1, 1]);
        for cut in 0..whole.len() {
            assert_eq!(Tensors::read(&whole[..cut], 2, "here").unwrap_err().kind(), Kind::Damaged);
        }
        let mut hostile = whole;
        hostile[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Tensors::read(&hostile, 2, "here").unwrap_err().kind(), Kind::Damaged);
    }
}
