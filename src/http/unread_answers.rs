//! Answers that their clients have not read yet.
//!
//! An answer is in memory until its client has taken it, and a client may take its time. So large answers are counted
//! until their last byte is written: only so much may wait to be read, and of it no caller may have more than half. Who
//! has nothing waiting is given an answer all the same, so that nobody can take that from others. Small answers are not
//! counted; how many of them there are is limited by the connections.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use embedder_reliability::admission::CallerId;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::engine::serving::memory_guard::MemoryPressure;
use crate::error::{Error, Full, Result};

/// An answer up to this size is small, in bytes.
const SMALL_BYTES: u64 = 64 * 1_024;

/// What large answers may weigh together while they wait, in bytes; beyond it a caller has one at a time.
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

/// The place of one large answer among those that wait; given up when it is dropped.
#[derive(Debug)]
struct Place {
    bytes: u64,
    caller: CallerId,
    answers: Arc<UnreadAnswers>,
}

/// A large answer, of which every piece keeps the place: a connection drops a body before it has written its last piece.
struct Counted {
    body: Body,
    place: Arc<Place>,
}

/// A piece of a large answer.
struct Piece {
    bytes: Bytes,
    _place: Arc<Place>,
}

impl UnreadAnswers {
    /// Counts an answer until it is written or given up. One that is due is given in any case.
    ///
    /// # Errors
    /// [`Error::Busy`] where too much waits, or memory is short; the answer is dropped.
    pub(super) fn count(
        self: &Arc<Self>,
        caller: CallerId,
        answer: Response,
        is_due: bool,
        pressure: MemoryPressure,
    ) -> Result<Response> {
        let bytes = answer.body().size_hint().lower();
        if bytes <= SMALL_BYTES {
            return Ok(answer);
        }
        let mut waiting = self.lock();
        if !is_due && !waiting.may_add(caller, bytes, pressure) {
            return Err(Error::Busy {
                full: Full::Memory,
                what: "too many large answers wait to be read".to_owned(),
                retry_after: RETRY_AFTER,
            });
        }
        waiting.bytes += bytes;
        *waiting.of.entry(caller).or_default() += bytes;
        drop(waiting);
        let place = Arc::new(Place {
            bytes,
            caller,
            answers: Arc::clone(self),
        });
        Ok(answer.map(|body| Body::new(Counted { body, place })))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn may_add(&self, caller: CallerId, bytes: u64, pressure: MemoryPressure) -> bool {
        let of_one = self.of.get(&caller).copied().unwrap_or_default();
        match pressure {
            MemoryPressure::Critical => false,
            // Of any size, or one above the limits could never be given.
            MemoryPressure::Low | MemoryPressure::High if of_one == 0 => true,
            MemoryPressure::High => false,
            MemoryPressure::Low => {
                self.bytes + bytes <= WAITING_BYTES_MAX && of_one + bytes <= OF_ONE_BYTES_MAX
            }
        }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let place = &this.place;
        let piece = |bytes| {
            let place = Arc::clone(place);
            Bytes::from_owner(Piece {
                bytes,
                _place: place,
            })
        };
        Pin::new(&mut this.body)
            .poll_frame(cx)
            .map_ok(|frame| frame.map_data(piece))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Place {
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
    use http_body_util::BodyExt;

    use super::*;

    const LARGE: usize = 8 * 1_024 * 1_024;

    fn of(answers: &Arc<UnreadAnswers>, caller: u64, bytes: usize) -> Result<Response> {
        let answer = Response::new(Body::from(vec![0_u8; bytes]));
        answers.count(CallerId(caller), answer, false, MemoryPressure::Low)
    }

    #[test]
    fn one_caller_may_have_half_and_what_is_read_makes_room() {
        let answers = Arc::new(UnreadAnswers::default());
        let mut held: Vec<_> = (0..4).map(|_| of(&answers, 1, LARGE).unwrap()).collect();
        let refused = of(&answers, 1, LARGE).unwrap_err();
        assert!(matches!(
            refused,
            Error::Busy {
                full: Full::Memory,
                ..
            }
        ));
        // Small ones always.
        assert!(of(&answers, 1, SMALL_BYTES as usize).is_ok());
        drop(held.pop());
        held.push(of(&answers, 1, LARGE).unwrap());
        assert!(of(&answers, 1, LARGE).is_err());
        drop(held);
        let waiting = answers.lock();
        assert_eq!((waiting.bytes, waiting.of.len()), (0, 0));
    }

    #[test]
    fn who_has_none_waiting_is_given_one_whatever_others_have() {
        let answers = Arc::new(UnreadAnswers::default());
        let all = |caller| [(); 4].map(|()| of(&answers, caller, LARGE).unwrap());
        let held = (all(1), all(2));
        let one = of(&answers, 3, WAITING_BYTES_MAX as usize + 1).unwrap();
        assert!(of(&answers, 3, LARGE).is_err());
        drop(one);
        let _one = of(&answers, 3, LARGE).unwrap();
        assert!(of(&answers, 3, LARGE).is_err());
        drop(held);
        assert!(of(&answers, 3, LARGE).is_ok());
    }

    #[test]
    fn where_memory_is_short_it_is_one_at_a_time_and_then_none() {
        let answers = Arc::new(UnreadAnswers::default());
        let count = |pressure, is_due| {
            let answer = Response::new(Body::from(vec![0_u8; LARGE]));
            answers.count(CallerId(1), answer, is_due, pressure)
        };
        let _one = count(MemoryPressure::High, false).unwrap();
        assert!(count(MemoryPressure::High, false).is_err());
        assert!(count(MemoryPressure::Critical, false).is_err());
        // What was written to the store is told.
        assert!(count(MemoryPressure::Critical, true).is_ok());
    }

    #[tokio::test]
    async fn an_answer_is_counted_until_its_last_piece_is_written() {
        let answers = Arc::new(UnreadAnswers::default());
        let counted = of(&answers, 1, LARGE).unwrap();
        assert_eq!(counted.body().size_hint().exact(), Some(LARGE as u64));
        let mut body = counted.into_body();
        let mut piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(body.is_end_stream());
        drop(body);
        assert_eq!(piece.len(), LARGE);
        let rest = piece.split_off(LARGE / 2);
        drop(piece);
        assert_eq!(answers.lock().bytes, LARGE as u64);
        drop(rest);
        assert_eq!(answers.lock().bytes, 0);
    }
}
