//! Vectors as signed bytes: quantisation and the dot products of one query with many rows.
//!
//! A row of `f32` becomes a row of `i8` and one scale, `value ≈ scale * byte`, with the bytes in `-127..=127`. The dot
//! product of two such rows is an exact `i32`, so every path gives the same number and an index scanned on another
//! machine ranks the same.

use crate::Level;

/// The largest magnitude a quantised value takes. `-128` is left out so that negation never overflows and the range is
/// symmetric around zero.
pub const QUANTISED_MAX: i8 = 127;

/// Adding this to an `f32` of small magnitude leaves its nearest integer (ties to even) in the low mantissa bits:
/// 1.5 * 2^23, as in every float-to-int trick. It vectorises on any target, which `f32::round` does not.
const ROUNDING_BIAS: f32 = 12_582_912.0;

/// Quantises `values` into `bytes` and returns the scale.
///
/// A row of zeros, or one that holds a value that is not finite, gives zeros and scale 0: it is similar to nothing.
///
/// # Panics
/// If the two slices differ in length.
pub fn quantise(values: &[f32], bytes: &mut [i8]) -> f32 {
    assert_eq!(values.len(), bytes.len(), "one byte a value");
    let largest = values
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    // `max` passes over NaN, so the sum is asked as well.
    let finite = values.iter().sum::<f32>().is_finite();
    let inverse = f32::from(QUANTISED_MAX) / largest;
    if !finite || !inverse.is_finite() {
        bytes.fill(0);
        return 0.0;
    }
    for (byte, value) in bytes.iter_mut().zip(values) {
        let biased = value * inverse + ROUNDING_BIAS;
        // The low eight bits are the integer in two's complement; `largest * inverse` rounds to at most 127.
        *byte = biased.to_bits() as i8;
    }
    largest / f32::from(QUANTISED_MAX)
}

/// The dot products of `query` with each row of `rows`, which lie one after the other.
///
/// # Panics
/// If `rows` is not `products.len()` rows as long as the query.
pub fn dot_rows(level: Level, query: &[i8], rows: &[i8], products: &mut [i32]) {
    assert_eq!(
        rows.len(),
        query.len() * products.len(),
        "whole rows as long as the query"
    );
    match level {
        Level::Portable => dot_rows_portable(query, rows, products),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => {
            // SAFETY: the level carries the proof that this CPU has AVX2.
            #[expect(unsafe_code, reason = "call into the AVX2 kernel")]
            unsafe {
                avx2::dot_rows(query, rows, products);
            }
        }
    }
}

/// The scalar twin of the kernels.
fn dot_rows_portable(query: &[i8], rows: &[i8], products: &mut [i32]) {
    if query.is_empty() {
        products.fill(0);
        return;
    }
    for (product, row) in products.iter_mut().zip(rows.chunks_exact(query.len())) {
        *product = dot_portable(query, row);
    }
}

fn dot_portable(a: &[i8], b: &[i8]) -> i32 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| i32::from(a) * i32::from(b))
        .sum()
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_shuffle_epi32,
        _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256,
        _mm256_madd_epi16, _mm256_setzero_si256,
    };

    use super::dot_portable;

    /// Bytes widened to 16 bits in one register.
    const LANES: usize = 16;

    /// Rows that share one widening of the query: four accumulators hide the latency of `vpmaddwd`.
    const ROWS: usize = 4;

    /// `rows` holds `products.len()` rows as long as `query`.
    #[target_feature(enable = "avx2")]
    pub(super) fn dot_rows(query: &[i8], rows: &[i8], products: &mut [i32]) {
        let length = query.len();
        let mut row = 0;
        while row + ROWS <= products.len() {
            let four = &rows[row * length..(row + ROWS) * length];
            products[row..row + ROWS].copy_from_slice(&dot_four(query, four));
            row += ROWS;
        }
        for (offset, product) in products[row..].iter_mut().enumerate() {
            let start = (row + offset) * length;
            *product = dot_portable(query, &rows[start..start + length]);
        }
    }

    #[target_feature(enable = "avx2")]
    fn dot_four(query: &[i8], rows: &[i8]) -> [i32; ROWS] {
        let length = query.len();
        let (whole, tail) = query.as_chunks::<LANES>();
        let row = |row: usize| &rows[row * length..(row + 1) * length];
        // Cut to the same length, so that the loop needs no checks.
        let chunks: [&[[i8; LANES]]; ROWS] =
            std::array::from_fn(|at| &row(at).as_chunks().0[..whole.len()]);
        let mut sums = [_mm256_setzero_si256(); ROWS];
        for (at, query) in whole.iter().enumerate() {
            let query = load_widened(query);
            for (sum, chunks) in sums.iter_mut().zip(&chunks) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(query, load_widened(&chunks[at])));
            }
        }
        let mut dots = [0; ROWS];
        for (at, (dot, sum)) in dots.iter_mut().zip(sums).enumerate() {
            *dot = horizontal_sum(sum) + dot_portable(tail, &row(at)[length - tail.len()..]);
        }
        dots
    }

    #[target_feature(enable = "avx2")]
    fn load_widened(bytes: &[i8; LANES]) -> __m256i {
        // SAFETY: sixteen bytes are readable at `bytes`, and the load is unaligned.
        #[expect(unsafe_code, reason = "loads exist only as intrinsics on pointers")]
        let loaded = unsafe { _mm_loadu_si128(bytes.as_ptr().cast::<__m128i>()) };
        _mm256_cvtepi8_epi16(loaded)
    }

    #[target_feature(enable = "avx2")]
    fn horizontal_sum(sum: __m256i) -> i32 {
        let half = _mm_add_epi32(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        );
        let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
        let lane = _mm_add_epi32(quarter, _mm_shuffle_epi32::<0b00_00_00_01>(quarter));
        _mm_cvtsi128_si32(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, so that the tests need no dependency and repeat exactly.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn bytes(&mut self, count: usize) -> Vec<i8> {
            (0..count)
                .map(|_| (self.next() % 255) as i8)
                .map(|byte| byte.max(-QUANTISED_MAX))
                .collect()
        }

        fn unit(&mut self) -> f32 {
            (self.next() % 2_000_001) as f32 / 1_000_000.0 - 1.0
        }
    }

    #[test]
    fn every_path_gives_the_same_products_at_every_length() {
        let mut random = Random(42);
        for length in [0, 1, 3, 15, 16, 17, 31, 32, 63, 100, 384, 385, 768] {
            for count in [0, 1, 2, 3, 4, 5, 8, 11] {
                let query = random.bytes(length);
                let rows = random.bytes(length * count);
                let expected: Vec<i32> = (0..count)
                    .map(|row| {
                        (0..length)
                            .map(|at| i32::from(query[at]) * i32::from(rows[row * length + at]))
                            .sum()
                    })
                    .collect();
                for level in Level::available() {
                    let mut products = vec![9; count];
                    dot_rows(level, &query, &rows, &mut products);
                    assert_eq!(
                        products,
                        expected,
                        "{}: length {length}, {count} rows",
                        level.name()
                    );
                }
            }
        }
    }

    #[test]
    fn the_largest_products_do_not_overflow_a_lane() {
        let query = vec![QUANTISED_MAX; 4096];
        let rows = [
            vec![QUANTISED_MAX; 4096],
            vec![-QUANTISED_MAX; 4096],
            vec![-128; 4096],
            vec![0; 4096],
        ]
        .concat();
        for level in Level::available() {
            let mut products = [5; 4];
            dot_rows(level, &query, &rows, &mut products);
            assert_eq!(
                products,
                [127 * 127 * 4096, -127 * 127 * 4096, -128 * 127 * 4096, 0],
                "{}",
                level.name()
            );
        }
    }

    #[test]
    fn a_value_is_restored_to_within_half_a_step() {
        let mut random = Random(7);
        for length in [1, 5, 16, 384] {
            let values: Vec<f32> = (0..length).map(|_| random.unit()).collect();
            let mut bytes = vec![0; length];
            let scale = quantise(&values, &mut bytes);
            for (value, byte) in values.iter().zip(&bytes) {
                let error = (value - scale * f32::from(*byte)).abs();
                assert!(
                    error <= scale * 0.5001,
                    "{value} became {byte} at scale {scale}"
                );
            }
        }
    }

    #[test]
    fn the_extremes_take_the_whole_range() {
        let mut bytes = [0; 4];
        let scale = quantise(&[-2.0, 2.0, 0.0, 1.0], &mut bytes);
        assert_eq!(bytes, [-127, 127, 0, 64]);
        assert!((scale - 2.0 / 127.0).abs() < 1e-9);
    }

    #[test]
    fn zeros_and_numbers_that_are_not_finite_become_nothing() {
        for values in [
            [0.0, 0.0],
            [f32::NAN, 1.0],
            [f32::INFINITY, 1.0],
            [1e-45, 0.0],
        ] {
            let mut bytes = [5; 2];
            assert_eq!(quantise(&values, &mut bytes), 0.0, "{values:?}");
            assert_eq!(bytes, [0, 0], "{values:?}");
        }
    }
}
