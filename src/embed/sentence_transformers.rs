//! Provider `sentence-transformers`: models in that library's layout, from the hub or a folder.

use super::bert::Bert;
use super::config::{Body, Modules, Prompts, Settings};
use super::files::{Files, Folder};
use super::hub::HubFiles;
use super::outline::{self, Outline};
use super::static_model::StaticModel;
use super::{Embedder, ModelSpec, Options};
use crate::context::Context;
use crate::error::{Error, Kind, Result};

/// Opens the model of `spec` from its folder, or from the hub and its cache.
pub(super) fn open(spec: &ModelSpec, options: &Options, context: &Context<'_>) -> Result<Box<dyn Embedder>> {
    with_files(spec, options, context, &|files| load(files, spec, options))
}

/// What the model of `spec` says about itself.
pub(super) fn outline(spec: &ModelSpec, options: &Options, context: &Context<'_>) -> Result<Outline> {
    with_files(spec, options, context, &|files| {
        let Some(outline) = outline::read(files, spec)? else {
            let space = load(files, spec, options)?.space().clone();
            let known = Prompts::read(files, spec)?;
            return Ok(Outline { prompts: outline::prompts(files, &known)?, ..Outline::of_space(&space) });
        };
        Ok(outline)
    })
}

fn with_files<T>(
    spec: &ModelSpec,
    options: &Options,
    context: &Context<'_>,
    read: &dyn Fn(&dyn Files) -> Result<T>,
) -> Result<T> {
    match &spec.path {
        Some(path) if !path.is_dir() => {
            Err(Error::new(Kind::NotFound, format!("no folder `{}` for the model", path.display()))
                .hint("give the folder that holds config.json, tokenizer.json and model.safetensors"))
        }
        Some(path) => read(&Folder(path)),
        None => read(&HubFiles::new(spec, &options.hub, context)?),
    }
}

fn load(files: &dyn Files, spec: &ModelSpec, options: &Options) -> Result<Box<dyn Embedder>> {
    let modules = Modules::read(files)?;
    let folder = &modules.body_folder;
    let is_model2vec = files
        .json("config.json")?
        .is_some_and(|config| config.get("model_type").is_some_and(|kind| kind == "model2vec"));
    if modules.body == Body::Static || is_model2vec {
        let prompts = Prompts::read(files, spec)?;
        return Ok(Box::new(StaticModel::load(files, folder, spec, &modules, prompts, options)?));
    }
    let settings = Settings::read(files, &modules, spec)?;
    Ok(Box::new(Bert::load(files, folder, spec, settings, options)?))
}
