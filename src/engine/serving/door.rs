//! The door of a kind of work: who is let in, who waits a moment, who is refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use embedder_reliability::Timestamp;
use embedder_reliability::admission::{
    Admission, AdmissionLoad, AdmissionPolicy, Arrival, CallerId, Priority, Served, Shed, Ticket,
};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::error::{Error, Full, Result};

/// When somebody who was refused should come back: by then a burst is over.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who allows less time for an answer than this is in too much of a hurry to be served when there is much to do.
const HURRY_MAX: Duration = Duration::from_secs(1);

/// Lets so many requests in at a time.
pub(crate) struct Door {
    what: &'static str,
    clock: Clock,
    admission: Mutex<Admission<Waker>>,
}

/// What calls one who waits, and until when they must be answered.
type Waker = (oneshot::Sender<Inside>, Timestamp);

/// A request that is in. It leaves when this is dropped.
pub(crate) struct Inside {
    door: Arc<Door>,
    ticket: Option<Ticket>,
    served: Option<Served>,
    since: Timestamp,
    deadline: Timestamp,
}

/// Somebody who waits. They leave the line when this is dropped.
struct InLine<'a> {
    door: &'a Door,
    number: u64,
}

impl Door {
    /// A door that nobody has passed; `what` names the work in refusals.
    pub(crate) fn new(what: &'static str, policy: AdmissionPolicy, clock: Clock) -> Arc<Door> {
        Arc::new(Door {
            what,
            clock,
            admission: Mutex::new(Admission::new(policy)),
        })
    }

    /// Waits to be let in, not for long.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) async fn enter(
        self: &Arc<Self>,
        caller: CallerId,
        priority: Priority,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Inside> {
        let deadline = self.clock.at(deadline);
        let mut called = None;
        let arrival = self
            .lock()
            .arrive(caller, priority, now, Some(deadline), || {
                let (waker, receiver) = oneshot::channel();
                called = Some(receiver);
                (waker, deadline)
            });
        let (number, until) = match arrival {
            Arrival::Admitted(ticket) => return Ok(self.inside(ticket, now, deadline)),
            Arrival::Refused(shed) => return Err(self.refusal(shed)),
            Arrival::Queued { number, until } => (number, until),
        };
        let _line = InLine { door: self, number };
        let Some(called) = called else {
            return Err(Error::Internal("a waiting request has no waker".to_owned()));
        };
        match tokio::time::timeout_at(self.clock.moment(until).into(), called).await {
            Ok(Ok(inside)) => Ok(inside),
            Ok(Err(_)) | Err(_) => Err(self.refusal(Shed::WaitedTooLong)),
        }
    }

    /// Returns how much is in.
    pub(crate) fn load(&self) -> AdmissionLoad {
        let now = self.clock.now();
        self.lock().load(now)
    }

    /// Whether all has been taken for a while.
    pub(crate) fn is_taken(&self, now: Timestamp) -> bool {
        self.lock().is_taken(now)
    }

    fn inside(self: &Arc<Self>, ticket: Ticket, since: Timestamp, deadline: Timestamp) -> Inside {
        Inside {
            door: Arc::clone(self),
            ticket: Some(ticket),
            served: None,
            since,
            deadline,
        }
    }

    /// Calls those who can be let in now.
    fn call(self: &Arc<Self>) {
        let now = self.clock.now();
        // Not under the lock: one who left meanwhile drops what they are sent, and leaves again.
        while let Some(((waker, deadline), ticket)) = self.next(now) {
            drop(waker.send(self.inside(ticket, now, deadline)));
        }
    }

    fn next(&self, now: Timestamp) -> Option<(Waker, Ticket)> {
        self.lock().next(now)
    }

    fn refusal(&self, shed: Shed) -> Error {
        Error::Busy {
            full: match shed {
                Shed::Taken => Full::Taken,
                Shed::WaitingFull => Full::Waiting,
                Shed::WaitedTooLong => Full::WaitedTooLong,
            },
            what: format!("there is more to do than can be done: {}", self.what),
            retry_after: RETRY_AFTER,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Admission<Waker>> {
        self.admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Says how it went: the limit follows it.
    pub(crate) fn served(&mut self, served: Served) {
        self.served = Some(served);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let now = self.door.clock.now();
            // One whose deadline passed was let in for nothing: fewer should be. Of one that was in too much of a hurry
            // this says nothing.
            let allowed = self.deadline.since(self.since);
            let late = (now >= self.deadline && allowed >= HURRY_MAX).then(|| Served {
                waited: now.since(self.since),
                took: Duration::ZERO,
                was_late: true,
            });
            self.door.lock().leave(ticket, self.served.or(late), now);
            self.door.call();
        }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.door.lock().abandon(self.number);
    }
}

#[cfg(test)]
mod tests {
    use embedder_reliability::admission::LimitPolicy;

    use super::*;
    use crate::error::ErrorCode;

    const CALLER: CallerId = CallerId(1);

    fn door(limit: usize, waiting_max: usize) -> Arc<Door> {
        let limit = LimitPolicy {
            min: limit,
            max: limit,
            initial: limit,
            wait_min: Duration::from_millis(5),
            services: 1.0,
        };
        let policy = AdmissionPolicy {
            limit,
            waiting_max,
            wait_max: Duration::from_millis(100),
        };
        Door::new("tests", policy, Clock::start())
    }

    async fn enter(door: &Arc<Door>) -> Result<Inside> {
        let now = door.clock.now();
        let deadline = door.clock.moment(now.plus(Duration::from_secs(30)));
        door.enter(CALLER, Priority::Interactive, now, deadline)
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_waits_is_let_in_when_another_leaves() {
        let door = door(1, 4);
        let first = enter(&door).await.unwrap();
        let second = tokio::spawn({
            let door = Arc::clone(&door);
            async move { enter(&door).await.map(drop) }
        });
        while door.load().waiting == 0 {
            tokio::task::yield_now().await;
        }
        drop(first);
        second.await.unwrap().unwrap();
        assert_eq!((door.load().in_flight, door.load().waiting), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_a_moment() {
        let door = door(1, 4);
        let _first = enter(&door).await.unwrap();
        let refused = enter(&door).await.err().unwrap();
        assert_eq!(refused.code(), ErrorCode::Overloaded);
        assert_eq!(door.load().waiting, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_goes_away_while_being_called_leaves_no_place_taken() {
        let door = door(1, 4);
        let first = enter(&door).await.unwrap();
        let mut waiting = Box::pin(enter(&door));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        // It is called, and never looks.
        drop(first);
        assert_eq!(door.load().in_flight, 1);
        drop(waiting);
        assert_eq!(door.load().in_flight, 0);
        assert!(enter(&door).await.is_ok());
    }
}
