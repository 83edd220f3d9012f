//! What the server says of its health.

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

use super::dependency::DependencyHealth;
use super::lifecycle::{Phase, StartStep};
use super::{Dependency, HealthState, HealthStatus, Reason, SystemMetrics};

/// What anybody may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct HealthBody {
    /// How well the server is.
    pub status: HealthState,
}

/// What the operator may know.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HealthDetail {
    /// How well the server is.
    pub status: HealthState,
    /// How far it is in its life.
    pub phase: Phase,
    /// What starting waits for; null when it does not wait.
    pub waiting_for: Option<StartStep>,
    /// The program's version.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// What it depends on.
    pub dependencies: Vec<DependencyDetail>,
    /// What it takes of the machine, and what there is.
    pub system: SystemMetrics,
}

/// What the operator may know of a dependency.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DependencyDetail {
    /// Which one.
    pub name: Dependency,
    /// How well it is; null while that is unknown.
    pub state: Option<HealthState>,
    /// Whether the server can do nothing useful without it.
    pub critical: bool,
    /// Milliseconds since the last check ended; null before.
    pub last_check_age_ms: Option<u64>,
    /// Milliseconds that the last check took; null before one has ended.
    pub duration_ms: Option<f64>,
    /// Checks that failed since the last one that did not.
    pub consecutive_failures: u32,
    /// Why it is not well, or may soon be so; null where nothing is wrong.
    pub reason: Option<Reason>,
}

impl HealthDetail {
    pub(super) fn dependencies(status: &HealthStatus, now: Instant) -> Vec<DependencyDetail> {
        let dependencies = status.dependencies.iter();
        dependencies
            .map(|dependency| DependencyDetail::new(dependency, now))
            .collect()
    }
}

impl DependencyDetail {
    fn new(dependency: &DependencyHealth, now: Instant) -> DependencyDetail {
        DependencyDetail {
            name: dependency.name,
            state: dependency.state(now),
            critical: dependency.is_critical,
            last_check_age_ms: dependency
                .last_completed
                .map(|at| now.saturating_duration_since(at).as_millis() as u64),
            duration_ms: dependency
                .last_duration
                .map(|duration| duration.as_secs_f64() * 1e3),
            consecutive_failures: dependency.consecutive_failures,
            reason: dependency.reason(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_one_name_everywhere() {
        for reason in [
            Reason::NotChecked,
            Reason::IoError,
            Reason::LowSpace,
            Reason::ReadOnly,
            Reason::Backlog,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
        for state in [
            HealthState::Healthy,
            HealthState::Degraded,
            HealthState::Unhealthy,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
