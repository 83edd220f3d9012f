//! Many callers, few encoding threads: requests of one or many texts in, batches for the encoder out.
//!
//! There are two lanes, *interactive* (somebody waits) and *bulk* (indexing), each with a queue and threads of its own.
//! Bulk threads step back in the operating system's scheduling, so that they use what the interactive ones leave.
//!
//! Guarantees:
//! * A request is admitted exactly when its texts and tokens fit beside those of its lane that are not answered yet;
//!   the same rule for one text and for many. What does not fit is refused at once, with a time to try again.
//! * The requests of a lane are served in turn, a text each: one of 2,048 texts does not hold up one of a single text.
//! * Every admitted text is computed once or dropped once. Texts that nobody waits for any more, or whose deadline has
//!   passed, are dropped before they are computed.
//! * A panic of the encoder fails the requests of its batch and no others; the thread goes on.
//!
//! A text's vector has the same bits alone and in any batch, which is the encoder's guarantee, so batches mix texts of
//! different requests freely. A free worker takes what there is: nothing waits for a batch to fill.

mod batch;
mod load;
mod observer;
mod queue;
mod request;
mod shared_queue;
mod throughput;
mod worker;

#[cfg(test)]
mod by_callers;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use embedder_inference::{Tokens, Workspace};

pub use observer::{BatchObserver, DropReason};
pub use request::{BatchError, Pending, Vectors};
use shared_queue::SharedQueue;

use crate::clock;
use crate::engine::background;
use crate::engine::embed::Embedder;
use crate::error::{Error, ErrorCode};
use crate::failpoint::{self, Failpoint};

/// Texts of a lane that wait or are computed: four times the 2,048 that one request may bring.
pub const ITEMS_MAX: usize = 8_192;

/// Tokens of a lane that wait or are computed. A request of 2,048 texts of 512 tokens, the longest that the models of
/// this family read, just fits an empty queue; in memory that is 4 MiB.
pub const TOKENS_MAX: usize = 1_048_576;

/// What turns tokens into vectors.
pub trait Encode: Send + Sync {
    /// Returns the length of a vector, at least one.
    fn dimensions(&self) -> usize;

    /// Returns the vectors of texts, one after the other. A text's vector does not depend on the others.
    fn encode(&self, workspace: &mut Workspace, texts: &[Tokens]) -> Vec<f32>;
}

impl Encode for Embedder {
    fn dimensions(&self) -> usize {
        Embedder::dimensions(self)
    }

    fn encode(&self, workspace: &mut Workspace, texts: &[Tokens]) -> Vec<f32> {
        // An encoder has no other way to fail.
        assert!(
            failpoint::pass(Failpoint::Encode).is_ok(),
            "it was made to fail"
        );
        Embedder::encode(self, workspace, texts)
    }
}

/// Who a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Somebody waits for the answer.
    Interactive,
    /// Work that may take its time, such as indexing.
    Bulk,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Lane; 2] = [Lane::Interactive, Lane::Bulk];

    /// Returns the name that logs and metrics use.
    pub fn name(self) -> &'static str {
        match self {
            Lane::Interactive => "interactive",
            Lane::Bulk => "bulk",
        }
    }
}

/// How much of a lane may be unanswered at a time. Each lane has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatcherLimits {
    /// Most texts, waiting or being computed.
    pub items_max: usize,
    /// Most tokens of these texts.
    pub tokens_max: usize,
}

impl Default for BatcherLimits {
    /// Returns [`ITEMS_MAX`] and [`TOKENS_MAX`].
    fn default() -> BatcherLimits {
        BatcherLimits {
            items_max: ITEMS_MAX,
            tokens_max: TOKENS_MAX,
        }
    }
}

/// Threads of each lane; a lane has at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// Of the interactive lane, at the usual priority. They never take bulk work.
    pub interactive: usize,
    /// Of the bulk lane, at the lowest priority.
    pub bulk: usize,
}

/// Why a request was not admitted. None of its texts is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The request does not fit beside what waits already.
    #[error("the embedding queue is full; try again in {} s", .retry_after.as_secs_f64().ceil())]
    Full {
        /// When it may fit: as long as what is queued will take at the speed measured, from 1 to 30 seconds.
        retry_after: Duration,
    },
    /// The request does not fit an empty queue either.
    #[error("a request may have at most {items_max} texts with {tokens_max} tokens in all")]
    TooLarge {
        /// Most texts.
        items_max: usize,
        /// Most tokens of all texts together.
        tokens_max: usize,
    },
    /// The batcher has been stopped.
    #[error("the server is ending")]
    Stopped,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        let (code, remedy) = match refused {
            Refused::Full { .. } => (ErrorCode::Overloaded, None),
            Refused::TooLarge { .. } => (ErrorCode::TooLarge, Some("split the request")),
            Refused::Stopped => (ErrorCode::NotReady, None),
        };
        Error::Reported {
            code,
            message: refused.to_string(),
            remedy: remedy.map(str::to_owned),
        }
    }
}

/// The scheduler and its threads. Dropping it stops it.
pub struct Batcher {
    interactive: Arc<SharedQueue>,
    bulk: Arc<SharedQueue>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    #[cfg(test)]
    by_callers: Option<by_callers::ByCallers>,
}

impl Batcher {
    /// Starts the threads of both lanes.
    ///
    /// # Errors
    /// When the operating system has no more threads to give; those that did start are ended.
    pub fn start(
        encoder: Arc<dyn Encode>,
        limits: BatcherLimits,
        threads: Threads,
        observer: Arc<dyn BatchObserver>,
    ) -> io::Result<Arc<Batcher>> {
        let (interactive, bulk) = (threads.interactive.max(1), threads.bulk.max(1));
        let dimensions = encoder.dimensions();
        let queue = |lane, workers| {
            let observer = Arc::clone(&observer);
            Arc::new(SharedQueue::new(
                lane, limits, workers, dimensions, observer,
            ))
        };
        let batcher = Arc::new(Batcher {
            interactive: queue(Lane::Interactive, interactive),
            bulk: queue(Lane::Bulk, bulk),
            workers: Mutex::default(),
            #[cfg(test)]
            by_callers: None,
        });
        for (lane, workers) in [(Lane::Interactive, interactive), (Lane::Bulk, bulk)] {
            for worker in 0..workers {
                let (queue, encoder) = (Arc::clone(batcher.queue(lane)), Arc::clone(&encoder));
                let handle = thread::Builder::new()
                    .name(format!("{}-{worker}", lane.name()))
                    .spawn(move || {
                        if lane == Lane::Bulk {
                            background::step_back();
                        }
                        worker::run(&queue, &*encoder, worker);
                    })?;
                lock(&batcher.workers).push(handle);
            }
        }
        Ok(batcher)
    }

    /// Queues the texts of one request. The encoder's own tokenizer made them; none is empty.
    ///
    /// What is still waiting when `deadline` has passed is dropped; a batch under way is not interrupted. A caller
    /// that must not wait beyond its deadline stops waiting by itself, by dropping what this returns. A request of no
    /// texts is answered at once.
    ///
    /// # Errors
    /// [`Refused`] says why the request was not admitted; none of it is.
    pub fn submit(
        &self,
        lane: Lane,
        texts: Vec<Tokens>,
        deadline: Option<Instant>,
    ) -> Result<Pending, Refused> {
        let pending = self.queue(lane).submit(texts, deadline, clock::now());
        #[cfg(test)]
        self.work_off_at_once(lane);
        pending
    }

    /// Returns how long the oldest of the batches under way has been running. A batch takes milliseconds, one of the
    /// longest text a fraction of a second: many seconds mean that a thread is stuck or gets no processor.
    pub fn stuck_for(&self, now: Instant) -> Option<Duration> {
        Lane::ALL
            .iter()
            .filter_map(|&lane| self.queue(lane).stuck_for(now))
            .max()
    }

    /// Returns how long a thread of a lane usually takes for so many tokens, but no less than for a full batch: that is
    /// what a text waits for at least. None before anything has been measured.
    pub fn usual_time(&self, lane: Lane, tokens: usize) -> Option<Duration> {
        self.queue(lane).time_of(tokens.max(batch::BATCH_TOKENS))
    }

    /// Whether all threads are alive. False once it has been stopped.
    pub fn is_healthy(&self) -> bool {
        #[cfg(test)]
        if self.by_callers.is_some() {
            return true;
        }
        let workers = lock(&self.workers);
        !workers.is_empty() && workers.iter().all(|worker| !worker.is_finished())
    }

    /// Refuses new work, fails what waits with [`BatchError::Stopped`], lets the batches under way end and waits for
    /// their threads. It blocks for as long as a batch takes. A second call does nothing.
    pub fn stop(&self) {
        for lane in Lane::ALL {
            self.queue(lane).stop();
        }
        let workers = std::mem::take(&mut *lock(&self.workers));
        for worker in workers {
            if worker.join().is_err() {
                tracing::error!("An encoding thread had ended by a panic");
            }
        }
    }

    /// As [`Batcher::stop`], without waiting: threads that hang are left to themselves.
    pub fn abandon(&self) {
        for lane in Lane::ALL {
            self.queue(lane).stop();
        }
        lock(&self.workers).clear();
    }

    fn queue(&self, lane: Lane) -> &Arc<SharedQueue> {
        match lane {
            Lane::Interactive => &self.interactive,
            Lane::Bulk => &self.bulk,
        }
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Locks, also after a panic: nothing in this module panics halfway through a change of what a lock guards.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
