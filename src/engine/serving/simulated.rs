//! A server without threads, for a simulation: what is around it, and what goes on behind requests, step by step.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use embedder_reliability::Random;
use embedder_reliability::circuit_breaker::CircuitState;
use tokio::runtime::Runtime;

use super::supervisor::Memory;
use super::{Service, health};
use crate::engine::embed::batcher::Lane;
use crate::observability::health::HealthCheckable;
use crate::outbound::provider::Transport;

/// What is around a simulated server: one thread with its time, and a network.
pub(crate) struct World {
    /// The thread's runtime; its time is paused.
    pub(crate) runtime: Runtime,
    /// What reaches the embedding provider.
    pub(crate) transport: Arc<dyn Transport>,
    /// How long blocking work and a batch of texts take at most, and chance.
    pace: Mutex<(Pace, Random)>,
}

/// How long things take at most.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pace {
    /// A piece of blocking work.
    pub(crate) work: Duration,
    /// A batch of texts at the encoder.
    pub(crate) encoding: Duration,
}

impl World {
    pub(crate) fn new(runtime: Runtime, transport: Arc<dyn Transport>, seed: u64) -> World {
        World {
            runtime,
            transport,
            pace: Mutex::new((Pace::default(), Random::from_seed(seed))),
        }
    }

    pub(crate) fn set_pace(&self, pace: Pace) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).0 = pace;
    }

    pub(super) fn time_of_work(&self) -> Duration {
        self.time_of(|pace| pace.work)
    }

    pub(super) fn random_seed(&self) -> u64 {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.1.next_u64()
    }

    fn time_of(&self, of: impl FnOnce(&Pace) -> Duration) -> Duration {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let share = pace.1.unit();
        of(&pace.0).mul_f64(share)
    }

    /// Computes what waits for the encoder, batch after batch, as long as this is polled.
    pub(crate) async fn encode(&self, service: &Service) {
        loop {
            let waiting = service.model.get().ok();
            let waiting = waiting.filter(|model| model.batcher().has_waiting(Lane::Interactive));
            let Some(model) = waiting else {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            };
            tokio::time::sleep(self.time_of(|pace| pace.encoding)).await;
            model.batcher().work_off(Lane::Interactive);
        }
    }
}

/// What goes on behind requests.
pub(crate) struct Background {
    checks: Vec<Box<dyn HealthCheckable>>,
    memory: Memory,
    steps: u64,
}

impl Background {
    pub(crate) fn of(service: &Arc<Service>) -> Background {
        Background {
            checks: health::checks(service),
            memory: Memory::default(),
            steps: 0,
        }
    }

    /// Does what is due each second, each five and each ten. The runtime must not be running.
    pub(crate) fn step(&mut self, service: &Service) {
        // Nobody else computes what a check submits.
        if let Ok(model) = service.model.get() {
            model.batcher().set_at_once(true);
        }
        if self.steps.is_multiple_of(5) {
            for check in &self.checks {
                check.check();
            }
        }
        service.supervise_once(&mut self.memory);
        if self.steps.is_multiple_of(10) {
            service.keep_house_once();
        }
        service.fill_woken();
        if let Ok(model) = service.model.get() {
            model.batcher().set_at_once(false);
        }
        self.steps += 1;
    }
}

impl Service {
    /// Says what is not as it is when all is well; empty when it is.
    pub(crate) fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        for (name, circuit) in self.dependencies.all() {
            if circuit.breaker().state() != CircuitState::Closed {
                lacks.push(format!("the breaker of {} is not closed", name.name()));
            }
        }
        let degradation = self.degradation();
        let level = degradation.level;
        if level != "Full" {
            let causes = degradation.causes.join("; ");
            lacks.push(format!("the level is {level}: {causes}"));
        }
        let all: Vec<_> = self.library().values().cloned().collect();
        for live in all {
            // One that nobody asked yet is not loaded.
            if let Err(error) = self.open_view(&live) {
                lacks.push(error.to_string());
            }
            let pending = live.pending_vectors();
            if pending != Some(0) {
                let name = &live.collection().name;
                lacks.push(format!("{name}: {pending:?} vectors are pending"));
            }
        }
        lacks
    }

    /// Says which queue is fuller than it may be; all of them must be empty where nothing is under way.
    pub(crate) fn overfull(&self, is_idle: bool) -> Vec<String> {
        let mut found = Vec::new();
        let doors = [
            ("searches", &self.doors.search),
            ("embeddings", &self.doors.embed),
            ("bulk embeddings", &self.doors.bulk_embed),
            ("documents", &self.doors.write),
        ];
        for (name, door) in doors {
            let load = door.load();
            let waiting_max = if is_idle {
                0
            } else {
                self.config.resilience.waiting_max
            };
            let in_flight_max = if is_idle { 0 } else { load.limit };
            if load.waiting > waiting_max || load.in_flight > in_flight_max {
                found.push(format!("the door of {name}: {load:?}"));
            }
        }
        let gates = [
            ("searches", &self.searches),
            ("scans", &self.scans),
            ("work", &self.work),
            ("urgent work", &self.urgent),
        ];
        for (name, gate) in gates {
            let (running, waiting) = gate.load();
            if is_idle && (running, waiting) != (0, 0) {
                found.push(format!("the gate of {name}: {running} run, {waiting} wait"));
            }
        }
        for (name, circuit) in self.dependencies.all() {
            if is_idle && circuit.in_flight() > 0 {
                found.push(format!("{}: {} calls", name.name(), circuit.in_flight()));
            }
        }
        found
    }
}
