//! What is known of all dependencies at once.

use std::time::Instant;

use super::dependency::{DependencyHealth, STALE_AFTER};
use super::{HealthState, SystemMetrics};

/// What is known of all dependencies, as the checks left it.
#[derive(Debug, Clone, Default)]
pub struct HealthStatus {
    /// The dependencies, in the order in which they were given.
    pub dependencies: Vec<DependencyHealth>,
    /// What was read of the machine, and when.
    pub(super) system: Option<(SystemMetrics, Instant)>,
}

impl HealthStatus {
    /// Returns how well the server is.
    pub fn overall(&self, now: Instant) -> HealthState {
        let states = self.dependencies.iter();
        overall(states.map(|dependency| (dependency.is_critical, dependency.state(now))))
    }

    /// Returns what the process takes of the machine; nothing when that was read too long ago.
    pub fn system(&self, now: Instant) -> SystemMetrics {
        let current = self
            .system
            .as_ref()
            .filter(|(_, read)| now.saturating_duration_since(*read) <= STALE_AFTER);
        current.map_or_else(SystemMetrics::default, |(system, _)| system.clone())
    }
}

/// Returns how well the whole is, whose parts are critical or not and in a state, none if it is unknown.
///
/// A critical part that is unhealthy makes it unhealthy; any part that is not healthy makes it degraded. What is
/// unknown counts as unhealthy: nothing is called well that was not looked at.
pub fn overall(parts: impl IntoIterator<Item = (bool, Option<HealthState>)>) -> HealthState {
    parts
        .into_iter()
        .map(|(is_critical, state)| match state {
            Some(HealthState::Healthy) => HealthState::Healthy,
            Some(HealthState::Degraded) => HealthState::Degraded,
            Some(HealthState::Unhealthy) | None if is_critical => HealthState::Unhealthy,
            Some(HealthState::Unhealthy) | None => HealthState::Degraded,
        })
        .max()
        .unwrap_or(HealthState::Healthy)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::HealthState::{Degraded, Healthy, Unhealthy};
    use super::*;

    #[test]
    fn one_part_decides_by_its_state_and_whether_it_is_critical() {
        for (is_critical, state, expected) in [
            (true, Some(Healthy), Healthy),
            (true, Some(Degraded), Degraded),
            (true, Some(Unhealthy), Unhealthy),
            (true, None, Unhealthy),
            (false, Some(Healthy), Healthy),
            (false, Some(Degraded), Degraded),
            (false, Some(Unhealthy), Degraded),
            (false, None, Degraded),
        ] {
            let part = (is_critical, state);
            assert_eq!(overall([part]), expected, "{part:?}");
            // Well parts beside it change nothing, in whatever order.
            let well = (!is_critical, Some(Healthy));
            assert_eq!(overall([part, well]), expected, "{part:?}");
            assert_eq!(overall([well, part]), expected, "{part:?}");
        }
        assert_eq!(overall([]), Healthy);
    }

    #[test]
    fn the_whole_is_as_ill_as_its_worst_part() {
        let states = [Some(Healthy), Some(Degraded), Some(Unhealthy), None];
        let parts: Vec<_> = [true, false]
            .into_iter()
            .flat_map(|is_critical| states.map(|state| (is_critical, state)))
            .collect();
        for a in &parts {
            for b in &parts {
                for c in &parts {
                    let worst = [a, b, c].map(|part| overall([*part])).into_iter().max();
                    assert_eq!(Some(overall([*a, *b, *c])), worst, "{a:?} {b:?} {c:?}");
                }
            }
        }
    }

    #[test]
    fn an_old_reading_of_the_machine_is_not_shown() {
        let now = Instant::now();
        let mut status = HealthStatus {
            dependencies: Vec::new(),
            system: Some((SystemMetrics::default(), now)),
        };
        status.system.as_mut().unwrap().0.open_fds = Some(3);
        assert_eq!(status.system(now + STALE_AFTER).open_fds, Some(3));
        let later = now + STALE_AFTER + Duration::from_secs(1);
        assert_eq!(status.system(later), SystemMetrics::default());
        assert_eq!(HealthStatus::default().system(now).open_fds, None);
    }
}
