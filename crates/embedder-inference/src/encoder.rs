//! The whole model: text in, vectors out.

use std::fmt;
use std::ops::Range;

use embedder_simd::{LayerNorm, Level, MatrixMut, accumulate, l2_normalize, padded};

use crate::architecture::{Architecture, InputKind, Pooling};
use crate::files::{self, ModelFiles};
use crate::layer::{Layer, load_norm};
use crate::tokenizer::{Tokenizer, Tokens};
use crate::weights::Weights;
use crate::workspace::{Workspace, first_numbers};
use crate::{Fingerprint, IdsError, ModelError};

/// Texts pass through all layers in chunks of at most so many tokens (a longer text alone): the activations of a chunk
/// stay in a second-level cache of a mebibyte.
const CHUNK_TOKENS: usize = 256;

/// A loaded model. It is read-only and shared by threads; each brings its own [`Workspace`].
pub struct Encoder {
    architecture: Architecture,
    fingerprint: Fingerprint,
    level: Level,
    tokenizer: Tokenizer,
    /// One row for each token of the vocabulary.
    word_embeddings: Vec<f32>,
    /// One row for each position, the embedding of the first token type already added.
    position_embeddings: Vec<f32>,
    embedding_norm: LayerNorm,
    layers: Vec<Layer>,
}

impl Encoder {
    /// Loads a model folder and packs its weights for `level`.
    ///
    /// # Errors
    /// Says which file or tensor is missing, damaged or asks for what is not supported.
    pub fn load(files: &dyn ModelFiles, level: Level) -> Result<Self, ModelError> {
        let architecture = Architecture::read(files)?;
        let tokenizer_file = format!("{}tokenizer.json", architecture.folder);
        let weights_file = format!("{}model.safetensors", architecture.folder);
        let tokenizer_bytes = files::required(files, &tokenizer_file)?;
        let tokenizer = Tokenizer::parse(&tokenizer_file, &tokenizer_bytes, &architecture)?;
        let weights_bytes = files::required(files, &weights_file)?;
        let weights = Weights::parse(&weights_file, &weights_bytes)?;

        let Architecture {
            hidden,
            vocabulary,
            positions,
            token_types,
            ..
        } = architecture;
        let word_embeddings =
            weights.tensor("embeddings.word_embeddings.weight", &[vocabulary, hidden])?;
        let mut position_embeddings = weights.tensor(
            "embeddings.position_embeddings.weight",
            &[positions, hidden],
        )?;
        let type_embeddings = weights.tensor(
            "embeddings.token_type_embeddings.weight",
            &[token_types, hidden],
        )?;
        for row in position_embeddings.chunks_exact_mut(hidden) {
            accumulate(row, &type_embeddings[..hidden]);
        }
        let layer = |index| Layer::load(&weights, index, &architecture);
        Ok(Self {
            fingerprint: Fingerprint::new(&architecture, &weights_bytes, &tokenizer_bytes),
            level,
            tokenizer,
            word_embeddings,
            position_embeddings,
            embedding_norm: load_norm(&weights, "embeddings.LayerNorm", &architecture)?,
            layers: (0..architecture.layers)
                .map(layer)
                .collect::<Result<_, _>>()?,
            architecture,
        })
    }

    /// Numbers in a vector.
    pub fn dimensions(&self) -> usize {
        self.architecture.hidden
    }

    /// The longest text in tokens, special ones included; longer ones are truncated.
    pub fn max_tokens(&self) -> usize {
        self.architecture.max_tokens
    }

    /// What tells this model's vectors from others.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// What the model's files say of it.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The instruction set that it runs on.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Turns a text into tokens: prompt, text, special tokens, cut at [`Encoder::max_tokens`].
    ///
    /// Any text will do, of any length; the empty one has the special tokens alone.
    pub fn tokenize(&self, text: &str, kind: InputKind) -> Tokens {
        self.tokenizer.tokenize(text, kind)
    }

    /// Takes a text as ids of the model's own tokenizer. The special tokens of each end are added unless they are there;
    /// no prompt is.
    ///
    /// # Errors
    /// [`IdsError`] when there are no ids, more than [`Encoder::max_tokens`] with the special ones, or one that is not
    /// in the model's vocabulary. Nothing is cut off.
    pub fn tokens_of_ids(&self, ids: &[u32]) -> Result<Tokens, IdsError> {
        self.tokenizer.tokens_of_ids(ids)
    }

    /// Encodes texts into vectors of [`Encoder::dimensions`] numbers, one after the other, of length one when the model
    /// normalises.
    ///
    /// A text's vector has the same bits alone or among others, in any order. All texts are encoded before the call
    /// returns; a caller that wants to stop early gives few at a time.
    ///
    /// # Panics
    /// When a text has no tokens, or tokens or a length that the model does not have: [`Encoder::tokenize`] and
    /// [`Encoder::tokens_of_ids`] of the same encoder return no such text.
    pub fn encode(&self, workspace: &mut Workspace, texts: &[Tokens]) -> Vec<f32> {
        let mut vectors = vec![0.0; texts.len() * self.dimensions()];
        let mut first = 0;
        while first < texts.len() {
            let end = chunk_end(texts, first);
            let out = &mut vectors[first * self.dimensions()..end * self.dimensions()];
            self.encode_chunk(workspace, &texts[first..end], out);
            first = end;
        }
        vectors
    }

    fn encode_chunk(&self, workspace: &mut Workspace, texts: &[Tokens], vectors: &mut [f32]) {
        let mut end = 0;
        let rows: Vec<Range<usize>> = texts
            .iter()
            .map(|text| {
                let start = end;
                end += text.ids.len();
                start..end
            })
            .collect();
        self.embed(workspace, texts, end);
        for layer in &self.layers {
            layer.forward(self.level, workspace, &rows);
        }
        for (rows, vector) in rows
            .into_iter()
            .zip(vectors.chunks_exact_mut(self.dimensions()))
        {
            self.pool(&workspace.states, rows, vector);
        }
    }

    /// Fills the states with the normalised sum of word, position and type embeddings.
    fn embed(&self, workspace: &mut Workspace, texts: &[Tokens], rows: usize) {
        let (hidden, stride) = (self.architecture.hidden, padded(self.architecture.hidden));
        let states = first_numbers(&mut workspace.states, rows * stride);
        let mut states_left = states.chunks_exact_mut(stride);
        for text in texts {
            assert!(!text.ids.is_empty(), "a text without tokens");
            assert!(
                text.ids.len() <= self.architecture.positions,
                "a text longer than the model has positions"
            );
            for ((&id, position), state) in text
                .ids
                .iter()
                .zip(self.position_embeddings.chunks_exact(hidden))
                .zip(&mut states_left)
            {
                let id = id as usize;
                assert!(
                    id < self.architecture.vocabulary,
                    "token {id} is not in the model's vocabulary"
                );
                state[..hidden].copy_from_slice(&self.word_embeddings[id * hidden..][..hidden]);
                accumulate(&mut state[..hidden], position);
                state[hidden..].fill(0.0);
            }
        }
        self.embedding_norm
            .apply(self.level, MatrixMut::new(states, rows, stride));
    }

    /// Turns the states of one text into its vector.
    fn pool(&self, states: &[f32], rows: Range<usize>, vector: &mut [f32]) {
        let stride = padded(self.architecture.hidden);
        let states = &states[rows.start * stride..rows.end * stride];
        match self.architecture.pooling {
            Pooling::Cls => vector.copy_from_slice(&states[..vector.len()]),
            Pooling::Mean => {
                for state in states.chunks_exact(stride) {
                    accumulate(vector, &state[..vector.len()]);
                }
                let count = rows.len() as f32;
                for value in vector.iter_mut() {
                    *value /= count;
                }
            }
        }
        if self.architecture.normalize {
            l2_normalize(vector);
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("architecture", &self.architecture)
            .field("fingerprint", &self.fingerprint)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// Where the chunk that starts at `first` ends: after one text, or as many as fit.
fn chunk_end(texts: &[Tokens], first: usize) -> usize {
    let mut tokens = texts[first].ids.len();
    let mut end = first + 1;
    while let Some(next) = texts.get(end) {
        tokens += next.ids.len();
        if tokens > CHUNK_TOKENS {
            break;
        }
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_whole_texts_up_to_their_limit() {
        let check = |lens: &[usize], expected: &[usize]| {
            let text = |&len: &usize| Tokens {
                ids: vec![0; len],
                truncated: false,
            };
            let texts: Vec<Tokens> = lens.iter().map(text).collect();
            let mut ends = Vec::new();
            while ends.last().copied().unwrap_or(0) < texts.len() {
                ends.push(chunk_end(&texts, ends.last().copied().unwrap_or(0)));
            }
            assert_eq!(ends, expected, "{lens:?}");
        };
        check(&[], &[]);
        check(&[256], &[1]);
        check(&[512, 2, 2], &[1, 3]);
        check(&[100, 100, 56, 1], &[3, 4]);
        check(&[2, 256, 2], &[1, 2, 3]);
    }

    #[test]
    fn an_encoder_is_shared_by_threads() {
        fn check<T: Send + Sync>() {}
        check::<Encoder>();
    }
}
