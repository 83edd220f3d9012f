//! Views of row-major numbers.

/// A read-only view of rows that lie `stride` numbers apart.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that follow each other without a gap.
    ///
    /// # Panics
    /// When `data` is too short for that many rows.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows of `columns` numbers, each `stride` after the one before.
    ///
    /// # Panics
    /// When rows would overlap, or `data` is too short.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert_fits(data.len(), rows, columns, stride);
        Self {
            data,
            rows,
            columns,
            stride,
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How long a row is.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..self.columns]
    }
}

/// A view of rows to write to.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Rows that follow each other without a gap.
    ///
    /// # Panics
    /// When `data` is too short for that many rows.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows of `columns` numbers, each `stride` after the one before.
    ///
    /// # Panics
    /// When rows would overlap, or `data` is too short.
    pub fn strided(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert_fits(data.len(), rows, columns, stride);
        Self {
            data,
            rows,
            columns,
            stride,
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How long a row is.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row.
    #[inline(always)]
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.stride..][..self.columns]
    }
}

fn assert_fits(len: usize, rows: usize, columns: usize, stride: usize) {
    assert!(
        columns <= stride,
        "rows of {columns} numbers overlap at a stride of {stride}"
    );
    let needed = if rows == 0 {
        0
    } else {
        (rows - 1) * stride + columns
    };
    assert!(
        needed <= len,
        "{rows} rows of {columns} at a stride of {stride} need {needed} numbers, not {len}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_at_their_stride() {
        let data = [1.0, 2.0, -1.0, 3.0, 4.0];
        let matrix = Matrix::strided(&data, 2, 2, 3);
        assert_eq!(matrix.row(0), [1.0, 2.0]);
        assert_eq!(matrix.row(1), [3.0, 4.0]);
    }

    #[test]
    #[should_panic(expected = "need 6 numbers, not 5")]
    fn a_view_past_the_end_is_refused() {
        let _ = Matrix::new(&[0.0; 5], 2, 3);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_rows_are_refused() {
        let _ = MatrixMut::strided(&mut [0.0; 8], 2, 3, 2);
    }
}
