//! One caller's texts, from admission to the answer.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::slice::ChunksExact;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::lock;
use super::shared_queue::SharedQueue;
use crate::error::{Error, ErrorCode};

/// The vectors of a request, in the order of its texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    numbers: Vec<f32>,
    dimensions: usize,
}

impl Vectors {
    /// Returns how many vectors there are.
    pub fn len(&self) -> usize {
        self.numbers.len() / self.dimensions
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Returns the length of each vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Returns the vectors one by one.
    pub fn iter(&self) -> ChunksExact<'_, f32> {
        self.numbers.chunks_exact(self.dimensions)
    }

    /// Returns the numbers of all vectors, one vector after the other.
    pub fn into_numbers(self) -> Vec<f32> {
        self.numbers
    }
}

impl<'a> IntoIterator for &'a Vectors {
    type Item = &'a [f32];
    type IntoIter = ChunksExact<'a, f32>;

    fn into_iter(self) -> ChunksExact<'a, f32> {
        self.iter()
    }
}

/// Why an admitted request has no vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Its deadline passed while texts of it were waiting.
    #[error("the deadline passed before all texts were embedded")]
    Expired,
    /// The encoder panicked on a batch with texts of it.
    #[error("the encoder failed")]
    Panicked,
    /// The batcher was stopped while texts of it were waiting.
    #[error("the server is ending")]
    Stopped,
}

impl From<BatchError> for Error {
    fn from(error: BatchError) -> Error {
        let code = match error {
            BatchError::Expired => ErrorCode::Timeout,
            BatchError::Panicked => return Error::Internal(error.to_string()),
            BatchError::Stopped => ErrorCode::NotReady,
        };
        Error::Reported {
            code,
            message: error.to_string(),
            remedy: None,
        }
    }
}

/// The answer to come: a future for asynchronous callers, [`Pending::wait`] for the others.
///
/// Dropping it cancels the request: its texts that were not begun are dropped and their room is free at once.
#[must_use = "dropping it cancels the request"]
pub struct Pending {
    receiver: oneshot::Receiver<Answer>,
    claim: Claim,
}

impl Pending {
    pub(super) fn new(
        receiver: oneshot::Receiver<Answer>,
        request: Arc<Request>,
        queue: Arc<SharedQueue>,
    ) -> Pending {
        Pending {
            receiver,
            claim: Claim { request, queue },
        }
    }

    /// Blocks until the answer is there.
    ///
    /// # Errors
    /// [`BatchError`] says why there are no vectors.
    ///
    /// # Panics
    /// On a thread that runs asynchronous tasks.
    pub fn wait(self) -> Result<Vectors, BatchError> {
        let Pending { receiver, claim } = self;
        let answer = received(receiver.blocking_recv());
        drop(claim);
        answer
    }
}

impl Future for Pending {
    type Output = Result<Vectors, BatchError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(received)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// Every request is answered before it is forgotten, unless its worker ended by a panic outside of the encoder.
fn received(answer: Result<Answer, oneshot::error::RecvError>) -> Answer {
    answer.unwrap_or(Err(BatchError::Panicked))
}

/// What a caller's interest hangs on: dropped before the answer, it cancels the request.
struct Claim {
    request: Arc<Request>,
    queue: Arc<SharedQueue>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // An answered request has nothing left in the queue, and costs no lock that others want.
        if self.request.close().is_some() {
            self.queue.cancel(&self.request);
        }
    }
}

pub(super) type Answer = Result<Vectors, BatchError>;

/// The place where the vectors of one request come together.
pub(super) struct Request {
    texts: usize,
    dimensions: usize,
    /// Its turn in the queue, written and read under the queue's lock.
    turn: AtomicU64,
    assembly: Mutex<Assembly>,
}

struct Assembly {
    /// All vectors, allocated when the first one arrives.
    numbers: Vec<f32>,
    missing: usize,
    /// `None` once the request is answered or nobody waits for it.
    sender: Option<oneshot::Sender<Answer>>,
}

impl Request {
    /// Makes a request of so many texts, and what its answer arrives at. One of no texts is answered.
    pub(super) fn new(
        texts: usize,
        dimensions: usize,
    ) -> (Arc<Request>, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        let request = Arc::new(Request {
            texts,
            dimensions,
            turn: AtomicU64::new(0),
            assembly: Mutex::new(Assembly {
                numbers: Vec::new(),
                missing: texts,
                sender: Some(sender),
            }),
        });
        request.answer_if_complete(lock(&request.assembly));
        (request, receiver)
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    pub(super) fn set_turn(&self, turn: u64) {
        self.turn.store(turn, Ordering::Relaxed);
    }

    /// Takes in the vector of the text `index`; the last one to arrive answers the request.
    pub(super) fn put(&self, index: usize, vector: &[f32]) {
        let mut assembly = lock(&self.assembly);
        if assembly.sender.is_none() {
            return;
        }
        if assembly.numbers.is_empty() {
            assembly.numbers = vec![0.0; self.texts * self.dimensions];
        }
        assembly.numbers[index * self.dimensions..][..self.dimensions].copy_from_slice(vector);
        assembly.missing -= 1;
        self.answer_if_complete(assembly);
    }

    /// Answers with an error, unless it is answered already.
    pub(super) fn fail(&self, error: BatchError) {
        if let Some(sender) = self.close() {
            // The caller may have stopped waiting this moment.
            let _ = sender.send(Err(error));
        }
    }

    /// Ends the request and returns the way to its caller, unless it has ended already. Vectors that arrive later are
    /// ignored.
    fn close(&self) -> Option<oneshot::Sender<Answer>> {
        let mut assembly = lock(&self.assembly);
        assembly.numbers = Vec::new();
        assembly.sender.take()
    }

    fn answer_if_complete(&self, mut assembly: MutexGuard<'_, Assembly>) {
        if assembly.missing > 0 {
            return;
        }
        let numbers = mem::take(&mut assembly.numbers);
        let sender = assembly.sender.take();
        // Sending wakes the caller, whose waker may do anything, such as dropping the `Pending`: not under the lock.
        drop(assembly);
        if let Some(sender) = sender {
            let _ = sender.send(Ok(Vectors {
                numbers,
                dimensions: self.dimensions,
            }));
        }
    }
}
