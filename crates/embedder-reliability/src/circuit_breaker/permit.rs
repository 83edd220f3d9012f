//! The right to make one call, and what became of it.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{CircuitBreaker, lock};
use crate::Timestamp;

/// What became of a call, as far as the dependency's health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered as it should.
    Success,
    /// It did not.
    Failure {
        /// Whether the request ends with it. An attempt that is followed by another counts for the rate, not as one more
        /// failed request in a row.
        is_last: bool,
    },
    /// It answered that it has too much to do. That counts for the rate, not as a failure in a row, and fails a probe.
    Overload {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It says nothing about the dependency: the request was at fault, or its caller left.
    Ignored,
}

impl Outcome {
    /// The failure of a request that is not tried again.
    pub const FAILURE: Outcome = Outcome::Failure { is_last: true };
}

/// The right to make one call. Say what became of it with [`Permit::record`]; dropped without that, the call counts as
/// cancelled, or as failed if the thread is panicking.
#[must_use = "a permit that is dropped counts as a cancelled call"]
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    pub(super) epoch: u64,
    /// The number of the probe, where it is one.
    pub(super) probe: Option<NonZeroU32>,
    started: Timestamp,
    is_recorded: bool,
}

/// What the control is told of a call that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) epoch: u64,
    pub(super) probe: Option<NonZeroU32>,
    pub(super) end: End,
    pub(super) took: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Outcome(Outcome),
    Cancelled,
}

impl<'a> Permit<'a> {
    pub(super) fn of_call(breaker: &'a CircuitBreaker, epoch: u64, now: Timestamp) -> Permit<'a> {
        Permit::new(breaker, epoch, None, now)
    }

    pub(super) fn new(
        breaker: &'a CircuitBreaker,
        epoch: u64,
        probe: Option<NonZeroU32>,
        started: Timestamp,
    ) -> Permit<'a> {
        Permit {
            breaker,
            epoch,
            probe,
            started,
            is_recorded: false,
        }
    }

    /// Whether the call is a probe, by which the breaker decides whether to close.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    /// Says that the call is made only now: what came before, such as waiting for others, was not slowness of the dependency.
    pub fn begins(&mut self, now: Timestamp) {
        self.started = now;
    }

    /// Says what became of the call.
    pub fn record(mut self, outcome: Outcome, now: Timestamp) {
        self.is_recorded = true;
        self.end(End::Outcome(outcome), Some(now));
    }

    fn end(&self, end: End, now: Option<Timestamp>) {
        // A cancelled call of a closed breaker changes nothing.
        if matches!(end, End::Cancelled) && self.probe.is_none() {
            return;
        }
        let mut control = lock(&self.breaker.control);
        let now = now.unwrap_or_else(|| control.newest());
        let ended = Ended {
            epoch: self.epoch,
            probe: self.probe,
            end,
            took: now.since(self.started),
        };
        control.record(ended, now);
        self.breaker.publish(&mut control);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        let end = if std::thread::panicking() {
            End::Outcome(Outcome::FAILURE)
        } else {
            End::Cancelled
        };
        self.end(end, None);
    }
}
