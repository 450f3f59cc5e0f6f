//! Distances between f32 vectors, with the widest SIMD that the processor has.
//!
//! The processor is asked once per [`Distance::run`]; inside, everything is generic over a [`Kernel`].

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use super::codes::Codes;

/// What is small when two vectors are near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// Squared Euclidean distance.
    L2,
    /// One minus the inner product; on vectors of length 1 that is one minus the cosine.
    InnerProduct,
}

/// Distance between two vectors of equal length.
///
/// The same sum, in the same order, as the builder and the searcher compute.
pub fn distance(kind: Distance, a: &[f32], b: &[f32]) -> f32 {
    struct Pair<'a>(&'a [f32], &'a [f32]);
    impl KernelOp for Pair<'_> {
        type Output = f32;
        fn run<K: Kernel>(self, kernel: K) -> f32 {
            kernel.one(self.0, self.1)
        }
    }
    kind.run(Pair(a, b))
}

/// Work that needs distances; monomorphised for each processor level and metric.
pub(super) trait KernelOp {
    type Output;
    fn run<K: Kernel>(self, kernel: K) -> Self::Output;
}

impl Distance {
    /// Runs `op` with the kernel of this distance for this processor.
    pub(super) fn run<Op: KernelOp>(self, op: Op) -> Op::Output {
        match self {
            Distance::L2 => Arch::new().dispatch(Dispatched { op, metric: SquaredL2 }),
            Distance::InnerProduct => Arch::new().dispatch(Dispatched { op, metric: OneMinusDot }),
        }
    }
}

/// Distances with the processor level and the metric known at compile time.
pub(super) trait Kernel: Copy {
    /// Distance of `a` and `b`.
    fn one(&self, a: &[f32], b: &[f32]) -> f32;
    /// Puts the distance of `query` to `row(id)` into `out`, for each of `ids`. Bit-equal to [`Kernel::one`].
    fn many<'r>(&self, query: &[f32], ids: &[u32], row: impl Fn(u32) -> &'r [f32], out: &mut Vec<f32>);
    /// Puts the distance of row `node` to row `id` into `out`, for each of `ids`.
    fn coded(&self, codes: &Codes, node: u32, ids: &[u32], out: &mut Vec<f32>);
}

struct Dispatched<Op, M> {
    op: Op,
    metric: M,
}

impl<Op: KernelOp, M: Metric> WithSimd for Dispatched<Op, M> {
    type Output = Op::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Op::Output {
        let _ = self.metric;
        self.op.run(Lanes::<S, M> { simd, metric: PhantomData })
    }
}

#[derive(Clone, Copy)]
struct Lanes<S, M> {
    simd: S,
    metric: PhantomData<M>,
}

impl<S: Simd, M: Metric> Kernel for Lanes<S, M> {
    #[inline]
    fn one(&self, a: &[f32], b: &[f32]) -> f32 {
        self.simd.vectorize(One::<M> { a, b, metric: PhantomData })
    }

    #[inline]
    fn many<'r>(&self, query: &[f32], ids: &[u32], row: impl Fn(u32) -> &'r [f32], out: &mut Vec<f32>) {
        out.clear();
        self.simd.vectorize(Many::<M, _> { query, ids, row, out, metric: PhantomData });
    }

    #[inline]
    fn coded(&self, codes: &Codes, node: u32, ids: &[u32], out: &mut Vec<f32>) {
        codes.distances(node, ids, M::of_product, out);
    }
}

trait Metric: Copy {
    fn add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s;
    fn finish(sum: f32) -> f32;
    /// The distance of two vectors by their inner product and squared lengths.
    fn of_product(product: f32, squares: [f32; 2]) -> f32;
}

#[derive(Clone, Copy)]
struct SquaredL2;

impl Metric for SquaredL2 {
    #[inline(always)]
    fn add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        let difference = simd.sub_f32s(a, b);
        simd.mul_add_e_f32s(difference, difference, sum)
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        sum
    }

    #[inline(always)]
    fn of_product(product: f32, squares: [f32; 2]) -> f32 {
        squares[0] + squares[1] - 2.0 * product
    }
}

#[derive(Clone, Copy)]
struct OneMinusDot;

impl Metric for OneMinusDot {
    #[inline(always)]
    fn add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, sum)
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        1.0 - sum
    }

    #[inline(always)]
    fn of_product(product: f32, _: [f32; 2]) -> f32 {
        1.0 - product
    }
}

struct One<'a, M> {
    a: &'a [f32],
    b: &'a [f32],
    metric: PhantomData<M>,
}

impl<M: Metric> WithSimd for One<'_, M> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        one::<S, M>(simd, self.a, self.b)
    }
}

struct Many<'a, M, R> {
    query: &'a [f32],
    ids: &'a [u32],
    row: R,
    out: &'a mut Vec<f32>,
    metric: PhantomData<M>,
}

impl<'r, M: Metric, R: Fn(u32) -> &'r [f32]> WithSimd for Many<'_, M, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (fours, rest) = self.ids.as_chunks::<4>();
        for &[a, b, c, d] in fours {
            let rows = [(self.row)(a), (self.row)(b), (self.row)(c), (self.row)(d)];
            self.out.extend_from_slice(&four::<S, M>(simd, self.query, rows));
        }
        for &id in rest {
            self.out.push(one::<S, M>(simd, self.query, (self.row)(id)));
        }
    }
}

#[inline(always)]
fn one<S: Simd, M: Metric>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let (a, a_tail) = S::as_simd_f32s(a);
    let (b, b_tail) = S::as_simd_f32s(b);
    let (a_pairs, a_rest) = a.as_chunks::<2>();
    let (b_pairs, b_rest) = b.as_chunks::<2>();
    let mut even = simd.splat_f32s(0.0);
    let mut odd = even;
    for (a, b) in a_pairs.iter().zip(b_pairs) {
        even = M::add(simd, a[0], b[0], even);
        odd = M::add(simd, a[1], b[1], odd);
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        even = M::add(simd, *a, *b, even);
    }
    if !a_tail.is_empty() {
        odd = M::add(simd, simd.partial_load_f32s(a_tail), simd.partial_load_f32s(b_tail), odd);
    }
    M::finish(simd.reduce_sum_f32s(simd.add_f32s(even, odd)))
}

/// Four distances at once: four independent streams keep the memory busy. Sums as [`one`] does.
#[inline(always)]
fn four<S: Simd, M: Metric>(simd: S, query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
    let (q, q_tail) = S::as_simd_f32s(query);
    let (q_pairs, q_rest) = q.as_chunks::<2>();
    let split = rows.map(|row| {
        let (head, tail) = S::as_simd_f32s(row);
        let (pairs, rest) = head.as_chunks::<2>();
        (pairs, rest, tail)
    });
    let [(a, a_rest, _), (b, b_rest, _), (c, c_rest, _), (d, d_rest, _)] = split;
    let mut even = [simd.splat_f32s(0.0); 4];
    let mut odd = even;
    for ((((q, a), b), c), d) in q_pairs.iter().zip(a).zip(b).zip(c).zip(d) {
        even[0] = M::add(simd, q[0], a[0], even[0]);
        even[1] = M::add(simd, q[0], b[0], even[1]);
        even[2] = M::add(simd, q[0], c[0], even[2]);
        even[3] = M::add(simd, q[0], d[0], even[3]);
        odd[0] = M::add(simd, q[1], a[1], odd[0]);
        odd[1] = M::add(simd, q[1], b[1], odd[1]);
        odd[2] = M::add(simd, q[1], c[1], odd[2]);
        odd[3] = M::add(simd, q[1], d[1], odd[3]);
    }
    for ((((q, a), b), c), d) in q_rest.iter().zip(a_rest).zip(b_rest).zip(c_rest).zip(d_rest) {
        even[0] = M::add(simd, *q, *a, even[0]);
        even[1] = M::add(simd, *q, *b, even[1]);
        even[2] = M::add(simd, *q, *c, even[2]);
        even[3] = M::add(simd, *q, *d, even[3]);
    }
    if !q_tail.is_empty() {
        let q = simd.partial_load_f32s(q_tail);
        for (sum, (_, _, tail)) in odd.iter_mut().zip(split) {
            *sum = M::add(simd, q, simd.partial_load_f32s(tail), *sum);
        }
    }
    std::array::from_fn(|i| M::finish(simd.reduce_sum_f32s(simd.add_f32s(even[i], odd[i]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed() {
        let (a, b) = ([1.0, 2.0, 3.0], [2.0, 0.0, 3.5]);
        assert_eq!(distance(Distance::L2, &a, &b), 1.0 + 4.0 + 0.25);
        assert_eq!(distance(Distance::InnerProduct, &a, &b), 1.0 - 12.5);
        assert_eq!(distance(Distance::L2, &[], &[]), 0.0);
    }

    #[test]
    fn every_length_agrees_with_the_plain_sum() {
        for n in 0..70 {
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 1.3).cos()).collect();
            let l2: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(x - y).powi(2)).sum();
            let dot: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(x * y)).sum();
            assert!((f64::from(distance(Distance::L2, &a, &b)) - l2).abs() < 1e-4, "{n}");
            assert!((f64::from(distance(Distance::InnerProduct, &a, &b)) - 1.0 + dot).abs() < 1e-4, "{n}");
        }
    }

    #[test]
    fn in_bulk_one_by_one_and_swapped_are_bit_equal() {
        struct Compare;
        impl KernelOp for Compare {
            type Output = ();
            fn run<K: Kernel>(self, kernel: K) {
                for n in [1, 7, 8, 16, 37, 384] {
                    let data: Vec<f32> = (0..n * 8).map(|i| (i as f32 * 0.37).sin()).collect();
                    let row = |i: u32| &data[i as usize * n..][..n];
                    let ids = [1, 2, 3, 4, 5, 6, 7];
                    let mut out = Vec::new();
                    kernel.many(row(0), &ids, row, &mut out);
                    for (i, d) in ids.into_iter().zip(&out) {
                        assert_eq!(d.to_bits(), kernel.one(row(0), row(i)).to_bits());
                        assert_eq!(d.to_bits(), kernel.one(row(i), row(0)).to_bits());
                    }
                }
            }
        }
        Distance::L2.run(Compare);
        Distance::InnerProduct.run(Compare);
    }
}
