//! Calls everything that reads, and rewrites. Errors are right answers; panics and wrong successes are not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use ndarray::{Array2, ArrayView2};

use super::super::rooms::context::{Cancel, Context, Silent};
use super::super::rooms::error::Result;
use super::super::rooms::space::Space;
use super::super::rooms::store::{self, Collection, VectorStore};
use super::sqlite::{dump, is_sound};

const FEW: usize = 64;
/// Components of new vectors.
const NEW: usize = 8;

/// Gives every vector so many components, and notes down which.
struct Other {
    components: usize,
    given: Mutex<BTreeMap<String, Vec<Vec<u32>>>>,
}

impl Other {
    fn of(components: usize) -> Other {
        Other { components, given: Mutex::default() }
    }
}

impl store::Pass for Other {
    fn vectors(&self, batch: &store::Batch, round: &store::Rounding<'_>) -> Result<Array2<f32>> {
        let mut new = self.unowned(batch.vectors.view())?;
        let mut given = self.given.lock().expect("no panic");
        for (id, mut vector) in batch.ids.iter().zip(new.outer_iter_mut()) {
            round(vector.as_slice_mut().expect("a row"));
            given.entry(id.clone()).or_default().push(vector.iter().map(|x| x.to_bits()).collect());
        }
        Ok(new)
    }

    fn unowned(&self, vectors: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        Ok(Array2::from_shape_fn((vectors.nrows(), self.components), |(i, j)| {
            vectors.row(i).iter().skip(j).step_by(3).sum::<f32>().clamp(-9.0, 9.0)
        }))
    }
}

fn with_context<T>(then: impl FnOnce(&Context<'_>) -> T) -> T {
    static CANCEL: Cancel = Cancel::new();
    let now = || jiff::Timestamp::UNIX_EPOCH;
    let entropy = || [7; 16];
    then(&Context { seed: 1, progress: &Silent, cancel: &CANCEL, now: &now, entropy: &entropy })
}

/// Every reader, and for each collection that could be rewritten `rewrite`; how many of these succeeded.
fn all(location: &str, rewrite: &dyn Fn(&mut dyn VectorStore, &Collection, &Context<'_>) -> bool) -> usize {
    with_context(|context| {
        let Ok(mut store) = store::open(location) else { return 0 };
        let _ = store.examine(None, context);
        let Ok(description) = store.describe() else { return 0 };
        let mut rewritten = 0;
        for collection in description.collections.iter().take(FEW) {
            let _ = store.content_digest(collection);
            if let Ok(mut records) = store.records(collection, true) {
                while let Ok(Some(batch)) = records.next_batch(7) {
                    assert_eq!(batch.ids.len(), batch.vectors.nrows());
                    assert!(batch.vectors.iter().all(|x| x.is_finite()));
                }
            }
            let Some(dimension) = collection.dimension.filter(|d| *d <= FEW) else { continue };
            let queries =
                Array2::from_shape_fn((2, dimension), |(i, j)| (1 + i * 7 + j * 3) as f32 % 5.0 - 2.0);
            for hits in store.search(collection, queries.view(), 3).unwrap_or_default() {
                assert!(hits.len() <= 3);
            }
            rewritten += usize::from(rewrite(store.as_mut(), collection, context));
            let _ = fs::remove_dir_all(store.state_folder());
        }
        rewritten
    })
}

fn target(store: &dyn VectorStore, components: usize, backup: store::BackupChoice) -> store::RewriteTarget {
    store::RewriteTarget {
        space: Space::named("fuzz/other", components),
        migration: "m".into(),
        folder: store.state_folder().join("m"),
        index: store::IndexChoice::Auto,
        backup,
    }
}

/// Rewrites up to the commit, which is not made, by every way to an index.
pub fn without_commit(_: &Path, location: &str) -> usize {
    all(location, &|store, collection, context| {
        let (target, mut is_sealed) = (target(store, NEW, store::BackupChoice::Rows), false);
        if let Ok(mut rewrite) = store.rewrite(collection, &target)
            && rewrite.transform(&Other::of(NEW), &mut |_, _| {}, context).is_ok()
        {
            for way in rewrite.ways() {
                if rewrite.seal(way, context).is_ok() {
                    is_sealed = true;
                    let _ = rewrite.read_back(&|batch| {
                        assert_eq!(batch.vectors.ncols(), NEW);
                        Ok(())
                    });
                    let _ = rewrite.search(Array2::ones((1, NEW)).view(), 3);
                }
            }
        }
        is_sealed
    })
}

/// Rewrites and goes back again: what succeeds has to be so. The store lies in the SQLite file `file`.
pub fn there_and_back(file: &Path, location: &str) -> usize {
    let is_sound = is_sound(file);
    all(location, &|store, collection, context| {
        let before = dump(file);
        // Longer or shorter vectors in the file itself; as long as before in a copy of it.
        let same = collection.dimension.unwrap_or(NEW);
        let ways = [(NEW, store::BackupChoice::Rows), (same, store::BackupChoice::Full)];
        ways.into_iter().all(|(components, choice)| {
            let pass = Other::of(components);
            let contents = store.content_digest(collection).ok();
            let Some(backup) = rewritten(store, collection, &pass, choice, context) else { return false };
            if is_sound {
                read_again(store, &collection.id, &pass, contents.as_deref());
            }
            let back = store.restore(&backup, store::Since::Refuse);
            if is_sound {
                back.expect("nothing changed since");
                assert_eq!(dump(file), before, "the way back leads elsewhere");
            }
            let _ = fs::remove_dir_all(store.state_folder());
            true
        })
    })
}

/// What a migration does, its delivery check included; the backup if it was committed.
fn rewritten(
    store: &mut dyn VectorStore,
    collection: &Collection,
    pass: &Other,
    choice: store::BackupChoice,
    context: &Context<'_>,
) -> Option<store::Backup> {
    let target = target(store, pass.components, choice);
    store.check_target(collection, &target.space).ok()?;
    let mut rewrite = store.rewrite(collection, &target).ok()?;
    let saved = rewrite.transform(pass, &mut |_, _| {}, context).ok()?;
    let way = rewrite.ways().into_iter().next()?;
    rewrite.seal(way, context).ok()?;
    let read = Mutex::new(0);
    let look = |batch: &store::Batch| {
        *read.lock().expect("no panic") += batch.ids.len() as u64;
        Ok(())
    };
    rewrite.read_back(&look).ok()?;
    if read.into_inner().expect("no panic") != collection.count {
        return None;
    }
    rewrite.commit().ok().map(|()| saved.backup)
}

/// What was committed is there, bit for bit, and everything else as before.
fn read_again(store: &dyn VectorStore, id: &str, pass: &Other, contents: Option<&str>) {
    let collection = store.collection(id, None).expect("it was rewritten");
    assert_eq!(collection.dimension, Some(pass.components));
    assert_eq!(store.content_digest(&collection).ok().as_deref(), contents);
    assert_eq!(collection.migration.as_deref(), Some("m"));
    let mut records = store.records(&collection, false).expect("it was read before");
    let mut found: BTreeMap<String, Vec<Vec<u32>>> = BTreeMap::new();
    while let Some(batch) = records.next_batch(5).expect("it was read before") {
        for (id, vector) in batch.ids.into_iter().zip(batch.vectors.outer_iter()) {
            found.entry(id).or_default().push(vector.iter().map(|x| x.to_bits()).collect());
        }
    }
    let mut given = pass.given.lock().expect("no panic").clone();
    found.values_mut().chain(given.values_mut()).for_each(|vectors| vectors.sort());
    assert_eq!(found, given, "other vectors than those that were given");
}
