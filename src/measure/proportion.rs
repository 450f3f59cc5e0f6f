//! Intervals for shares.

use serde::Serialize;

/// 0.975 quantile of the normal distribution: intervals of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// A share that was counted in a sample, with the interval in which that of the whole lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Proportion {
    /// Counted share.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// `count` of `n` drawn at random, with Wilson's interval of 95 %; 0 to 1 for none drawn. `count` is at most `n`.
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927):
/// (p + z²/2n ± z √(p(1 - p)/n + z²/4n²)) / (1 + z²/n).
pub fn wilson(count: usize, n: usize) -> Proportion {
    if n == 0 {
        return Proportion { share: 0.0, low: 0.0, high: 1.0 };
    }
    let all = n as f64;
    let p = (count.min(n)) as f64 / all;
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * all);
    let half = Z * (p * (1.0 - p) / all + z2 / (4.0 * all * all)).sqrt();
    let scale = 1.0 + z2 / all;
    let low = if count == 0 { 0.0 } else { ((middle - half) / scale).clamp(0.0, p) };
    let high = if count >= n { 1.0 } else { ((middle + half) / scale).clamp(p, 1.0) };
    Proportion { share: p, low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_by_hand() {
        // 5 of 50: middle .1 + 3.841459/100 = .1384146, half 1.959964 sqrt(.09/50 + 3.841459/10000) = .0915987,
        // both by 1 + 3.841459/50 = 1.0768292.
        let found = wilson(5, 50);
        assert!((found.low - 0.0434757).abs() < 1e-6 && (found.high - 0.2136024).abs() < 1e-6, "{found:?}");
        // All of n: low = n / (n + z²).
        let all = wilson(50, 50);
        assert!((all.low - 50.0 / (50.0 + 3.841_459)).abs() < 1e-6 && all.high == 1.0);
        assert_eq!((wilson(0, 50).low, wilson(0, 0).high), (0.0, 1.0));
    }
}
