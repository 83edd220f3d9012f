//! The vectors of the chunks, scanned exactly.
//!
//! Every vector is kept twice: as bytes, which a scan reads from end to end, and as `f32`, from which the cosines of the
//! best are computed anew. How far a byte scan can be wrong is known, so every row that may be among the best is rescored and the
//! result is exact; nothing has to be built or kept on disk.
//!
//! Rows lie in blocks, so that growing never copies them, and a block without a chunk that the filter allows is skipped.

use std::ops::Range;

use embedder_simd::{Level, int8};

use crate::{
    allowed::Allowed,
    catalogue::{Catalogue, Slot},
    error::Error,
    top,
};

/// Rows of a block: half a megabyte of bytes at 384 dimensions, about what a second-level cache holds.
const BLOCK_ROWS: usize = 1_024;

/// A vector this close to length one is taken as it is.
const UNIT_TOLERANCE: f32 = 1e-5;

/// The score of a row that the filter does not allow.
pub(crate) const NOT_ALLOWED: f32 = f32::NEG_INFINITY;

/// A vector to compare with, scaled to length one.
pub struct QueryVector {
    exact: Vec<f32>,
    bytes: Vec<i8>,
    scale: f32,
    /// Length of what quantisation took away.
    rounding: f32,
}

impl QueryVector {
    /// Scales a vector to length one.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where a value is not a finite number.
    pub fn new(vector: &[f32]) -> Result<Self, Error> {
        let mut exact = vector.to_vec();
        scale_to_unit(&mut exact)?;
        let mut bytes = vec![0; exact.len()];
        let scale = int8::quantise(&exact, &mut bytes);
        let rounding = rounding(&exact, &bytes, scale);
        Ok(Self {
            exact,
            bytes,
            scale,
            rounding,
        })
    }

    /// How many numbers it has.
    pub fn dimensions(&self) -> usize {
        self.exact.len()
    }
}

struct Block {
    exact: Vec<f32>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
}

/// The vectors of a collection.
pub(crate) struct Vectors {
    dimensions: usize,
    level: Level,
    blocks: Vec<Block>,
    /// The chunk of each row.
    slots: Vec<Slot>,
    /// The row of each chunk, [`NO_ROW`] where it has no vector.
    rows: Vec<u32>,
    /// The largest length of what quantisation took away from a row, of all that ever were.
    rounding_max: f32,
}

const NO_ROW: u32 = u32::MAX;

impl Vectors {
    pub(crate) fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            level: Level::best(),
            blocks: Vec::new(),
            slots: Vec::new(),
            rows: Vec::new(),
            rounding_max: 0.0,
        }
    }

    /// Sets the vector of a chunk, scaled to length one.
    pub(crate) fn put(&mut self, slot: Slot, vector: &[f32]) -> Result<(), Error> {
        self.check_dimensions(vector.len())?;
        let row = match self.row_of(slot) {
            Some(row) => row,
            None => self.append_row(slot),
        };
        let (block, row) = (&mut self.blocks[row / BLOCK_ROWS], row % BLOCK_ROWS);
        let range = row * self.dimensions..(row + 1) * self.dimensions;
        let exact = &mut block.exact[range.clone()];
        exact.copy_from_slice(vector);
        let finite = scale_to_unit(exact);
        let bytes = &mut block.bytes[range];
        block.scales[row] = int8::quantise(exact, bytes);
        self.rounding_max = self
            .rounding_max
            .max(rounding(exact, bytes, block.scales[row]));
        if finite.is_err() {
            self.delete(slot);
        }
        finite
    }

    /// Removes the vector of a chunk, if it has one. The last row takes its place.
    pub(crate) fn delete(&mut self, slot: Slot) {
        let Some(row) = self.row_of(slot) else {
            return;
        };
        let last = self.slots.len() - 1;
        if row != last {
            let moved = self.slots[last];
            self.copy_row(last, row);
            self.slots[row] = moved;
            self.rows[moved.index()] = self.rows[slot.index()];
        }
        self.rows[slot.index()] = NO_ROW;
        self.slots.pop();
        let block = self.blocks.last_mut().expect("a row lies in a block");
        block.exact.truncate(block.exact.len() - self.dimensions);
        block.bytes.truncate(block.bytes.len() - self.dimensions);
        block.scales.pop();
        if block.scales.is_empty() {
            self.blocks.pop();
        }
    }

    /// How many chunks have a vector.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The chunk of each row, in the order of scanned scores.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The vector of a chunk.
    pub(crate) fn get(&self, slot: Slot) -> Option<&[f32]> {
        let row = self.row_of(slot)?;
        let start = row % BLOCK_ROWS * self.dimensions;
        Some(&self.blocks[row / BLOCK_ROWS].exact[start..start + self.dimensions])
    }

    /// The exact cosine of a chunk's vector with the query.
    pub(crate) fn cosine(&self, slot: Slot, query: &QueryVector) -> Option<f32> {
        self.get(slot).map(|vector| dot(vector, &query.exact))
    }

    pub(crate) fn check_dimensions(&self, found: usize) -> Result<(), Error> {
        if found == self.dimensions {
            Ok(())
        } else {
            Err(Error::Dimensions {
                found,
                expected: self.dimensions,
            })
        }
    }

    /// Approximate cosines of the rows `rows`, which several threads may scan part by part.
    ///
    /// # Panics
    /// If `scores` is not as long as the range, or the query has other dimensions.
    pub(crate) fn scan(
        &self,
        query: &QueryVector,
        rows: Range<usize>,
        allowed: Option<&Allowed>,
        scores: &mut [f32],
    ) {
        assert_eq!(rows.len(), scores.len(), "one score a row");
        assert_eq!(
            query.exact.len(),
            self.dimensions,
            "a query of the collection's dimensions"
        );
        let mut products = [0i32; BLOCK_ROWS];
        let (mut row, mut scores) = (rows.start, scores);
        while row < rows.end {
            let first = row % BLOCK_ROWS;
            let count = (BLOCK_ROWS - first).min(rows.end - row);
            let (of_block, rest) = scores.split_at_mut(count);
            let slots = &self.slots[row..row + count];
            if allowed.is_none_or(|allowed| slots.iter().any(|&slot| allowed.contains(slot))) {
                let block = &self.blocks[row / BLOCK_ROWS];
                let bytes =
                    &block.bytes[first * self.dimensions..(first + count) * self.dimensions];
                int8::dot_rows(self.level, &query.bytes, bytes, &mut products[..count]);
                let scales = &block.scales[first..first + count];
                for ((score, &product), &scale) in of_block.iter_mut().zip(&products).zip(scales) {
                    *score = product as f32 * scale * query.scale;
                }
                if let Some(allowed) = allowed {
                    for (score, &slot) in of_block.iter_mut().zip(slots) {
                        if !allowed.contains(slot) {
                            *score = NOT_ALLOWED;
                        }
                    }
                }
            } else {
                of_block.fill(NOT_ALLOWED);
            }
            row += count;
            scores = rest;
        }
    }

    /// The `count` chunks nearest to a query with their exact cosines, nearest first.
    pub(crate) fn nearest(
        &self,
        query: &QueryVector,
        count: usize,
        allowed: Option<&Allowed>,
        catalogue: &Catalogue,
    ) -> Vec<(Slot, f32)> {
        let mut scores = vec![0.0; self.len()];
        self.scan(query, 0..scores.len(), allowed, &mut scores);
        let rows = self
            .contenders(&scores, count, query)
            .into_iter()
            .map(|row| self.slots[row]);
        let mut nearest: Vec<(Slot, f32)> = rows
            .filter_map(|slot| Some((slot, self.cosine(slot, query)?)))
            .collect();
        nearest.sort_unstable_by(|a, b| top::compare(*a, *b, catalogue));
        nearest.truncate(count);
        nearest
    }

    /// The rows that may be among the `count` best of a scan, however their scores were rounded.
    pub(crate) fn contenders(
        &self,
        scores: &[f32],
        count: usize,
        query: &QueryVector,
    ) -> Vec<usize> {
        let Some(threshold) = top::nth_highest(scores, count) else {
            return Vec::new();
        };
        // |q·x - q'·x'| <= |q||x - x'| + |q - q'||x'|, and two scores are compared.
        let error = self.rounding_max + query.rounding * (1.0 + self.rounding_max);
        // Rows that the filter leaves out lie below any number.
        let threshold = (threshold - 2.0 * error).max(f32::MIN);
        let rows = scores
            .iter()
            .enumerate()
            .filter(|&(_, &score)| score >= threshold);
        rows.map(|(row, _)| row).collect()
    }

    /// The row of a chunk's vector.
    pub(crate) fn row_of(&self, slot: Slot) -> Option<usize> {
        self.rows
            .get(slot.index())
            .copied()
            .filter(|&row| row != NO_ROW)
            .map(|row| row as usize)
    }

    fn append_row(&mut self, slot: Slot) -> usize {
        let row = self.slots.len();
        if row.is_multiple_of(BLOCK_ROWS) {
            self.blocks.push(Block {
                exact: Vec::with_capacity(BLOCK_ROWS * self.dimensions),
                bytes: Vec::with_capacity(BLOCK_ROWS * self.dimensions),
                scales: Vec::with_capacity(BLOCK_ROWS),
            });
        }
        let block = self
            .blocks
            .last_mut()
            .expect("a block was pushed for the first row");
        block.exact.resize(block.exact.len() + self.dimensions, 0.0);
        block.bytes.resize(block.bytes.len() + self.dimensions, 0);
        block.scales.push(0.0);
        self.slots.push(slot);
        if self.rows.len() <= slot.index() {
            self.rows.resize(slot.index() + 1, NO_ROW);
        }
        self.rows[slot.index()] = u32::try_from(row).expect("fewer than 2^32 vectors");
        row
    }

    fn copy_row(&mut self, from: usize, to: usize) {
        let at = |row: usize| {
            row % BLOCK_ROWS * self.dimensions..(row % BLOCK_ROWS + 1) * self.dimensions
        };
        let (source, target) = (at(from), at(to));
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
fn scale_to_unit(vector: &mut [f32]) -> Result<(), Error> {
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

/// The length of the difference between a vector and its quantised form.
fn rounding(exact: &[f32], bytes: &[i8], scale: f32) -> f32 {
    let squared: f32 = exact
        .iter()
        .zip(bytes)
        .map(|(value, &byte)| (value - scale * f32::from(byte)).powi(2))
        .sum();
    squared.sqrt()
}

/// The dot product, summed in a fixed order in lanes that the compiler can keep in registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a, a_tail) = a.as_chunks::<LANES>();
    let (b, b_tail) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let tail: f32 = a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests;
