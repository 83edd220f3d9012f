//! Answers that their clients have not read yet.
//!
//! An answer is in memory until its client has taken it, and a client may take its time. So large answers are counted:
//! only so much may wait to be read, and of it no caller may have more than half. Small ones are not counted; how many of
//! them there are is limited by the connections.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use embedder_reliability::admission::CallerId;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::error::{Error, Full, Result};

/// An answer up to this size is small, in bytes.
const SMALL_BYTES: u64 = 64 * 1_024;

/// What large answers may weigh together while they wait, in bytes.
const WAITING_BYTES_MAX: u64 = 64 * 1_024 * 1_024;

/// The same of one caller's.
const OF_ONE_BYTES_MAX: u64 = WAITING_BYTES_MAX / 2;

/// When somebody who was refused should come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Counts large answers while they wait to be read.
#[derive(Debug, Default)]
pub(crate) struct UnreadAnswers {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: u64,
    of: HashMap<CallerId, u64>,
}

/// A large answer, counted until it is dropped.
struct Counted {
    body: Body,
    bytes: u64,
    caller: CallerId,
    answers: Arc<UnreadAnswers>,
}

impl UnreadAnswers {
    /// Counts an answer until it is read or given up.
    ///
    /// # Errors
    /// [`Error::Busy`] where too much waits; the answer is dropped.
    pub(super) fn count(self: &Arc<Self>, caller: CallerId, answer: Response) -> Result<Response> {
        let bytes = answer.body().size_hint().lower();
        if bytes <= SMALL_BYTES {
            return Ok(answer);
        }
        {
            let mut waiting = self.lock();
            let of_one = waiting.of.get(&caller).copied().unwrap_or_default();
            // Who has nothing waiting may have an answer of any size, or it would never be given.
            let is_too_much = |before: u64, max| before > 0 && before + bytes > max;
            if is_too_much(waiting.bytes, WAITING_BYTES_MAX)
                || is_too_much(of_one, OF_ONE_BYTES_MAX)
            {
                return Err(Error::Busy {
                    full: Full::Memory,
                    what: "too many large answers wait to be read".to_owned(),
                    retry_after: RETRY_AFTER,
                });
            }
            waiting.bytes += bytes;
            waiting.of.insert(caller, of_one + bytes);
        }
        let answers = Arc::clone(self);
        Ok(answer.map(|body| {
            Body::new(Counted {
                body,
                bytes,
                caller,
                answers,
            })
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut waiting = self.answers.lock();
        waiting.bytes -= self.bytes;
        if let Some(of_one) = waiting.of.get_mut(&self.caller) {
            *of_one -= self.bytes;
            if *of_one == 0 {
                waiting.of.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 8 * 1_024 * 1_024;

    fn answer(bytes: usize) -> Response {
        Response::new(Body::from(vec![0_u8; bytes]))
    }

    #[test]
    fn one_caller_may_have_half_and_what_is_read_makes_room() {
        let answers = Arc::new(UnreadAnswers::default());
        let (flood, other) = (CallerId(1), CallerId(2));
        let mut held: Vec<Response> = (0..4)
            .map(|_| answers.count(flood, answer(LARGE)).unwrap())
            .collect();
        let refused = answers.count(flood, answer(LARGE)).unwrap_err();
        assert!(matches!(
            refused,
            Error::Busy {
                full: Full::Memory,
                ..
            }
        ));
        // Small ones always, and others theirs.
        assert!(answers.count(flood, answer(SMALL_BYTES as usize)).is_ok());
        held.extend((0..4).map(|_| answers.count(other, answer(LARGE)).unwrap()));
        assert!(answers.count(CallerId(3), answer(LARGE)).is_err());
        drop(held.pop());
        assert!(answers.count(CallerId(3), answer(LARGE)).is_ok());
        drop(held);
        let waiting = answers.lock();
        assert_eq!((waiting.bytes, waiting.of.len()), (0, 0));
    }

    #[test]
    fn an_answer_alone_may_be_larger_than_all_may_be_together() {
        let answers = Arc::new(UnreadAnswers::default());
        let huge = WAITING_BYTES_MAX as usize + 1;
        let alone = answers.count(CallerId(1), answer(huge)).unwrap();
        assert!(answers.count(CallerId(2), answer(LARGE)).is_err());
        drop(alone);
        assert!(answers.count(CallerId(2), answer(LARGE)).is_ok());
    }

    #[tokio::test]
    async fn a_counted_answer_is_the_same_answer() {
        let answers = Arc::new(UnreadAnswers::default());
        let counted = answers.count(CallerId(1), answer(LARGE)).unwrap();
        assert_eq!(counted.body().size_hint().exact(), Some(LARGE as u64));
        let bytes = axum::body::to_bytes(counted.into_body(), LARGE).await;
        assert_eq!(bytes.unwrap().len(), LARGE);
        assert_eq!(answers.lock().bytes, 0);
    }
}
