//! embedport moves a vector store from one embedding model to another, in place, and proves that it worked.

pub mod context;
pub mod embed;
pub mod error;
pub mod space;
pub mod store;
