//! Names, and the way of a finished projection into its file and the registry.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Training;
use crate::error::{Error, Kind, Result};
use crate::platform::files;
use crate::projection::{Pairs, Projection, Role};
use crate::registry::{Entry, Registry};
use crate::space::{Space, same_model};

/// Longest name of a projection that is taken.
const LONGEST_NAME: usize = 128;
/// Longest part of a name that a model gives.
const LONGEST_PART: usize = 48;

const ANOTHER_NAME: &str = "choose another name with --name; only one between the same models is replaced";

/// Saves the projection into `folder` (made if it is missing) and adds it to `registry`, if one is given.
/// Returns its file. A projection of the same name between the same models is replaced.
///
/// # Errors
/// [`Kind::CannotWrite`](crate::error::Kind::CannotWrite), [`Kind::Refused`] if the name is taken by another one, and
/// [`Kind::Usage`](crate::error::Kind::Usage) if `folder` does not lie in the folder of the registry or below it.
pub fn save(training: &Training, folder: &Path, registry: Option<&mut Registry>) -> Result<PathBuf> {
    save_projection(&training.projection, folder, registry)
}

/// As [`save`], of a projection that was not trained.
///
/// # Errors
/// As [`save`].
pub fn save_projection(
    projection: &Projection,
    folder: &Path,
    registry: Option<&mut Registry>,
) -> Result<PathBuf> {
    let file = folder.join(file_name(projection));
    refuse_another(projection, &file, registry.as_deref())?;
    files::create_folder(folder)?;
    projection.save(&file)?;
    if let Some(registry) = registry {
        registry.add(projection, &file)?;
    }
    Ok(file)
}

/// Fails if what lies under the name of `projection` is not one between the same models.
fn refuse_another(projection: &Projection, file: &Path, registry: Option<&Registry>) -> Result<()> {
    let new = &projection.header;
    if let Some(entry) = registry.and_then(|registry| registry.own(&new.name)) {
        return check_replaced(entry, new.role, Some(&new.source.model), &new.target.model);
    }
    if !file.exists() {
        return Ok(());
    }
    let (found, sha256) = Projection::load(file).map_err(|cause| {
        let found = format!("`{}` is there already and is no projection", file.display());
        Error::new(Kind::Refused, found).because(cause).hint(ANOTHER_NAME)
    })?;
    let entry = Entry::new(&found.header, file.display().to_string(), sha256);
    check_replaced(&entry, new.role, Some(&new.source.model), &new.target.model)
}

/// Whether `entry` may be replaced by a projection between these models, as far as they are known.
///
/// # Errors
/// [`Kind::Refused`] if it is one between others.
pub fn check_replaced(entry: &Entry, role: Role, source: Option<&str>, target: &str) -> Result<()> {
    let same = entry.role == role
        && source.is_none_or(|source| same_model(source, &entry.source.model))
        && same_model(target, &entry.target.model);
    if same {
        return Ok(());
    }
    let kind = if entry.role.is_records() { "projection" } else { "bridge" };
    let (from, to) = (&entry.source.model, &entry.target.model);
    let found =
        format!("`{}` is a {kind} from `{from}` to `{to}` already, and would be replaced", entry.name);
    Err(Error::new(Kind::Refused, found).hint(ANOTHER_NAME))
}

/// Name of the file of a projection.
pub fn file_name(projection: &Projection) -> String {
    format!("{}.safetensors", projection.header.name)
}

/// Whether a projection may be named so: it becomes the name of a file and a word on the command line.
///
/// # Errors
/// [`Kind::Usage`] with what a name is.
pub fn check_name(name: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if plain && !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with(['-', '.', '_']) {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("`{}` cannot be the name of a projection", name.escape_debug()))
        .hint(format!(
            "give at most {LONGEST_NAME} letters, digits, `.`, `_` and `-`, with a letter or a digit first"
        )))
}

/// A name for a projection: `SOURCE--TARGET-FINGERPRINT`, from the last components of the models and from all that
/// tells one training run from another.
pub(super) fn name(source: &Space, target: &Space, pairs: &Pairs, how: &str) -> String {
    let all = [source.fingerprint(), target.fingerprint(), pairs.ids_sha256(), how.to_owned()].join("/");
    let digest = Sha256::digest(all.as_bytes());
    let fingerprint = files::hex(&digest[..4]);
    format!("{}--{}-{fingerprint}", slug(&source.model), slug(&target.model))
}

/// Lower case letters, digits, `.`, `_` and `-` of the last component of a model's name.
fn slug(model: &str) -> String {
    let last = model.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(model);
    let mut slug = String::new();
    for c in last.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '.' | '_' => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
        if slug.len() >= LONGEST_PART {
            break;
        }
    }
    match slug.trim_matches(['-', '.']) {
        "" => "model".into(),
        trimmed => trimmed.into(),
    }
}

#[cfg(test)]
mod name_tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_come_from_the_last_components() {
        let source = Space::named("sentence-transformers/all-MiniLM-L6-v2", 2);
        let target = Space::named("My Own Model (2)", 2);
        let rows = ndarray::array![[1.0, 2.0], [3.0, 4.0]];
        let pairs = Pairs::new(vec!["a".into(), "b".into()], rows.clone(), rows).unwrap();
        let ridge = name(&source, &target, &pairs, "ridge");
        assert!(ridge.starts_with("all-minilm-l6-v2--my-own-model-2-"), "{ridge}");
        assert_ne!(ridge, name(&source, &target, &pairs, "gradient"));
    }

    #[test]
    fn a_name_is_one_plain_word() {
        for name in ["a", "0.b_C-d", &"x".repeat(LONGEST_NAME)] {
            check_name(name).unwrap();
        }
        for name in ["", "-a", ".a", "_a", "a/b", "a\\b", "a b", "ä", "a\n", &"x".repeat(LONGEST_NAME + 1)] {
            assert_eq!(check_name(name).unwrap_err().kind(), Kind::Usage, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_model_name_leaves_the_folder(model in "\\PC{0,80}") {
            let slug = slug(&model);
            prop_assert!(!slug.is_empty() && slug.len() <= LONGEST_PART);
            prop_assert!(!slug.starts_with('.') && !slug.contains("--"));
            prop_assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)));
        }
    }
}
