//! Approximate nearest neighbours: hierarchical navigable small world graphs in hnswlib's shape.
//!
//! Algorithm: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
//! hierarchical navigable small world graphs", 2018 (arXiv:1603.09320), in the variant of hnswlib 0.8.
//! [`build`] makes a [`Graph`], [`search`] walks any [`GraphView`], [`Records`] reads hnswlib's bytes.

mod basis;
mod build;
mod codes;
mod distance;
mod graph;
mod insert;
mod links;
mod pages;
mod pool;
mod records;
mod repair;
mod search;
mod select;
#[cfg(test)]
mod tests;
mod walk;
mod write;

pub use basis::{Basis, FEWEST_PER_COMPONENT, SAMPLE_PER_COMPONENT};
pub use build::{Params, build, build_coded};
pub use codes::{Codes, CodesPart};
pub use distance::{Distance, distance};
pub use graph::{Graph, GraphView, Indexed};
pub use records::{Records, Shape};
pub use repair::repair;
pub use search::{Searcher, search};
pub use write::{put_links, write_link_lists};
