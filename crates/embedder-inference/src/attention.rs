//! Multi-head self-attention over the texts of a chunk.

use std::ops::Range;

use embedder_simd::{Epilogue, Level, Matrix, MatrixMut, gemm, padded, softmax_unnormalised};

use crate::workspace::{AttentionBuffers, first_numbers};

/// How many queries are scored at a time: their scores of up to 256 keys, and one head's keys and values, stay in the
/// nearest caches.
const QUERY_ROWS: usize = 48;

/// The shape of attention, and how rows of queries, keys, values and context are laid out: a head's numbers are padded to
/// whole blocks, the heads lie side by side, and a row of projections is all queries, then all keys, then all values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    pub(crate) head_size: usize,
}

impl Attention {
    /// The length of a row of context, and of each third of a row of projections.
    pub(crate) fn width(self) -> usize {
        self.heads * padded(self.head_size)
    }

    /// Lets every token of a text look at every token of the same text. `projections` and `context` hold the rows of all
    /// texts; `rows` are those of this one.
    pub(crate) fn apply(
        self,
        level: Level,
        projections: &[f32],
        rows: &Range<usize>,
        context: &mut [f32],
        buffers: &mut AttentionBuffers,
    ) {
        let (len, width, stride) = (rows.len(), self.width(), 3 * self.width());
        let projections = &projections[rows.start * stride..rows.end * stride];
        let context = &mut context[rows.start * width..rows.end * width];
        let scores_width = padded(len);
        let scale = 1.0 / (self.head_size as f32).sqrt();
        let scores = first_numbers(&mut buffers.scores, QUERY_ROWS * scores_width);
        let reciprocals = first_numbers(&mut buffers.reciprocals, QUERY_ROWS);

        for head in (0..width).step_by(padded(self.head_size)) {
            let part = |third: usize| {
                Matrix::strided(
                    &projections[third * width + head..],
                    len,
                    self.head_size,
                    stride,
                )
            };
            buffers.keys.set_columns(part(1));
            buffers.values.set_rows(part(2));
            for first in (0..len).step_by(QUERY_ROWS) {
                let block = QUERY_ROWS.min(len - first);
                let queries = &projections[first * stride + head..];
                let queries = Matrix::strided(queries, block, self.head_size, stride);
                let block_scores =
                    MatrixMut::new(&mut scores[..block * scores_width], block, scores_width);
                gemm(level, queries, &buffers.keys, Epilogue::Store, block_scores);
                for (row, reciprocal) in scores
                    .chunks_exact_mut(scores_width)
                    .zip(&mut reciprocals[..block])
                {
                    *reciprocal = 1.0 / softmax_unnormalised(level, row, len, scale);
                }
                let weights = Matrix::strided(scores, block, len, scores_width);
                let out = &mut context[first * width + head..];
                let out = MatrixMut::strided(out, block, padded(self.head_size), width);
                gemm(
                    level,
                    weights,
                    &buffers.values,
                    Epilogue::ScaleRows(&reciprocals[..block]),
                    out,
                );
            }
        }
    }
}
