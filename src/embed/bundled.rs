//! Provider `bundled`: the small static model inside the program, so that text becomes vectors with no
//! download. Its model card is `assets/models/static-256/README.md`.

use serde_json::Value;

use super::config::Prompts;
use super::static_model::{Parts, StaticModel};
use super::{Embedder, ModelSpec, Options};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::space::same_model;

/// Name of the bundled model.
pub const NAME: &str = "embedport/static-256";

/// Raised whenever the vectors of the bundled model change.
const REVISION: &str = "1";

const WEIGHTS: &[u8] = include_bytes!("../../assets/models/static-256/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../../assets/models/static-256/tokenizer.json");
const CONFIG: &[u8] = include_bytes!("../../assets/models/static-256/config.json");

/// Opens the bundled model.
pub(super) fn open(spec: &ModelSpec, options: &Options, _: &Context<'_>) -> Result<Box<dyn Embedder>> {
    Ok(Box::new(load(spec, options.worker_count())?))
}

pub(super) fn load(spec: &ModelSpec, threads: usize) -> Result<StaticModel> {
    if !same_model(&spec.name, NAME) {
        return Err(Error::new(Kind::NotFound, format!("no model `{}` is bundled", spec.name))
            .hint(format!("the bundled model is {NAME}")));
    }
    if let Some(wanted) = spec.revision.as_deref().filter(|wanted| *wanted != REVISION) {
        return Err(Error::new(
            Kind::NotFound,
            format!("{NAME} is bundled in revision {REVISION}, revision {wanted} was asked for"),
        ));
    }
    let parts = Parts {
        weights: WEIGHTS,
        tokenizer: TOKENIZER,
        config: serde_json::from_slice(CONFIG).unwrap_or(Value::Null),
        normalise: true,
        prompts: Prompts {
            document: spec.document_prompt.clone().unwrap_or_default(),
            query: spec.query_prompt.clone().unwrap_or_default(),
        },
        place: format!("the bundled model {NAME}"),
    };
    let spec = ModelSpec { name: NAME.to_owned(), revision: Some(REVISION.to_owned()), ..spec.clone() };
    StaticModel::from_parts(parts, &spec, threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_revision_is_refused() {
        let spec: ModelSpec = "embedport/static-256,revision=0".parse().unwrap();
        assert!(load(&spec, 1).err().unwrap().is_not_found());
    }

    #[test]
    fn every_field_of_its_space_is_known() {
        use crate::space::Agreement;
        let model = load(&NAME.parse().unwrap(), 1).unwrap();
        let space = model.space();
        assert_eq!((space.dimension, space.normalised, space.max_tokens), (256, Some(true), Some(512)));
        assert_eq!(space.compare(&space.clone()), Agreement::Same);
        assert!(space.revision.is_some() && space.pooling.is_some() && space.query_prompt.is_some());
    }
}
