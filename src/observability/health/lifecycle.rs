//! How far the server is in its life, which goes one way.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

/// How long starting may take. Loading a large store takes a minute; who is not there after ten does not get there, and
/// must say so.
pub const STARTUP_MAX: Duration = Duration::from_secs(10 * 60);

/// How far the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is loading.
    Starting,
    /// It answers.
    Serving,
    /// It still answers, and asks to be sent no more.
    Draining,
}

/// What starting waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartStep {
    /// The store is opened, and its log replayed.
    Store,
    /// The model and the indexes are loaded.
    Indexes,
    /// Everything is there but the listener.
    Listener,
}

/// The phase, and in the first one the step.
#[derive(Debug)]
pub(super) struct Lifecycle {
    phase: AtomicU8,
    step: AtomicU8,
    began: Instant,
}

impl Lifecycle {
    pub(super) fn new(now: Instant) -> Lifecycle {
        Lifecycle {
            phase: AtomicU8::new(Phase::Starting as u8),
            step: AtomicU8::new(StartStep::Store as u8),
            began: now,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        const SERVING: u8 = Phase::Serving as u8;
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            SERVING => Phase::Serving,
            _ => Phase::Draining,
        }
    }

    /// Goes to a phase, unless a later one is reached.
    pub(super) fn reach(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// Returns what starting waits for; none when it does not wait any more.
    pub(super) fn step(&self) -> Option<StartStep> {
        const INDEXES: u8 = StartStep::Indexes as u8;
        if self.phase() != Phase::Starting {
            return None;
        }
        Some(match self.step.load(Ordering::Relaxed) {
            0 => StartStep::Store,
            INDEXES => StartStep::Indexes,
            _ => StartStep::Listener,
        })
    }

    /// Goes to a step, unless a later one is reached.
    pub(super) fn await_step(&self, step: StartStep) {
        self.step.fetch_max(step as u8, Ordering::Relaxed);
    }

    /// Whether starting takes too long.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.phase() == Phase::Starting && self.age(now) > STARTUP_MAX
    }

    /// Returns the time since the start.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_goes_one_way() {
        let lifecycle = Lifecycle::new(Instant::now());
        assert_eq!(lifecycle.phase(), Phase::Starting);
        for (reached, expected) in [
            (Phase::Starting, Phase::Starting),
            (Phase::Serving, Phase::Serving),
            (Phase::Starting, Phase::Serving),
            (Phase::Draining, Phase::Draining),
            (Phase::Serving, Phase::Draining),
        ] {
            lifecycle.reach(reached);
            assert_eq!(lifecycle.phase(), expected);
        }
    }

    #[test]
    fn the_step_is_told_while_it_matters() {
        let lifecycle = Lifecycle::new(Instant::now());
        assert_eq!(lifecycle.step(), Some(StartStep::Store));
        lifecycle.await_step(StartStep::Indexes);
        assert_eq!(lifecycle.step(), Some(StartStep::Indexes));
        lifecycle.await_step(StartStep::Store);
        assert_eq!(lifecycle.step(), Some(StartStep::Indexes));
        lifecycle.await_step(StartStep::Listener);
        assert_eq!(lifecycle.step(), Some(StartStep::Listener));
        lifecycle.reach(Phase::Serving);
        assert_eq!(lifecycle.step(), None);
    }

    #[test]
    fn only_what_is_still_starting_is_overdue() {
        let begin = Instant::now();
        let lifecycle = Lifecycle::new(begin);
        let late = begin + STARTUP_MAX + Duration::from_millis(1);
        assert!(!lifecycle.is_overdue(begin + STARTUP_MAX));
        assert!(lifecycle.is_overdue(late));
        lifecycle.reach(Phase::Serving);
        assert!(!lifecycle.is_overdue(late));
    }
}
