//! The right-hand side of a matrix product, rearranged so that the product reads it front to back.

use crate::{LANES, Matrix};

/// A matrix of `depth` rows, stored as column panels: the first sixteen columns row by row, then the next sixteen, the
/// last panel filled up with zeros.
///
/// A product walks one panel from its first row to its last and needs nothing else of the matrix, so a panel stays in
/// the nearest cache while all rows of the left-hand side pass by.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    data: Vec<[f32; LANES]>,
    depth: usize,
    columns: usize,
}

impl Panels {
    /// Packs a matrix whose *rows* become columns, as a layer's weights are stored: one row for each output.
    pub fn from_columns(columns: Matrix<'_>) -> Self {
        let mut panels = Self::default();
        panels.set_columns(columns);
        panels
    }

    /// Replaces the content by a matrix whose rows become columns, reusing the memory.
    pub fn set_columns(&mut self, columns: Matrix<'_>) {
        self.reshape(columns.columns(), columns.rows());
        for (panel, first) in self
            .data
            .chunks_exact_mut(self.depth.max(1))
            .zip((0..).step_by(LANES))
        {
            let live = LANES.min(columns.rows() - first);
            if live == LANES {
                transpose(panel, std::array::from_fn(|lane| columns.row(first + lane)));
            } else {
                for (k, block) in panel.iter_mut().enumerate() {
                    *block = std::array::from_fn(|lane| {
                        if lane < live {
                            columns.row(first + lane)[k]
                        } else {
                            0.0
                        }
                    });
                }
            }
        }
    }

    /// Replaces the content by a matrix as it stands, reusing the memory.
    pub fn set_rows(&mut self, rows: Matrix<'_>) {
        self.reshape(rows.rows(), rows.columns());
        for (panel, first) in self
            .data
            .chunks_exact_mut(self.depth.max(1))
            .zip((0..).step_by(LANES))
        {
            let live = LANES.min(rows.columns() - first);
            for (k, block) in panel.iter_mut().enumerate() {
                let from = &rows.row(k)[first..first + live];
                match from.first_chunk() {
                    Some(full) => *block = *full,
                    None => {
                        *block = [0.0; LANES];
                        block[..live].copy_from_slice(from);
                    }
                }
            }
        }
    }

    /// How many rows the matrix has: the length of the sums of a product with it.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many columns the matrix has, the padding not counted.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many columns a product writes: those of the matrix and the padding.
    pub fn padded_columns(&self) -> usize {
        crate::padded(self.columns)
    }

    /// The panels in the order of their columns, each with its blocks of sixteen in the order of the rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[[f32; LANES]]> {
        self.data.chunks_exact(self.depth.max(1))
    }

    fn reshape(&mut self, depth: usize, columns: usize) {
        self.depth = depth;
        self.columns = columns;
        self.data
            .resize(columns.div_ceil(LANES) * depth, [0.0; LANES]);
    }
}

/// Writes sixteen rows as columns.
fn transpose(panel: &mut [[f32; LANES]], rows: [&[f32]; LANES]) {
    let rows = rows.map(|row| &row[..panel.len()]);
    for (k, block) in panel.iter_mut().enumerate() {
        for (to, row) in block.iter_mut().zip(rows) {
            *to = row[k];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Element (row, column) of what was packed.
    fn at(panels: &Panels, row: usize, column: usize) -> f32 {
        panels.iter().nth(column / LANES).unwrap()[row][column % LANES]
    }

    #[test]
    fn rows_and_columns_are_found_where_they_were_put() {
        for (rows, columns) in [(1, 1), (3, 16), (5, 17), (32, 40), (7, 15)] {
            let data: Vec<f32> = (0..rows * columns).map(|i| i as f32 + 1.0).collect();
            let mut panels = Panels::default();

            panels.set_rows(Matrix::new(&data, rows, columns));
            assert_eq!((panels.depth(), panels.columns()), (rows, columns));
            for (i, &value) in data.iter().enumerate() {
                assert_eq!(at(&panels, i / columns, i % columns), value);
            }

            panels.set_columns(Matrix::new(&data, rows, columns));
            assert_eq!((panels.depth(), panels.columns()), (columns, rows));
            for (i, &value) in data.iter().enumerate() {
                assert_eq!(at(&panels, i % columns, i / columns), value);
            }
        }
    }

    #[test]
    fn padding_is_zero_even_in_reused_memory() {
        let mut panels = Panels::default();
        panels.set_rows(Matrix::new(&[9.0; 64], 2, 32));
        panels.set_rows(Matrix::new(&[1.0; 34], 2, 17));
        assert!(
            (17..32).all(|column| at(&panels, 0, column) == 0.0 && at(&panels, 1, column) == 0.0)
        );
        panels.set_columns(Matrix::new(&[1.0; 3], 3, 1));
        assert!((3..16).all(|column| at(&panels, 0, column) == 0.0));
    }
}
