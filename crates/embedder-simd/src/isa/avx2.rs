//! Sixteen lanes as two 256-bit registers, with fused multiply-add.
#![expect(
    unsafe_code,
    reason = "instructions of one CPU family exist only as intrinsics"
)]

use std::arch::x86_64::{
    __m256, _MM_HINT_T1, _mm_prefetch, _mm256_add_ps, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_div_ps, _mm256_fmadd_ps, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_set1_ps,
    _mm256_slli_epi32, _mm256_sub_ps,
};
use std::mem::transmute;

use super::{EXPONENT_MAGIC, Isa, LANES, MANTISSA_BITS};
use crate::level::Kernel;

/// Proof that this CPU has AVX2 and FMA; [`Avx2::detect`] is the only way to get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// Asks the CPU. The answer is cached by the standard library.
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Runs a kernel compiled with these instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn with_features<K: Kernel>(kernel: K, avx2: Avx2) -> K::Output {
            kernel.run(avx2)
        }
        // SAFETY: the function requires AVX2 and FMA, and `self` exists only where both were detected.
        unsafe { with_features(kernel, self) }
    }
}

/// The halves of sixteen lanes.
type Pair = (__m256, __m256);

// SAFETY of every block below: the intrinsics require AVX2 or FMA, and `self` exists only where both were detected.
impl Isa for Avx2 {
    type Lanes = Pair;

    // Sixteen registers: twelve hold sums, two a column block, one the broadcast input.
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Pair {
        // SAFETY: both types are sixteen numbers without gaps, and any bits are a number. (The load intrinsics would say
        // the same with pointers, and with debug assertions on they check them at every load.)
        let [low, high] = unsafe { transmute::<[f32; LANES], [__m256; 2]>(*from) };
        (low, high)
    }

    #[inline(always)]
    fn store(self, lanes: Pair, to: &mut [f32; LANES]) {
        // SAFETY: both types are sixteen numbers without gaps, and any bits are a number.
        *to = unsafe { transmute::<[__m256; 2], [f32; LANES]>([lanes.0, lanes.1]) };
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Pair {
        // SAFETY: registers alone; see above.
        let lanes = unsafe { _mm256_set1_ps(value) };
        (lanes, lanes)
    }

    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        // SAFETY: registers alone; see above.
        unsafe { (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn sub(self, a: Pair, b: Pair) -> Pair {
        // SAFETY: registers alone; see above.
        unsafe { (_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        // SAFETY: registers alone; see above.
        unsafe { (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn div(self, a: Pair, b: Pair) -> Pair {
        // SAFETY: registers alone; see above.
        unsafe { (_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn min(self, a: Pair, b: Pair) -> Pair {
        // SAFETY: registers alone; see above.
        unsafe { (_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn max(self, a: Pair, b: Pair) -> Pair {
        // SAFETY: registers alone; see above.
        unsafe { (_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn mul_add(self, a: Pair, b: Pair, c: Pair) -> Pair {
        // SAFETY: registers alone; see above.
        unsafe {
            (
                _mm256_fmadd_ps(a.0, b.0, c.0),
                _mm256_fmadd_ps(a.1, b.1, c.1),
            )
        }
    }

    #[inline(always)]
    fn prefetch(self, soon: &[f32; LANES]) {
        // SAFETY: a prefetch of any address is harmless, and every x86-64 CPU has it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(soon.as_ptr().cast()) }
    }

    #[inline(always)]
    fn pow2(self, n: Pair) -> Pair {
        let biased = self.add(n, self.splat(EXPONENT_MAGIC));
        // SAFETY: registers alone; see above.
        unsafe { (into_exponent(biased.0), into_exponent(biased.1)) }
    }
}

/// Moves each lane's lowest bits to where an `f32` keeps its exponent.
///
/// # Safety
/// The CPU must have AVX2.
#[inline(always)]
unsafe fn into_exponent(biased: __m256) -> __m256 {
    const SHIFT: i32 = MANTISSA_BITS.cast_signed();
    // SAFETY: registers alone, and the caller vouches for AVX2.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<SHIFT>(_mm256_castps_si256(biased))) }
}
