//! How the vectors of a text's tokens become the vector of the text.

use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// One way to pool; a model may concatenate several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Cls,
    Max,
    Mean,
    /// Sum / sqrt(tokens).
    MeanSqrtLen,
    LastToken,
}

/// Order of concatenation, old boolean key, newer value, our name in a space.
/// Source: sentence-transformers, `modules/pooling.py`.
const MODES: [(Mode, &str, &str, &str); 5] = [
    (Mode::Cls, "pooling_mode_cls_token", "cls", "cls"),
    (Mode::Max, "pooling_mode_max_tokens", "max", "max"),
    (Mode::Mean, "pooling_mode_mean_tokens", "mean", "mean"),
    (Mode::MeanSqrtLen, "pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", "mean_sqrt_len"),
    (Mode::LastToken, "pooling_mode_lasttoken", "lasttoken", "last_token"),
];

/// 1_Pooling/config.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pooling {
    pub modes: Vec<Mode>,
    /// Whether the tokens of a prompt are pooled too.
    pub include_prompt: bool,
}

impl Pooling {
    /// Mean over all tokens.
    pub(crate) fn mean() -> Self {
        Pooling { modes: vec![Mode::Mean], include_prompt: true }
    }

    /// Reads the config: a newer `pooling_mode` (a name or a list) wins over the old boolean keys;
    /// neither means mean.
    pub(crate) fn parse(json: &Value) -> Result<Pooling> {
        let include_prompt = json.get("include_prompt").and_then(Value::as_bool).unwrap_or(true);
        let modes = match json.get("pooling_mode") {
            Some(Value::String(name)) => vec![mode_of(name)?],
            Some(Value::Array(names)) => names
                .iter()
                .map(|n| mode_of(n.as_str().unwrap_or("a value that is no text")))
                .collect::<Result<_>>()?,
            Some(_) => return Err(Error::new(Kind::Damaged, "`pooling_mode` is neither a name nor a list")),
            None => old_keys(json)?,
        };
        match modes.is_empty() {
            true => Ok(Pooling { modes: vec![Mode::Mean], include_prompt }),
            false => Ok(Pooling { modes, include_prompt }),
        }
    }

    /// Modes by our own names, joined by `+`, as a space has them.
    pub(crate) fn modes_of_name(name: &str) -> Result<Vec<Mode>> {
        name.split('+').map(mode_of).collect()
    }

    /// The name that a space carries.
    pub(crate) fn name(&self) -> String {
        let name = |mode: &Mode| MODES.iter().find(|m| m.0 == *mode).map_or("", |m| m.3);
        self.modes.iter().map(name).collect::<Vec<_>>().join("+")
    }

    /// Pools `tokens` (row-major, `hidden` wide, the text's real tokens only) into `out`
    /// (`modes.len() * hidden`). The first `skip` rows, a prompt, are left out unless nothing else is there.
    pub(crate) fn apply(&self, tokens: &[f32], hidden: usize, skip: usize, out: &mut [f32]) {
        let rows = tokens.len() / hidden.max(1);
        let skip = if self.include_prompt || skip >= rows { 0 } else { skip };
        let tokens = tokens.get(skip * hidden..).unwrap_or(&[]);
        let count = (rows - skip) as f32;
        for (mode, out) in self.modes.iter().zip(out.chunks_exact_mut(hidden.max(1))) {
            let mut rows = tokens.chunks_exact(hidden.max(1));
            match mode {
                Mode::Cls => rows.next().into_iter().for_each(|first| out.copy_from_slice(first)),
                Mode::LastToken => rows.last().into_iter().for_each(|last| out.copy_from_slice(last)),
                Mode::Max => {
                    out.fill(f32::NEG_INFINITY);
                    rows.for_each(|row| out.iter_mut().zip(row).for_each(|(o, x)| *o = o.max(*x)));
                }
                Mode::Mean | Mode::MeanSqrtLen => {
                    out.fill(0.0);
                    rows.for_each(|row| out.iter_mut().zip(row).for_each(|(o, x)| *o += x));
                    let divisor = if *mode == Mode::Mean { count } else { count.sqrt() };
                    out.iter_mut().for_each(|o| *o /= divisor.max(1e-9));
                }
            }
        }
    }
}

fn old_keys(json: &Value) -> Result<Vec<Mode>> {
    let object =
        json.as_object().ok_or_else(|| Error::new(Kind::Damaged, "a pooling config is no object"))?;
    let on = |key: &str| object.get(key).and_then(Value::as_bool) == Some(true);
    if on("pooling_mode_weightedmean_tokens") {
        return Err(unsupported("weightedmean"));
    }
    Ok(MODES.iter().filter(|m| on(m.1)).map(|m| m.0).collect())
}

fn mode_of(name: &str) -> Result<Mode> {
    MODES.iter().find(|m| m.2 == name || m.3 == name).map(|m| m.0).ok_or_else(|| unsupported(name))
}

fn unsupported(name: &str) -> Error {
    let known: Vec<_> = MODES.iter().map(|m| m.3).collect();
    Error::new(Kind::Unsupported, format!("pooling `{name}`"))
        .hint(format!("embedport pools by {}", known.join(", ")))
}

/// Scales `vector` to length 1; a vector of length 0 stays as it is.
/// Source: torch.nn.functional.normalize, x / max(|x|, 1e-12).
pub(crate) fn normalise(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let factor = (1.0 / square.sqrt().max(1e-12)) as f32;
    vector.iter_mut().for_each(|x| *x *= factor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pooled(modes: &[Mode], skip: usize, include_prompt: bool) -> Vec<f32> {
        let tokens = [1.0, -2.0, 3.0, 4.0, 5.0, 7.0, 7.0, -1.0];
        let pooling = Pooling { modes: modes.to_vec(), include_prompt };
        let mut out = vec![9.0; 2 * modes.len()];
        pooling.apply(&tokens, 2, skip, &mut out);
        out
    }

    #[test]
    fn modes_by_hand() {
        assert_eq!(pooled(&[Mode::Cls], 0, true), [1.0, -2.0]);
        assert_eq!(pooled(&[Mode::Max], 0, true), [7.0, 7.0]);
        assert_eq!(pooled(&[Mode::Mean], 0, true), [4.0, 2.0]);
        assert_eq!(pooled(&[Mode::MeanSqrtLen], 0, true), [8.0, 4.0]);
        assert_eq!(pooled(&[Mode::LastToken], 0, true), [7.0, -1.0]);
        assert_eq!(pooled(&[Mode::Cls, Mode::Mean], 0, true), [1.0, -2.0, 4.0, 2.0]);
    }

    #[test]
    fn a_prompt_is_left_out_only_where_the_model_says_so() {
        assert_eq!(pooled(&[Mode::Mean], 2, false), [6.0, 3.0]);
        assert_eq!(pooled(&[Mode::Mean], 2, true), [4.0, 2.0]);
        assert_eq!(pooled(&[Mode::Mean], 4, false), [4.0, 2.0]);
    }

    #[test]
    fn old_and_newer_keys_mean_the_same() {
        let old = json!({"word_embedding_dimension": 2, "pooling_mode_cls_token": true,
            "pooling_mode_mean_tokens": false});
        assert_eq!(Pooling::parse(&old).unwrap().modes, [Mode::Cls]);
        assert_eq!(Pooling::parse(&json!({"pooling_mode": "cls"})).unwrap().modes, [Mode::Cls]);
        let list = json!({"pooling_mode": ["cls", "mean"], "include_prompt": false});
        let pooling = Pooling::parse(&list).unwrap();
        assert_eq!((pooling.name().as_str(), pooling.include_prompt), ("cls+mean", false));
        assert_eq!(Pooling::parse(&json!({})).unwrap(), Pooling::mean());
    }

    #[test]
    fn unknown_pooling_is_refused_by_name() {
        for json in [json!({"pooling_mode": "magic"}), json!({"pooling_mode_weightedmean_tokens": true})] {
            assert_eq!(Pooling::parse(&json).unwrap_err().kind(), Kind::Unsupported);
        }
        assert_eq!(Pooling::parse(&json!([1])).unwrap_err().kind(), Kind::Damaged);
    }

    #[test]
    fn a_zero_vector_stays_zero() {
        let mut vector = [0.0, 0.0];
        normalise(&mut vector);
        assert_eq!(vector, [0.0, 0.0]);
        let mut vector = [3.0, 4.0];
        normalise(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
    }
}
