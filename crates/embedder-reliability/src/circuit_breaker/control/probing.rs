//! The probes of one epoch.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::Timestamp;
use crate::circuit_breaker::permit::{End, Outcome};
use crate::circuit_breaker::policy::{BreakerPolicy, PROBES_MAX};

/// The probes of one epoch, and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Probing {
    /// The number of the last one that was let through.
    last: u32,
    under_way: [Option<Probe>; PROBES_MAX as usize],
    succeeded: u32,
    failed: u32,
    cancelled: u32,
    /// The longest that the dependency asked to be left alone.
    retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    number: NonZeroU32,
    since: Timestamp,
}

/// What the probes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Close,
    Reopen { retry_after: Option<Duration> },
}

impl Probing {
    pub(super) fn in_flight(&self) -> u32 {
        self.under_way.iter().flatten().count() as u32
    }

    pub(super) fn has_room(&self, policy: &BreakerPolicy) -> bool {
        self.in_flight() + self.succeeded + self.failed < policy.probes
    }

    /// Lets one more through, if there is room.
    pub(super) fn issue(&mut self, now: Timestamp, policy: &BreakerPolicy) -> Option<NonZeroU32> {
        if !self.has_room(policy) {
            return None;
        }
        let slot = self.under_way.iter_mut().find(|slot| slot.is_none())?;
        self.last += 1;
        let number = NonZeroU32::new(self.last)?;
        *slot = Some(Probe { number, since: now });
        Some(number)
    }

    /// Takes in what became of a probe, unless it was given up before.
    pub(super) fn record(
        &mut self,
        number: NonZeroU32,
        end: End,
        is_slow: bool,
        policy: &BreakerPolicy,
    ) {
        let is_it = |slot: &&mut Option<Probe>| slot.is_some_and(|probe| probe.number == number);
        let Some(slot) = self.under_way.iter_mut().find(is_it) else {
            return;
        };
        *slot = None;
        match end {
            End::Outcome(Outcome::Success) if !is_slow => self.succeeded += 1,
            End::Outcome(Outcome::Success | Outcome::Failure { .. }) => self.failed += 1,
            End::Outcome(Outcome::Overload { retry_after }) => {
                self.failed += 1;
                self.retry_after = self.retry_after.max(retry_after);
            }
            // It answered, and what it answered is the request's fault: one more may be asked.
            End::Outcome(Outcome::Ignored) => {}
            // Clients that leave must not keep a breaker from ever deciding.
            End::Cancelled if self.cancelled < policy.cancels_max => self.cancelled += 1,
            End::Cancelled => self.failed += 1,
        }
    }

    /// Counts probes as failed that have been under way for too long.
    pub(super) fn give_up(&mut self, now: Timestamp, policy: &BreakerPolicy) {
        for slot in &mut self.under_way {
            let is_late = |probe: &mut Probe| now >= probe.since.plus(policy.probe_stay_max);
            if slot.take_if(is_late).is_some() {
                self.failed += 1;
            }
        }
    }

    /// When the oldest probe under way is given up; the origin of time where there is none.
    pub(super) fn given_up_at(&self, policy: &BreakerPolicy) -> Timestamp {
        let oldest = self
            .under_way
            .iter()
            .flatten()
            .map(|probe| probe.since)
            .min();
        oldest.map_or(Timestamp::ZERO, |since| since.plus(policy.probe_stay_max))
    }

    /// Returns what the results so far say; with all of them in, always something.
    pub(super) fn verdict(&self, policy: &BreakerPolicy) -> Option<Verdict> {
        if self.succeeded >= policy.successes_needed {
            return Some(Verdict::Close);
        }
        let can_still_succeed = policy.probes - self.failed.min(policy.probes);
        (can_still_succeed < policy.successes_needed).then_some(Verdict::Reopen {
            retry_after: self.retry_after,
        })
    }
}
