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

/// Says whether a wait should end.
pub(crate) type Stops<'a> = &'a (dyn Fn() -> bool + Sync);

/// Makes vectors of documents.
pub trait EmbedDocuments: Send + Sync {
    /// Returns the identity of everything that decides a vector.
    fn fingerprint(&self) -> &str;

    /// Returns what it is called.
    fn name(&self) -> &str;

    /// Returns the length of a vector.
    fn dimensions(&self) -> usize;

    /// Returns how many texts a thread should be given at a time.
    fn texts_at_a_time(&self) -> usize;

    /// Returns how many of these texts, from the first on, it takes at once; at least one where there is one.
    fn fit(&self, texts: &[String]) -> usize {
        texts.len()
    }

    /// Returns how many threads can make it work at once.
    fn threads_max(&self) -> usize;

    /// Returns the vectors of texts that it takes at once. `workspace` is of one thread and used again. It waits for its
    /// turn, however long that takes, as long as `stops` does not say otherwise.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::error::Error::Interrupted) where it was stopped, or is ending;
    /// [`Error::Busy`](crate::error::Error::Busy) where it has no time. Any other may be that of the texts:
    /// [`EmbedDocuments::check`] tells.
    fn embed(
        &self,
        workspace: &mut Workspace,
        texts: &[String],
        stops: Stops<'_>,
    ) -> Result<EmbeddedTexts>;

    /// Sees whether it works at all, by a text that anything takes.
    ///
    /// # Errors
    /// Why it does not.
    fn check(&self, workspace: &mut Workspace, stops: Stops<'_>) -> Result<()>;
}

/// Texts that the model of this machine is given at a time: long enough to amortise the hand-over, short enough that Ctrl-C
/// is answered within a fraction of a second.
const TEXTS_AT_A_TIME: usize = 16;

/// What any model takes.
const HARMLESS: &str = "a word";

/// Makes vectors of tokens.
type Encode<'a> = Box<
    dyn Fn(&Embedder, &mut Workspace, Vec<Tokens>, Stops<'_>) -> Result<Vec<f32>>
        + Send
        + Sync
        + 'a,
>;

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

    fn texts_at_a_time(&self) -> usize {
        TEXTS_AT_A_TIME
    }

    fn threads_max(&self) -> usize {
        usize::MAX
    }

    fn embed(
        &self,
        workspace: &mut Workspace,
        texts: &[String],
        stops: Stops<'_>,
    ) -> Result<EmbeddedTexts> {
        let tokens: Vec<Tokens> = texts
            .iter()
            .map(|text| self.embedder.tokenize(text, InputKind::Document))
            .collect();
        let truncated = tokens.iter().filter(|tokens| tokens.truncated).count() as u64;
        let numbers = (self.encode)(&self.embedder, workspace, tokens, stops)?;
        Ok(EmbeddedTexts { numbers, truncated })
    }

    fn check(&self, workspace: &mut Workspace, stops: Stops<'_>) -> Result<()> {
        self.embed(workspace, &[HARMLESS.to_owned()], stops)
            .map(drop)
    }
}
