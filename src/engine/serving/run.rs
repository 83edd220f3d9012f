//! What an index run uses inside the server: its text index, its model, its bulk lane.

use std::sync::Arc;
use std::time::Duration;

use embedder_inference::{Tokens, Workspace};
use embedder_reliability::circuit_breaker::CircuitState;

use super::Service;
use super::live::{Commit, LiveCollection};
use crate::engine::background::step_back;
use crate::engine::embed::Embedder;
use crate::engine::embed::batcher::Lane;
use crate::engine::ingest::Surroundings;
use crate::engine::ingest::lexical::TextIndex;
use crate::error::{Error, Result};
use crate::store::{CollectionId, StoreWriter};

/// Longest pause before a full lane is tried again, so that the end of the server is noticed soon.
const PATIENCE: Duration = Duration::from_millis(500);

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

    fn model(&self) -> Option<Arc<Embedder>> {
        let model = self.service.model.get().ok()?;
        let breaker = self.service.dependencies.encoder.breaker();
        // The filler computes what is missing when the encoder works again.
        (breaker.state() == CircuitState::Closed).then(|| Arc::clone(model.embedder()))
    }

    fn encode(
        &self,
        embedder: &Embedder,
        _: &mut Workspace,
        texts: Vec<Tokens>,
    ) -> Result<Vec<f32>> {
        let model = self.service.model.required()?;
        if model.embedder().fingerprint() != embedder.fingerprint() {
            // Vectors of two models must not mix; the next run is made with the new one.
            return Err(Error::Interrupted);
        }
        loop {
            match model.submit(Lane::Bulk, texts.clone(), None) {
                Ok(pending) => return Ok(pending.wait()?.into_numbers()),
                // Clients fill the lane; a run has time.
                Err(Error::Busy { retry_after, .. }) if !self.service.is_ending() => {
                    std::thread::sleep(retry_after.min(PATIENCE));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn vectors_stored(&self, db: &mut dyn StoreWriter, _: CollectionId) -> Result<()> {
        let model = self.service.model.get().ok();
        let of = model.as_ref().map(|model| model.vectors_of());
        self.live.sync_vectors(db.store(), of)
    }

    fn begin_worker(&self) {
        step_back();
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
