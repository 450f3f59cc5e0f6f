//! Texts to token ids through tokenizer.json, whose own truncation and padding are overridden.

use tokenizers::{Tokenizer, TruncationParams};

use crate::error::{Error, Kind, Result};

/// Reads a tokenizer, without the truncation and padding that it was saved with.
pub(crate) fn read(bytes: &[u8], place: &str) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|cause| {
        Error::new(Kind::Damaged, format!("the tokenizer of {place} is not readable")).because(cause)
    })?;
    tokenizer.with_padding(None);
    limit(&mut tokenizer, None, place)?;
    Ok(tokenizer)
}

/// Cuts texts after `max_tokens` tokens, special tokens included.
pub(crate) fn limit(tokenizer: &mut Tokenizer, max_tokens: Option<usize>, place: &str) -> Result<()> {
    let truncation = max_tokens.map(|max_length| TruncationParams { max_length, ..Default::default() });
    tokenizer.with_truncation(truncation).map(|_| ()).map_err(|cause| {
        Error::new(Kind::Damaged, format!("the tokenizer of {place} cannot cut texts as its model wants"))
            .because(cause)
    })
}

/// Highest token id of the vocabulary.
pub(crate) fn highest_id(tokenizer: &Tokenizer) -> usize {
    tokenizer.get_vocab(true).values().max().map_or(0, |id| *id as usize)
}

/// Token ids of `text`.
///
/// # Errors
/// [`Kind::Damaged`]: a tokenizer that fails on a text breaks its own format.
pub(crate) fn ids(tokenizer: &Tokenizer, text: &str, special: bool) -> Result<Vec<u32>> {
    match tokenizer.encode_fast(text, special) {
        Ok(encoding) => Ok(encoding.get_ids().to_vec()),
        Err(cause) => Err(Error::new(Kind::Damaged, "the tokenizer failed on a text").because(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokenizer_that_is_none_is_refused() {
        for bytes in [&b"{}"[..], b"", b"{\"model\": 1}"] {
            assert_eq!(read(bytes, "here").unwrap_err().kind(), Kind::Damaged);
        }
    }
}
