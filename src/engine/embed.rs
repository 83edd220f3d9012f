//! The model at work: an encoder with the name it goes by.

pub mod batcher;

use std::path::{Path, PathBuf};

use embedder_inference::{Encoder, IdsError, InputKind, Tokens, Workspace};
use embedder_simd::Level;

use crate::config::Config;
use crate::engine::models::{ModelFolder, ModelName, Models, PullError};
use crate::error::{Error, Result};

/// A loaded model. Shared by threads; each brings its own [`Workspace`].
pub struct Embedder {
    encoder: Encoder,
    name: String,
}

impl Embedder {
    /// Loads the model that the settings name.
    ///
    /// # Errors
    /// [`PullError::NotInstalled`] when it is not installed; [`Error::Model`] when its folder cannot be used.
    pub fn load(config: &Config) -> Result<Embedder> {
        let dir = Self::folder(config)?;
        let encoder = Encoder::load(&ModelFolder::at(&dir), Level::best()).map_err(|source| {
            Error::Model {
                dir: dir.clone(),
                source: Box::new(source),
            }
        })?;
        Ok(Embedder {
            encoder,
            name: Self::name_of(&config.model),
        })
    }

    /// Returns what a model goes by that a setting names: a folder by its own name, not by where it lies.
    pub fn name_of(model: &str) -> String {
        let folder = Path::new(model)
            .file_name()
            .filter(|_| Self::is_folder(model));
        folder.map_or_else(
            || model.to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// Whether a setting names a folder: an absolute path, or one that starts with a dot.
    pub fn is_folder(model: &str) -> bool {
        Path::new(model).is_absolute() || model.starts_with('.')
    }

    /// Returns the folder of the model that the settings name.
    ///
    /// # Errors
    /// [`PullError::NotInstalled`] when there is none.
    pub fn folder(config: &Config) -> Result<PathBuf> {
        let as_path = Path::new(&config.model);
        if Self::is_folder(&config.model) {
            return if as_path.is_dir() {
                Ok(as_path.to_owned())
            } else {
                Err(Error::PathMissing(as_path.to_owned()))
            };
        }
        let name = ModelName::parse(&config.model).map_err(PullError::from)?;
        Ok(Models::at(config.models_dir()).path_of(&name)?)
    }

    /// Returns the identity of everything that decides a vector.
    pub fn fingerprint(&self) -> &str {
        self.encoder.fingerprint().as_str()
    }

    /// Returns the name the settings gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the length of its vectors.
    pub fn dimensions(&self) -> usize {
        self.encoder.dimensions()
    }

    /// Returns how many tokens it reads of a text.
    pub fn max_tokens(&self) -> usize {
        self.encoder.max_tokens()
    }

    /// Cuts a text into tokens.
    pub fn tokenize(&self, text: &str, kind: InputKind) -> Tokens {
        self.encoder.tokenize(text, kind)
    }

    /// Completes token ids that a caller has to a text as the model reads it.
    ///
    /// # Errors
    /// Ids that are not the model's, none at all, or too many.
    pub fn tokens_of_ids(&self, ids: &[u32]) -> Result<Tokens, IdsError> {
        self.encoder.tokens_of_ids(ids)
    }

    /// Returns the vectors of texts, one after the other.
    pub fn encode(&self, workspace: &mut Workspace, texts: &[Tokens]) -> Vec<f32> {
        self.encoder.encode(workspace, texts)
    }

    /// Returns the vector of one query.
    pub fn embed_query(&self, text: &str) -> Vec<f32> {
        let tokens = self.tokenize(text, InputKind::Query);
        self.encode(&mut Workspace::default(), &[tokens])
    }
}
