//! A thread that encodes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use embedder_inference::Workspace;

use super::Encode;
use super::batch::Batch;
use super::shared_queue::SharedQueue;
use crate::clock;

/// Encodes batches of a queue until it is stopped. `worker` is the thread's number among those of the queue.
pub(super) fn run(queue: &SharedQueue, encoder: &dyn Encode, worker: usize) {
    let mut workspace = Workspace::default();
    let mut batch = Batch::default();
    while queue.next(worker, &mut batch) {
        work_off(queue, encoder, worker, &mut workspace, &mut batch);
    }
}

/// Encodes a batch and tells its requests.
pub(super) fn work_off(
    queue: &SharedQueue,
    encoder: &dyn Encode,
    worker: usize,
    workspace: &mut Workspace,
    batch: &mut Batch,
) {
    // Nothing half-done is seen after a panic: the encoder is read-only and the workspace is replaced.
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        let vectors = encoder.encode(workspace, batch.texts());
        assert_eq!(vectors.len(), batch.texts().len() * queue.dimensions());
        vectors
    }));
    if let Ok(vectors) = encoded {
        queue.complete(worker, batch, &vectors, clock::now());
        return;
    }
    let (lane, texts, tokens) = (queue.lane().name(), batch.texts().len(), batch.tokens());
    tracing::error!(
        lane,
        texts,
        tokens,
        "Encoding {texts} texts panicked; their requests fail"
    );
    *workspace = Workspace::default();
    queue.abort(worker, batch);
}
