//! Inner products of rows of 16-bit components.
//!
//! Exact, so that every processor gives the same: all partial sums fit 32 bits where the squared lengths do
//! (Cauchy-Schwarz).

#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};

/// Products of rows of the same length, with what the processor has.
#[derive(Clone, Copy, Debug)]
pub struct Products {
    #[cfg(target_arch = "x86_64")]
    avx512: Option<V4>,
    #[cfg(target_arch = "x86_64")]
    avx2: Option<V3>,
}

impl Products {
    /// Asks the processor.
    pub fn of_processor() -> Products {
        Products {
            #[cfg(target_arch = "x86_64")]
            avx512: V4::try_new(),
            #[cfg(target_arch = "x86_64")]
            avx2: V3::try_new(),
        }
    }

    /// The products of `query` with `N` rows of its length: as many streams keep the memory busy.
    #[inline]
    pub fn of<const N: usize>(self, query: &[i16], rows: [&[i16]; N]) -> [i32; N] {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(simd) = self.avx512 {
                return pulp::Simd::vectorize(simd, Avx512 { simd, query, rows });
            }
            if let Some(simd) = self.avx2 {
                return pulp::Simd::vectorize(simd, Avx2 { simd, query, rows });
            }
        }
        rows.map(|row| plain(query, row))
    }
}

fn plain(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).fold(0, |sum: i32, (a, b)| sum.wrapping_add(i32::from(*a) * i32::from(*b)))
}

#[cfg(target_arch = "x86_64")]
struct Avx2<'a, const N: usize> {
    simd: V3,
    query: &'a [i16],
    rows: [&'a [i16]; N],
}

#[cfg(target_arch = "x86_64")]
impl<const N: usize> pulp::WithSimd for Avx2<'_, N> {
    type Output = [i32; N];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> [i32; N] {
        let Avx2 { simd, query, rows } = self;
        let (wide, narrow) = query.as_chunks::<16>();
        let rows = rows.map(|row| row.as_chunks::<16>());
        let mut sums = [pulp::cast([0i16; 16]); N];
        if rows.iter().all(|row| row.0.len() == wide.len()) {
            for (at, q) in wide.iter().enumerate() {
                let q = pulp::cast(*q);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    let products = simd.avx2._mm256_madd_epi16(q, pulp::cast(row.0[at]));
                    *sum = simd.avx2._mm256_add_epi32(*sum, products);
                }
            }
        }
        std::array::from_fn(|i| {
            let lanes: [i32; 8] = pulp::cast(sums[i]);
            lanes.into_iter().fold(plain(narrow, rows[i].1), i32::wrapping_add)
        })
    }
}

#[cfg(target_arch = "x86_64")]
struct Avx512<'a, const N: usize> {
    simd: V4,
    query: &'a [i16],
    rows: [&'a [i16]; N],
}

#[cfg(target_arch = "x86_64")]
impl<const N: usize> pulp::WithSimd for Avx512<'_, N> {
    type Output = [i32; N];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> [i32; N] {
        let Avx512 { simd, query, rows } = self;
        let (wide, narrow) = query.as_chunks::<32>();
        let rows = rows.map(|row| row.as_chunks::<32>());
        let mut sums = [pulp::cast([0i16; 32]); N];
        if rows.iter().all(|row| row.0.len() == wide.len()) {
            for (at, q) in wide.iter().enumerate() {
                let q = pulp::cast(*q);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    let products = simd.avx512bw._mm512_madd_epi16(q, pulp::cast(row.0[at]));
                    *sum = simd.avx512f._mm512_add_epi32(*sum, products);
                }
            }
        }
        std::array::from_fn(|i| {
            simd.avx512f._mm512_reduce_add_epi32(sums[i]).wrapping_add(plain(narrow, rows[i].1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_the_plain_sum() {
        let row =
            |seed: i64, n: i64| -> Vec<i16> { (0..n).map(|i| ((i * seed) % 4001 - 2000) as i16).collect() };
        for n in (0..70).chain([384, 1536]) {
            let rows = [7919, 104_729, 31, 5].map(|seed| row(seed, n));
            let query = row(611, n);
            let wanted = rows.each_ref().map(|row| plain(&query, row));
            assert_eq!(
                Products::of_processor().of(&query, rows.each_ref().map(|row| &row[..])),
                wanted,
                "{n}"
            );
            assert_eq!(Products::of_processor().of(&query, [&rows[0][..]]), [wanted[0]]);
        }
    }
}
