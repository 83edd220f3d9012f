//! The texts that a worker encodes at a time, and where their vectors belong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use embedder_inference::Tokens;

use super::load::Load;
use super::request::Request;

/// Most tokens of a batch, unless it is a single longer text. The encoder itself passes texts through its layers in
/// chunks of so many, because the activations of a chunk fit a second-level cache: larger batches would gain nothing,
/// and their first texts would wait for the last.
pub(super) const BATCH_TOKENS: usize = 256;

/// Texts of one or more requests. A worker uses the same one again and again, so that it allocates nothing.
#[derive(Default)]
pub(super) struct Batch {
    texts: Vec<Tokens>,
    /// Where each text's vector belongs.
    places: Vec<Place>,
    tokens: usize,
    /// When the first of the requests was admitted.
    oldest: Option<Instant>,
}

struct Place {
    request: Arc<Request>,
    /// Which of the request's texts it is.
    index: usize,
}

impl Batch {
    /// Whether a text of `tokens` tokens may come in: whole, and alone if it is longer than a batch.
    pub(super) fn has_room_for(&self, tokens: usize) -> bool {
        self.texts.is_empty() || self.tokens + tokens <= BATCH_TOKENS
    }

    /// Adds the text `index` of a request that was admitted at `since`.
    pub(super) fn push(
        &mut self,
        text: Tokens,
        request: &Arc<Request>,
        index: usize,
        since: Instant,
    ) {
        self.tokens += text.ids.len();
        self.texts.push(text);
        self.places.push(Place {
            request: Arc::clone(request),
            index,
        });
        self.oldest = Some(self.oldest.map_or(since, |oldest| oldest.min(since)));
    }

    pub(super) fn texts(&self) -> &[Tokens] {
        &self.texts
    }

    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    pub(super) fn load(&self) -> Load {
        Load {
            texts: self.texts.len(),
            tokens: self.tokens,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The requests of its texts, one for each text.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.places.iter().map(|place| &*place.request)
    }

    /// How long the oldest text has waited.
    pub(super) fn longest_wait(&self, now: Instant) -> Duration {
        self.oldest.map_or(Duration::ZERO, |oldest| {
            now.saturating_duration_since(oldest)
        })
    }

    /// Hands each request the vectors of its texts.
    pub(super) fn deliver(&self, vectors: &[f32], dimensions: usize) {
        for (place, vector) in self.places.iter().zip(vectors.chunks_exact(dimensions)) {
            place.request.put(place.index, vector);
        }
    }

    /// Empties it; its memory stays.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.places.clear();
        self.tokens = 0;
        self.oldest = None;
    }
}
