//! Text to vector: running embedding models.

use ndarray::Array2;

use crate::context::Context;
use crate::error::Result;
use crate::space::Space;

/// What a text is for; models prompt documents and queries differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A text that is stored and found.
    Document,
    /// A text that finds.
    Query,
}

/// An embedding model ready to run.
pub trait Embedder: Send + Sync {
    /// The space of its vectors, every field known.
    fn space(&self) -> &Space;

    /// Embeds `texts`: `texts.len()` x dimension, rows finite and in input order.
    fn embed(&self, texts: &[&str], role: Role, context: &Context<'_>) -> Result<Array2<f32>>;
}
