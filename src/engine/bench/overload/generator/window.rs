//! The measured part of a phase.

use std::time::{Duration, Instant};

use super::board::Counted;
use crate::engine::bench::cpu::cpu_time_of;
use crate::engine::bench::overload::plan::PhasePlan;

/// When a phase begins, is measured and ends, and the processor time of the server meanwhile.
#[derive(Debug)]
pub(super) struct Window {
    process: u32,
    begins: Instant,
    measured_from: Instant,
    ends: Instant,
    cpu_from: Option<Reading>,
    cpu_until: Option<Reading>,
}

/// A look at the processor time, which is none where the system does not tell it.
#[derive(Debug, Clone, Copy)]
struct Reading(Option<Duration>);

impl Window {
    /// That of a phase which begins at this moment.
    pub(super) fn new(process: u32, begins: Instant, phase: &PhasePlan) -> Window {
        Window {
            process,
            begins,
            measured_from: begins + Duration::from_millis(phase.warm_up_ms),
            ends: begins + phase.time(),
            cpu_from: None,
            cpu_until: None,
        }
    }

    /// When the phase begins, with its warming up.
    pub(super) fn begins(&self) -> Instant {
        self.begins
    }

    /// When it ends: what is due then belongs to the next one.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Returns where a request counts that is due at this moment; nowhere while the phase warms up.
    pub(super) fn counted(&self, phase: usize, due: Instant) -> Option<Counted> {
        let due = due.checked_duration_since(self.measured_from)?;
        Some(Counted { phase, due })
    }

    /// Reads the processor time once when the measured part has begun, and once when it has ended.
    pub(super) fn look(&mut self, now: Instant) {
        if self.cpu_from.is_none() && now >= self.measured_from {
            self.cpu_from = Some(Reading(cpu_time_of(self.process)));
        }
        if self.cpu_until.is_none() && now >= self.ends {
            self.cpu_until = Some(Reading(cpu_time_of(self.process)));
        }
    }

    /// Returns how long the measured part is, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        (self.ends - self.measured_from).as_secs_f64()
    }

    /// Returns the processor time in it, in seconds, where the system tells it.
    pub(super) fn cpu_s(&self) -> Option<f64> {
        let (Reading(from), Reading(until)) = self.cpu_from.zip(self.cpu_until)?;
        Some(until?.saturating_sub(from?).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bench::overload::plan::Load;

    #[test]
    fn what_is_due_while_a_phase_warms_up_does_not_count() {
        let phase = PhasePlan {
            name: String::new(),
            load: Load::Closed { clients: 1 },
            warm_up_ms: 200,
            measured_ms: 1_000,
            is_recovery: false,
        };
        let begins = Instant::now();
        let at = |ms| begins + Duration::from_millis(ms);
        let window = Window::new(1, begins, &phase);
        assert_eq!((window.begins(), window.ends()), (at(0), at(1_200)));
        assert_eq!(window.seconds(), 1.0);
        let check = |ms, expected_ms: Option<u64>| {
            let expected = expected_ms.map(Duration::from_millis);
            let counted = window.counted(7, at(ms));
            assert_eq!(counted.map(|counted| counted.due), expected);
            assert!(counted.is_none_or(|counted| counted.phase == 7));
        };
        check(0, None);
        check(199, None);
        check(200, Some(0));
        check(1_199, Some(999));
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn processor_time_is_that_between_the_two_ends() {
        let phase = PhasePlan {
            name: String::new(),
            load: Load::Closed { clients: 1 },
            warm_up_ms: 0,
            measured_ms: 10,
            is_recovery: false,
        };
        let begins = Instant::now();
        let mut window = Window::new(std::process::id(), begins, &phase);
        window.look(begins);
        assert_eq!(window.cpu_s(), None, "it has not ended");
        window.look(begins + Duration::from_millis(10));
        assert!(window.cpu_s().is_some_and(|cpu_s| cpu_s >= 0.0));
    }
}
