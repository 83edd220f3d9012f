//! A limit that finds out how much is enough.

use std::time::Duration;

use crate::Timestamp;

/// How long is measured before the limit changes.
const INTERVAL: Duration = Duration::from_millis(100);

/// Fewer requests than this say little.
const SAMPLES_MIN: u32 = 4;

/// What the limit is multiplied by when work stands in line.
const DECREASE: f64 = 0.9;

/// What a request leaves of the weight of those before it, for the time of service.
const KEPT: f64 = 0.95;

/// Between what the limit moves, and what it aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitPolicy {
    /// The least: enough to keep every worker busy.
    pub min: usize,
    /// The most.
    pub max: usize,
    /// Where it starts.
    pub initial: usize,
    /// How long work may stand in line before its service: whichever is more, this or [`LimitPolicy::services`] times of
    /// service.
    pub wait_min: Duration,
    /// The same in times of service.
    pub services: f64,
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// How long it stood in line inside, behind others that were let in.
    pub waited: Duration,
    /// How long it was worked on.
    pub took: Duration,
    /// Whether it was too late in the end.
    pub was_late: bool,
}

/// How many requests may be in, so that there is always work and it hardly ever stands in line.
///
/// It is additive increase and multiplicative decrease on the *standing* queue: the shortest wait of an interval, as CoDel
/// measures it (Nichols and Jacobson 2012), because a burst makes the longest wait long and only a limit that is too high
/// makes the shortest long. Wait and service are told apart by the caller, who owns the queue: nothing has to be guessed
/// from round trips, so the limit cannot creep up under a constant overload.
#[derive(Debug)]
pub struct AdaptiveLimit {
    policy: LimitPolicy,
    limit: f64,
    took: Option<f64>,
    began: Timestamp,
    samples: u32,
    waited_least: Duration,
    has_late: bool,
    was_reached: bool,
}

impl AdaptiveLimit {
    /// Starts at the initial limit.
    pub fn new(policy: LimitPolicy) -> AdaptiveLimit {
        let initial = policy.initial.clamp(policy.min, policy.max.max(policy.min));
        AdaptiveLimit {
            policy,
            limit: initial as f64,
            took: None,
            began: Timestamp::ZERO,
            samples: 0,
            waited_least: Duration::MAX,
            has_late: false,
            was_reached: false,
        }
    }

    /// Returns the limit, at least one.
    pub fn current(&self) -> usize {
        (self.limit as usize).max(1)
    }

    /// Says that as many are in as may be: only then is a higher limit worth trying.
    pub fn was_reached(&mut self) {
        self.was_reached = true;
    }

    /// Takes in how a request went.
    pub fn record(&mut self, served: Served, now: Timestamp) {
        let took = served.took.as_secs_f64();
        self.took = Some(
            self.took
                .map_or(took, |mean| mean * KEPT + took * (1.0 - KEPT)),
        );
        self.samples += 1;
        self.waited_least = self.waited_least.min(served.waited);
        self.has_late |= served.was_late;
        if now.since(self.began) >= INTERVAL && self.samples >= SAMPLES_MIN {
            self.adapt(now);
        }
    }

    fn adapt(&mut self, now: Timestamp) {
        let is_standing = self.waited_least.as_secs_f64() > self.wait_wanted();
        if is_standing || self.has_late {
            self.limit *= DECREASE;
        } else if self.was_reached {
            self.limit += 1.0;
        }
        let (min, max) = (self.policy.min as f64, self.policy.max as f64);
        self.limit = self.limit.min(max).max(min);
        self.began = now;
        self.samples = 0;
        self.waited_least = Duration::MAX;
        self.has_late = false;
        self.was_reached = false;
    }

    fn wait_wanted(&self) -> f64 {
        let of_service = self.took.unwrap_or_default() * self.policy.services;
        of_service.max(self.policy.wait_min.as_secs_f64())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const POLICY: LimitPolicy = LimitPolicy {
        min: 2,
        max: 200,
        initial: 20,
        wait_min: Duration::from_millis(5),
        services: 2.0,
    };

    /// One server that takes `service` for a request, with as many waiting as the limit lets in; for `seconds`.
    fn settle(limit: &mut AdaptiveLimit, service: Duration, seconds: f64, now: &mut Timestamp) {
        let rounds = (seconds / service.as_secs_f64()) as u32;
        for _ in 0..rounds {
            *now = now.plus(service);
            limit.was_reached();
            let ahead = limit.current() as u32 - 1;
            limit.record(
                Served {
                    waited: service * ahead,
                    took: service,
                    was_late: false,
                },
                *now,
            );
        }
    }

    #[test]
    fn it_settles_where_work_stands_in_line_as_long_as_wanted_and_stays_there() {
        let mut limit = AdaptiveLimit::new(POLICY);
        let mut now = Timestamp::ZERO;
        for (service_ms, expected) in [(8, 2..=4), (1, 5..=7), (8, 2..=4)] {
            settle(
                &mut limit,
                Duration::from_millis(service_ms),
                30.0,
                &mut now,
            );
            for _ in 0..20 {
                settle(&mut limit, Duration::from_millis(service_ms), 1.0, &mut now);
                let found = limit.current();
                assert!(expected.contains(&found), "{found} for {service_ms} ms");
            }
        }
    }

    #[test]
    fn a_limit_that_nobody_reaches_stays() {
        let mut limit = AdaptiveLimit::new(POLICY);
        let mut now = Timestamp::ZERO;
        for _ in 0..1_000 {
            now = now.plus(Duration::from_millis(10));
            let served = Served {
                waited: Duration::ZERO,
                took: Duration::from_millis(10),
                was_late: false,
            };
            limit.record(served, now);
        }
        assert_eq!(limit.current(), 20);
    }

    #[test]
    fn answers_that_come_too_late_lower_it_to_the_least() {
        let mut limit = AdaptiveLimit::new(POLICY);
        let mut now = Timestamp::ZERO;
        for _ in 0..1_000 {
            now = now.plus(Duration::from_millis(100));
            let served = Served {
                waited: Duration::ZERO,
                took: Duration::from_secs(1),
                was_late: true,
            };
            limit.record(served, now);
        }
        assert_eq!(limit.current(), 2);
    }
}
