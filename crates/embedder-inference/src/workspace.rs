//! The memory that one thread needs to encode.

use embedder_simd::Panels;

/// Buffers that are reused from call to call, so that encoding allocates nothing but its result once they have grown.
///
/// One thread uses one; it fits every encoder and keeps nothing from one call to the next that could show in a result.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Token states, a padded row each.
    pub(crate) states: Vec<f32>,
    /// Queries, keys and values of all heads, side by side.
    pub(crate) projections: Vec<f32>,
    /// What attention found, head by head.
    pub(crate) context: Vec<f32>,
    /// Between the two halves of a feed-forward step, for one block of rows.
    pub(crate) intermediate: Vec<f32>,
    pub(crate) attention: AttentionBuffers,
}

/// What attention needs for one head of one text.
#[derive(Debug, Default)]
pub(crate) struct AttentionBuffers {
    pub(crate) keys: Panels,
    pub(crate) values: Panels,
    pub(crate) scores: Vec<f32>,
    pub(crate) reciprocals: Vec<f32>,
}

impl Workspace {
    /// Empty buffers; they grow with the first texts.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The first `len` numbers of a buffer, which grows when it has fewer. They hold whatever was there before.
pub(crate) fn first_numbers(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}
