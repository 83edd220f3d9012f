//! What becomes of findings.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use super::{HealthState, HealthStatus, Reason};
use crate::observability::metrics::Metrics;

/// Shows what was found: to those who ask, in the metrics and, where it changed, in the log.
pub(super) struct Publisher {
    status: Arc<ArcSwap<HealthStatus>>,
    metrics: Arc<Metrics>,
}

impl Publisher {
    pub(super) fn new(status: Arc<ArcSwap<HealthStatus>>, metrics: Arc<Metrics>) -> Publisher {
        Publisher { status, metrics }
    }

    pub(super) fn publish(&self, status: HealthStatus, now: Instant) {
        let before = self.status.load();
        for (index, dependency) in status.dependencies.iter().enumerate() {
            let state = dependency.state(now);
            self.metrics.health_state[dependency.name].set(state.map(value));
            // That something is well at first is no news.
            let old = before.dependencies.get(index);
            let old = old.and_then(|old| old.state(now));
            if let Some(state) = state
                && state != old.unwrap_or(HealthState::Healthy)
            {
                tell(dependency.name.name(), state, dependency.reason(now));
            }
        }
        status.system(now).record(&self.metrics);
        self.status.store(Arc::new(status));
    }
}

impl Drop for Publisher {
    /// Nobody looks any more, however that came about: what was seen last is not shown as if it were so now.
    fn drop(&mut self) {
        for dependency in &self.status.load().dependencies {
            self.metrics.health_state[dependency.name].set(None);
        }
        HealthStatus::default()
            .system(Instant::now())
            .record(&self.metrics);
    }
}

fn value(state: HealthState) -> f64 {
    match state {
        HealthState::Healthy => 1.0,
        HealthState::Degraded => 0.5,
        HealthState::Unhealthy => 0.0,
    }
}

fn tell(dependency: &str, state: HealthState, reason: Option<Reason>) {
    let (state_name, reason) = (state.name(), reason.map_or("", Reason::name));
    match state {
        HealthState::Healthy => {
            tracing::info!(dependency, state = state_name, "{dependency} is healthy");
        }
        HealthState::Degraded | HealthState::Unhealthy => {
            tracing::warn!(
                dependency,
                state = state_name,
                reason,
                "{dependency} is {state_name}: {reason}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::dependency::DependencyHealth;
    use super::super::{Dependency, SystemMetrics, Verdict};
    use super::*;

    #[test]
    fn states_are_metrics_as_long_as_somebody_looks() {
        let now = Instant::now();
        let metrics = Arc::new(Metrics::new(&[], ""));
        let publisher = Publisher::new(Arc::default(), Arc::clone(&metrics));
        let state = || metrics.health_state[Dependency::Disk].get();
        let failed = Verdict::Failed(Reason::Full);
        let system = SystemMetrics::read("/".as_ref(), None, now);
        assert_eq!(state(), None);
        for (verdicts, expected) in [
            (&[Verdict::Healthy][..], Some(1.0)),
            (&[Verdict::Degraded(Reason::LowSpace)], Some(0.5)),
            (&[failed, failed, failed], Some(0.0)),
            (&[failed], None),
            (&[Verdict::Healthy], Some(1.0)),
        ] {
            let mut health = DependencyHealth::unknown(Dependency::Disk, true, now);
            for verdict in verdicts {
                health.completed(*verdict, Duration::ZERO, now);
            }
            let status = HealthStatus {
                dependencies: vec![health],
                system: Some((system.clone(), now)),
            };
            publisher.publish(status, now);
            assert_eq!(state(), expected);
            let free = system.disk_free_bytes.map(|bytes| bytes as f64);
            assert_eq!(metrics.disk_free_bytes.get(), free);
        }
        drop(publisher);
        assert_eq!(state(), None);
        assert_eq!(metrics.disk_free_bytes.get(), None);
    }
}
