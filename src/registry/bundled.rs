//! Projections that ship with the program, embedded in it.

/// The registry of the bundled projections.
pub(super) const REGISTRY: &[u8] = include_bytes!("../../registry.json");

/// Files that the bundled registry names: path relative to it, and contents.
pub(super) const FILES: &[(&str, &[u8])] = &[
    (
        "projections/all-minilm-l6-v2--static-256.safetensors",
        include_bytes!("../../projections/all-minilm-l6-v2--static-256.safetensors"),
    ),
    (
        "projections/static-256--all-minilm-l6-v2.safetensors",
        include_bytes!("../../projections/static-256--all-minilm-l6-v2.safetensors"),
    ),
];
