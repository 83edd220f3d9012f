//! The vectors of the chunks, scanned exactly.
//!
//! Every vector is kept twice: as bytes, which a scan reads from end to end, and as `f32`, from which the cosines of the
//! best are computed anew. How far a byte scan can be wrong is known, so every row that may be among the best is rescored and the
//! result is exact; nothing has to be built or kept on disk.
//!
//! Rows lie in blocks, and a block without a chunk that the filter allows is skipped.

mod rows;

use std::ops::Range;

use embedder_simd::{Level, int8};

use crate::{
    allowed::Allowed,
    catalogue::{Catalogue, Slot},
    chunk::ChunkId,
    error::Error,
    top,
};
use rows::{BLOCK_ROWS, Rows, scale_to_unit};

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

/// Vectors by chunk, made ready apart from the collection that will
/// [take](crate::Collection::set_vectors) them: reading and quantising a hundred thousand takes as long as loading all
/// else, and can be done beside it.
pub struct VectorSet {
    rows: Rows,
    ids: Vec<ChunkId>,
}

impl VectorSet {
    /// No vectors yet; those to come have `dimensions` numbers.
    pub fn new(dimensions: usize) -> Self {
        Self {
            rows: Rows::new(dimensions),
            ids: Vec::new(),
        }
    }

    /// Adds the vector of a chunk, scaled to length one. Of several for one chunk the last counts.
    ///
    /// # Errors
    /// [`Error::Dimensions`] and [`Error::NotFinite`] where it is no vector of this set, which stays as it was.
    pub fn push(&mut self, id: ChunkId, vector: &[f32]) -> Result<(), Error> {
        self.rows.check_dimensions(vector.len())?;
        let row = self.rows.len();
        self.rows.push_empty();
        if let Err(error) = self.rows.set(row, vector) {
            self.rows.swap_remove(row);
            return Err(error);
        }
        self.ids.push(id);
        Ok(())
    }
}

/// The vectors of a collection.
pub(crate) struct Vectors {
    level: Level,
    rows: Rows,
    /// The chunk of each row.
    slots: Vec<Slot>,
    /// The row of each chunk, [`NO_ROW`] where it has no vector.
    row_of: Vec<u32>,
}

const NO_ROW: u32 = u32::MAX;

impl Vectors {
    pub(crate) fn new(dimensions: usize) -> Self {
        Self {
            level: Level::best(),
            rows: Rows::new(dimensions),
            slots: Vec::new(),
            row_of: Vec::new(),
        }
    }

    /// Takes prepared vectors; those of chunks that are not in the catalogue are dropped.
    pub(crate) fn of(set: VectorSet, catalogue: &Catalogue) -> Self {
        let mut vectors = Self {
            level: Level::best(),
            rows: set.rows,
            slots: Vec::with_capacity(set.ids.len()),
            row_of: vec![NO_ROW; catalogue.slots_len()],
        };
        let mut superfluous = Vec::new();
        for (row, id) in set.ids.into_iter().enumerate() {
            let slot = catalogue.slot(id).unwrap_or(Slot::NONE);
            vectors.slots.push(slot);
            if slot == Slot::NONE {
                superfluous.push(row);
                continue;
            }
            superfluous.extend(vectors.row_of(slot));
            vectors.row_of[slot.index()] = row_number(row);
        }
        // From the last to the first, so that what takes the place of a row is never superfluous itself.
        superfluous.sort_unstable();
        for row in superfluous.into_iter().rev() {
            vectors.remove_row(row);
        }
        vectors
    }

    /// Sets the vector of a chunk, scaled to length one.
    pub(crate) fn put(&mut self, slot: Slot, vector: &[f32]) -> Result<(), Error> {
        self.check_dimensions(vector.len())?;
        let row = match self.row_of(slot) {
            Some(row) => row,
            None => self.append_row(slot),
        };
        let finite = self.rows.set(row, vector);
        if finite.is_err() {
            self.delete(slot);
        }
        finite
    }

    /// Removes the vector of a chunk, if it has one. The last row takes its place.
    pub(crate) fn delete(&mut self, slot: Slot) {
        if let Some(row) = self.row_of(slot) {
            self.row_of[slot.index()] = NO_ROW;
            self.remove_row(row);
        }
    }

    /// Removes a row that no chunk points to any more.
    fn remove_row(&mut self, row: usize) {
        self.rows.swap_remove(row);
        self.slots.swap_remove(row);
        if let Some(&moved) = self.slots.get(row) {
            self.row_of[moved.index()] = row_number(row);
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
        Some(self.rows.exact(self.row_of(slot)?))
    }

    /// The exact cosine of a chunk's vector with the query.
    pub(crate) fn cosine(&self, slot: Slot, query: &QueryVector) -> Option<f32> {
        self.get(slot).map(|vector| dot(vector, &query.exact))
    }

    pub(crate) fn check_dimensions(&self, found: usize) -> Result<(), Error> {
        self.rows.check_dimensions(found)
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
            self.rows.dimensions(),
            "a query of the collection's dimensions"
        );
        let mut products = [0i32; BLOCK_ROWS];
        let (mut row, mut scores) = (rows.start, scores);
        while row < rows.end {
            let count = (BLOCK_ROWS - row % BLOCK_ROWS).min(rows.end - row);
            let (of_block, rest) = scores.split_at_mut(count);
            let slots = &self.slots[row..row + count];
            if allowed.is_none_or(|allowed| slots.iter().any(|&slot| allowed.contains(slot))) {
                let (bytes, scales) = self.rows.bytes(row..row + count);
                int8::dot_rows(self.level, &query.bytes, bytes, &mut products[..count]);
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
        let rounding_max = self.rows.rounding_max();
        let error = rounding_max + query.rounding * (1.0 + rounding_max);
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
        self.row_of
            .get(slot.index())
            .copied()
            .filter(|&row| row != NO_ROW)
            .map(|row| row as usize)
    }

    fn append_row(&mut self, slot: Slot) -> usize {
        let row = self.slots.len();
        self.rows.push_empty();
        self.slots.push(slot);
        if self.row_of.len() <= slot.index() {
            self.row_of.resize(slot.index() + 1, NO_ROW);
        }
        self.row_of[slot.index()] = row_number(row);
        row
    }
}

fn row_number(row: usize) -> u32 {
    u32::try_from(row).expect("fewer than 2^32 vectors")
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
