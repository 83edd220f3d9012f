//! Load: who asks when, and what came back.
//!
//! In a *closed* loop each client asks as soon as it has its answer: that shows how much a server can do. In an *open*
//! loop requests come when a schedule says, however slow the answers are, as those of people do: that shows how long
//! they wait. There a latency begins when the request was due and not when a client was free to send it; and a request
//! that is late is sent nevertheless. Otherwise a server that stalls would be asked less, and its stall be one slow
//! request among many fast ones: the coordinated omission that hides in most latencies.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{panic, thread};

use super::client::{Answer, Client, Request};
use super::latencies::Latencies;
use super::pinning::Core;
use crate::error::{Error, Result};

/// Requests that all clients take in turn, again and again.
pub(super) struct Rotation<'a> {
    requests: &'a [Request],
    next: AtomicUsize,
}

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Of the requests that were answered.
    pub(super) latencies: Latencies,
    /// Of these, how many with less than was asked for.
    pub(super) degraded: u64,
    /// Of these, how many from memory.
    pub(super) cached: u64,
    /// Requests that were refused or failed. How fast that went counts for nothing.
    pub(super) failed: u64,
}

/// When a closed loop ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After so long; each client waits for its last answer.
    Time(Duration),
    /// After so many requests of each client.
    Requests(usize),
}

/// When the requests of an open loop are due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    per_second: u64,
    count: u64,
}

/// A closed loop's outcome.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) tally: Tally,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
}

impl<'a> Rotation<'a> {
    /// # Panics
    /// When there are no requests.
    pub(super) fn new(requests: &'a [Request]) -> Rotation<'a> {
        assert!(!requests.is_empty(), "load needs something to ask");
        Rotation {
            requests,
            next: AtomicUsize::new(0),
        }
    }

    fn next(&self) -> &'a Request {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.requests[turn % self.requests.len()]
    }
}

impl Schedule {
    /// Requests at a rate, as many as are due within a time.
    pub(super) fn within(per_second: u64, time: Duration) -> Schedule {
        let count = u128::from(per_second) * time.as_nanos() / 1_000_000_000;
        Schedule {
            per_second,
            count: u64::try_from(count).unwrap_or(u64::MAX),
        }
    }

    /// Requests at a rate, until the loop is told to end.
    pub(super) fn endless(per_second: u64) -> Schedule {
        Schedule {
            per_second,
            count: u64::MAX,
        }
    }

    /// When a request is due, from the start; none after the last.
    fn due(&self, request: u64) -> Option<Duration> {
        let after = || {
            let whole = Duration::from_secs(request / self.per_second);
            let part = request % self.per_second * 1_000_000_000 / self.per_second;
            whole + Duration::from_nanos(part)
        };
        (request < self.count).then(after)
    }
}

impl Tally {
    /// Counts an answer.
    fn add(&mut self, answer: &Answer<'_>, latency: Duration) {
        match answer.status {
            200 => {}
            206 => self.degraded += 1,
            _ => {
                self.failed += 1;
                return;
            }
        }
        self.cached += u64::from(answer.header("x-cache") == Some("hit"));
        self.latencies.push(latency);
    }

    pub(super) fn append(&mut self, other: Tally) {
        self.latencies.append(other.latencies);
        self.degraded += other.degraded;
        self.cached += other.cached;
        self.failed += other.failed;
    }

    /// Returns how many requests were answered.
    pub(super) fn answered(&self) -> usize {
        self.latencies.len()
    }

    /// Refuses a series in which something failed: what is left of it says nothing.
    ///
    /// # Errors
    /// [`Error::Internal`] with how many failed.
    pub(super) fn must_be_whole(&self) -> Result<()> {
        if self.failed == 0 && self.answered() > 0 {
            return Ok(());
        }
        Err(Error::Internal(format!(
            "of {} requests the server refused {}",
            self.answered() as u64 + self.failed,
            self.failed
        )))
    }
}

/// Lets every client ask as soon as it has its answer, each on a thread on `core`.
///
/// # Errors
/// A connection that breaks; [`Error::Interrupted`] when `stop` was set.
pub(super) fn closed_loop(
    clients: &mut [Client],
    rotation: &Rotation<'_>,
    until: Until,
    core: Option<Core>,
    stop: &AtomicBool,
) -> Result<Work> {
    let started = Instant::now();
    let tally = on_threads(clients, core, |client| {
        let mut tally = Tally::default();
        for asked in 0.. {
            let is_over = match until {
                Until::Time(time) => started.elapsed() >= time,
                Until::Requests(count) => asked >= count,
            };
            if is_over {
                break;
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let sent = Instant::now();
            let answer = client.ask(rotation.next())?;
            if let Some(wait) = told_to_wait(&answer)
                && let Until::Time(time) = until
            {
                thread::sleep(wait.min(time.saturating_sub(started.elapsed())));
                continue;
            }
            tally.add(&answer, sent.elapsed());
        }
        Ok(tally)
    })?;
    Ok(Work {
        tally,
        elapsed: started.elapsed(),
    })
}

/// How long a client that does as it is told waits before it asks again: there is more to do than can be done. What counts
/// is what is served meanwhile.
fn told_to_wait(answer: &Answer<'_>) -> Option<Duration> {
    let seconds = answer
        .header("retry-after")
        .filter(|_| answer.status == 503)?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// Asks when the schedule says, by whichever client is free, until it is over or `end` is set.
///
/// # Errors
/// A connection that breaks.
pub(super) fn open_loop(
    clients: &mut [Client],
    rotation: &Rotation<'_>,
    schedule: Schedule,
    end: &AtomicBool,
) -> Result<Tally> {
    let started = Instant::now();
    let next = AtomicU64::new(0);
    on_threads(clients, None, |client| {
        let mut tally = Tally::default();
        while let Some(due) = schedule.due(next.fetch_add(1, Ordering::Relaxed)) {
            let due = started + due;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if end.load(Ordering::Relaxed) {
                break;
            }
            let answer = client.ask(rotation.next())?;
            tally.add(&answer, latency(due, Instant::now()));
        }
        Ok(tally)
    })
}

/// How long the one who asked has waited: since the request was due, whenever it was sent.
fn latency(due: Instant, answered: Instant) -> Duration {
    answered.saturating_duration_since(due)
}

/// Gives each client a thread, and adds up what came back to them.
fn on_threads(
    clients: &mut [Client],
    core: Option<Core>,
    work: impl Fn(&mut Client) -> Result<Tally> + Sync,
) -> Result<Tally> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || {
                    core.map_or(Ok(()), Core::pin)?;
                    work(client)
                })
            })
            .collect();
        let mut all = Tally::default();
        for thread in threads {
            all.append(
                thread
                    .join()
                    .unwrap_or_else(|panic| panic::resume_unwind(panic))?,
            );
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_even_distances() {
        let check = |per_second, ms, expected_us: &[u64]| {
            let schedule = Schedule::within(per_second, Duration::from_millis(ms));
            let due: Vec<_> = (0..).map_while(|n| schedule.due(n)).collect();
            let expected: Vec<_> = expected_us
                .iter()
                .map(|&us| Duration::from_micros(us))
                .collect();
            assert_eq!(due, expected, "{per_second} a second for {ms} ms");
        };
        check(100, 30, &[0, 10_000, 20_000]);
        check(8, 625, &[0, 125_000, 250_000, 375_000, 500_000]);
        check(1, 2_999, &[0, 1_000_000]);
        check(100, 9, &[]);
    }

    #[test]
    fn a_schedule_does_not_drift() {
        let schedule = Schedule::endless(3);
        assert_eq!(
            schedule.due(3_000_000),
            Some(Duration::from_secs(1_000_000))
        );
        assert_eq!(
            schedule.due(3_000_001),
            Some(Duration::from_nanos(1_000_000_333_333_333))
        );
        assert!(schedule.due(u64::MAX - 1).is_some());
    }

    #[test]
    fn a_stall_delays_every_request_that_was_due_meanwhile() {
        // One client; the first answer takes 35 ms, the others a millisecond each.
        let started = Instant::now();
        let at = |ms| started + Duration::from_millis(ms);
        let schedule = Schedule::within(100, Duration::from_millis(50));
        let mut free = at(0);
        let mut latencies = Vec::new();
        for (request, takes_ms) in [35, 1, 1, 1, 1].into_iter().enumerate() {
            let due = started + schedule.due(request as u64).unwrap();
            let answered = free.max(due) + Duration::from_millis(takes_ms);
            latencies.push(latency(due, answered).as_millis());
            free = answered;
        }
        assert_eq!(latencies, [35, 26, 17, 8, 1]);
        assert_eq!(latency(at(9), at(8)), Duration::ZERO);
    }

    #[test]
    fn requests_are_taken_in_turn() {
        let server = "127.0.0.1:1".parse().unwrap();
        let requests = [
            Request::new("GET", "/a", server, None, None),
            Request::new("GET", "/b", server, None, None),
        ];
        let rotation = Rotation::new(&requests);
        let taken: Vec<bool> = (0..5)
            .map(|_| std::ptr::eq(rotation.next(), &requests[0]))
            .collect();
        assert_eq!(taken, [true, false, true, false, true]);
    }

    #[test]
    fn a_series_with_a_failure_is_not_whole() {
        let mut tally = Tally::default();
        assert!(tally.must_be_whole().is_err());
        tally.latencies.push(Duration::from_millis(1));
        assert!(tally.must_be_whole().is_ok());
        tally.append(Tally {
            failed: 1,
            ..Tally::default()
        });
        let error = tally.must_be_whole().unwrap_err();
        assert!(error.to_string().contains("of 2 requests"), "{error}");
    }
}
