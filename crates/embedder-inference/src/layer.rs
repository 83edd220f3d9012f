//! One transformer layer: attention and a feed-forward step, each added to its input and normalised.

use std::ops::Range;

use embedder_simd::{Epilogue, LayerNorm, Level, Matrix, MatrixMut, Panels, gemm, padded};

use crate::ModelError;
use crate::architecture::Architecture;
use crate::attention::Attention;
use crate::weights::Weights;
use crate::workspace::{Workspace, first_numbers};

/// How many rows pass through the output projection and the feed-forward step together. Their intermediate numbers, 1,536
/// a row in the default model, take 300 KB and so stay in the second-level cache between the two halves.
const BLOCK_ROWS: usize = 48;

/// A linear map with its bias, packed for the product.
#[derive(Debug)]
struct Linear {
    weights: Panels,
    bias: Vec<f32>,
}

impl Linear {
    /// Packs weights of one row for each output; the bias is padded to match.
    fn new(weights: &[f32], mut bias: Vec<f32>, inputs: usize) -> Self {
        let weights = Panels::from_columns(Matrix::new(weights, bias.len(), inputs));
        bias.resize(weights.padded_columns(), 0.0);
        Self { weights, bias }
    }

    fn load(
        weights: &Weights<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self, ModelError> {
        let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
        Ok(Self::new(
            &weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?,
            bias,
            inputs,
        ))
    }
}

/// The weights of one layer.
#[derive(Debug)]
pub(crate) struct Layer {
    attention: Attention,
    /// To queries, keys and values in the layout of [`Attention`].
    projections: Linear,
    /// From the context of all heads back to a state.
    output: Linear,
    output_norm: LayerNorm,
    expand: Linear,
    contract: Linear,
    feed_forward_norm: LayerNorm,
}

impl Layer {
    pub(crate) fn load(
        weights: &Weights<'_>,
        index: usize,
        architecture: &Architecture,
    ) -> Result<Self, ModelError> {
        let Architecture {
            hidden,
            intermediate,
            ..
        } = *architecture;
        let attention = Attention {
            heads: architecture.heads,
            head_size: architecture.head_size(),
        };
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        Ok(Self {
            attention,
            projections: load_projections(weights, &name("attention.self"), attention, hidden)?,
            output: load_output(weights, &name("attention.output.dense"), attention, hidden)?,
            output_norm: load_norm(weights, &name("attention.output.LayerNorm"), architecture)?,
            expand: Linear::load(weights, &name("intermediate.dense"), intermediate, hidden)?,
            contract: Linear::load(weights, &name("output.dense"), hidden, intermediate)?,
            feed_forward_norm: load_norm(weights, &name("output.LayerNorm"), architecture)?,
        })
    }

    /// Takes the states of all texts of a chunk through the layer, in place. `texts` are the rows of each.
    pub(crate) fn forward(&self, level: Level, workspace: &mut Workspace, texts: &[Range<usize>]) {
        let Workspace {
            states,
            projections,
            context,
            intermediate,
            attention,
        } = workspace;
        let rows = texts.last().map_or(0, |last| last.end);
        let (hidden, width) = (self.projections.weights.depth(), self.attention.width());
        let stride = padded(hidden);
        let states = &mut states[..rows * stride];
        let projections = first_numbers(projections, rows * 3 * width);
        let context = first_numbers(context, rows * width);

        for block in blocks(rows) {
            gemm(
                level,
                Matrix::strided(&states[block.start * stride..], block.len(), hidden, stride),
                &self.projections.weights,
                Epilogue::Bias(&self.projections.bias),
                MatrixMut::new(
                    &mut projections[block.start * 3 * width..],
                    block.len(),
                    3 * width,
                ),
            );
        }
        for text in texts {
            self.attention
                .apply(level, projections, text, context, attention);
        }
        for block in blocks(rows) {
            let states = &mut states[block.start * stride..block.end * stride];
            gemm(
                level,
                Matrix::new(&context[block.start * width..], block.len(), width),
                &self.output.weights,
                Epilogue::BiasResidual(&self.output.bias),
                MatrixMut::new(states, block.len(), stride),
            );
            self.output_norm
                .apply(level, MatrixMut::new(states, block.len(), stride));
            self.feed_forward(level, states, block.len(), intermediate);
        }
    }

    /// Expand, GELU, contract, add, normalise: for one block of states.
    fn feed_forward(
        &self,
        level: Level,
        states: &mut [f32],
        rows: usize,
        intermediate: &mut Vec<f32>,
    ) {
        let (hidden, stride) = (
            self.expand.weights.depth(),
            padded(self.expand.weights.depth()),
        );
        let (inner, inner_stride) = (
            self.contract.weights.depth(),
            padded(self.contract.weights.depth()),
        );
        let intermediate = first_numbers(intermediate, rows * inner_stride);
        gemm(
            level,
            Matrix::strided(states, rows, hidden, stride),
            &self.expand.weights,
            Epilogue::BiasGelu(&self.expand.bias),
            MatrixMut::new(intermediate, rows, inner_stride),
        );
        gemm(
            level,
            Matrix::strided(intermediate, rows, inner, inner_stride),
            &self.contract.weights,
            Epilogue::BiasResidual(&self.contract.bias),
            MatrixMut::new(states, rows, stride),
        );
        self.feed_forward_norm
            .apply(level, MatrixMut::new(states, rows, stride));
    }
}

/// The rows of each block.
fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows)
        .step_by(BLOCK_ROWS)
        .map(move |start| start..rows.min(start + BLOCK_ROWS))
}

pub(crate) fn load_norm(
    weights: &Weights<'_>,
    name: &str,
    architecture: &Architecture,
) -> Result<LayerNorm, ModelError> {
    let gain = weights.tensor(&format!("{name}.weight"), &[architecture.hidden])?;
    let bias = weights.tensor(&format!("{name}.bias"), &[architecture.hidden])?;
    Ok(LayerNorm::new(
        &gain,
        &bias,
        architecture.layer_norm_epsilon,
    ))
}

/// Queries, keys and values as one map, so that the states are read once for the three.
fn load_projections(
    weights: &Weights<'_>,
    name: &str,
    attention: Attention,
    hidden: usize,
) -> Result<Linear, ModelError> {
    let padded_head = padded(attention.head_size);
    let mut rows = vec![0.0; 3 * attention.width() * hidden];
    let mut biases = vec![0.0; 3 * attention.width()];
    for (third, part) in ["query", "key", "value"].into_iter().enumerate() {
        let matrix = weights.tensor(&format!("{name}.{part}.weight"), &[hidden, hidden])?;
        let bias = weights.tensor(&format!("{name}.{part}.bias"), &[hidden])?;
        for head in 0..attention.heads {
            let (from, to) = (
                head * attention.head_size,
                third * attention.width() + head * padded_head,
            );
            let from = from..from + attention.head_size;
            let to = to..to + attention.head_size;
            rows[to.start * hidden..to.end * hidden]
                .copy_from_slice(&matrix[from.start * hidden..from.end * hidden]);
            biases[to].copy_from_slice(&bias[from]);
        }
    }
    Ok(Linear::new(&rows, biases, hidden))
}

/// The map from the context, whose heads are padded, back to a state.
fn load_output(
    weights: &Weights<'_>,
    name: &str,
    attention: Attention,
    hidden: usize,
) -> Result<Linear, ModelError> {
    let bias = weights.tensor(&format!("{name}.bias"), &[hidden])?;
    let matrix = weights.tensor(&format!("{name}.weight"), &[hidden, hidden])?;
    let mut padded_rows = vec![0.0; hidden * attention.width()];
    let heads = padded_rows.chunks_exact_mut(padded(attention.head_size));
    for (to, from) in heads.zip(matrix.chunks_exact(attention.head_size)) {
        to[..attention.head_size].copy_from_slice(from);
    }
    Ok(Linear::new(&padded_rows, bias, attention.width()))
}
