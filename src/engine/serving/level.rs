//! How much of the service there is.
//!
//! It follows from the circuit breakers, from whether there is a model, from the load, and from what an operator has
//! switched off; nothing else sets it, so nothing can be forgotten.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedder_reliability::Timestamp;
use embedder_reliability::circuit_breaker::CircuitState;
use embedder_reliability::degradation::{
    Assessment, DegradationMode, GracefulDegradation, Inputs, Member, Part, ServiceLevel, Set,
};

use super::Service;
use super::memory_guard::MemoryPressure;
use crate::engine::search::Reason;
use crate::observability::metrics;
use crate::outbound::circuit::Circuit;

/// The longest that an operator can switch something off at a time.
pub const FORCED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Who makes the vectors of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmbeddedBy {
    /// The model of this machine.
    Model,
    /// A provider elsewhere.
    Provider,
    /// Whoever asks.
    Clients,
}

impl EmbeddedBy {
    const ALL: [EmbeddedBy; 3] = [Self::Model, Self::Provider, Self::Clients];
}

/// How much of the service there is.
pub(crate) struct Level {
    /// For each of those who make vectors: where one of them fails, searches that need another are as good as ever.
    graceful: [GracefulDegradation; EmbeddedBy::ALL.len()],
    forced: Mutex<Option<Forced>>,
    counted: Mutex<Counted>,
}

/// What an operator has switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forced {
    /// What.
    pub(crate) parts: Set<Part>,
    /// Until when.
    pub(crate) until: Timestamp,
}

/// Time in each mode, and what was told.
#[derive(Default)]
struct Counted {
    at: Timestamp,
    seconds: [f64; DegradationMode::ALL.len()],
    /// What the log was told last.
    told: Option<Assessment>,
}

impl Level {
    /// All is well. What failed is relied on again when it has been well for `healthy_for`.
    pub(crate) fn new(healthy_for: Duration) -> Level {
        Level {
            graceful: EmbeddedBy::ALL.map(|_| GracefulDegradation::new(healthy_for)),
            forced: Mutex::default(),
            counted: Mutex::default(),
        }
    }

    fn forced(&self) -> MutexGuard<'_, Option<Forced>> {
        self.forced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forced_now(&self, now: Timestamp) -> Option<Forced> {
        let mut forced = self.forced();
        if forced.is_some_and(|forced| now >= forced.until) {
            *forced = None;
        }
        *forced
    }
}

impl Service {
    /// Returns what the service can do now for a search whose query is embedded by this.
    pub(crate) fn assess(&self, by: EmbeddedBy, now: Timestamp) -> Assessment {
        let graceful = &self.level.graceful[by as usize];
        graceful.observe(&self.inputs(by, now), now);
        graceful.current()
    }

    /// Looks again, although nobody searches, so that searches are whole again in time; returns what [`Service::level`] does.
    pub(super) fn assess_all(&self, now: Timestamp) -> Assessment {
        self.assess(EmbeddedBy::Model, now);
        self.assess(EmbeddedBy::Provider, now);
        self.level()
    }

    /// Returns what the service could do when it was last looked at, for the collections of the model and of the provider.
    pub fn level(&self) -> Assessment {
        let current = |by: EmbeddedBy| self.level.graceful[by as usize].current();
        let by_model = current(EmbeddedBy::Model);
        if self.remote.is_none() {
            return by_model;
        }
        by_model.with(&current(EmbeddedBy::Provider))
    }

    /// Returns when a part may be tried again that cannot be used; none where nobody knows.
    pub(crate) fn part_is_back_after(
        &self,
        part: Part,
        by: EmbeddedBy,
        now: Timestamp,
    ) -> Option<Duration> {
        if let Some(until) = self.switched_off_until(part, by, now) {
            return Some(now.until(until));
        }
        let circuit = self.circuit_of(part, by)?;
        circuit.breaker().snapshot(now).retry_after
    }

    /// Whether an operator has switched a part off.
    pub(crate) fn is_switched_off(&self, part: Part, now: Timestamp) -> bool {
        let forced = self.level.forced_now(now);
        forced.is_some_and(|forced| forced.parts.contains(part))
    }

    /// Returns why a part cannot be used, or that nothing fails any more.
    pub(crate) fn why_lost(&self, part: Part, by: EmbeddedBy, now: Timestamp) -> Reason {
        if self.switched_off_until(part, by, now).is_some() {
            return Reason::Manual;
        }
        if part == Part::Embedder && self.is_missing(by) {
            return Reason::ModelMissing;
        }
        match self.state_of(part, by) {
            CircuitState::Closed => Reason::Recovering,
            CircuitState::Open | CircuitState::HalfOpen => Reason::of_lost(part),
        }
    }

    /// Lets the time pass that metrics count, and the level rise where it may.
    pub(crate) fn follow_level(&self, now: Timestamp) {
        let current = self.assess_all(now);
        let mut counted = self
            .level
            .counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = counted.told.replace(current);
        let before = before.unwrap_or(Assessment::FULL);
        if before != current {
            tell_of_level(&before, &current);
        }
        let passed = now.since(counted.at).as_secs_f64();
        let is_first = counted.at == Timestamp::ZERO;
        counted.at = now;
        for mode in DegradationMode::ALL {
            let Some(label) = metrics::DegradationMode::from_name(mode.name()) else {
                continue;
            };
            let holds = current.modes.contains(*mode);
            if holds && !is_first {
                counted.seconds[mode.position() as usize] += passed;
            }
            let seconds = counted.seconds[mode.position() as usize];
            self.metrics.degraded_seconds_total[label].set(Some(seconds));
            self.metrics.degradation_mode[label].set(i64::from(holds));
        }
        self.metrics.degradation_level.set(match current.level {
            ServiceLevel::Full => 0,
            ServiceLevel::Degraded => 1,
            ServiceLevel::Minimal => 2,
        });
    }

    /// Returns what an operator has switched off.
    pub(super) fn forced(&self, now: Timestamp) -> Option<Forced> {
        self.level.forced_now(now)
    }

    /// Switches something off, or on again.
    pub(super) fn force(&self, forced: Option<Forced>) {
        *self.level.forced() = forced;
    }

    /// Returns until when an operator has switched off a part that such a search needs.
    fn switched_off_until(&self, part: Part, by: EmbeddedBy, now: Timestamp) -> Option<Timestamp> {
        let forced = self.level.forced_now(now)?;
        needs(by, forced.parts)
            .contains(part)
            .then_some(forced.until)
    }

    fn inputs(&self, by: EmbeddedBy, now: Timestamp) -> Inputs {
        let failing = |part: &Part| self.state_of(*part, by) != CircuitState::Closed;
        let forced = self.level.forced_now(now);
        let forced = forced.map(|forced| forced.parts).unwrap_or_default();
        let mut forced = needs(by, forced);
        if self.is_missing(by) {
            // It is not there: it counts from now on, and no longer than that.
            forced.insert(Part::Embedder);
        }
        Inputs {
            failed: Part::ALL.iter().copied().filter(failing).collect(),
            forced,
            is_overloaded: self.doors.search.is_taken(now)
                || self.memory.pressure() > MemoryPressure::Low,
        }
    }

    /// Whether what makes the vectors of queries is not there at all.
    fn is_missing(&self, by: EmbeddedBy) -> bool {
        match by {
            EmbeddedBy::Model => self.model.get().is_err(),
            EmbeddedBy::Provider => self.remote.is_none(),
            EmbeddedBy::Clients => false,
        }
    }

    /// Returns the state of the breaker before a part, of the embedder that a search needs.
    fn state_of(&self, part: Part, by: EmbeddedBy) -> CircuitState {
        self.circuit_of(part, by)
            .map_or(CircuitState::Closed, |circuit| circuit.breaker().state())
    }

    /// Returns what stands before a part, of the embedder that a search needs.
    fn circuit_of(&self, part: Part, by: EmbeddedBy) -> Option<&Circuit> {
        match (part, by) {
            (Part::Embedder, EmbeddedBy::Clients) => None,
            (Part::Embedder, EmbeddedBy::Provider) => self.dependencies.provider.as_deref(),
            _ => Some(self.dependencies.of_part(part)),
        }
    }
}

/// Returns which of these parts a search needs: the vectors of clients need no embedder.
fn needs(by: EmbeddedBy, mut parts: Set<Part>) -> Set<Part> {
    if by == EmbeddedBy::Clients {
        parts.remove(Part::Embedder);
    }
    parts
}

fn tell_of_level(from: &Assessment, to: &Assessment) {
    let modes: Vec<_> = to.modes.iter().map(DegradationMode::name).collect();
    let modes = if modes.is_empty() {
        "all is well".to_owned()
    } else {
        modes.join(", ")
    };
    let (before, level) = (from.level.name(), to.level.name());
    // At one level of the log, so that who reads of the trouble reads as well that it is over.
    tracing::warn!(from = before, to = level, "The service is {level}: {modes}");
}
