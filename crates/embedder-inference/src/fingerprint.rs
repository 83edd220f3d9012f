//! What tells the vectors of one model from those of another.

use std::fmt;

use crate::{Architecture, Pooling};

/// The identity of an encoder's vectors, as 64 hexadecimal digits: two encoders with the same fingerprint turn the same
/// text into the same vector, up to the rounding of their level's arithmetic.
///
/// It covers weights, tokenizer, prompts, pooling, normalisation, maximum length and precision class, and nothing else:
/// where the files are and what they are called does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

/// The class of arithmetic: levels that differ in rounding alone share it, narrower types would not.
const PRECISION: &str = "f32";

/// Changes when the same files would yield other vectors because this crate reads them otherwise.
const GENERATION: &str = "embedder-inference fingerprint 1";

impl Fingerprint {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hashes everything that has a say in a vector.
    pub(crate) fn new(architecture: &Architecture, weights: &[u8], tokenizer: &[u8]) -> Self {
        // Named one by one, so that a new field has to be thought about.
        let Architecture {
            hidden,
            layers,
            heads,
            intermediate,
            vocabulary: _,
            positions: _,
            token_types: _,
            layer_norm_epsilon,
            activation,
            pooling,
            normalize,
            max_tokens,
            lowercase,
            prompts,
            folder: _,
        } = architecture;
        let pooling = match pooling {
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
        };
        let settings = format!(
            "{hidden} {layers} {heads} {intermediate} {layer_norm_epsilon:e} {activation:?} {pooling} {normalize} \
             {max_tokens} {lowercase} {PRECISION}"
        );
        let mut hasher = blake3::Hasher::new();
        let parts: [&[u8]; 6] = [
            GENERATION.as_bytes(),
            settings.as_bytes(),
            prompts.query.as_bytes(),
            prompts.document.as_bytes(),
            tokenizer,
            weights,
        ];
        for part in parts {
            // The length keeps the end of one part from being taken for the start of the next.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().to_hex().to_string())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
