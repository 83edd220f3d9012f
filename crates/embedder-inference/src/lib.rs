//! Text in, vectors out: sentence encoders of the BERT family on the CPU.
//!
//! A model is a sentence-transformers folder, delivered by a [`ModelFiles`]. Its files say everything about it: sizes,
//! pooling, prompts, maximum length. What they ask for and this crate does not do is refused by name, never guessed.
//!
//! ```no_run
//! use embedder_inference::{Encoder, InputKind, Level, ModelFiles, Workspace};
//!
//! fn vectors(files: &dyn ModelFiles, texts: &[&str]) -> Result<Vec<f32>, embedder_inference::ModelError> {
//!     let encoder = Encoder::load(files, Level::best())?;
//!     let tokens: Vec<_> = texts.iter().map(|text| encoder.tokenize(text, InputKind::Document)).collect();
//!     Ok(encoder.encode(&mut Workspace::new(), &tokens))
//! }
//! ```
//!
//! Guarantees:
//! * A text's vector has the same bits alone or in any batch. Levels may differ from each other in the last bits.
//! * Texts are truncated deterministically and say so; any text can be tokenised.
//! * [`Fingerprint`] changes with everything that changes vectors.
//! * Nothing here touches a file, the network, the environment or a clock, or starts a thread.
//!
//! Texts of a batch are laid end to end without padding and pass through all layers in chunks small enough for the
//! second-level cache, so a batch of unequal texts costs what its tokens cost.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod architecture;
mod attention;
mod encoder;
mod error;
mod files;
mod fingerprint;
mod layer;
mod tokenizer;
mod weights;
mod workspace;

pub use architecture::{Activation, Architecture, InputKind, Pooling, Prompts};
pub use embedder_simd::Level;
pub use encoder::Encoder;
pub use error::{IdsError, ModelError};
pub use files::ModelFiles;
pub use fingerprint::Fingerprint;
pub use tokenizer::Tokens;
pub use workspace::Workspace;
