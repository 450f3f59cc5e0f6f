//! A file that is about to be written must not be one that is in use: a slip of the hand shall not cost a store.

use std::path::Path;

use super::{files, identity};
use crate::error::{Error, Kind, Result};

/// Fails if a file written to `output` would take the place of something in use, each given with what it is in words; a
/// folder stands for all that is in it. Links are followed, and a file is known by its other names.
///
/// # Errors
/// [`Kind::Usage`], naming what would be lost.
pub fn refuse_in_use(output: &Path, in_use: &[(&str, &Path)]) -> Result<()> {
    let place = files::resolved(output)?;
    for (what, path) in in_use {
        let used = files::resolved(path)?;
        let found = if place == used || identity::is_same(output, path) {
            format!("`{}` is {what}, which would be lost", output.display())
        } else if place.starts_with(&used) {
            format!("`{}` lies in {what}, `{}`", output.display(), path.display())
        } else {
            continue;
        };
        return Err(Error::new(Kind::Usage, found).hint("name a file that is not in use"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_known_by_every_name_and_the_rest_is_free() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("store/inner")).expect("made");
        std::fs::write(path("store.db"), "x").expect("write");
        let check = |name: &str| {
            refuse_in_use(&path(name), &[("the store", &path("store")), ("the input", &path("store.db"))])
        };
        for name in ["store", "store/new.tsv", "store/inner/x/y", "store/../store.db", "store.db"] {
            let refused = check(name).expect_err(name);
            assert_eq!((refused.kind(), refused.hints().len()), (Kind::Usage, 1), "{name}");
        }
        for name in ["store.tsv", "store.db.tsv", "new/x"] {
            check(name).expect(name);
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("store.db"), path("soft")).expect("link");
            std::os::unix::fs::symlink(path("store"), path("way")).expect("link");
            std::fs::hard_link(path("store.db"), path("hard")).expect("link");
            for name in ["soft", "hard", "way/new.tsv"] {
                assert!(check(name).is_err(), "{name}");
            }
        }
    }
}
