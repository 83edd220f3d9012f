//! Vectors in memory, each kept exactly and as bytes, in blocks.

use std::ops::Range;

use embedder_simd::int8;

use super::{dot, rounding};
use crate::error::Error;

/// Rows of a block: half a megabyte of bytes at 384 dimensions, about what a second-level cache holds.
pub(super) const BLOCK_ROWS: usize = 1_024;

/// A vector this close to length one is taken as it is.
const UNIT_TOLERANCE: f32 = 1e-5;

/// Rows are numbered from 0 without gaps. They lie in blocks, so that growing never copies them.
pub(super) struct Rows {
    dimensions: usize,
    blocks: Vec<Block>,
    len: usize,
    /// The largest length of what quantisation took away from a row, of all that ever were.
    rounding_max: f32,
}

struct Block {
    exact: Vec<f32>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
}

impl Block {
    fn with_capacity(dimensions: usize) -> Self {
        Self {
            exact: Vec::with_capacity(BLOCK_ROWS * dimensions),
            bytes: Vec::with_capacity(BLOCK_ROWS * dimensions),
            scales: Vec::with_capacity(BLOCK_ROWS),
        }
    }
}

impl Rows {
    pub(super) fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            blocks: Vec::new(),
            len: 0,
            rounding_max: 0.0,
        }
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn rounding_max(&self) -> f32 {
        self.rounding_max
    }

    pub(super) fn check_dimensions(&self, found: usize) -> Result<(), Error> {
        if found == self.dimensions {
            Ok(())
        } else {
            Err(Error::Dimensions {
                found,
                expected: self.dimensions,
            })
        }
    }

    /// Adds a row of zeros at the end, scaled to length one when it is [`set`](Self::set).
    pub(super) fn push_empty(&mut self) {
        if self.len.is_multiple_of(BLOCK_ROWS) {
            self.blocks.push(Block::with_capacity(self.dimensions));
        }
        let block = self
            .blocks
            .last_mut()
            .expect("a block was pushed for the first row");
        block.exact.resize(block.exact.len() + self.dimensions, 0.0);
        block.bytes.resize(block.bytes.len() + self.dimensions, 0);
        block.scales.push(0.0);
        self.len += 1;
    }

    /// Sets a row, scaled to length one.
    ///
    /// # Errors
    /// [`Error::NotFinite`]; the row is then of no use and to be removed.
    ///
    /// # Panics
    /// If the vector has other dimensions.
    pub(super) fn set(&mut self, row: usize, vector: &[f32]) -> Result<(), Error> {
        let range = self.range(row);
        let block = &mut self.blocks[row / BLOCK_ROWS];
        let exact = &mut block.exact[range.clone()];
        exact.copy_from_slice(vector);
        scale_to_unit(exact)?;
        let bytes = &mut block.bytes[range];
        let scale = int8::quantise(exact, bytes);
        self.rounding_max = self.rounding_max.max(rounding(exact, bytes, scale));
        block.scales[row % BLOCK_ROWS] = scale;
        Ok(())
    }

    /// Removes a row. The last takes its place.
    pub(super) fn swap_remove(&mut self, row: usize) {
        let last = self.len - 1;
        if row != last {
            self.copy(last, row);
        }
        let block = self.blocks.last_mut().expect("a row lies in a block");
        block.exact.truncate(block.exact.len() - self.dimensions);
        block.bytes.truncate(block.bytes.len() - self.dimensions);
        block.scales.pop();
        if block.scales.is_empty() {
            self.blocks.pop();
        }
        self.len = last;
    }

    /// The vector of a row.
    pub(super) fn exact(&self, row: usize) -> &[f32] {
        &self.blocks[row / BLOCK_ROWS].exact[self.range(row)]
    }

    /// The bytes and scales of rows that lie in one block.
    pub(super) fn bytes(&self, rows: Range<usize>) -> (&[i8], &[f32]) {
        let block = &self.blocks[rows.start / BLOCK_ROWS];
        let first = rows.start % BLOCK_ROWS;
        let bytes = first * self.dimensions..(first + rows.len()) * self.dimensions;
        (
            &block.bytes[bytes],
            &block.scales[first..first + rows.len()],
        )
    }

    /// Where a row lies in its block.
    fn range(&self, row: usize) -> Range<usize> {
        let start = row % BLOCK_ROWS * self.dimensions;
        start..start + self.dimensions
    }

    fn copy(&mut self, from: usize, to: usize) {
        let (source, target) = (self.range(from), self.range(to));
        if from / BLOCK_ROWS == to / BLOCK_ROWS {
            let block = &mut self.blocks[from / BLOCK_ROWS];
            block.exact.copy_within(source.clone(), target.start);
            block.bytes.copy_within(source, target.start);
            block.scales[to % BLOCK_ROWS] = block.scales[from % BLOCK_ROWS];
        } else {
            let (before, after) = self.blocks.split_at_mut(from / BLOCK_ROWS);
            let (from_block, to_block) = (&after[0], &mut before[to / BLOCK_ROWS]);
            to_block.exact[target.clone()].copy_from_slice(&from_block.exact[source.clone()]);
            to_block.bytes[target].copy_from_slice(&from_block.bytes[source]);
            to_block.scales[to % BLOCK_ROWS] = from_block.scales[from % BLOCK_ROWS];
        }
    }
}

/// Scales a vector to length one; a vector of zeros stays one, and is similar to nothing.
pub(super) fn scale_to_unit(vector: &mut [f32]) -> Result<(), Error> {
    let squared = dot(vector, vector);
    if !squared.is_finite() {
        return Err(Error::NotFinite);
    }
    if (squared - 1.0).abs() > UNIT_TOLERANCE && squared > 0.0 {
        let inverse = squared.sqrt().recip();
        vector.iter_mut().for_each(|value| *value *= inverse);
    }
    Ok(())
}
