//! Layer normalisation of rows, and what pooling needs: sums of rows and unit length.

use crate::isa::{Isa, LANES};
use crate::level::{Kernel, Level};
use crate::{MatrixMut, padded};

/// The gain and bias of a layer normalisation, padded to whole blocks.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    gain: Vec<[f32; LANES]>,
    bias: Vec<[f32; LANES]>,
    columns: usize,
    epsilon: f32,
}

impl LayerNorm {
    /// A normalisation of rows as long as `gain` and `bias`.
    ///
    /// # Panics
    /// When the two differ in length or are empty.
    pub fn new(gain: &[f32], bias: &[f32], epsilon: f32) -> Self {
        assert_eq!(gain.len(), bias.len(), "gain and bias");
        assert!(!gain.is_empty(), "a row of nothing has no mean");
        Self {
            gain: blocks(gain),
            bias: blocks(bias),
            columns: gain.len(),
            epsilon,
        }
    }

    /// Normalises every row in place: (x - mean) / √(variance + ε) · gain + bias. The padding, which must be zero, stays zero.
    ///
    /// # Panics
    /// When the rows are not of the padded length.
    pub fn apply(&self, level: Level, rows: MatrixMut<'_>) {
        assert_eq!(rows.columns(), padded(self.columns), "columns");
        level.run(Normalise { norm: self, rows });
    }
}

/// Whole blocks, the last one filled up with zeros.
fn blocks(values: &[f32]) -> Vec<[f32; LANES]> {
    let mut blocks = vec![[0.0; LANES]; values.len().div_ceil(LANES)];
    blocks.as_flattened_mut()[..values.len()].copy_from_slice(values);
    blocks
}

struct Normalise<'a> {
    norm: &'a LayerNorm,
    rows: MatrixMut<'a>,
}

impl Kernel for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let norm = self.norm;
        let count = norm.columns as f32;
        // Deviations in the padding would count towards the variance; multiplying by this leaves them out.
        let live: [f32; LANES] = std::array::from_fn(|lane| {
            if (norm.gain.len() - 1) * LANES + lane < norm.columns {
                1.0
            } else {
                0.0
            }
        });
        for row in 0..self.rows.rows() {
            let (row, _) = self.rows.row_mut(row).as_chunks_mut::<LANES>();
            let row = &mut row[..norm.gain.len()];
            let mut sum = isa.splat(0.0);
            for block in row.iter() {
                sum = isa.add(sum, isa.load(block));
            }
            let mean = isa.splat(isa.sum(sum) / count);

            let last = row.len() - 1;
            let mut squares = isa.splat(0.0);
            for block in &mut row[..last] {
                let deviation = isa.sub(isa.load(block), mean);
                squares = isa.mul_add(deviation, deviation, squares);
                isa.store(deviation, block);
            }
            let deviation = isa.mul(isa.sub(isa.load(&row[last]), mean), isa.load(&live));
            squares = isa.mul_add(deviation, deviation, squares);
            isa.store(deviation, &mut row[last]);

            let scale = isa.splat(1.0 / (isa.sum(squares) / count + norm.epsilon).sqrt());
            for ((block, gain), bias) in row.iter_mut().zip(&norm.gain).zip(&norm.bias) {
                let scaled = isa.mul(isa.load(block), scale);
                isa.store(isa.mul_add(scaled, isa.load(gain), isa.load(bias)), block);
            }
        }
    }
}

/// Adds `row` to `sums`, number by number.
///
/// # Panics
/// When the lengths differ.
pub fn accumulate(sums: &mut [f32], row: &[f32]) {
    assert_eq!(sums.len(), row.len(), "lengths");
    // No sum runs across lanes here, so every level would do the same; the compiler vectorises it as it stands.
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += value;
    }
}

/// Below this a vector has no direction worth scaling up, as in the models' own normalisation.
const LENGTH_MIN: f32 = 1e-12;

/// Scales `vector` to length one; a vector of zeros stays as it is.
pub fn l2_normalize(vector: &mut [f32]) {
    // Summed in f64: once for each text, so exactness is free, and the order of lanes cannot matter.
    let squares: f64 = vector
        .iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .sum();
    let length = (squares.sqrt() as f32).max(LENGTH_MIN);
    for value in vector {
        *value /= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_normalised_as_in_f64_whatever_their_length() {
        for level in Level::available() {
            for columns in [1, 5, 16, 17, 60, 384] {
                let gain: Vec<f32> = (0..columns).map(|i| 1.0 + (i % 7) as f32 / 10.0).collect();
                let bias: Vec<f32> = (0..columns).map(|i| (i % 5) as f32 / 10.0 - 0.2).collect();
                let width = padded(columns);
                let value = |i: usize| {
                    if i % width < columns {
                        ((i * 37) % 101) as f32 / 10.0 + 3.0
                    } else {
                        0.0
                    }
                };
                let before: Vec<f32> = (0..2 * width).map(value).collect();
                let mut after = before.clone();
                LayerNorm::new(&gain, &bias, 1e-6)
                    .apply(level, MatrixMut::new(&mut after, 2, width));

                for (before, after) in before.chunks_exact(width).zip(after.chunks_exact(width)) {
                    let live: Vec<f64> = before[..columns]
                        .iter()
                        .map(|&value| f64::from(value))
                        .collect();
                    let mean = live.iter().sum::<f64>() / columns as f64;
                    let variance =
                        live.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / columns as f64;
                    for i in 0..columns {
                        let normal = (live[i] - mean) / (variance + 1e-6).sqrt();
                        let expected = normal * f64::from(gain[i]) + f64::from(bias[i]);
                        assert!(
                            (f64::from(after[i]) - expected).abs() < 1e-5,
                            "{columns} columns; {level:?}"
                        );
                    }
                    assert!(
                        after[columns..].iter().all(|&value| value == 0.0),
                        "padding; {level:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_without_variance_becomes_the_bias() {
        for level in Level::available() {
            let mut rows = [3.0; 16];
            LayerNorm::new(&[2.0; 16], &[0.5; 16], 1e-12)
                .apply(level, MatrixMut::new(&mut rows, 1, 16));
            assert_eq!(rows, [0.5; 16], "{level:?}");
        }
    }

    #[test]
    fn vectors_get_length_one_and_zeros_stay_zeros() {
        let mut vector = [3.0, 4.0];
        l2_normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zeros = [0.0; 3];
        l2_normalize(&mut zeros);
        assert_eq!(zeros, [0.0; 3]);
    }

    #[test]
    fn rows_accumulate() {
        let mut sums = [1.0, 2.0];
        accumulate(&mut sums, &[0.5, -2.0]);
        assert_eq!(sums, [1.5, 0.0]);
    }
}
