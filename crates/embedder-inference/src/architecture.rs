//! What a model is, read from its files: sizes, pooling, prompts, length. Nothing about a model is a constant here.

mod bert_config;
mod modules;
mod prompts;

pub use modules::Pooling;
pub use prompts::{InputKind, Prompts};

use crate::ModelError;
use crate::files::{ModelFiles, optional_json};
use bert_config::BertConfig;
use modules::Modules;
use serde::Deserialize;

/// A BERT-family sentence encoder as its folder describes it. Every size has been checked against the others and against
/// named limits.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Architecture {
    /// Numbers in a token's state and in a text's vector.
    pub hidden: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads of a layer; they divide `hidden`.
    pub heads: usize,
    /// Numbers between the two halves of a feed-forward step.
    pub intermediate: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Positions that have an embedding.
    pub positions: usize,
    /// Kinds of token that have an embedding; texts use the first.
    pub token_types: usize,
    /// What is added to the variance in layer normalisation.
    pub layer_norm_epsilon: f32,
    /// The function between the two halves of a feed-forward step.
    pub activation: Activation,
    /// How token states become one vector.
    pub pooling: Pooling,
    /// Whether vectors are scaled to length one.
    pub normalize: bool,
    /// The longest text in tokens, special ones included: what the folder says, and never more than `positions`.
    pub max_tokens: usize,
    /// Whether texts are lowercased before tokenisation, beyond what the tokenizer does.
    pub lowercase: bool,
    /// What is put before queries and documents.
    pub prompts: Prompts,
    /// Where the transformer's own files are inside the folder: empty, or a path that ends in `/`.
    pub(crate) folder: String,
}

/// The function between the two halves of a feed-forward step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// x/2 · (1 + erf(x/√2)), the exact form.
    Gelu,
}

/// The part of `sentence_bert_config.json` that matters.
#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

/// The part of `tokenizer_config.json` that matters: the length limit of last resort.
#[derive(Deserialize)]
struct TokenizerConfig {
    /// Without a limit this is written as a number like 1e30.
    model_max_length: Option<f64>,
}

impl Architecture {
    /// Reads and checks the description of a model.
    ///
    /// The length limit is that of `sentence_bert_config.json`, or else of `tokenizer_config.json`, or else the number
    /// of positions.
    ///
    /// # Errors
    /// Says which file is missing, damaged or asks for what is not supported.
    pub fn read(files: &dyn ModelFiles) -> Result<Self, ModelError> {
        let modules = Modules::read(files)?;
        let folder = modules.transformer_folder;
        let config = BertConfig::read(files, &format!("{folder}config.json"))?;
        modules.pooling.check_dimension(config.hidden_size)?;
        let prompts = Prompts::read(files)?;
        modules.pooling.check_prompts(&prompts)?;

        let sentence_file = format!("{folder}sentence_bert_config.json");
        let sentence: Option<SentenceConfig> = optional_json(files, &sentence_file)?;
        let (limit, limit_file) = match sentence.as_ref().and_then(|config| config.max_seq_length) {
            Some(limit) => (Some(limit), sentence_file),
            None => {
                let file = format!("{folder}tokenizer_config.json");
                let config: Option<TokenizerConfig> = optional_json(files, &file)?;
                // A conversion from f64 saturates, which turns "no limit" into the largest number.
                (
                    config
                        .and_then(|config| config.model_max_length)
                        .map(|limit| limit as usize),
                    file,
                )
            }
        };
        let max_tokens = limit
            .unwrap_or(usize::MAX)
            .min(config.max_position_embeddings);
        if max_tokens < TOKENS_MIN {
            return Err(ModelError::OutOfRange {
                file: limit_file,
                setting: "the longest text in tokens".to_owned(),
                found: max_tokens,
                min: TOKENS_MIN,
                max: config.max_position_embeddings,
            });
        }

        Ok(Self {
            hidden: config.hidden_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            intermediate: config.intermediate_size,
            vocabulary: config.vocab_size,
            positions: config.max_position_embeddings,
            token_types: config.type_vocab_size,
            layer_norm_epsilon: config.layer_norm_eps,
            activation: Activation::Gelu,
            pooling: modules.pooling.kind,
            normalize: modules.normalize,
            max_tokens,
            lowercase: sentence.is_some_and(|config| config.do_lower_case),
            prompts,
            folder,
        })
    }

    /// Numbers in one head's part of a token's state.
    pub fn head_size(&self) -> usize {
        self.hidden / self.heads
    }
}

/// A text is at least its two special tokens and one of its own.
const TOKENS_MIN: usize = 3;
