//! Dense products, row norms and conversions for `ndarray` matrices: the one place that calls `gemm`.
//!
//! Every matrix is row-major, one vector per row, unless a function says otherwise.

use std::ops::AddAssign;

use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis};

use faer::linalg::solvers::{DenseSolveCore, Solve};

use crate::error::{Error, Kind, Result};
use crate::simd;

/// A number type that [`product_transposed`] multiplies: `f32` or `f64`.
pub trait Element: Copy + AddAssign + Send + Sync + 'static + sealed::Sealed {
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// Rows that are multiplied at once where a bias is added: their product is still in the cache then.
const CHUNK: usize = 1024;

/// `out = X Wᵀ + bias`, multi-threaded.
///
/// `x` is n x k, `w` is m x k, `bias` has m components (none means zero), `out` is n x m and is overwritten.
/// Transposed views are taken as they are: `product_transposed(a.t(), b.t(), ..)` is `Aᵀ B`.
///
/// # Errors
/// [`Kind::Mismatch`] if the shapes do not fit.
pub fn product_transposed<T: Element>(
    x: ArrayView2<'_, T>,
    w: ArrayView2<'_, T>,
    bias: Option<ArrayView1<'_, T>>,
    mut out: ArrayViewMut2<'_, T>,
) -> Result<()> {
    let ((n, k), (m, l)) = (x.dim(), w.dim());
    if k != l || out.dim() != (n, m) || bias.is_some_and(|b| b.len() != m) {
        return Err(Error::new(
            Kind::Mismatch,
            format!("matrix product of {n} x {k} with {m} x {l} into {:?} does not fit", out.dim()),
        ));
    }
    if n == 0 || m == 0 {
        return Ok(());
    }
    // Whoever calls from a worker of the pool has split the work already.
    let alone = rayon::current_thread_index().is_some() || rayon::current_num_threads() == 1;
    let Some(bias) = bias else {
        match k {
            0 => out.fill(T::ZERO),
            _ => {
                multiply(x, w, out, if alone { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(0) })
            }
        }
        return Ok(());
    };
    if alone {
        let chunks = x.axis_chunks_iter(Axis(0), CHUNK).zip(out.axis_chunks_iter_mut(Axis(0), CHUNK));
        chunks.for_each(|(x, out)| multiply_and_add(x, w, bias, out));
    } else {
        let size = n.div_ceil(rayon::current_num_threads()).clamp(1, CHUNK);
        let chunks = x.axis_chunks_iter(Axis(0), size).into_par_iter();
        let outs = out.axis_chunks_iter_mut(Axis(0), size).into_par_iter();
        chunks.zip(outs).for_each(|(x, out)| multiply_and_add(x, w, bias, out));
    }
    Ok(())
}

/// One chunk of rows with the bias, on this thread. Shapes fit; there are rows and columns.
fn multiply_and_add<T: Element>(
    x: ArrayView2<'_, T>,
    w: ArrayView2<'_, T>,
    bias: ArrayView1<'_, T>,
    mut out: ArrayViewMut2<'_, T>,
) {
    match x.ncols() {
        0 => out.fill(T::ZERO),
        _ => multiply(x, w, out.view_mut(), gemm::Parallelism::None),
    }
    out.axis_iter_mut(Axis(0)).for_each(|mut row| row.zip_mut_with(&bias, |o, b| *o += *b));
}

/// `X Wᵀ` as a new matrix. See [`product_transposed`].
///
/// # Errors
/// [`Kind::Mismatch`] if the shapes do not fit.
pub fn times_transposed<T: Element>(x: ArrayView2<'_, T>, w: ArrayView2<'_, T>) -> Result<Array2<T>> {
    let mut out = Array2::from_elem((x.nrows(), w.nrows()), T::ZERO);
    product_transposed(x, w, None, out.view_mut())?;
    Ok(out)
}

/// Shapes fit and no extent is zero.
#[allow(unsafe_code)]
fn multiply<T: Element>(
    x: ArrayView2<'_, T>,
    w: ArrayView2<'_, T>,
    mut out: ArrayViewMut2<'_, T>,
    parallelism: gemm::Parallelism,
) {
    assert_eq!((x.nrows(), w.nrows()), out.dim(), "rows of the product");
    assert_eq!(x.ncols(), w.ncols(), "inner extent of the product");
    let [(x_row, x_column), (w_row, w_column), (out_row, out_column)] =
        [x.strides(), w.strides(), out.strides()].map(|s| (s[0], s[1]));
    // SAFETY: the three views are live for the whole call and cover exactly extent x stride elements
    // from their pointers (an invariant of ndarray views, negative strides included); the extents handed
    // over are those asserted above. `out` is a mutable view, so it aliases neither input nor itself.
    unsafe {
        gemm::gemm(
            x.nrows(),
            w.nrows(),
            x.ncols(),
            out.as_mut_ptr(),
            out_column,
            out_row,
            false,
            x.as_ptr(),
            x_column,
            x_row,
            w.as_ptr(),
            w_row,
            w_column,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Euclidean length of each row, summed in f64.
pub fn row_norms(x: ArrayView2<'_, f32>) -> Array1<f64> {
    x.axis_iter(Axis(0)).map(|row| squared_norm(row).sqrt()).collect()
}

/// Squared Euclidean length of one vector, summed in f64.
pub fn squared_norm(row: ArrayView1<'_, f32>) -> f64 {
    match row.to_slice() {
        Some(row) => simd::squares(row),
        None => row.iter().map(|&v| f64::from(v) * f64::from(v)).sum(),
    }
}

/// Scales each row to length 1. A row of zeros and one with a value that is not finite stay as they are; of the
/// latter it gives the number and the first.
pub fn normalise_rows(mut x: ArrayViewMut2<'_, f32>) -> Option<(usize, usize)> {
    let mut bad = None;
    for (i, mut row) in x.axis_iter_mut(Axis(0)).enumerate() {
        let norm = squared_norm(row.view()).sqrt();
        if !norm.is_finite() {
            let (count, first) = bad.unwrap_or((0, i));
            bad = Some((count + 1, first));
        } else if norm > 0.0 {
            match row.as_slice_mut() {
                Some(row) => simd::scale(row, 1.0 / norm),
                None => row.mapv_inplace(|v| (f64::from(v) / norm) as f32),
            }
        }
    }
    bad
}

/// A copy whose rows have length 1 (rows of zeros stay).
pub fn normalised(x: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut copy = x.to_owned();
    normalise_rows(copy.view_mut());
    copy
}

/// Mean of each column in f64. A matrix without rows gives zeros.
pub fn column_means(x: ArrayView2<'_, f32>) -> Array1<f64> {
    let mut sum = Array1::<f64>::zeros(x.ncols());
    for row in x.axis_iter(Axis(0)) {
        sum.zip_mut_with(&row, |s, &v| *s += f64::from(v));
    }
    if x.nrows() > 0 {
        sum /= x.nrows() as f64;
    }
    sum
}

/// `x` in f64 with `mean` taken from each row.
pub fn centred(x: ArrayView2<'_, f32>, mean: ArrayView1<'_, f64>) -> Array2<f64> {
    let mut out = x.mapv(f64::from);
    out.axis_iter_mut(Axis(0)).for_each(|mut row| row -= &mean);
    out
}

/// Eigenvalues (largest first) and eigenvectors (column j belongs to eigenvalue j) of a symmetric matrix.
///
/// # Errors
/// [`Kind::Mismatch`] if it is not square, [`Kind::Internal`] if the decomposition does not converge.
pub fn symmetric_eigen(a: ArrayView2<'_, f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let n = a.nrows();
    if n != a.ncols() {
        return Err(Error::new(Kind::Mismatch, format!("{n} x {} is not a square matrix", a.ncols())));
    }
    let eigen = to_faer(a)
        .self_adjoint_eigen(faer::Side::Lower)
        .map_err(|_| Error::new(Kind::Internal, "the eigendecomposition did not converge"))?;
    let (values, vectors) = (eigen.S().column_vector(), eigen.U());
    let last = n.saturating_sub(1);
    Ok((
        Array1::from_shape_fn(n, |i| values[last - i]),
        Array2::from_shape_fn((n, n), |(i, j)| vectors[(i, last - j)]),
    ))
}

/// Principal directions of rows as they are, not centred: the energy in each, largest first, and the directions (column j
/// has energy j).
///
/// # Errors
/// As [`symmetric_eigen`].
pub fn principal(rows: ArrayView2<'_, f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    symmetric_eigen(times_transposed(rows.t(), rows.t())?.view())
}

/// Thin singular value decomposition `a = U S Vᵀ`: U (rows x k), the values, largest first, and V (columns x k).
///
/// # Errors
/// [`Kind::Internal`] if the decomposition does not converge.
pub fn singular(a: ArrayView2<'_, f64>) -> Result<(Array2<f64>, Array1<f64>, Array2<f64>)> {
    let svd = to_faer(a)
        .thin_svd()
        .map_err(|_| Error::new(Kind::Internal, "the singular value decomposition did not converge"))?;
    let values = svd.S().column_vector();
    Ok((from_faer(svd.U()), Array1::from_shape_fn(values.nrows(), |i| values[i]), from_faer(svd.V())))
}

/// `a` of a positive definite matrix: what solves `A X = B`.
pub struct Cholesky(faer::linalg::solvers::Llt<f32>);

impl Cholesky {
    /// Decomposes `a`, of which the lower half is read; `None` if it is not positive definite.
    pub fn of(a: ArrayView2<'_, f32>) -> Option<Cholesky> {
        to_faer(a).llt(faer::Side::Lower).ok().map(Cholesky)
    }

    /// X of `A X = B` (n x m).
    pub fn solve(&self, b: ArrayView2<'_, f32>) -> Array2<f32> {
        from_faer(self.0.solve(to_faer(b)).as_ref())
    }

    /// The diagonal of A⁻¹.
    pub fn inverse_diagonal(&self) -> Array1<f32> {
        let inverse = self.0.inverse();
        Array1::from_shape_fn(inverse.nrows(), |i| inverse[(i, i)])
    }
}

/// A copy as a `faer` matrix.
pub fn to_faer<T: Copy>(a: ArrayView2<'_, T>) -> faer::Mat<T> {
    faer::Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)])
}

/// A copy of a `faer` matrix.
pub fn from_faer<T: Copy>(a: faer::MatRef<'_, T>) -> Array2<T> {
    Array2::from_shape_fn((a.nrows(), a.ncols()), |(i, j)| a[(i, j)])
}

/// Number of rows that hold a value that is not finite, and the first of them.
pub fn not_finite(x: ArrayView2<'_, f32>) -> Option<(usize, usize)> {
    let mut bad = x.axis_iter(Axis(0)).enumerate().filter(|(_, row)| !simd::is_finite(*row));
    let (first, _) = bad.next()?;
    Some((1 + bad.count(), first))
}

#[cfg(test)]
mod tests {
    use ndarray::{array, s};

    use super::*;

    #[test]
    fn product_adds_the_bias_and_overwrites_what_was_there() {
        let (x, w) = (array![[1.0f32, 2.0], [3.0, 4.0]], array![[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0]]);
        let mut out = Array2::from_elem((2, 3), 99.0f32);
        product_transposed(x.view(), w.view(), Some(array![10.0f32, 20.0, 30.0].view()), out.view_mut())
            .unwrap();
        assert_eq!(out, array![[11.0, 22.0, 33.0], [13.0, 24.0, 37.0]]);
        product_transposed(x.view(), w.view(), None, out.view_mut()).unwrap();
        assert_eq!(out, array![[1.0, 2.0, 3.0], [3.0, 4.0, 7.0]]);
    }

    #[test]
    fn product_takes_any_strides() {
        let x = Array2::from_shape_fn((37, 19), |(i, j)| (i * 7 + j * 3) as f64 % 11.0 - 5.0);
        let w = Array2::from_shape_fn((23, 19), |(i, j)| (i * 5 + j * 2) as f64 % 7.0 - 3.0);
        let plain = x.dot(&w.t());
        assert_eq!(times_transposed(x.view(), w.view()).unwrap(), plain);
        let turned = times_transposed(x.slice(s![..;-1, ..;-1]), w.slice(s![.., ..;-1])).unwrap();
        assert_eq!(turned, plain.slice(s![..;-1, ..]));
        let mut wide = Array2::<f64>::zeros((23, 74));
        product_transposed(x.view(), w.view(), None, wide.slice_mut(s![.., ..;2]).reversed_axes()).unwrap();
        assert_eq!(wide.slice(s![.., ..;2]).t(), plain);
        assert!(wide.slice(s![.., 1..;2]).iter().all(|&v| v == 0.0));
    }

    #[test]
    fn a_row_gives_the_same_whatever_comes_with_it() {
        let of = |i: usize, j: usize| ((i * 31 + j * 17) as f32 * 0.618).sin();
        let x = Array2::from_shape_fn((CHUNK + 1, 100), |(i, j)| of(i, j));
        let w = Array2::from_shape_fn((37, 100), |(i, j)| of(j, i));
        let bias = Array1::from_shape_fn(37, |i| of(i, i));
        let product = |x: ArrayView2<'_, f32>| {
            let mut out = Array2::zeros((x.nrows(), 37));
            product_transposed(x, w.view(), Some(bias.view()), out.view_mut()).unwrap();
            out
        };
        let all = product(x.view());
        for rows in [0..1, 5..6, 7..9, 3..68, 0..CHUNK, CHUNK..CHUNK + 1] {
            let apart = product(x.slice(s![rows.clone(), ..])) - all.slice(s![rows.clone(), ..]);
            assert!(apart.iter().all(|d| d.abs() < 1e-5), "{rows:?}");
        }
        let plain = x.dot(&w.t()) + &bias;
        assert!((&plain - &all).iter().all(|d| d.abs() < 1e-4));
    }

    #[test]
    fn an_empty_inner_extent_gives_zeros_and_a_wrong_shape_is_refused() {
        let (x, w) = (Array2::<f32>::zeros((2, 0)), Array2::<f32>::zeros((3, 0)));
        let mut out = Array2::from_elem((2, 3), 5.0f32);
        product_transposed(x.view(), w.view(), None, out.view_mut()).unwrap();
        assert_eq!(out, Array2::<f32>::zeros((2, 3)));
        let bias = array![1.0, 2.0, 3.0];
        product_transposed(x.view(), w.view(), Some(bias.view()), out.view_mut()).unwrap();
        assert_eq!(out, array![[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]);
        assert!(times_transposed(out.view(), w.view()).unwrap_err().is_mismatch());
    }

    #[test]
    fn rows_of_zeros_stay_zero() {
        let mut x = array![[3.0f32, 4.0], [0.0, 0.0]];
        assert_eq!(normalise_rows(x.view_mut()), None);
        assert_eq!(x, array![[0.6, 0.8], [0.0, 0.0]]);
        let mut x = array![[3.0, 0.0], [f32::INFINITY, 1.0], [1.0, f32::NAN]];
        assert_eq!(normalise_rows(x.view_mut()), Some((2, 1)));
        assert_eq!(x.row(0), array![1.0, 0.0]);
        assert_eq!(row_norms(array![[3.0f32, 4.0], [0.0, 0.0]].view()), array![5.0, 0.0]);
    }

    #[test]
    fn eigenvalues_come_largest_first() {
        let (values, vectors) = symmetric_eigen(array![[2.0, 1.0], [1.0, 2.0]].view()).unwrap();
        assert!((values[0] - 3.0).abs() < 1e-12 && (values[1] - 1.0).abs() < 1e-12);
        assert!((vectors[(0, 0)] - vectors[(1, 0)]).abs() < 1e-12, "(1, 1) belongs to 3");
    }

    #[test]
    fn rows_that_are_not_finite_are_counted() {
        assert_eq!(not_finite(array![[1.0], [f32::NAN], [f32::INFINITY]].view()), Some((2, 1)));
        assert_eq!(not_finite(array![[1.0f32]].view()), None);
    }
}
