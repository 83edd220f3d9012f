//! exp and GELU on sixteen lanes.

use crate::isa::Isa;

/// Below this, exp is raised to about 1e-38 instead of reaching zero or the slow subnormal numbers.
const EXP_MIN: f32 = -87.0;

/// exp for arguments up to zero, as softmax needs it: relative error below 2e-7 down to [`EXP_MIN`], and a number of
/// that size for anything smaller.
///
/// exp(x) = 2ⁿ · exp(r) with n the nearest whole number to x·log₂e, so that |r| ≤ ln 2 / 2, where a polynomial of the
/// seventh degree is exact to the last bit or two. The polynomial and the two parts of ln 2 are those of `expf` in the
/// Cephes library (<https://www.netlib.org/cephes/>).
#[inline(always)]
pub(crate) fn exp_of_negative<I: Isa>(isa: I, x: I::Lanes) -> I::Lanes {
    // Adding and subtracting 1.5 · 2²³ rounds to the nearest whole number without an instruction of its own.
    const ROUNDING: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const POLYNOMIAL: [f32; 6] = [
        1.987_569_1e-4,
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ];

    let x = isa.max(x, isa.splat(EXP_MIN));
    let rounding = isa.splat(ROUNDING);
    let n = isa.sub(
        isa.mul_add(x, isa.splat(std::f32::consts::LOG2_E), rounding),
        rounding,
    );
    let r = isa.mul_add(n, isa.splat(-LN2_HIGH), x);
    let r = isa.mul_add(n, isa.splat(-LN2_LOW), r);
    let p = polynomial(isa, r, &POLYNOMIAL);
    let p = isa.mul_add(p, isa.mul(r, r), isa.add(r, isa.splat(1.0)));
    isa.mul(p, isa.pow2(n))
}

/// GELU(x) = x/2 · (1 + erf(x/√2)), the exact form that BERT uses, not the tanh approximation.
///
/// erf is t·P(t²)/Q(t²) on |t| ≤ 4, beyond which it is ±1 in `f32`. The coefficients are the rational minimax fit that
/// numeric libraries share (Eigen, XLA); the test compares with erf in `f64`.
#[inline(always)]
pub(crate) fn gelu<I: Isa>(isa: I, x: I::Lanes) -> I::Lanes {
    const ERF_LIMIT: f32 = 4.0;
    const NUMERATOR: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_3e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const DENOMINATOR: [f32; 5] = [
        -1.456_607_2e-5,
        -2.133_740_6e-4,
        -1.682_827e-3,
        -7.373_329_4e-3,
        -1.426_473_9e-2,
    ];

    let t = isa.mul(x, isa.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = isa.max(isa.min(t, isa.splat(ERF_LIMIT)), isa.splat(-ERF_LIMIT));
    let square = isa.mul(t, t);
    let numerator = isa.mul(t, polynomial(isa, square, &NUMERATOR));
    let erf = isa.div(numerator, polynomial(isa, square, &DENOMINATOR));
    let half = isa.mul(x, isa.splat(0.5));
    isa.mul_add(half, erf, half)
}

/// A polynomial by Horner's rule, highest coefficient first.
#[inline(always)]
fn polynomial<I: Isa, const N: usize>(isa: I, x: I::Lanes, coefficients: &[f32; N]) -> I::Lanes {
    let mut sum = isa.splat(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = isa.mul_add(sum, x, isa.splat(coefficient));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::LANES;
    use crate::level::{Kernel, Level};

    struct Exp([f32; LANES]);
    struct Gelu([f32; LANES]);

    impl Kernel for Exp {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<I: Isa>(self, isa: I) -> Self::Output {
            let mut values = self.0;
            isa.store(exp_of_negative(isa, isa.load(&self.0)), &mut values);
            values
        }
    }

    impl Kernel for Gelu {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<I: Isa>(self, isa: I) -> Self::Output {
            let mut values = self.0;
            isa.store(gelu(isa, isa.load(&self.0)), &mut values);
            values
        }
    }

    /// erf by its Taylor series below 3 and by the continued fraction of erfc above, both to about 1e-15.
    fn erf(x: f64) -> f64 {
        if x < 0.0 {
            return -erf(-x);
        }
        if x < 3.0 {
            let (mut term, mut sum, mut n) = (x, x, 0.0);
            while term.abs() > 1e-17 * sum.abs() {
                n += 1.0;
                term *= -x * x / n;
                sum += term / (2.0 * n + 1.0);
            }
            return sum * std::f64::consts::FRAC_2_SQRT_PI;
        }
        let fraction = (1..=60)
            .rev()
            .fold(x, |fraction, k| x + f64::from(k) / 2.0 / fraction);
        1.0 - (-x * x).exp() / fraction * std::f64::consts::FRAC_2_SQRT_PI / 2.0
    }

    /// Numbers from `from` to `to` in groups of sixteen.
    fn groups(from: f32, to: f32, count: usize) -> impl Iterator<Item = [f32; LANES]> {
        let step = (to - from) / (count * LANES) as f32;
        (0..count)
            .map(move |group| std::array::from_fn(|i| from + (group * LANES + i) as f32 * step))
    }

    #[test]
    fn exp_is_accurate_to_the_last_bits() {
        for level in Level::available() {
            for values in groups(-87.0, 0.0, 4000) {
                for (x, result) in values.into_iter().zip(level.run(Exp(values))) {
                    let expected = f64::from(x).exp();
                    let error = (f64::from(result) / expected - 1.0).abs();
                    assert!(
                        error < 2e-7,
                        "exp({x}) = {result}, not {expected}; {level:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn exp_of_zero_is_one_and_of_far_negatives_is_tiny_but_normal() {
        for level in Level::available() {
            let result = level.run(Exp([0.0; LANES]));
            assert_eq!(result, [1.0; LANES], "{level:?}");
            for x in [-88.0, -1e4, f32::MIN, f32::NEG_INFINITY] {
                let result = level.run(Exp([x; LANES]))[0];
                assert!(
                    result.is_normal() && result < 1e-37,
                    "exp({x}) = {result}; {level:?}"
                );
            }
        }
    }

    #[test]
    fn gelu_follows_the_error_function() {
        for level in Level::available() {
            for values in groups(-12.0, 12.0, 4000) {
                for (x, result) in values.into_iter().zip(level.run(Gelu(values))) {
                    let x64 = f64::from(x);
                    let expected = x64 / 2.0 * (1.0 + erf(x64 / std::f64::consts::SQRT_2));
                    let error = (f64::from(result) - expected).abs();
                    assert!(
                        error < 5e-7 * x64.abs().max(1.0),
                        "gelu({x}) = {result}, not {expected}; {level:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn gelu_of_zero_is_zero_so_that_padding_stays_empty() {
        for level in Level::available() {
            assert_eq!(level.run(Gelu([0.0; LANES])), [0.0; LANES], "{level:?}");
        }
    }
}
