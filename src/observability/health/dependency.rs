//! What is known of one dependency: a state machine that checks drive.

use std::time::{Duration, Instant};

use super::{HealthState, Reason, Verdict};
use crate::observability::metrics::Dependency;

/// Failures in a row before a dependency is unhealthy: one is an accident, and at [`INTERVAL`](super::INTERVAL) the
/// third comes soon enough. One success makes up for them.
pub const FAILURES_MAX: u32 = 3;

/// How old the last finding may be. Six rounds: whoever has looked no later is not looking any more.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// What is known of a dependency.
#[derive(Debug, Clone, PartialEq)]
pub struct DependencyHealth {
    /// Which one.
    pub name: Dependency,
    /// Whether the server can do nothing useful without it.
    pub is_critical: bool,
    /// Checks that failed since the last one that did not.
    pub consecutive_failures: u32,
    /// How long the last check took that ended.
    pub last_duration: Option<Duration>,
    /// When it ended.
    pub last_completed: Option<Instant>,
    /// As the checks left it: unknown until one passed or enough of them failed.
    state: Option<HealthState>,
    reason: Option<Reason>,
    watched_since: Instant,
}

impl DependencyHealth {
    /// Begins to watch a dependency of which nothing is known.
    pub(super) fn unknown(name: Dependency, is_critical: bool, now: Instant) -> DependencyHealth {
        DependencyHealth {
            name,
            is_critical,
            consecutive_failures: 0,
            last_duration: None,
            last_completed: None,
            state: None,
            reason: None,
            watched_since: now,
        }
    }

    /// Returns the state at an instant; none while it is unknown.
    pub fn state(&self, now: Instant) -> Option<HealthState> {
        if self.is_stale(now) {
            return Some(HealthState::Unhealthy);
        }
        self.state
    }

    /// Returns why the dependency is not well, or may soon be so.
    pub fn reason(&self, now: Instant) -> Option<Reason> {
        if self.is_stale(now) {
            // Why nothing was found is more than that nothing was found.
            return Some(self.reason.unwrap_or(Reason::Stale));
        }
        self.reason
            .or_else(|| self.state.is_none().then_some(Reason::NotChecked))
    }

    /// A check ended in time.
    pub(super) fn completed(&mut self, verdict: Verdict, duration: Duration, now: Instant) {
        self.completed_late(duration, now);
        match verdict {
            Verdict::Healthy => self.passed(HealthState::Healthy, None),
            Verdict::Degraded(reason) => self.passed(HealthState::Degraded, Some(reason)),
            Verdict::Failed(reason) => self.failed(reason),
        }
    }

    /// A check ended that had been given up. What it found is not news any more: its failure has been counted.
    pub(super) fn completed_late(&mut self, duration: Duration, now: Instant) {
        self.last_duration = Some(duration);
        self.last_completed = Some(now);
    }

    /// A check failed, or did not end in time.
    pub(super) fn failed(&mut self, reason: Reason) {
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.reason = Some(reason);
        if self.consecutive_failures >= FAILURES_MAX {
            self.state = Some(HealthState::Unhealthy);
        }
    }

    fn passed(&mut self, state: HealthState, reason: Option<Reason>) {
        self.consecutive_failures = 0;
        self.reason = reason;
        self.state = Some(state);
    }

    fn is_stale(&self, now: Instant) -> bool {
        let last = self.last_completed.unwrap_or(self.watched_since);
        now.saturating_duration_since(last) > STALE_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthState::{Degraded, Healthy, Unhealthy};

    /// What a check finds, nothing where it is given up; the state, reason and failures that are known then.
    type Step = (Option<Verdict>, Option<HealthState>, Option<Reason>, u32);

    fn check(steps: &[Step]) {
        let begin = Instant::now();
        let mut health = DependencyHealth::unknown(Dependency::Encoder, true, begin);
        assert_eq!(health.state(begin), None);
        assert_eq!(health.reason(begin), Some(Reason::NotChecked));
        for (second, (verdict, state, reason, failures)) in (1..).zip(steps) {
            let now = begin + Duration::from_secs(second);
            match verdict {
                Some(verdict) => health.completed(*verdict, Duration::from_millis(2), now),
                None => health.failed(Reason::Timeout),
            }
            assert_eq!(health.state(now), *state, "step {second}");
            assert_eq!(health.reason(now), *reason, "step {second}");
            assert_eq!(health.consecutive_failures, *failures, "step {second}");
        }
    }

    #[test]
    fn three_failures_in_a_row_fail_and_one_success_passes() {
        let failed = Some(Verdict::Failed(Reason::IoError));
        let passed = Some(Verdict::Healthy);
        let io = Some(Reason::IoError);
        check(&[
            (passed, Some(Healthy), None, 0),
            (failed, Some(Healthy), io, 1),
            (failed, Some(Healthy), io, 2),
            (passed, Some(Healthy), None, 0),
            (failed, Some(Healthy), io, 1),
            (failed, Some(Healthy), io, 2),
            (failed, Some(Unhealthy), io, 3),
            (failed, Some(Unhealthy), io, 4),
            (passed, Some(Healthy), None, 0),
        ]);
    }

    #[test]
    fn what_never_passed_is_unknown_and_not_healthy() {
        let failed = Some(Verdict::Failed(Reason::Damaged));
        let damaged = Some(Reason::Damaged);
        check(&[
            (failed, None, damaged, 1),
            (failed, None, damaged, 2),
            (failed, Some(Unhealthy), damaged, 3),
        ]);
    }

    #[test]
    fn a_timeout_is_a_failure() {
        let timeout = Some(Reason::Timeout);
        check(&[
            (Some(Verdict::Healthy), Some(Healthy), None, 0),
            (None, Some(Healthy), timeout, 1),
            (
                Some(Verdict::Failed(Reason::Full)),
                Some(Healthy),
                Some(Reason::Full),
                2,
            ),
            (None, Some(Unhealthy), timeout, 3),
        ]);
    }

    #[test]
    fn degraded_counts_at_once_and_is_no_failure() {
        let degraded = Some(Verdict::Degraded(Reason::Backlog));
        check(&[
            (degraded, Some(Degraded), Some(Reason::Backlog), 0),
            (Some(Verdict::Healthy), Some(Healthy), None, 0),
            (None, Some(Healthy), Some(Reason::Timeout), 1),
            (degraded, Some(Degraded), Some(Reason::Backlog), 0),
        ]);
    }

    #[test]
    fn old_findings_are_no_findings() {
        let begin = Instant::now();
        let mut health = DependencyHealth::unknown(Dependency::Disk, true, begin);
        let later = begin + STALE_AFTER + Duration::from_millis(1);
        assert_eq!(health.state(begin + STALE_AFTER), None);
        assert_eq!(health.state(later), Some(Unhealthy));
        assert_eq!(health.reason(later), Some(Reason::Stale));

        health.completed(Verdict::Healthy, Duration::ZERO, later);
        assert_eq!(health.state(later + STALE_AFTER), Some(Healthy));
        let too_late = later + STALE_AFTER + Duration::from_millis(1);
        assert_eq!(health.state(too_late), Some(Unhealthy));
        assert_eq!(health.reason(too_late), Some(Reason::Stale));

        health.failed(Reason::Timeout);
        assert_eq!(health.reason(too_late), Some(Reason::Timeout));
    }

    #[test]
    fn what_a_late_check_found_does_not_count() {
        let begin = Instant::now();
        let mut health = DependencyHealth::unknown(Dependency::Disk, true, begin);
        health.failed(Reason::Timeout);
        let later = begin + Duration::from_secs(3);
        health.completed_late(Duration::from_secs(3), later);
        assert_eq!(health.consecutive_failures, 1);
        assert_eq!(health.state(later), None);
        assert_eq!(health.last_duration, Some(Duration::from_secs(3)));
    }
}
