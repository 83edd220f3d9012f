//! `config_sentence_transformers.json`: what is put before a text.

use std::collections::HashMap;

use serde::Deserialize;

use crate::ModelError;
use crate::files::{ModelFiles, optional_json};

const PROMPTS_FILE: &str = "config_sentence_transformers.json";

/// What a text is for. Some models are trained with different prompts for the two sides of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputKind {
    /// What someone looks for.
    Query,
    /// What is found.
    Document,
}

/// What is put before queries and documents; empty for most models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// Put before a query.
    pub query: String,
    /// Put before a document.
    pub document: String,
}

#[derive(Deserialize)]
struct SentenceTransformersConfig {
    #[serde(default)]
    prompts: HashMap<String, String>,
    default_prompt_name: Option<String>,
}

impl Prompts {
    /// The prompt for one kind of text.
    pub fn for_kind(&self, kind: InputKind) -> &str {
        match kind {
            InputKind::Query => &self.query,
            InputKind::Document => &self.document,
        }
    }

    /// Chooses prompts as the models' own library does: by the kind's name, then the default, then none.
    pub(super) fn read(files: &dyn ModelFiles) -> Result<Self, ModelError> {
        let Some(config) = optional_json::<SentenceTransformersConfig>(files, PROMPTS_FILE)? else {
            return Ok(Self::default());
        };
        let default = match &config.default_prompt_name {
            None => "",
            Some(name) => config
                .prompts
                .get(name)
                .ok_or_else(|| ModelError::Malformed {
                    file: PROMPTS_FILE.to_owned(),
                    reason: format!("there is no prompt named {name:?}, the default_prompt_name"),
                })?,
        };
        let first_of = |names: &[&str]| {
            let named = names.iter().find_map(|name| config.prompts.get(*name));
            named.map_or(default, String::as_str).to_owned()
        };
        Ok(Self {
            query: first_of(&["query"]),
            document: first_of(&["document", "passage", "corpus"]),
        })
    }
}
