//! The attention weights of one row of scores.

use crate::elementary::exp_of_negative;
use crate::isa::{Isa, LANES};
use crate::level::{Kernel, Level};
use crate::padded;

/// Replaces scores by exp(scale · (score - largest score)) and returns the sum of the results, by which the caller
/// divides once the weights have been used.
///
/// The row is `len` scores and the padding to a whole block; whatever the padding held, it does not take part, and it
/// ends as some number from zero to one that must not be used.
///
/// # Panics
/// When `len` is zero, or the row is not of the padded length.
pub fn softmax_unnormalised(level: Level, row: &mut [f32], len: usize, scale: f32) -> f32 {
    assert!(len > 0, "there is no attention over nothing");
    assert_eq!(row.len(), padded(len), "padded length");
    // exp turns these into about 1e-38, and the sum, which is at least one, does not feel fifteen of them.
    row[len..].fill(f32::NEG_INFINITY);
    level.run(Softmax { row, scale })
}

struct Softmax<'a> {
    row: &'a mut [f32],
    scale: f32,
}

impl Kernel for Softmax<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f32 {
        let (blocks, _) = self.row.as_chunks_mut::<LANES>();
        let mut largest = isa.splat(f32::NEG_INFINITY);
        for block in blocks.iter() {
            largest = isa.max(largest, isa.load(block));
        }
        let largest = isa.splat(isa.largest(largest));
        let scale = isa.splat(self.scale);
        let mut sum = isa.splat(0.0);
        for block in blocks {
            let weight = exp_of_negative(isa, isa.mul(isa.sub(isa.load(block), largest), scale));
            sum = isa.add(sum, weight);
            isa.store(weight, block);
        }
        isa.sum(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_agree_with_f64_and_ignore_the_padding() {
        for level in Level::available() {
            for len in [1, 2, 15, 16, 17, 100, 256] {
                let scores: Vec<f32> = (0..len)
                    .map(|i| ((i * 29) % 83) as f32 / 4.0 - 9.0)
                    .collect();
                let mut row = scores.clone();
                row.resize(padded(len), 1e9);
                let sum = softmax_unnormalised(level, &mut row, len, 0.5);

                let largest = scores.iter().copied().fold(f32::MIN, f32::max);
                let weights: Vec<f64> = scores
                    .iter()
                    .map(|&score| (f64::from(score - largest) / 2.0).exp())
                    .collect();
                let expected: f64 = weights.iter().sum();
                assert!(
                    (f64::from(sum) / expected - 1.0).abs() < 1e-6,
                    "{len} scores; {level:?}"
                );
                for (weight, expected) in row.iter().zip(&weights) {
                    assert!(
                        (f64::from(*weight) - expected).abs() < 1e-6,
                        "{len} scores; {level:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn far_apart_scores_neither_overflow_nor_vanish() {
        for level in Level::available() {
            let mut row = [-1e30; LANES];
            row[3] = 1e30;
            let sum = softmax_unnormalised(level, &mut row, 5, 1.0);
            assert_eq!((sum, row[3]), (1.0, 1.0), "{level:?}");
        }
    }
}
