//! When checks begin and when they are given up: decisions only, the time is passed in.

use std::time::{Duration, Instant};

use super::dependency::DependencyHealth;
use super::{Dependency, Reason, Verdict};

/// Time from one round of checks to the next, but for the jitter: three failures are noticed in a quarter of a minute.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// How far the interval is moved at random, up or down, so that servers that share a disk do not look at it together.
pub const JITTER: f64 = 0.1;

/// How long a check may take. Each takes milliseconds where nothing is wrong.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// The times of the rounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) interval: Duration,
    /// Shorter than the shortest interval.
    pub(super) timeout: Duration,
}

impl Timing {
    /// Rounds in this interval; a check may take no longer than it.
    pub(super) fn every(interval: Duration) -> Timing {
        Timing {
            interval,
            timeout: TIMEOUT.min(interval.mul_f64(1.0 - JITTER)),
        }
    }
}

#[cfg(test)]
impl Default for Timing {
    fn default() -> Timing {
        Timing {
            interval: INTERVAL,
            timeout: TIMEOUT,
        }
    }
}

/// The rounds of checks and what they found.
#[derive(Debug)]
pub(super) struct Rounds {
    timing: Timing,
    dependencies: Vec<DependencyHealth>,
    /// Of each dependency, its check.
    checks: Vec<Check>,
    /// When the next round begins.
    round_at: Instant,
    /// When the checks of this round are given up, as long as one of them runs.
    timeout_at: Option<Instant>,
}

/// What the check of a dependency does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Waits,
    Runs,
    /// It was given up and runs all the same; there is no other one until it ends.
    Hangs,
}

impl Rounds {
    /// Prepares rounds for dependencies, critical or not; the first one is due at once.
    pub(super) fn new(
        dependencies: impl IntoIterator<Item = (Dependency, bool)>,
        timing: Timing,
        now: Instant,
    ) -> Rounds {
        let dependencies: Vec<_> = dependencies
            .into_iter()
            .map(|(name, is_critical)| DependencyHealth::unknown(name, is_critical, now))
            .collect();
        Rounds {
            timing,
            checks: vec![Check::Waits; dependencies.len()],
            dependencies,
            round_at: now,
            timeout_at: None,
        }
    }

    pub(super) fn dependencies(&self) -> &[DependencyHealth] {
        &self.dependencies
    }

    /// Returns when there is something to do next.
    pub(super) fn wake_at(&self) -> Instant {
        self.timeout_at
            .map_or(self.round_at, |at| at.min(self.round_at))
    }

    /// Does what is due: gives up checks, begins a round. Returns the checks to start, none where no round begins.
    /// `random` is from 0 to 1.
    pub(super) fn tick(&mut self, now: Instant, random: f64) -> Option<Vec<usize>> {
        if self.timeout_at.is_some_and(|at| at <= now) {
            self.give_up();
        }
        if self.round_at > now {
            return None;
        }
        let moved = 1.0 + JITTER * (2.0 * random.clamp(0.0, 1.0) - 1.0);
        self.round_at = now + self.timing.interval.mul_f64(moved);
        self.timeout_at = Some(now + self.timing.timeout);
        let mut started = Vec::new();
        for (index, check) in self.checks.iter_mut().enumerate() {
            if *check == Check::Waits {
                *check = Check::Runs;
                started.push(index);
            }
        }
        Some(started)
    }

    /// Takes what a check found, and how long it took.
    pub(super) fn completed(
        &mut self,
        index: usize,
        verdict: Verdict,
        duration: Duration,
        now: Instant,
    ) {
        let dependency = &mut self.dependencies[index];
        match self.checks[index] {
            Check::Runs => dependency.completed(verdict, duration, now),
            Check::Hangs | Check::Waits => dependency.completed_late(duration, now),
        }
        self.checks[index] = Check::Waits;
        if self.checks.iter().all(|check| *check == Check::Waits) {
            self.timeout_at = None;
        }
    }

    /// Every check that has not ended fails, also one that hangs since an earlier round: once for each round.
    fn give_up(&mut self) {
        self.timeout_at = None;
        for (check, dependency) in self.checks.iter_mut().zip(&mut self.dependencies) {
            match check {
                Check::Waits => {}
                Check::Runs | Check::Hangs => {
                    *check = Check::Hangs;
                    dependency.failed(Reason::Timeout);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::HealthState::{Healthy, Unhealthy};
    use super::*;

    const ENCODER: usize = 0;
    const CACHE: usize = 1;

    fn rounds(now: Instant) -> Rounds {
        let dependencies = [(Dependency::Encoder, true), (Dependency::Cache, false)];
        Rounds::new(dependencies, Timing::default(), now)
    }

    fn pass(rounds: &mut Rounds, index: usize, now: Instant) {
        rounds.completed(index, Verdict::Healthy, Duration::from_millis(1), now);
    }

    #[test]
    fn the_first_round_is_due_at_once_and_starts_every_check() {
        let begin = Instant::now();
        let mut rounds = rounds(begin);
        assert_eq!(rounds.wake_at(), begin);
        assert_eq!(rounds.tick(begin, 0.5), Some(vec![ENCODER, CACHE]));
        assert_eq!(rounds.wake_at(), begin + TIMEOUT);
        pass(&mut rounds, ENCODER, begin);
        pass(&mut rounds, CACHE, begin);
        assert_eq!(rounds.wake_at(), begin + INTERVAL);
        assert_eq!(rounds.tick(begin + TIMEOUT, 0.5), None);
        assert_eq!(rounds.dependencies()[ENCODER].state(begin), Some(Healthy));
    }

    #[test]
    fn the_interval_is_moved_by_a_tenth_at_most() {
        let begin = Instant::now();
        for (random, expected_ms) in [
            (0.0, 4_500),
            (0.5, 5_000),
            (1.0, 5_500),
            (-7.0, 4_500),
            (7.0, 5_500),
        ] {
            let mut rounds = rounds(begin);
            rounds.tick(begin, random);
            let moved = rounds.round_at.duration_since(begin).as_secs_f64() * 1e3;
            assert!((moved - f64::from(expected_ms)).abs() < 1e-3, "{moved}");
        }
        // So a round never begins before the checks of the last one are given up.
        assert!(TIMEOUT < INTERVAL.mul_f64(1.0 - JITTER));
    }

    #[test]
    fn a_check_that_hangs_fails_once_a_round_and_is_not_started_again() {
        let begin = Instant::now();
        let mut rounds = rounds(begin);
        for round in 0..4_u32 {
            let now = begin + INTERVAL * round;
            let expected = if round == 0 {
                vec![ENCODER, CACHE]
            } else {
                vec![CACHE]
            };
            assert_eq!(rounds.tick(now, 0.5), Some(expected));
            pass(&mut rounds, CACHE, now);
            assert_eq!(rounds.dependencies()[ENCODER].consecutive_failures, round);
            assert_eq!(rounds.wake_at(), now + TIMEOUT);
            assert_eq!(rounds.tick(now + TIMEOUT, 0.5), None);
            let encoder = &rounds.dependencies()[ENCODER];
            assert_eq!(encoder.consecutive_failures, round + 1);
            let expected = (round >= 2).then_some(Unhealthy);
            assert_eq!(encoder.state(now + TIMEOUT), expected);
            assert_eq!(rounds.dependencies()[CACHE].state(now), Some(Healthy));
        }
        let late = begin + INTERVAL * 3 + TIMEOUT * 2;
        pass(&mut rounds, ENCODER, late);
        assert_eq!(rounds.dependencies()[ENCODER].state(late), Some(Unhealthy));
        let next = begin + INTERVAL * 4;
        assert_eq!(rounds.tick(next, 0.5), Some(vec![ENCODER, CACHE]));
        pass(&mut rounds, ENCODER, next);
        assert_eq!(rounds.dependencies()[ENCODER].state(next), Some(Healthy));
    }

    #[test]
    fn who_slept_through_several_rounds_begins_one() {
        let begin = Instant::now();
        let mut rounds = rounds(begin);
        rounds.tick(begin, 0.5);
        let late = begin + INTERVAL * 100;
        assert_eq!(rounds.tick(late, 0.5), Some(vec![]));
        assert_eq!(rounds.dependencies()[ENCODER].consecutive_failures, 1);
        assert_eq!(rounds.tick(late, 0.5), None);
    }
}
