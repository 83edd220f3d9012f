//! Sixteen lanes as a plain array, for machines without a set of their own and as the twin the others are tested against.

use super::{EXPONENT_MAGIC, Isa, LANES, MANTISSA_BITS};

/// The instruction set that every machine has: whatever the compiler makes of loops over arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable;

/// Applies `f` lane by lane.
#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut lanes = a;
    for (lane, b) in lanes.iter_mut().zip(b) {
        *lane = f(*lane, b);
    }
    lanes
}

impl Isa for Portable {
    type Lanes = [f32; LANES];

    // The baseline of x86-64 has sixteen registers of four lanes: two rows of sums fill eight, a column block four.
    const TILE_ROWS: usize = 2;

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::Lanes {
        *from
    }

    #[inline(always)]
    fn store(self, lanes: Self::Lanes, to: &mut [f32; LANES]) {
        *to = lanes;
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Lanes {
        [value; LANES]
    }

    #[inline(always)]
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        zip(a, b, |a, b| a / b)
    }

    // A comparison and a choice is one instruction; `f32::min` adds the handling of NaN that no kernel relies on.
    #[inline(always)]
    fn min(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    // Not `f32::mul_add`, which is a call into libm where the baseline has no such instruction.
    #[inline(always)]
    fn mul_add(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes {
        zip(zip(a, b, |a, b| a * b), c, |product, c| product + c)
    }

    #[inline(always)]
    fn pow2(self, n: Self::Lanes) -> Self::Lanes {
        zip(n, n, |n, _| {
            f32::from_bits((n + EXPONENT_MAGIC).to_bits() << MANTISSA_BITS)
        })
    }
}
