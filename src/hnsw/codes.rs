//! Vectors with components of 16 bits, for walks that look at many of them.
//!
//! A builder waits for memory most of the time: it needs the whole vector of each node that it meets, once. Half the
//! bytes take half the time. Each vector has a scale of its own, which makes it as long as integers of 32 bits allow:
//! an inner product then is off by about 1e-5 of the product of the lengths, whatever the dimension.

use ndarray::ArrayView2;

use super::pages::Pages;
use crate::error::Result;
use crate::simd::{self, Products};

/// Inner products of vectors of at most this length, and all partial sums of them, fit 32 bits (Cauchy-Schwarz).
const LONGEST: f64 = 46_340.0;

/// Coded vectors, row by row; zeros where none was put.
pub struct Codes {
    components: Pages<i16>,
    scales: Vec<Scale>,
    dimension: usize,
    products: Products,
}

/// What a row is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Scale {
    /// Of one unit of a component.
    pub unit: f32,
    /// Squared length of the row as coded.
    pub square: f32,
}

impl Codes {
    /// Room for `rows` vectors of `dimension` components.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::error::Kind::Refused) if the system does not grant the memory.
    pub fn zeroed(rows: usize, dimension: usize) -> Result<Codes> {
        let components = Pages::zeroed(rows, dimension)?;
        Ok(Codes {
            components,
            scales: vec![Scale::default(); rows],
            dimension,
            products: Products::of_processor(),
        })
    }

    /// The rows of `vectors` (n x dimension), coded.
    ///
    /// # Errors
    /// As [`Codes::zeroed`].
    pub fn of(vectors: ArrayView2<'_, f32>) -> Result<Codes> {
        let mut codes = Codes::zeroed(vectors.nrows(), vectors.ncols())?;
        for mut part in codes.parts(vectors.nrows()) {
            part.put_all(vectors);
        }
        Ok(codes)
    }

    /// Components of a vector as coded.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Vectors.
    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }

    /// All rows in parts of `rows`, the last may be shorter, to be filled beside each other.
    pub fn parts(&mut self, rows: usize) -> impl Iterator<Item = CodesPart<'_>> {
        let Codes { components, scales, dimension, .. } = self;
        let (dimension, rows) = (*dimension, rows.max(1));
        let components = components.as_mut_slice().chunks_mut((rows * dimension).max(1));
        let parts = components.zip(scales.chunks_mut(rows));
        parts.map(move |(components, scales)| CodesPart { components, scales, dimension })
    }

    /// Puts the distance of row `node` to row `id` into `out`, for each of `ids`; `of_product` makes it of the inner
    /// product and the squared lengths.
    #[inline]
    pub(super) fn distances(
        &self,
        node: u32,
        ids: &[u32],
        of_product: impl Fn(f32, [f32; 2]) -> f32,
        out: &mut Vec<f32>,
    ) {
        out.clear();
        let (query, from) = self.row(node);
        let distance = |product: i32, to: Scale| {
            of_product(product as f32 * (from.unit * to.unit), [from.square, to.square])
        };
        let (fours, rest) = ids.as_chunks::<4>();
        for ids in fours {
            let rows = ids.map(|id| self.row(id));
            let found = self.products.of(query, rows.map(|row| row.0));
            out.extend_from_slice(&std::array::from_fn::<_, 4, _>(|i| distance(found[i], rows[i].1)));
        }
        for id in rest {
            let (row, to) = self.row(*id);
            let [product] = self.products.of(query, [row]);
            out.push(distance(product, to));
        }
    }

    /// Components and worth of row `node`; nothing where there is none.
    #[inline]
    fn row(&self, node: u32) -> (&[i16], Scale) {
        let at = (node as usize).wrapping_mul(self.dimension);
        let row = self.components.as_slice().get(at..at.wrapping_add(self.dimension)).unwrap_or(&[]);
        (row, self.scales.get(node as usize).copied().unwrap_or_default())
    }
}

/// Some rows of [`Codes`], to be filled beside others.
pub struct CodesPart<'a> {
    components: &'a mut [i16],
    scales: &'a mut [Scale],
    dimension: usize,
}

impl CodesPart<'_> {
    /// Codes `vectors` as the first rows, as [`CodesPart::put`] does.
    pub fn put_all(&mut self, vectors: ArrayView2<'_, f32>) {
        for (at, vector) in vectors.outer_iter().enumerate() {
            self.put(at, vector.as_standard_layout().as_slice().unwrap_or_default());
        }
    }

    /// Codes `vector` as row `at`. What is not finite or has another dimension leaves the row as it is.
    pub fn put(&mut self, at: usize, vector: &[f32]) {
        let length = simd::squares(vector).sqrt();
        let place =
            self.components.get_mut(at * self.dimension..).and_then(|rest| rest.get_mut(..vector.len()));
        let (Some(row), Some(scale)) = (place, self.scales.get_mut(at)) else { return };
        if vector.len() != self.dimension || !length.is_normal() {
            return;
        }
        let largest = f64::from(vector.iter().fold(0f32, |most, x| most.max(x.abs())));
        // Rounding makes a row longer by at most half a unit in each component.
        let longest = LONGEST - 0.5 * (vector.len() as f64).sqrt();
        let per_unit = (longest / length).min(f64::from(i16::MAX) / largest);
        simd::to_i16(row, vector, per_unit as f32);
        let square = row.iter().map(|x| i64::from(*x) * i64::from(*x)).sum::<i64>() as f64;
        *scale = Scale { unit: per_unit.recip() as f32, square: (square / (per_unit * per_unit)) as f32 };
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::super::distance::{Distance, Kernel, KernelOp, distance};
    use super::*;

    /// Distances of row 0 from all rows.
    struct FromFirst<'a>(&'a Codes);

    impl KernelOp for FromFirst<'_> {
        type Output = Vec<f32>;
        fn run<K: Kernel>(self, kernel: K) -> Vec<f32> {
            let (ids, mut out) = ((0..self.0.len() as u32).collect::<Vec<_>>(), Vec::new());
            kernel.coded(self.0, 0, &ids, &mut out);
            out
        }
    }

    fn waves(n: usize, dimension: usize, size: f32) -> Array2<f32> {
        Array2::from_shape_fn((n, dimension), |(i, j)| size * ((i * 31 + j * 7) as f32 * 0.37).sin())
    }

    #[test]
    fn distances_are_those_of_the_vectors_but_for_little_whatever_dimension_and_length() {
        for (dimension, size) in [(1, 1.0), (2, 1e-3), (24, 1.0), (384, 1e4), (768, 0.03), (5000, 1.0)] {
            let vectors = waves(9, dimension, size);
            let codes = Codes::of(vectors.view()).expect("room");
            for kind in [Distance::L2, Distance::InnerProduct] {
                let found = kind.run(FromFirst(&codes));
                let first = vectors.row(0).to_vec();
                for (row, found) in vectors.outer_iter().zip(found) {
                    let wanted = distance(kind, &first, &row.to_vec());
                    let lengths = (simd::squares(&first) * simd::squares(&row.to_vec())).sqrt();
                    let most = 1e-4 * (1e-3 + simd::squares(&first).max(lengths));
                    let off = f64::from(found - wanted).abs();
                    assert!(off <= most, "{kind:?} {dimension} {size}: {found} for {wanted}");
                }
            }
        }
    }

    #[test]
    fn equal_rows_are_at_no_distance_and_one_large_component_is_not_cut() {
        let mut vectors = waves(4, 40, 1.0);
        let copy = vectors.row(0).to_owned();
        vectors.row_mut(2).assign(&copy);
        vectors.row_mut(3).fill(0.0);
        vectors[[3, 7]] = -5.0;
        let codes = Codes::of(vectors.view()).expect("room");
        assert_eq!(Distance::L2.run(FromFirst(&codes))[2], 0.0);
        assert_eq!(codes.row(3).0[7], -i16::MAX);
        assert!((codes.row(3).1.square - 25.0).abs() < 1e-3);
    }

    #[test]
    fn zeros_what_is_not_finite_and_other_dimensions_leave_zeros() {
        let mut codes = Codes::zeroed(4, 3).expect("room");
        let mut part = codes.parts(4).next().expect("rows");
        part.put(0, &[0.0; 3]);
        part.put(1, &[1.0, f32::NAN, 0.0]);
        part.put(2, &[1.0; 2]);
        part.put(9, &[1.0; 3]);
        assert!(
            (0..5).all(|node| codes.row(node).0.iter().all(|x| *x == 0) && codes.row(node).1.unit == 0.0)
        );
        assert_eq!(codes.parts(3).count(), 2);
        let mut last = codes.parts(3).nth(1).expect("one row");
        last.put(0, &[0.0, 3.0, 4.0]);
        last.put(1, &[0.0, 3.0, 4.0]);
        let row = codes.row(3).0;
        assert!(row[0] == 0 && row[2] == i16::MAX && (24_574..=24_576).contains(&row[1]), "{row:?}");
    }
}
