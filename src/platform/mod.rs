//! What differs between operating systems: durable files, free space, locks, processes that hold files.
//!
//! Every `cfg` on an operating system is in this folder, but for a wish for large pages in `hnsw::pages`, which may not use it.

mod atomic;
#[doc(hidden)]
pub mod bytes;
pub mod fault;
pub mod files;
mod hashing;
pub mod holders;
pub mod identity;
pub mod lease;
pub mod lock;
mod names;
pub mod outputs;
pub mod syncing;
