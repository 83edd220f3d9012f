//! A lane's queue behind its lock, and what wakes its threads.
//!
//! The lock is held for a few lines at a time. Encoding, answers and the memory of what is dropped are dealt with
//! outside of it.

#[cfg(test)]
mod sequences;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use embedder_inference::Tokens;

use super::batch::Batch;
use super::load::Load;
use super::queue::{Queue, Waiting};
use super::request::{BatchError, Pending, Request};
use super::{BatchObserver, BatcherLimits, DropReason, Lane, Refused, lock};
use crate::clock;

/// The queue of one lane, shared by its callers and its workers.
pub(super) struct SharedQueue {
    lane: Lane,
    dimensions: usize,
    observer: Arc<dyn BatchObserver>,
    state: Mutex<State>,
    /// Says that [`State::called`] has grown, or that the queue is stopped.
    work: Condvar,
}

struct State {
    queue: Queue,
    /// Workers that sleep and have not been called.
    asleep: usize,
    /// Workers that have been called and are not awake yet.
    called: usize,
}

impl State {
    /// Calls so many workers, or as many as are asleep, and returns how many to notify.
    fn call(&mut self, workers: usize) -> usize {
        let workers = workers.min(self.asleep);
        self.asleep -= workers;
        self.called += workers;
        workers
    }
}

impl SharedQueue {
    pub(super) fn new(
        lane: Lane,
        limits: BatcherLimits,
        workers: usize,
        dimensions: usize,
        observer: Arc<dyn BatchObserver>,
    ) -> SharedQueue {
        SharedQueue {
            lane,
            dimensions,
            observer,
            state: Mutex::new(State {
                queue: Queue::new(limits, workers),
                asleep: 0,
                called: 0,
            }),
            work: Condvar::new(),
        }
    }

    /// The caller's side: admits a request and calls a worker for each batch that it makes.
    pub(super) fn submit(
        self: &Arc<Self>,
        texts: Vec<Tokens>,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Pending, Refused> {
        let load = Load::of(&texts);
        let (request, receiver) = Request::new(texts.len(), self.dimensions);
        let waiting = Waiting::new(Arc::clone(&request), texts, load, deadline, now);
        let called = {
            let mut state = lock(&self.state);
            state.queue.admit(load)?;
            state.queue.push(waiting);
            self.report(&state.queue);
            state.call(load.batches())
        };
        for _ in 0..called {
            self.work.notify_one();
        }
        Ok(Pending::new(receiver, request, Arc::clone(self)))
    }

    /// The caller's side: drops what a request has waiting.
    pub(super) fn cancel(&self, request: &Request) {
        let waiting = self.change(|queue| queue.remove(request));
        if let Some(waiting) = waiting {
            self.dropped(DropReason::Cancelled, waiting.texts());
        }
    }

    /// A worker's side: sleeps until there are texts and fills the batch with them. Returns false when there will be
    /// none any more.
    pub(super) fn next(&self, worker: usize, batch: &mut Batch) -> bool {
        while batch.is_empty() {
            let mut state = lock(&self.state);
            while state.queue.is_empty() && !state.queue.is_stopped() {
                state.asleep += 1;
                state = self
                    .work
                    .wait_while(state, |state| {
                        state.called == 0 && !state.queue.is_stopped()
                    })
                    .unwrap_or_else(PoisonError::into_inner);
                state.called = state.called.saturating_sub(1);
            }
            if state.queue.is_stopped() {
                return false;
            }
            // The clock is read once for a batch, not for each of its texts.
            self.take(state, worker, batch, clock::now());
        }
        true
    }

    /// As [`SharedQueue::next`], without waiting: the batch stays empty where there is nothing to do.
    #[cfg(test)]
    pub(super) fn take_now(&self, worker: usize, batch: &mut Batch) {
        let state = lock(&self.state);
        if !state.queue.is_empty() && !state.queue.is_stopped() {
            self.take(state, worker, batch, clock::now());
        }
    }

    /// Whether texts wait.
    #[cfg(test)]
    pub(super) fn has_waiting(&self) -> bool {
        !lock(&self.state).queue.is_empty()
    }

    /// A worker's side: frees the room of its batch and hands out the vectors.
    pub(super) fn complete(&self, worker: usize, batch: &mut Batch, vectors: &[f32], now: Instant) {
        self.change(|queue| queue.complete(worker, batch, now));
        batch.deliver(vectors, self.dimensions);
        batch.clear();
    }

    /// A worker's side: fails the requests of its batch, which panicked.
    pub(super) fn abort(&self, worker: usize, batch: &mut Batch) {
        let waiting = self.change(|queue| queue.abort(worker, batch));
        self.observer.panicked();
        self.dropped(DropReason::Panicked, batch.texts().len());
        self.fail(waiting, DropReason::Panicked, BatchError::Panicked);
        for request in batch.requests() {
            request.fail(BatchError::Panicked);
        }
        batch.clear();
    }

    /// Refuses new requests, fails what waits and ends the workers after their batches.
    pub(super) fn stop(&self) {
        let waiting = self.change(Queue::stop);
        self.work.notify_all();
        self.fail(waiting, DropReason::Stopped, BatchError::Stopped);
    }

    /// How long the oldest batch under way has been running.
    pub(super) fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let began = lock(&self.state).queue.oldest_batch()?;
        Some(now.saturating_duration_since(began))
    }

    /// How long one worker usually takes for so many tokens.
    pub(super) fn time_of(&self, tokens: usize) -> Option<Duration> {
        lock(&self.state).queue.time_of(tokens)
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Fills a batch with what waits. It stays empty when everything has expired.
    fn take(
        &self,
        mut state: MutexGuard<'_, State>,
        worker: usize,
        batch: &mut Batch,
        now: Instant,
    ) {
        let expired = state.queue.take(worker, batch, now);
        if !expired.is_empty() {
            self.report(&state.queue);
        }
        // A batch is seldom full to its last token, so a request may make more batches than it called workers for.
        let is_short = !state.queue.is_empty() && state.called == 0;
        let called = if is_short { state.call(1) } else { 0 };
        drop(state);
        if called > 0 {
            self.work.notify_one();
        }
        self.fail(expired, DropReason::Expired, BatchError::Expired);
        if !batch.is_empty() {
            let (texts, wait) = (batch.texts().len(), batch.longest_wait(now));
            self.observer.batch(self.lane, texts, batch.tokens(), wait);
        }
    }

    fn fail(&self, waiting: Vec<Waiting>, reason: DropReason, error: BatchError) {
        for waiting in waiting {
            self.dropped(reason, waiting.texts());
            waiting.request().fail(error);
        }
    }

    fn dropped(&self, reason: DropReason, texts: usize) {
        self.observer.dropped(self.lane, reason, texts);
    }

    /// Changes the queue under its lock and reports its load.
    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut state = lock(&self.state);
        let result = change(&mut state.queue);
        self.report(&state.queue);
        result
    }

    fn report(&self, queue: &Queue) {
        let Load { texts, tokens } = queue.load();
        self.observer.queue(self.lane, texts, tokens);
    }
}
