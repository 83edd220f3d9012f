//! The states of a breaker and what leads from one to the other. One caller at a time, under the breaker's lock.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use super::permit::{End, Ended, Outcome};
use super::policy::BreakerPolicy;
use super::window::{Counts, Sample, Window};
use super::{BreakerSnapshot, CircuitState, Manual, ManualMode, Transition, TransitionReason};
use crate::{Random, Timestamp};

mod probing;
pub(super) mod word;

use probing::{Probing, Verdict};
use word::{Gate, Word};

/// Half of what a stay may be longer or shorter by, from the second on.
const JITTER: f64 = 0.2;

/// What the breaker decides by itself.
#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Timestamp },
    HalfOpen(Probing),
}

#[derive(Debug)]
pub(super) struct Control {
    policy: BreakerPolicy,
    phase: Phase,
    /// What somebody decided over it.
    manual: Option<Manual>,
    /// Grows with each change of either.
    epoch: u64,
    consecutive_failures: u32,
    window: Window,
    /// How often in a row probes failed.
    reopened: u32,
    random: Random,
    /// The newest moment that it was told.
    newest: Timestamp,
    /// Transitions that nobody has been told of.
    untold: VecDeque<Transition>,
}

impl Control {
    pub(super) fn new(policy: BreakerPolicy, seed: u64) -> Control {
        Control {
            window: Window::new(policy.window),
            policy,
            phase: Phase::Closed,
            manual: None,
            epoch: 0,
            consecutive_failures: 0,
            reopened: 0,
            random: Random::from_seed(seed),
            newest: Timestamp::ZERO,
            untold: VecDeque::new(),
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn newest(&self) -> Timestamp {
        self.newest
    }

    pub(super) fn take_transition(&mut self) -> Option<Transition> {
        self.untold.pop_front()
    }

    /// Returns the state as callers see it.
    pub(super) fn state(&self) -> CircuitState {
        match (self.manual, &self.phase) {
            (Some(manual), _) => match manual.mode {
                ManualMode::ForcedOpen => CircuitState::Open,
                ManualMode::ForcedClosed | ManualMode::MetricsOnly => CircuitState::Closed,
            },
            (None, Phase::Closed) => CircuitState::Closed,
            (None, Phase::Open { .. }) => CircuitState::Open,
            (None, Phase::HalfOpen(_)) => CircuitState::HalfOpen,
        }
    }

    /// Returns what callers need to know.
    pub(super) fn word(&self) -> Word {
        let gate = match (self.manual, &self.phase) {
            (Some(manual), _) => match manual.mode {
                ManualMode::ForcedOpen => Gate::Refuse,
                ManualMode::ForcedClosed | ManualMode::MetricsOnly => Gate::Ask,
            },
            (None, Phase::Closed) => Gate::Pass,
            (None, Phase::Open { .. }) => Gate::Refuse,
            (None, Phase::HalfOpen(probing)) if probing.has_room(&self.policy) => Gate::Ask,
            (None, Phase::HalfOpen(_)) => Gate::Refuse,
        };
        Word::new(self.epoch, self.state(), gate)
    }

    /// Until when calls are refused; the origin of time where they are not.
    pub(super) fn refused_until(&self) -> Timestamp {
        match (self.manual, &self.phase) {
            (Some(manual), _) => match manual.mode {
                ManualMode::ForcedOpen => manual.until,
                ManualMode::ForcedClosed | ManualMode::MetricsOnly => Timestamp::ZERO,
            },
            (None, Phase::Closed) => Timestamp::ZERO,
            (None, Phase::Open { until }) => *until,
            // A caller that has read the word of a moment ago must not be refused where there is room now.
            (None, Phase::HalfOpen(probing)) if probing.has_room(&self.policy) => Timestamp::ZERO,
            (None, Phase::HalfOpen(probing)) => probing.given_up_at(&self.policy),
        }
    }

    /// Decides about a call: let through, as a probe with its number or as any other, or refused for so long.
    pub(super) fn ask(&mut self, now: Timestamp) -> Result<Option<NonZeroU32>, Duration> {
        self.see(now);
        if let Some(manual) = self.manual {
            return match manual.mode {
                ManualMode::ForcedOpen => Err(now.until(manual.until)),
                ManualMode::ForcedClosed | ManualMode::MetricsOnly => Ok(None),
            };
        }
        if let Phase::Open { until } = self.phase {
            if now < until {
                return Err(now.until(until));
            }
            let probing = Phase::HalfOpen(Probing::default());
            self.enter(probing, TransitionReason::Elapsed, now);
        }
        if let Phase::HalfOpen(probing) = &mut self.phase {
            probing.give_up(now, &self.policy);
            self.judge_probes(now);
        }
        match &mut self.phase {
            Phase::Closed => Ok(None),
            Phase::Open { until } => Err(now.until(*until)),
            Phase::HalfOpen(probing) => match probing.issue(now, &self.policy) {
                Some(probe) => Ok(Some(probe)),
                None => Err(now.until(probing.given_up_at(&self.policy))),
            },
        }
    }

    /// Takes in how a call ended.
    pub(super) fn record(&mut self, ended: Ended, now: Timestamp) {
        self.see(now);
        if ended.epoch != self.epoch {
            return;
        }
        let is_slow = ended.took >= self.policy.slow_after;
        if let Some(manual) = self.manual {
            if manual.mode == ManualMode::MetricsOnly {
                self.measure(ended.end, is_slow, now);
            }
            return;
        }
        match &mut self.phase {
            Phase::Closed => self.record_closed(ended.end, is_slow, now),
            // Nothing was let through in this epoch.
            Phase::Open { .. } => {}
            Phase::HalfOpen(probing) => {
                if let Some(probe) = ended.probe {
                    probing.record(probe, ended.end, is_slow, &self.policy);
                    self.judge_probes(now);
                }
            }
        }
    }

    pub(super) fn set_manual(&mut self, now: Timestamp, manual: Manual) {
        self.see(now);
        let before = self.state();
        // Probes under way will not be heard.
        if matches!(self.phase, Phase::HalfOpen(_)) {
            self.phase = Phase::Open { until: now };
        }
        self.manual = Some(manual);
        self.begin_epoch(before, TransitionReason::Manual, now);
    }

    pub(super) fn reset(&mut self, now: Timestamp) {
        self.see(now);
        let before = self.state();
        self.manual = None;
        self.phase = Phase::Closed;
        self.forget();
        self.begin_epoch(before, TransitionReason::Manual, now);
    }

    pub(super) fn snapshot(&mut self, now: Timestamp) -> BreakerSnapshot {
        self.see(now);
        let window = self.window.counts(now);
        let retry_after = match self.word().gate() {
            Gate::Refuse => Some(now.until(self.refused_until())),
            Gate::Pass | Gate::Ask => None,
        };
        let probes_in_flight = match &self.phase {
            Phase::HalfOpen(probing) => probing.in_flight(),
            Phase::Closed | Phase::Open { .. } => 0,
        };
        BreakerSnapshot {
            state: self.state(),
            manual: self.manual,
            epoch: self.epoch,
            consecutive_failures: self.consecutive_failures,
            window,
            reopened: self.reopened,
            probes_in_flight,
            retry_after,
        }
    }

    /// Takes note of the time; what was decided by hand may be over.
    fn see(&mut self, now: Timestamp) {
        self.newest = self.newest.max(now);
        if self.manual.is_some_and(|manual| now >= manual.until) {
            let before = self.state();
            self.manual = None;
            if matches!(self.phase, Phase::Closed) {
                self.forget();
            }
            self.begin_epoch(before, TransitionReason::Manual, now);
        }
    }

    fn record_closed(&mut self, end: End, is_slow: bool, now: Timestamp) {
        self.measure(end, is_slow, now);
        match end {
            End::Outcome(Outcome::Success) => self.consecutive_failures = 0,
            End::Outcome(Outcome::Failure { is_last }) => {
                self.consecutive_failures += u32::from(is_last);
            }
            End::Outcome(Outcome::Overload { retry_after }) => {
                // Asked to stay away for as long as it would be left alone anyway, it is left alone.
                if let Some(wait) = retry_after.filter(|wait| *wait >= self.policy.open_for) {
                    return self.open(TransitionReason::RetryAfter, Some(wait), now);
                }
            }
            End::Outcome(Outcome::Ignored) | End::Cancelled => return,
        }
        if self.consecutive_failures >= self.policy.consecutive_failures {
            return self.open(TransitionReason::ConsecutiveFailures, None, now);
        }
        let Counts {
            calls,
            failed,
            slow,
        } = self.window.counts(now);
        if calls < self.policy.calls_min {
            return;
        }
        let reaches = |part: u32, percent: u32| {
            u64::from(part) * 100 >= u64::from(calls) * u64::from(percent)
        };
        if reaches(failed, self.policy.failure_percent) {
            self.open(TransitionReason::FailureRate, None, now);
        } else if reaches(slow, self.policy.slow_percent) {
            self.open(TransitionReason::SlowRate, None, now);
        }
    }

    fn measure(&mut self, end: End, is_slow: bool, now: Timestamp) {
        let has_failed = match end {
            End::Outcome(Outcome::Success) => false,
            End::Outcome(Outcome::Failure { .. } | Outcome::Overload { .. }) => true,
            End::Outcome(Outcome::Ignored) | End::Cancelled => return,
        };
        let sample = Sample {
            has_failed,
            is_slow,
        };
        self.window.record(sample, now);
    }

    fn judge_probes(&mut self, now: Timestamp) {
        let Phase::HalfOpen(probing) = &self.phase else {
            return;
        };
        match probing.verdict(&self.policy) {
            Some(Verdict::Close) => {
                self.forget();
                self.enter(Phase::Closed, TransitionReason::ProbesSucceeded, now);
            }
            Some(Verdict::Reopen { retry_after }) => {
                self.open(TransitionReason::ProbesFailed, retry_after, now);
            }
            None => {}
        }
    }

    fn open(&mut self, reason: TransitionReason, retry_after: Option<Duration>, now: Timestamp) {
        let is_again = matches!(self.phase, Phase::HalfOpen(_));
        let reopened = if is_again { self.reopened + 1 } else { 0 };
        self.forget();
        self.reopened = reopened;
        let asked = retry_after.unwrap_or_default().min(self.policy.open_max);
        let stay = self.stay(reopened).max(asked);
        let phase = Phase::Open {
            until: now.plus(stay),
        };
        self.enter(phase, reason, now);
    }

    /// Returns how long it stays open, for the `reopened`-th time in a row.
    fn stay(&mut self, reopened: u32) -> Duration {
        let BreakerPolicy {
            open_for, open_max, ..
        } = self.policy;
        let doubled = open_for.saturating_mul(1_u32.checked_shl(reopened).unwrap_or(u32::MAX));
        if reopened == 0 {
            return doubled.min(open_max);
        }
        let jitter = 1.0 + JITTER * (2.0 * self.random.unit() - 1.0);
        doubled.min(open_max).mul_f64(jitter).min(open_max)
    }

    fn enter(&mut self, phase: Phase, reason: TransitionReason, now: Timestamp) {
        let before = self.state();
        self.phase = phase;
        self.begin_epoch(before, reason, now);
    }

    fn begin_epoch(&mut self, from: CircuitState, reason: TransitionReason, now: Timestamp) {
        self.epoch += 1;
        let to = self.state();
        if from != to {
            self.untold.push_back(Transition {
                from,
                to,
                reason,
                at: now,
                epoch: self.epoch,
            });
        }
    }

    /// Starts cold: what was counted before says nothing any more.
    fn forget(&mut self) {
        self.consecutive_failures = 0;
        self.reopened = 0;
        self.window.clear();
    }
}
