//! The rooms that read stores' files, built alone (no embedding model), and what feeds them.

#![allow(dead_code, unused_imports)]

#[path = "../../src/context.rs"]
pub mod context;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/hnsw/mod.rs"]
pub mod hnsw;
#[path = "../../src/matrix.rs"]
pub mod matrix;
#[path = "../../src/platform/mod.rs"]
pub mod platform;
#[path = "../../src/random.rs"]
pub mod random;
#[path = "../../src/simd/mod.rs"]
pub mod simd;
#[path = "../../src/space.rs"]
pub mod space;
#[path = "../../src/store/mod.rs"]
pub mod store;

#[path = "../../tests/damage/mod.rs"]
mod harness;

mod rooms {
    pub use crate::{context, error, space, store};
}

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

thread_local! {
    static SCRATCH: OnceCell<harness::Scratch> = const { OnceCell::new() };
}

fn databases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/databases")
}

/// One input of one target. The first call also writes the undamaged inputs of all targets, if the variable
/// `EMBEDPORT_SEEDS` names a folder for them.
pub fn run(target: &str, input: &[u8]) {
    SCRATCH.with(|scratch| {
        let scratch = scratch.get_or_init(|| {
            let scratch = harness::Scratch::new(&databases());
            if let Some(folder) = std::env::var_os("EMBEDPORT_SEEDS") {
                scratch.seeds(Path::new(&folder)).expect("seeds can be written");
            }
            scratch
        });
        let _ = scratch.feed(target, input);
    });
}
