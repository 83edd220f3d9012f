//! What an index run uses inside the server: its text index, its model, its bulk lane.

use std::sync::Arc;
use std::time::Duration;

use embedder_inference::{Tokens, Workspace};
use embedder_reliability::Timestamp;
use embedder_reliability::circuit_breaker::CircuitState;

use super::Service;
use super::live::{Commit, LiveCollection};
use super::model::fault_of;
use crate::engine::background::step_back;
use crate::engine::embed::Embedder;
use crate::engine::embed::batcher::Lane;
use crate::engine::ingest::Surroundings;
use crate::engine::ingest::embed_documents::{EmbedDocuments, LocalDocuments, Stops};
use crate::engine::ingest::lexical::TextIndex;
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::circuit::Fault;
use crate::store::{ChunkRow, CollectionId, EmbedHash, StoreWriter};

/// Longest pause before a full lane is tried again, so that the end of the server is noticed soon.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// A run over one collection, inside the server.
pub(super) struct ServerRun<'a> {
    pub(super) service: &'a Service,
    pub(super) live: &'a LiveCollection,
}

impl Surroundings for ServerRun<'_> {
    fn text_index<'a>(
        &'a self,
        _: &mut dyn StoreWriter,
        _: CollectionId,
    ) -> Result<Box<dyn TextIndex + 'a>> {
        Ok(Box::new(LiveText(self)))
    }

    fn documents(&self) -> Option<Box<dyn EmbedDocuments + '_>> {
        self.service.documents(self.live)
    }

    fn fingerprint(&self) -> Option<String> {
        Some(self.service.vectors_for(self.live)?.fingerprint)
    }

    fn fills_in_later(&self) -> bool {
        true
    }

    fn vectors_stored(&self, db: &mut dyn StoreWriter, _: CollectionId) -> Result<()> {
        let of = self.service.vectors_for(self.live);
        self.live.sync_vectors(db.store(), of.as_ref())
    }

    fn begin_worker(&self) {
        step_back();
    }

    fn is_refused(&self, fingerprint: &str, text: EmbedHash) -> bool {
        let now = self.now();
        let refused = self.service.fillers.of(self.live).refused();
        refused.contains(fingerprint, text, now)
    }

    fn refused(&self, fingerprint: &str, chunk: &ChunkRow, why: &Error) -> bool {
        let is_definite = why.code() == ErrorCode::InvalidRequest;
        let now = self.now();
        let mut refused = self.service.fillers.of(self.live).refused();
        let time = refused.insert(fingerprint, chunk.embed_hash, is_definite, now);
        drop(refused);
        let Some(time) = time else {
            return false;
        };
        tracing::warn!(
            collection = %self.live.collection().name,
            path = %chunk.path,
            line = chunk.start_line,
            seconds = time.as_secs(),
            "No vector can be made of a chunk; it is tried again after {} s: {why}",
            time.as_secs()
        );
        true
    }

    fn leaves_off(&self) -> bool {
        let of = self.live.collection();
        of.is_remote && self.service.jobs.are_waiting_for(&of.name)
    }
}

impl ServerRun<'_> {
    pub(super) fn now(&self) -> Timestamp {
        self.service.workers.now(self.service.clock)
    }
}

impl Service {
    /// Returns what makes the vectors of a collection's documents; none while that is missing or left alone. What is not
    /// computed then is filled in later.
    pub(super) fn documents<'a>(
        &'a self,
        live: &'a LiveCollection,
    ) -> Option<Box<dyn EmbedDocuments + 'a>> {
        let breaker = self.circuit_of_documents(live)?.breaker();
        if breaker.state() != CircuitState::Closed {
            return None;
        }
        if live.collection().is_remote {
            return Some(Box::new(self.remote.as_ref()?));
        }
        let model = self.model.get().ok()?;
        let encode = |embedder: &Embedder,
                      _: &mut Workspace,
                      texts: Vec<Tokens>,
                      stops: Stops<'_>| {
            let encoded = self.encode_in_bulk(embedder, texts, stops);
            match &encoded {
                Ok(_) => live.set_left_unfilled(false),
                Err(error) if fault_of(error) == Fault::Transient => live.set_left_unfilled(true),
                Err(_) => {}
            }
            encoded
        };
        let embedder = Arc::clone(model.embedder());
        Some(Box::new(LocalDocuments::new(embedder, Box::new(encode))))
    }

    fn encode_in_bulk(
        &self,
        embedder: &Embedder,
        texts: Vec<Tokens>,
        stops: Stops<'_>,
    ) -> Result<Vec<f32>> {
        let model = self.model.required()?;
        if model.embedder().fingerprint() != embedder.fingerprint() {
            // Vectors of two models must not mix; the next run is made with the new one.
            return Err(Error::Interrupted);
        }
        loop {
            match model.submit(Lane::Bulk, texts.clone(), None) {
                Ok(pending) => return Ok(pending.wait()?.into_numbers()),
                // Clients fill the lane; a run has time.
                Err(Error::Busy { .. }) if stops() || self.is_ending() => {
                    return Err(Error::Interrupted);
                }
                Err(Error::Busy { retry_after, .. }) => {
                    std::thread::sleep(retry_after.min(PATIENCE));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The text index of a live collection.
struct LiveText<'a>(&'a ServerRun<'a>);

impl LiveText<'_> {
    fn sync(&self, db: &mut dyn StoreWriter, commit: Commit) -> Result<()> {
        let ServerRun { service, live } = self.0;
        live.sync(db, &service.data_dir, commit)
    }
}

impl TextIndex for LiveText<'_> {
    fn catch_up(&mut self, db: &mut dyn StoreWriter) -> Result<()> {
        self.sync(db, Commit::IfDue)
    }

    fn commit_if_due(&mut self, db: &mut dyn StoreWriter) -> Result<()> {
        self.sync(db, Commit::IfDue)
    }

    fn commit(&mut self, db: &mut dyn StoreWriter) -> Result<()> {
        self.sync(db, Commit::Now)
    }
}
