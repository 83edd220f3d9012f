//! The level over time.

use std::time::Duration;

use super::inputs::Part;
use super::set::{Member, Set};
use super::{Assessment, DegradationMode, Inputs, assess};
use crate::Timestamp;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// How long something must have been well before it is relied on again, where nothing else is said.
pub const HEALTHY_FOR: Duration = Duration::from_secs(10);

/// The least time between two improvements of the level.
pub const RAISE_INTERVAL: Duration = Duration::from_secs(5);

/// What the service can do, followed over time: a failure counts at once, its end only after a while ([`HEALTHY_FOR`]), and the level
/// rises at most once in [`RAISE_INTERVAL`]. So a part that comes and goes does not make answers come and go with it.
#[derive(Debug)]
pub struct GracefulDegradation {
    healthy_for: Duration,
    history: Mutex<History>,
    /// The modes that hold, for those who only read.
    modes: AtomicU64,
}

#[derive(Debug)]
struct History {
    /// When each part was last seen failing.
    failed: [Option<Timestamp>; Part::ALL.len()],
    overloaded: Option<Timestamp>,
    raised: Option<Timestamp>,
    current: Assessment,
}

impl Default for GracefulDegradation {
    /// Waits for [`HEALTHY_FOR`].
    fn default() -> GracefulDegradation {
        GracefulDegradation::new(HEALTHY_FOR)
    }
}

/// A change of what the service can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it could do before.
    pub from: Assessment,
    /// What it can do now.
    pub to: Assessment,
}

impl GracefulDegradation {
    /// Begins with all being well. What failed is relied on again when it has been well for `healthy_for`.
    pub fn new(healthy_for: Duration) -> GracefulDegradation {
        GracefulDegradation {
            healthy_for,
            history: Mutex::new(History {
                failed: [None; Part::ALL.len()],
                overloaded: None,
                raised: None,
                current: Assessment::FULL,
            }),
            modes: AtomicU64::new(0),
        }
    }

    /// Returns what the service can do, without a lock.
    pub fn current(&self) -> Assessment {
        let bits = self.modes.load(Ordering::Relaxed);
        let modes: Set<DegradationMode> = Set::from_bits(bits as u16);
        if modes.is_empty() {
            return Assessment::FULL;
        }
        Assessment::of(modes)
    }

    /// Takes in what works now; returns what changed, if anything did. Call it at least every few seconds: time that
    /// nobody tells of does not pass.
    pub fn observe(&self, inputs: &Inputs, now: Timestamp) -> Option<Change> {
        let mut history = lock(&self.history);
        let change = history.observe(inputs, self.healthy_for, now);
        let bits = history.current.modes.bits();
        self.modes.store(u64::from(bits), Ordering::Relaxed);
        change
    }
}

impl History {
    fn observe(
        &mut self,
        inputs: &Inputs,
        healthy_for: Duration,
        now: Timestamp,
    ) -> Option<Change> {
        for part in Part::ALL {
            if inputs.failed.contains(*part) {
                self.failed[part.position() as usize] = Some(now);
            }
        }
        if inputs.is_overloaded {
            self.overloaded = Some(now);
        }
        let is_recent = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) < healthy_for);
        let failed = Part::ALL.iter().copied();
        let remembered = Inputs {
            failed: failed
                .filter(|part| is_recent(self.failed[part.position() as usize]))
                .collect(),
            forced: inputs.forced,
            is_overloaded: is_recent(self.overloaded),
        };
        let found = assess(&remembered);
        if found == self.current {
            return None;
        }
        if found.level < self.current.level {
            if self.raised.is_some_and(|at| now.since(at) < RAISE_INTERVAL) {
                return None;
            }
            self.raised = Some(now);
        }
        let from = std::mem::replace(&mut self.current, found);
        Some(Change { from, to: found })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::super::ServiceLevel;
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::after_origin(Duration::from_secs(seconds))
    }

    fn failed(parts: &[Part]) -> Inputs {
        Inputs {
            failed: parts.iter().copied().collect(),
            ..Inputs::default()
        }
    }

    #[test]
    fn down_at_once_and_up_after_ten_seconds_of_health() {
        let service = GracefulDegradation::default();
        let check = |inputs: &Inputs, seconds, expected| {
            service.observe(inputs, at(seconds));
            assert_eq!(service.current().level, expected, "at {seconds}");
        };
        let lost = failed(&[Part::Embedder]);
        check(&Inputs::default(), 0, ServiceLevel::Full);
        check(&lost, 1, ServiceLevel::Degraded);
        check(&Inputs::default(), 5, ServiceLevel::Degraded);
        check(&lost, 8, ServiceLevel::Degraded);
        check(&Inputs::default(), 17, ServiceLevel::Degraded);
        check(&Inputs::default(), 18, ServiceLevel::Full);
    }

    #[test]
    fn the_level_rises_step_by_step() {
        let service = GracefulDegradation::default();
        service.observe(&failed(&[Part::Store, Part::Cache]), at(0));
        assert_eq!(service.current().level, ServiceLevel::Minimal);
        service.observe(&failed(&[Part::Cache]), at(8));
        service.observe(&Inputs::default(), at(10));
        assert_eq!(service.current().level, ServiceLevel::Degraded);
        service.observe(&Inputs::default(), at(18));
        assert_eq!(service.current().level, ServiceLevel::Full);
    }

    #[test]
    fn what_an_operator_switches_counts_at_once() {
        let service = GracefulDegradation::default();
        let forced = Inputs {
            forced: [Part::Embedder].into_iter().collect(),
            ..Inputs::default()
        };
        let change = service.observe(&forced, at(0)).unwrap();
        assert_eq!(change.from, Assessment::FULL);
        assert!(change.to.modes.contains(DegradationMode::VectorSearch));
        assert_eq!(service.observe(&forced, at(1)), None);
        service.observe(&Inputs::default(), at(1));
        assert_eq!(service.current(), Assessment::FULL);
    }

    proptest! {
        #[test]
        fn it_is_never_better_than_what_works_and_gets_well_in_the_end(
            steps in prop::collection::vec((0_u64..8_000, 0_u16..32, any::<bool>()), 1..60)
        ) {
            let service = GracefulDegradation::default();
            let mut now = Timestamp::ZERO;
            let mut raised: Option<Timestamp> = None;
            for (ms, bits, is_overloaded) in steps {
                now = now.plus(Duration::from_millis(ms));
                let inputs = Inputs { failed: Set::from_bits(bits), forced: Set::EMPTY, is_overloaded };
                let change = service.observe(&inputs, now);
                prop_assert!(service.current().level >= assess(&inputs).level);
                if let Some(change) = change
                    && change.to.level < change.from.level
                {
                    prop_assert!(raised.is_none_or(|at| now.since(at) >= RAISE_INTERVAL));
                    raised = Some(now);
                }
            }
            for _ in 0..3 {
                now = now.plus(HEALTHY_FOR);
                service.observe(&Inputs::default(), now);
            }
            prop_assert_eq!(service.current(), Assessment::FULL);
        }
    }
}
