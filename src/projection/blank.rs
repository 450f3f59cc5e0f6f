//! What stands for a map where there is none: every vector is given from elsewhere.

use ndarray::{Array1, Array2};

use super::affine::Affine;
use super::header::Header;
use super::{Kind, Projection};
use crate::context::Context;
use crate::error::Result;
use crate::space::Space;

/// In the place of a method.
const METHOD: &str = "none";

impl Projection {
    /// Says from where to where, and was fitted to nothing: vectors keep the components that both spaces have. Between two
    /// moments of one space that is the identity; else what it gives means nothing, and something true has to take its place.
    ///
    /// # Errors
    /// [`Mismatch`](crate::error::Kind::Mismatch) if a space has no components.
    pub fn blank(source: Space, target: Space, context: &Context<'_>) -> Result<Projection> {
        let (from, to) = (source.dimension, target.dimension);
        let weight = Array2::from_shape_fn((to, from), |(i, j)| f32::from(u8::from(i == j)));
        let kind = Affine::new(weight, Array1::zeros(from), Array1::zeros(to))?;
        let header = Header::unfitted(METHOD, (source, target), (kind.name(), METHOD), context);
        Ok(Projection { header, kind: Box::new(kind), assisted: None, trust: None, held_out: None })
    }

    /// Whether this is a [`Projection::blank`].
    pub fn is_blank(&self) -> bool {
        self.header.method == METHOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::context;
    use ndarray::array;

    #[test]
    fn in_one_space_nothing_changes_and_the_file_can_be_read() {
        let space = Space::named("a/x", 3);
        let blank = Projection::blank(space.clone(), space.clone(), &context()).unwrap();
        let x = array![[0.1f32, -7.0, 3.5]];
        assert_eq!(blank.apply(x.view()).unwrap(), x);
        let read = Projection::from_bytes(&blank.to_bytes().unwrap()).unwrap();
        assert!(read.is_blank() && read.source() == &space);
        let wider = Projection::blank(space, Space::named("a/y", 5), &context()).unwrap();
        assert_eq!(wider.apply(x.view()).unwrap(), array![[0.1, -7.0, 3.5, 0.0, 0.0]]);
    }
}
