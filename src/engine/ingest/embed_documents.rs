//! What makes vectors of documents: the model of this machine, or a provider elsewhere.

use std::sync::Arc;

use embedder_inference::{InputKind, Tokens, Workspace};

use crate::engine::embed::Embedder;
use crate::error::Result;

/// Vectors of texts.
pub struct EmbeddedTexts {
    /// One after the other.
    pub numbers: Vec<f32>,
    /// How many of the texts were cut.
    pub truncated: u64,
}

/// Makes vectors of documents.
pub trait EmbedDocuments: Send + Sync {
    /// Returns the identity of everything that decides a vector.
    fn fingerprint(&self) -> &str;

    /// Returns what it is called.
    fn name(&self) -> &str;

    /// Returns the length of a vector.
    fn dimensions(&self) -> usize;

    /// Returns the vectors of texts. `workspace` is of one thread and used again.
    ///
    /// # Errors
    /// An encoder or a provider that fails, or is ending.
    fn embed(&self, workspace: &mut Workspace, texts: &[String]) -> Result<EmbeddedTexts>;
}

/// Makes vectors of tokens.
type Encode<'a> =
    Box<dyn Fn(&Embedder, &mut Workspace, Vec<Tokens>) -> Result<Vec<f32>> + Send + Sync + 'a>;

/// The model of this machine.
pub(crate) struct LocalDocuments<'a> {
    embedder: Arc<Embedder>,
    encode: Encode<'a>,
}

impl<'a> LocalDocuments<'a> {
    /// A model, and how it is made to encode: at once, or by the threads of a server.
    pub(crate) fn new(embedder: Arc<Embedder>, encode: Encode<'a>) -> LocalDocuments<'a> {
        LocalDocuments { embedder, encode }
    }
}

impl EmbedDocuments for LocalDocuments<'_> {
    fn fingerprint(&self) -> &str {
        self.embedder.fingerprint()
    }

    fn name(&self) -> &str {
        self.embedder.name()
    }

    fn dimensions(&self) -> usize {
        self.embedder.dimensions()
    }

    fn embed(&self, workspace: &mut Workspace, texts: &[String]) -> Result<EmbeddedTexts> {
        let tokens: Vec<Tokens> = texts
            .iter()
            .map(|text| self.embedder.tokenize(text, InputKind::Document))
            .collect();
        let truncated = tokens.iter().filter(|tokens| tokens.truncated).count() as u64;
        let numbers = (self.encode)(&self.embedder, workspace, tokens)?;
        Ok(EmbeddedTexts { numbers, truncated })
    }
}
