//! The vocabulary of an instruction set: sixteen lanes of `f32` and what can be done with them.
//!
//! Sixteen is one AVX-512 register, two of AVX2 and four of SSE2 or NEON, so that packed weights have one layout on
//! every machine.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub(crate) mod portable;

/// How many numbers kernels handle together; rows are padded to a multiple of it (see [`crate::padded`]).
pub const LANES: usize = 16;

/// An instruction set, as a token whose existence proves that the CPU has it.
pub(crate) trait Isa: Copy {
    /// Sixteen numbers in registers.
    type Lanes: Copy;

    /// How many rows of sixteen sums the register file holds beside the operands of a matrix product.
    const TILE_ROWS: usize;

    fn load(self, from: &[f32; LANES]) -> Self::Lanes;
    fn store(self, lanes: Self::Lanes, to: &mut [f32; LANES]);
    fn splat(self, value: f32) -> Self::Lanes;
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn sub(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn mul(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn div(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn min(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn max(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a * b + c`, rounded once where the CPU can and twice where it cannot.
    fn mul_add(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;

    /// 2ⁿ for lanes that hold whole numbers from -126 to 127.
    fn pow2(self, n: Self::Lanes) -> Self::Lanes;

    /// Asks the memory for numbers that will be loaded before long. It has no effect but on time.
    #[inline(always)]
    fn prefetch(self, _soon: &[f32; LANES]) {}

    /// The sum of all lanes, in one fixed order.
    #[inline(always)]
    fn sum(self, lanes: Self::Lanes) -> f32 {
        let mut values = [0.0; LANES];
        self.store(lanes, &mut values);
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                values[i] += values[i + width];
            }
            width /= 2;
        }
        values[0]
    }

    /// The largest lane.
    #[inline(always)]
    fn largest(self, lanes: Self::Lanes) -> f32 {
        let mut values = [0.0; LANES];
        self.store(lanes, &mut values);
        values.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}

/// Adding this to a small whole number leaves the number plus 127, an exponent's bias, in the lowest bits: 1.5 · 2²³ is
/// where the spacing of `f32` is one.
pub(crate) const EXPONENT_MAGIC: f32 = 12_582_912.0 + 127.0;

/// The bits of an `f32` below its exponent.
pub(crate) const MANTISSA_BITS: u32 = f32::MANTISSA_DIGITS - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{Kernel, Level};

    /// Every operation on fixed operands, as plain arrays.
    struct Operations {
        a: [f32; LANES],
        b: [f32; LANES],
        whole: [f32; LANES],
    }

    impl Kernel for Operations {
        type Output = (Vec<[f32; LANES]>, f32, f32);

        #[inline(always)]
        fn run<I: Isa>(self, isa: I) -> Self::Output {
            let (a, b) = (isa.load(&self.a), isa.load(&self.b));
            let lanes = [
                isa.add(a, b),
                isa.sub(a, b),
                isa.mul(a, b),
                isa.div(a, b),
                isa.min(a, b),
                isa.max(a, b),
                isa.mul_add(a, b, isa.splat(0.25)),
                isa.pow2(isa.load(&self.whole)),
            ];
            let mut stored = Vec::new();
            for lane in lanes {
                let mut values = [0.0; LANES];
                isa.store(lane, &mut values);
                stored.push(values);
            }
            (stored, isa.sum(a), isa.largest(a))
        }
    }

    #[test]
    fn every_level_does_the_arithmetic_of_plain_numbers() {
        let a: [f32; LANES] = std::array::from_fn(|i| i as f32 * 1.25 - 7.5);
        let b: [f32; LANES] = std::array::from_fn(|i| 3.0 - i as f32 * 0.4375);
        let whole: [f32; LANES] =
            std::array::from_fn(|i| [-126.0, -1.0, 0.0, 1.0, 127.0, 5.0, -64.0, 30.0][i % 8]);
        let expected: [fn(f32, f32, f32) -> f32; 8] = [
            |a, b, _| a + b,
            |a, b, _| a - b,
            |a, b, _| a * b,
            |a, b, _| a / b,
            |a, b, _| a.min(b),
            |a, b, _| a.max(b),
            // Exact in these operands, so one rounding and two agree.
            |a, b, _| a * b + 0.25,
            |_, _, n| (f64::from(n)).exp2() as f32,
        ];
        for level in Level::available() {
            let (lanes, sum, largest) = level.run(Operations { a, b, whole });
            for (operation, (values, expected)) in lanes.iter().zip(expected).enumerate() {
                for i in 0..LANES {
                    let expected = expected(a[i], b[i], whole[i]);
                    assert_eq!(
                        values[i], expected,
                        "operation {operation}, lane {i}, {level:?}"
                    );
                }
            }
            assert_eq!(sum, a.iter().sum::<f32>(), "{level:?}");
            assert_eq!(largest, 11.25, "{level:?}");
        }
    }
}
