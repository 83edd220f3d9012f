//! A batcher without threads, for a simulation on one thread: whoever drives it computes what waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use embedder_inference::Workspace;

use super::batch::Batch;
use super::shared_queue::SharedQueue;
use super::worker::work_off;
use super::{BatchObserver, Batcher, BatcherLimits, Encode, Lane};

/// What a batcher without threads has in their place.
pub(super) struct ByCallers {
    encoder: Arc<dyn Encode>,
    /// Whether callers of the interactive lane compute what waits as soon as they come; those of the bulk lane always do.
    at_once: AtomicBool,
}

impl Batcher {
    /// Makes one without threads.
    pub(crate) fn without_threads(
        encoder: Arc<dyn Encode>,
        limits: BatcherLimits,
        observer: &Arc<dyn BatchObserver>,
    ) -> Arc<Batcher> {
        let dimensions = encoder.dimensions();
        let queue = |lane| {
            let observer = Arc::clone(observer);
            Arc::new(SharedQueue::new(lane, limits, 1, dimensions, observer))
        };
        Arc::new(Batcher {
            interactive: queue(Lane::Interactive),
            bulk: queue(Lane::Bulk),
            workers: Mutex::default(),
            by_callers: Some(ByCallers {
                encoder,
                at_once: AtomicBool::new(false),
            }),
        })
    }

    /// Says whether interactive texts are computed as soon as they come.
    pub(crate) fn set_at_once(&self, at_once: bool) {
        if let Some(by_callers) = &self.by_callers {
            by_callers.at_once.store(at_once, Ordering::Relaxed);
        }
    }

    /// Whether texts of a lane wait.
    pub(crate) fn has_waiting(&self, lane: Lane) -> bool {
        self.queue(lane).has_waiting()
    }

    /// Computes a batch of what waits in a lane.
    pub(crate) fn work_off(&self, lane: Lane) {
        let Some(by_callers) = &self.by_callers else {
            return;
        };
        let (mut workspace, mut batch) = (Workspace::default(), Batch::default());
        let queue = self.queue(lane);
        queue.take_now(0, &mut batch);
        if !batch.is_empty() {
            work_off(queue, &*by_callers.encoder, 0, &mut workspace, &mut batch);
        }
    }

    pub(super) fn work_off_at_once(&self, lane: Lane) {
        let Some(by_callers) = &self.by_callers else {
            return;
        };
        if lane == Lane::Bulk || by_callers.at_once.load(Ordering::Relaxed) {
            while self.has_waiting(lane) {
                self.work_off(lane);
            }
        }
    }
}
