//! The matrix product, with what follows it fused to its end.
//!
//! A register tile of a few rows by sixteen columns is summed over the whole depth in one pass, so no partial sum is
//! ever stored, and bias, GELU or the residual are applied while the sums are still in registers.
//!
//! A model's weights are larger than any second-level cache, and few rows make little work for each panel. Each tile
//! therefore prefetches its share of the next panel: sixteen rows alone take a quarter less time with it.

use crate::isa::{Isa, LANES};
use crate::level::{Kernel, Level};
use crate::{Matrix, MatrixMut, Panels, elementary};

/// What happens to the sums of a product before they are written.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// out = sums
    Store,
    /// out = sums + bias; one number for each padded column.
    Bias(&'a [f32]),
    /// out = GELU(sums + bias); one number for each padded column.
    BiasGelu(&'a [f32]),
    /// out += sums + bias, which adds a layer to its residual; one number for each padded column.
    BiasResidual(&'a [f32]),
    /// out = sums · factor; one number for each row.
    ScaleRows(&'a [f32]),
}

/// Multiplies `left` by `right` and writes every padded column of `out`.
///
/// An element is the sum over the depth in ascending order, whatever the number of rows: a row's result has the same
/// bits alone or among others.
///
/// # Panics
/// When the shapes disagree: `left` is rows × depth, `out` rows × padded columns, and the epilogue has a number for each
/// padded column or row.
pub fn gemm(
    level: Level,
    left: Matrix<'_>,
    right: &Panels,
    epilogue: Epilogue<'_>,
    out: MatrixMut<'_>,
) {
    assert_eq!(left.columns(), right.depth(), "inner dimensions");
    assert_eq!(left.rows(), out.rows(), "rows");
    assert_eq!(right.padded_columns(), out.columns(), "columns");
    match epilogue {
        Epilogue::Store => {}
        Epilogue::Bias(bias) | Epilogue::BiasGelu(bias) | Epilogue::BiasResidual(bias) => {
            assert_eq!(bias.len(), right.padded_columns(), "bias");
        }
        Epilogue::ScaleRows(factors) => assert_eq!(factors.len(), left.rows(), "row factors"),
    }
    level.run(Gemm {
        left,
        right,
        epilogue,
        out,
    });
}

struct Gemm<'a> {
    left: Matrix<'a>,
    right: &'a Panels,
    epilogue: Epilogue<'a>,
    out: MatrixMut<'a>,
}

impl Kernel for Gemm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let rows = self.left.rows();
        let tiles = rows.div_ceil(I::TILE_ROWS);
        let mut panels = self.right.iter().zip((0..).step_by(LANES)).peekable();
        while let Some((panel, column)) = panels.next() {
            let upcoming = panels.peek().map_or(&[][..], |&(upcoming, _)| upcoming);
            let mut row = 0;
            for tile in 0..tiles {
                // Rows are shared out evenly: a last tile of one or two rows would leave most registers idle.
                let tile_rows = (rows - row).div_ceil(tiles - tile);
                let soon =
                    &upcoming[upcoming.len() * tile / tiles..upcoming.len() * (tile + 1) / tiles];
                match tile_rows {
                    1 => self.tile::<I, 1>(isa, panel, soon, row, column),
                    2 => self.tile::<I, 2>(isa, panel, soon, row, column),
                    3 => self.tile::<I, 3>(isa, panel, soon, row, column),
                    4 => self.tile::<I, 4>(isa, panel, soon, row, column),
                    5 => self.tile::<I, 5>(isa, panel, soon, row, column),
                    6 => self.tile::<I, 6>(isa, panel, soon, row, column),
                    _ => unreachable!("no instruction set has tiles of more than six rows"),
                }
                row += tile_rows;
            }
        }
    }
}

impl Gemm<'_> {
    /// Sums, finishes and writes `ROWS` rows of one panel's sixteen columns, and prefetches what is needed `soon`.
    #[inline(always)]
    fn tile<I: Isa, const ROWS: usize>(
        &mut self,
        isa: I,
        panel: &[[f32; LANES]],
        soon: &[[f32; LANES]],
        row: usize,
        column: usize,
    ) {
        // Cut to the panel's depth: with one index into panel and rows of one length, the inner loop needs no checks.
        let mut left: [&[f32]; ROWS] = [&[]; ROWS];
        for (i, left) in left.iter_mut().enumerate() {
            *left = &self.left.row(row + i)[..panel.len()];
        }
        let mut sums = [isa.splat(0.0); ROWS];
        for k in 0..panel.len() {
            if k < soon.len() {
                isa.prefetch(&soon[k]);
            }
            let right = isa.load(&panel[k]);
            for (sum, left) in sums.iter_mut().zip(&left) {
                *sum = isa.mul_add(isa.splat(left[k]), right, *sum);
            }
        }
        for (i, sum) in sums.into_iter().enumerate() {
            self.finish(isa, sum, row + i, column);
        }
    }

    /// Applies the epilogue to sixteen sums and writes them.
    #[inline(always)]
    fn finish<I: Isa>(&mut self, isa: I, sums: I::Lanes, row: usize, column: usize) {
        let out = block_mut(self.out.row_mut(row), column);
        let result = match self.epilogue {
            Epilogue::Store => sums,
            Epilogue::Bias(bias) => isa.add(sums, isa.load(block(bias, column))),
            Epilogue::BiasGelu(bias) => {
                elementary::gelu(isa, isa.add(sums, isa.load(block(bias, column))))
            }
            Epilogue::BiasResidual(bias) => {
                isa.add(isa.load(out), isa.add(sums, isa.load(block(bias, column))))
            }
            Epilogue::ScaleRows(factors) => isa.mul(sums, isa.splat(factors[row])),
        };
        isa.store(result, out);
    }
}

/// The sixteen numbers that start at `column`.
#[inline(always)]
fn block(row: &[f32], column: usize) -> &[f32; LANES] {
    row[column..]
        .first_chunk()
        .expect("rows are padded to whole blocks")
}

#[inline(always)]
fn block_mut(row: &mut [f32], column: usize) -> &mut [f32; LANES] {
    row[column..]
        .first_chunk_mut()
        .expect("rows are padded to whole blocks")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in -1..1 that repeat for the same seed.
    fn noise(len: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).max(1);
        let mut next = || {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 * 2.0 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    /// The product in f64, with weights given one row for each output.
    fn reference(left: &Matrix<'_>, weights: &Matrix<'_>) -> Vec<Vec<f64>> {
        let sum = |a: &[f32], b: &[f32]| {
            a.iter()
                .zip(b)
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum()
        };
        (0..left.rows())
            .map(|i| {
                (0..weights.rows())
                    .map(|j| sum(left.row(i), weights.row(j)))
                    .collect()
            })
            .collect()
    }

    const SHAPES: [(usize, usize, usize); 7] = [
        (1, 1, 1),
        (1, 384, 16),
        (5, 20, 17),
        (6, 33, 48),
        (7, 64, 31),
        (13, 5, 64),
        (50, 48, 32),
    ];

    #[test]
    fn products_agree_with_f64_for_every_shape_and_level() {
        for level in Level::available() {
            for (rows, depth, columns) in SHAPES {
                let (left, weights) = (noise(rows * (depth + 3), 1), noise(columns * depth, 2));
                let left = Matrix::strided(&left, rows, depth, depth + 3);
                let weights = Matrix::new(&weights, columns, depth);
                let width = crate::padded(columns);
                let mut out = vec![f32::NAN; rows * width];
                let right = Panels::from_columns(weights);
                gemm(
                    level,
                    left,
                    &right,
                    Epilogue::Store,
                    MatrixMut::new(&mut out, rows, width),
                );

                let expected = reference(&left, &weights);
                for (i, row) in out.chunks_exact(width).enumerate() {
                    for (j, &value) in row[..columns].iter().enumerate() {
                        let error = (f64::from(value) - expected[i][j]).abs();
                        assert!(
                            error < 1e-6 * depth as f64,
                            "{rows}x{depth}x{columns} at ({i}, {j}): off by {error}; {level:?}"
                        );
                    }
                    assert!(
                        row[columns..].iter().all(|&value| value == 0.0),
                        "padding; {level:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn epilogues_are_the_stored_sums_with_the_step_applied() {
        let (rows, depth, columns) = (7, 24, 32);
        let (left, weights) = (noise(rows * depth, 3), noise(columns * depth, 4));
        let (bias, factors, before) = (noise(columns, 5), noise(rows, 6), noise(rows * columns, 7));
        let left = Matrix::new(&left, rows, depth);
        let right = Panels::from_columns(Matrix::new(&weights, columns, depth));
        for level in Level::available() {
            let run = |epilogue| {
                let mut out = before.clone();
                gemm(
                    level,
                    left,
                    &right,
                    epilogue,
                    MatrixMut::new(&mut out, rows, columns),
                );
                out
            };
            let sums = run(Epilogue::Store);
            let biased = run(Epilogue::Bias(&bias));
            let activated = run(Epilogue::BiasGelu(&bias));
            let added = run(Epilogue::BiasResidual(&bias));
            let scaled = run(Epilogue::ScaleRows(&factors));
            for i in 0..rows * columns {
                let expected = sums[i] + bias[i % columns];
                assert_eq!(biased[i], expected, "{level:?}");
                assert_eq!(added[i], before[i] + expected, "{level:?}");
                assert_eq!(scaled[i], sums[i] * factors[i / columns], "{level:?}");
                // The tanh form, within 5e-4 of the exact one; the exact one has its own test.
                let x = f64::from(expected);
                let tanh =
                    ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh();
                assert!(
                    (f64::from(activated[i]) - x / 2.0 * (1.0 + tanh)).abs() < 1e-3,
                    "{level:?}"
                );
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_or_among_others() {
        let (depth, columns) = (100, 48);
        let (left, weights, bias) = (
            noise(40 * depth, 8),
            noise(columns * depth, 9),
            noise(columns, 10),
        );
        let right = Panels::from_columns(Matrix::new(&weights, columns, depth));
        for level in Level::available() {
            let run = |first: usize, rows: usize| {
                let mut out = vec![0.0; rows * columns];
                let left = Matrix::new(&left[first * depth..], rows, depth);
                let out_rows = MatrixMut::new(&mut out, rows, columns);
                gemm(level, left, &right, Epilogue::BiasGelu(&bias), out_rows);
                out.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            };
            let all = run(0, 40);
            for rows in 1..=20 {
                for first in 0..40 - rows {
                    assert_eq!(
                        run(first, rows),
                        all[first * columns..][..rows * columns],
                        "{first}+{rows}; {level:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn rows_outside_the_view_are_left_alone() {
        let right = Panels::from_columns(Matrix::new(&[1.0; 32], 16, 2));
        for level in Level::available() {
            let mut out = [7.0; 60];
            let out_rows = MatrixMut::strided(&mut out, 3, 16, 20);
            gemm(
                level,
                Matrix::new(&[1.0; 6], 3, 2),
                &right,
                Epilogue::Store,
                out_rows,
            );
            for (i, value) in out.into_iter().enumerate() {
                assert_eq!(value, if i % 20 < 16 { 2.0 } else { 7.0 }, "{level:?}");
            }
        }
    }

    #[test]
    fn a_product_of_no_rows_writes_nothing() {
        let right = Panels::from_columns(Matrix::new(&[1.0; 2], 1, 2));
        gemm(
            Level::best(),
            Matrix::new(&[], 0, 2),
            &right,
            Epilogue::Store,
            MatrixMut::new(&mut [], 0, 16),
        );
    }

    #[test]
    #[should_panic(expected = "bias")]
    fn a_bias_without_padding_is_refused() {
        let right = Panels::from_columns(Matrix::new(&[1.0; 2], 1, 2));
        let out = &mut [0.0; 16];
        gemm(
            Level::best(),
            Matrix::new(&[1.0; 2], 1, 2),
            &right,
            Epilogue::Bias(&[0.0]),
            MatrixMut::new(out, 1, 16),
        );
    }
}
