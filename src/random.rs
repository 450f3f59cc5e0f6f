//! Seeded pseudo-random choices that give the same result on every machine.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// The generator behind every seeded choice.
pub type Random = Xoshiro256PlusPlus;

/// A generator that starts from `seed`.
pub fn seeded(seed: u64) -> Random {
    Random::seed_from_u64(seed)
}

/// 0..n in an order drawn by `seed` (Fisher-Yates).
pub fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut random = seeded(seed);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, below(&mut random, i + 1));
    }
    order
}

/// A number below `bound` (0 for a bound of 0) by multiply-shift; its bias is below `bound` / 2⁶⁴.
pub fn below(random: &mut impl RngCore, bound: usize) -> usize {
    ((u128::from(random.next_u64()) * bound as u128) >> 64) as usize
}

/// A number in [0, 1).
pub fn unit(random: &mut impl RngCore) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_permutation_and_follows_its_seed() {
        let mut order = shuffled(100, 1);
        assert_eq!(order, shuffled(100, 1));
        assert_ne!(order, shuffled(100, 2));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..100));
    }

    #[test]
    fn draws_stay_below_their_bound() {
        let mut random = seeded(5);
        assert!((0..1000).all(|_| below(&mut random, 3) < 3 && unit(&mut random) < 1.0));
        assert_eq!(below(&mut random, 0), 0);
    }
}
