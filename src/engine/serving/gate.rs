//! Room for blocking work: so many pieces at once, so many waiting, nobody longer than their deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::workers::Workers;
use crate::error::{Error, ErrorCode, Full, Result};

/// When somebody who found the queue full should come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets so many pieces of blocking work run at once.
pub(crate) struct Gate {
    workers: Workers,
    what: &'static str,
    full: Full,
    running: Arc<Semaphore>,
    running_max: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
}

impl Gate {
    /// A gate for `running_max` pieces at once and `waiting_max` waiting; `what` names them in refusals,
    /// which are counted as `full`.
    pub(crate) fn new(
        workers: &Workers,
        what: &'static str,
        full: Full,
        running_max: usize,
        waiting_max: usize,
    ) -> Gate {
        Gate {
            workers: workers.clone(),
            what,
            full,
            running: Arc::new(Semaphore::new(running_max)),
            running_max,
            waiting: AtomicUsize::new(0),
            waiting_max,
        }
    }

    /// Returns how many pieces run and how many wait.
    #[cfg(test)]
    pub(crate) fn load(&self) -> (usize, usize) {
        let running = self.running_max - self.running.available_permits();
        (running, self.waiting.load(Ordering::Relaxed))
    }

    /// Whether more than one piece runs now.
    pub(crate) fn is_shared(&self) -> bool {
        self.running.available_permits() + 1 < self.running_max
    }

    /// Runs blocking work on a thread for it. Work whose caller goes away before there is room is not begun.
    ///
    /// # Errors
    /// [`Error::Busy`] where too many wait; a deadline that passes before there is room; work that panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        deadline: Option<Instant>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let permit = match Arc::clone(&self.running).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(deadline).await?,
        };
        let work = move || {
            let _permit = permit;
            work()
        };
        self.workers
            .run(work)
            .await
            .map_err(|_| Error::Internal(format!("{} panicked", self.what)))
    }

    async fn wait(&self, deadline: Option<Instant>) -> Result<tokio::sync::OwnedSemaphorePermit> {
        let _place = Place::take(self)?;
        let permit = Arc::clone(&self.running).acquire_owned();
        let permit = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), permit)
                .await
                .map_err(|_| Error::Reported {
                    code: ErrorCode::Timeout,
                    message: format!(
                        "the deadline passed before there was room for {}",
                        self.what
                    ),
                    remedy: Some("allow more time".to_owned()),
                })?,
            None => permit.await,
        };
        permit.map_err(|_| Error::Internal("a gate was closed".to_owned()))
    }
}

/// A place in the queue, left when it is dropped.
struct Place<'a>(&'a Gate);

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Result<Place<'a>> {
        let place = Place(gate);
        if gate.waiting.fetch_add(1, Ordering::Relaxed) >= gate.waiting_max {
            return Err(Error::Busy {
                full: gate.full,
                what: format!("too many requests wait for {}", gate.what),
                retry_after: RETRY_AFTER,
            });
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_waits_and_what_finds_no_place_is_refused() {
        let gate = Arc::new(Gate::new(&Workers::Threads, "tests", Full::WorkQueue, 1, 1));
        let (release, released) = mpsc::channel::<()>();
        let running = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.run(None, move || released.recv().is_ok()).await }
        });
        while gate.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.run(None, || 7).await }
        });
        while gate.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let refused = gate.run(None, || ()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Overloaded);
        release.send(()).unwrap();
        assert!(running.await.unwrap().unwrap());
        assert_eq!(waiting.await.unwrap().unwrap(), 7);
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_their_deadline() {
        let gate = Arc::new(Gate::new(&Workers::Threads, "tests", Full::WorkQueue, 1, 8));
        let _held = Arc::clone(&gate.running).acquire_owned().await.unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
        let late = gate
            .run(Some(deadline.into_std()), || ())
            .await
            .unwrap_err();
        assert_eq!(late.code(), ErrorCode::Timeout);
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_gives_its_room_back() {
        let gate = Gate::new(&Workers::Threads, "tests", Full::WorkQueue, 1, 1);
        let panicked = gate.run(None, || panic!("a defect")).await;
        assert!(matches!(panicked, Err::<(), _>(Error::Internal(_))));
        assert_eq!(gate.run(None, || 1).await.unwrap(), 1);
    }
}
