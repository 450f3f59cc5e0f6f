//! embedport moves a vector store from one embedding model to another, in place, and proves that it worked.

pub mod advice;
mod clusters;
pub mod context;
pub mod demo_assets;
pub mod detect;
pub mod embed;
pub mod error;
pub mod evaluation;
pub mod hnsw;
pub mod identification;
pub mod matrix;
pub mod measure;
pub mod migration;
pub mod platform;
pub mod projection;
pub mod random;
pub mod registry;
pub mod sampling;
pub mod simd;
pub mod space;
pub mod store;
pub mod texts;
pub mod training;
pub mod vector_file;
