//! `modules.json` and the pooling configuration: what follows the transformer.

use serde::Deserialize;

use super::Prompts;
use crate::ModelError;
use crate::files::{ModelFiles, optional_json, required_json};

const MODULES_FILE: &str = "modules.json";

/// How token states become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// The mean of all tokens, special ones included.
    Mean,
    /// The state of the first token.
    Cls,
}

/// The steps of a sentence encoder.
pub(super) struct Modules {
    /// Where the transformer's files are: empty, or a path that ends in `/`.
    pub(super) transformer_folder: String,
    pub(super) pooling: PoolingModule,
    pub(super) normalize: bool,
}

/// The pooling step with what its file demands of the other files.
pub(super) struct PoolingModule {
    pub(super) kind: Pooling,
    file: String,
    dimension: Option<usize>,
    include_prompt: bool,
}

/// One entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    /// A Python class; only its own name counts, since the package around it has moved over time.
    #[serde(rename = "type")]
    class: String,
}

impl Modules {
    /// Reads the steps. A folder without `modules.json` is a bare transformer, which the models' own library takes to
    /// mean: mean pooling, vectors as they come.
    pub(super) fn read(files: &dyn ModelFiles) -> Result<Self, ModelError> {
        let Some(modules) = optional_json::<Vec<Module>>(files, MODULES_FILE)? else {
            return Ok(Self {
                transformer_folder: String::new(),
                pooling: PoolingModule {
                    kind: Pooling::Mean,
                    file: MODULES_FILE.to_owned(),
                    dimension: None,
                    include_prompt: true,
                },
                normalize: false,
            });
        };
        let mut classes = Vec::new();
        for module in &modules {
            let class = module.class.rsplit('.').next().unwrap_or_default();
            classes.push((class, folder(&module.path)?));
        }
        match classes.as_slice() {
            [
                ("Transformer", transformer),
                ("Pooling", pooling),
                rest @ ..,
            ] if matches!(rest, [] | [("Normalize", _)]) => Ok(Self {
                transformer_folder: transformer.clone(),
                pooling: PoolingModule::read(files, format!("{pooling}config.json"))?,
                normalize: !rest.is_empty(),
            }),
            _ => Err(ModelError::Unsupported {
                file: MODULES_FILE.to_owned(),
                setting: "the modules".to_owned(),
                found: classes
                    .iter()
                    .map(|(class, _)| *class)
                    .collect::<Vec<_>>()
                    .join(" + "),
                supported: "Transformer + Pooling, or Transformer + Pooling + Normalize,"
                    .to_owned(),
            }),
        }
    }
}

/// A module's path as a prefix of file names. It may only lead down from the model folder.
fn folder(path: &str) -> Result<String, ModelError> {
    let inside = !path.contains(['\\', ':', '\0'])
        && path.split('/').all(|part| part != "..")
        && !path.starts_with('/');
    if !inside {
        let reason = format!("the path {path:?} leads out of the model folder");
        return Err(ModelError::Malformed {
            file: MODULES_FILE.to_owned(),
            reason,
        });
    }
    let path = path.trim_end_matches('/');
    Ok(if path.is_empty() || path == "." {
        String::new()
    } else {
        format!("{path}/")
    })
}

/// A pooling module's `config.json`. Absent modes are off.
#[derive(Deserialize)]
struct PoolingConfig {
    word_embedding_dimension: Option<usize>,
    /// How newer folders name the mode; older ones have a switch for each.
    pooling_mode: Option<String>,
    include_prompt: Option<bool>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

impl PoolingConfig {
    /// The names of the modes that are on, such as `mean_tokens`.
    fn modes(&self) -> Vec<&str> {
        let switches = self
            .rest
            .iter()
            .filter(|(_, value)| value.as_bool() == Some(true));
        let switched = switches.filter_map(|(key, _)| key.strip_prefix("pooling_mode_"));
        self.pooling_mode
            .as_deref()
            .into_iter()
            .chain(switched)
            .collect()
    }
}

impl PoolingModule {
    fn read(files: &dyn ModelFiles, file: String) -> Result<Self, ModelError> {
        let config: PoolingConfig = required_json(files, &file)?;
        let kind = match config.modes().as_slice() {
            ["mean" | "mean_tokens"] => Pooling::Mean,
            ["cls" | "cls_token"] => Pooling::Cls,
            modes => {
                let found = if modes.is_empty() {
                    "none".to_owned()
                } else {
                    modes.join(" + ")
                };
                let (setting, supported) = ("pooling_mode".to_owned(), "mean or cls".to_owned());
                return Err(ModelError::Unsupported {
                    file,
                    setting,
                    found,
                    supported,
                });
            }
        };
        let include_prompt = config.include_prompt.unwrap_or(true);
        Ok(Self {
            kind,
            file,
            dimension: config.word_embedding_dimension,
            include_prompt,
        })
    }

    /// Refuses a pooling step that was made for another transformer.
    pub(super) fn check_dimension(&self, hidden: usize) -> Result<(), ModelError> {
        match self.dimension {
            Some(dimension) if dimension != hidden => Err(ModelError::Malformed {
                file: self.file.clone(),
                reason: format!(
                    "word_embedding_dimension is {dimension}, the transformer's hidden size {hidden}"
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a mean that must leave the prompt's tokens out.
    pub(super) fn check_prompts(&self, prompts: &Prompts) -> Result<(), ModelError> {
        if self.include_prompt || (prompts.query.is_empty() && prompts.document.is_empty()) {
            return Ok(());
        }
        Err(ModelError::Unsupported {
            file: self.file.clone(),
            setting: "include_prompt".to_owned(),
            found: "false".to_owned(),
            supported: "true".to_owned(),
        })
    }
}
