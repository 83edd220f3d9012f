//! `config.json`: the sizes of the transformer.

use serde::Deserialize;

use crate::ModelError;
use crate::files::{ModelFiles, required_json};

/// The limits of the family with a wide margin (the largest BERT-like encoders have 2,048 numbers in 48 layers): beyond
/// them a file is damaged, and believing it would ask for absurd amounts of memory.
const HIDDEN_MAX: usize = 8_192;
const LAYERS_MAX: usize = 128;
const INTERMEDIATE_MAX: usize = 65_536;
const VOCABULARY_MAX: usize = 4_194_304;
const POSITIONS_MAX: usize = 65_536;
const TOKEN_TYPES_MAX: usize = 64;

/// What `config.json` says of a BERT model; what it says of training is passed over.
#[derive(Debug, Deserialize)]
pub(super) struct BertConfig {
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) vocab_size: usize,
    pub(super) max_position_embeddings: usize,
    #[serde(default = "default_token_types")]
    pub(super) type_vocab_size: usize,
    #[serde(default = "default_epsilon")]
    pub(super) layer_norm_eps: f32,
    #[serde(default = "default_activation")]
    hidden_act: String,
    #[serde(default = "default_positions")]
    position_embedding_type: String,
    #[serde(default)]
    is_decoder: bool,
}

// Configurations leave out what equals the defaults of the family; these are those.
fn default_token_types() -> usize {
    2
}

fn default_epsilon() -> f32 {
    1e-12
}

fn default_activation() -> String {
    "gelu".to_owned()
}

fn default_positions() -> String {
    "absolute".to_owned()
}

impl BertConfig {
    pub(super) fn read(files: &dyn ModelFiles, file: &str) -> Result<Self, ModelError> {
        // The type is looked at first: another family's file lacks fields, and "missing field" would not say why.
        let family: Family = required_json(files, file)?;
        supported(file, "model_type", &family.model_type, "bert")?;
        let config: Self = required_json(files, file)?;
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &str) -> Result<(), ModelError> {
        supported(file, "hidden_act", &self.hidden_act, "gelu")?;
        supported(
            file,
            "position_embedding_type",
            &self.position_embedding_type,
            "absolute",
        )?;
        supported(file, "is_decoder", &self.is_decoder.to_string(), "false")?;
        for (setting, found, max) in [
            ("hidden_size", self.hidden_size, HIDDEN_MAX),
            ("num_hidden_layers", self.num_hidden_layers, LAYERS_MAX),
            (
                "num_attention_heads",
                self.num_attention_heads,
                self.hidden_size,
            ),
            (
                "intermediate_size",
                self.intermediate_size,
                INTERMEDIATE_MAX,
            ),
            ("vocab_size", self.vocab_size, VOCABULARY_MAX),
            (
                "max_position_embeddings",
                self.max_position_embeddings,
                POSITIONS_MAX,
            ),
            ("type_vocab_size", self.type_vocab_size, TOKEN_TYPES_MAX),
        ] {
            if found == 0 || found > max {
                let (file, setting) = (file.to_owned(), setting.to_owned());
                return Err(ModelError::OutOfRange {
                    file,
                    setting,
                    found,
                    min: 1,
                    max,
                });
            }
        }
        let malformed = |reason| {
            Err(ModelError::Malformed {
                file: file.to_owned(),
                reason,
            })
        };
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (heads, hidden) = (self.num_attention_heads, self.hidden_size);
            return malformed(format!(
                "{heads} attention heads do not divide a hidden size of {hidden}"
            ));
        }
        if !(self.layer_norm_eps >= 0.0 && self.layer_norm_eps < 1.0) {
            return malformed(format!(
                "layer_norm_eps {} is not a small positive number",
                self.layer_norm_eps
            ));
        }
        Ok(())
    }
}

/// The one field that every family's configuration has.
#[derive(Deserialize)]
struct Family {
    model_type: String,
}

/// Refuses any value but the supported one.
fn supported(file: &str, setting: &str, found: &str, supported: &str) -> Result<(), ModelError> {
    if found == supported {
        return Ok(());
    }
    Err(ModelError::Unsupported {
        file: file.to_owned(),
        setting: setting.to_owned(),
        found: found.to_owned(),
        supported: supported.to_owned(),
    })
}
