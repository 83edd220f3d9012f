//! What a running server depends on, as its health checks see it. Each check does a little of what requests do.

use std::sync::Arc;
use std::time::Instant;

use embedder_reliability::circuit_breaker::CircuitState;

use super::Service;
use super::supervisor::STUCK_AFTER;
use crate::clock;
use crate::engine::search::View;
use crate::failpoint::{self, Failpoint};
use crate::observability::health::{HealthCheckable, Reason, Verdict};
use crate::observability::metrics::{self, Dependency, JobState, SystemMetrics};
use crate::outbound::circuit::{Circuit, Fault};

/// With less than this left, writing may fail any moment: a merge of the text index takes as much.
const DISK_FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;

/// Returns everything that is looked after.
pub fn checks(service: &Arc<Service>) -> Vec<Box<dyn HealthCheckable>> {
    let check = |dependency, is_critical, look: fn(&Service) -> Verdict| {
        Box::new(Check {
            service: Arc::clone(service),
            dependency,
            is_critical,
            look,
        }) as Box<dyn HealthCheckable>
    };
    let mut checks = vec![
        check(Dependency::ContentStore, true, content_store),
        check(Dependency::HubStore, true, hub_store),
        check(Dependency::Encoder, false, encoder),
        check(Dependency::LexicalIndex, false, lexical_index),
        check(Dependency::VectorIndex, false, vector_index),
        check(Dependency::Cache, false, cache),
        check(Dependency::Disk, false, disk),
    ];
    if service.remote.is_some() {
        checks.push(check(Dependency::EmbeddingProvider, false, provider));
    }
    checks
}

struct Check {
    service: Arc<Service>,
    dependency: Dependency,
    is_critical: bool,
    look: fn(&Service) -> Verdict,
}

impl HealthCheckable for Check {
    fn name(&self) -> Dependency {
        self.dependency
    }

    fn is_critical(&self) -> bool {
        self.is_critical
    }

    fn check(&self) -> Verdict {
        (self.look)(&self.service)
    }
}

fn content_store(service: &Service) -> Verdict {
    let read = service
        .connections
        .take()
        .and_then(|db| Ok(db.store().last_seq()?));
    if service.connections.writer().has_failed() {
        return Verdict::Failed(Reason::IoError);
    }
    if read.is_err() || !service.connections.writer().is_running() {
        return Verdict::Failed(Reason::Unavailable);
    }
    service.drive(&service.dependencies.store, || {
        failpoint::pass(Failpoint::StoreRead).is_ok()
    })
}

fn hub_store(service: &Service) -> Verdict {
    if service.access.is_alive() {
        Verdict::Healthy
    } else {
        Verdict::Failed(Reason::Unavailable)
    }
}

/// Without a model text search goes on, so the server is less well and not ill.
fn encoder(service: &Service) -> Verdict {
    let Ok(model) = service.model.get() else {
        return Verdict::Degraded(if service.is_warm() {
            Reason::Missing
        } else {
            Reason::Loading
        });
    };
    let stuck = model.batcher().stuck_for(clock::now());
    if stuck.is_some_and(|stuck| stuck > STUCK_AFTER) {
        return Verdict::Failed(Reason::Timeout);
    }
    if !model.batcher().is_healthy() {
        return Verdict::Failed(Reason::Unavailable);
    }
    service.drive(&service.dependencies.encoder, || model.can_embed())
}

/// Words are searched only where that failed: searches tell how it is.
fn lexical_index(service: &Service) -> Verdict {
    match views(service) {
        Verdict::Healthy => service.drive(&service.dependencies.lexical, || {
            failpoint::pass(Failpoint::LexicalSearch).is_ok() && service.can_search_words()
        }),
        broken @ (Verdict::Degraded(_) | Verdict::Failed(_)) => broken,
    }
}

fn vector_index(service: &Service) -> Verdict {
    service.drive(&service.dependencies.vectors, || {
        failpoint::pass(Failpoint::VectorSearch).is_ok()
    })
}

/// A provider is only asked where it failed: its answers are paid for.
fn provider(service: &Service) -> Verdict {
    match (&service.dependencies.provider, &service.remote) {
        (Some(circuit), Some(remote)) => {
            if circuit.breaker().state() != CircuitState::Closed {
                // Through its circuit: the call is a probe.
                let _ = remote.check();
            }
            service.verdict_of(circuit)
        }
        _ => Verdict::Healthy,
    }
}

fn cache(service: &Service) -> Verdict {
    service.drive(&service.dependencies.cache, || {
        failpoint::pass(Failpoint::Cache).is_ok()
    })
}

/// Collections that could not be loaded are not found by searches.
fn views(service: &Service) -> Verdict {
    if service.library().values().any(|live| live.is_broken()) {
        Verdict::Degraded(Reason::Unavailable)
    } else {
        Verdict::Healthy
    }
}

fn disk(service: &Service) -> Verdict {
    let system = SystemMetrics::read(service.data_dir.path(), None, Instant::now());
    match system.disk_free_bytes {
        Some(free) if free < DISK_FREE_BYTES_MIN => Verdict::Degraded(Reason::LowSpace),
        Some(_) | None => Verdict::Healthy,
    }
}

impl Service {
    /// Says how a dependency is by its breaker, and where that is not closed makes a call of its own, if the breaker lets
    /// one through: so it closes also while nobody asks. `works` makes the call.
    fn drive(&self, circuit: &Circuit, works: impl FnOnce() -> bool) -> Verdict {
        if circuit.breaker().state() == CircuitState::Closed {
            return Verdict::Healthy;
        }
        if let Ok(running) = circuit.begin(self.clock.now()) {
            running.ended((!works()).then_some(Fault::Permanent));
        }
        self.verdict_of(circuit)
    }

    fn verdict_of(&self, circuit: &Circuit) -> Verdict {
        self.follow_level(self.clock.now());
        match circuit.breaker().state() {
            CircuitState::Closed => Verdict::Healthy,
            CircuitState::HalfOpen => Verdict::Degraded(Reason::Unavailable),
            CircuitState::Open => Verdict::Failed(Reason::Unavailable),
        }
    }

    /// Whether a search by words of some collection works.
    fn can_search_words(&self) -> bool {
        let live = self.library().values().next().cloned();
        let Some(live) = live else { return true };
        live.read_view().as_ref().is_none_or(View::can_search_words)
    }

    /// Brings the metrics up to date that are read and not counted.
    pub fn measure(&self) {
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let metrics = &self.metrics;
        let (queued, running) = self.jobs.counts();
        metrics.jobs[JobState::Queued].set(gauge(queued));
        metrics.jobs[JobState::Running].set(gauge(running));
        metrics
            .cache_bytes
            .set(i64::try_from(self.answers.bytes()).unwrap_or(i64::MAX));
        metrics
            .store_queue_depth
            .set(gauge(self.connections.writer().waiting()));
        let pending: u64 = self
            .library()
            .values()
            .filter_map(|live| live.pending_vectors_as_known())
            .sum();
        metrics
            .documents_pending_vectors
            .set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.dependencies.measure(metrics);
        for (door, at) in [
            (&self.doors.search, metrics::Door::Search),
            (&self.doors.embed, metrics::Door::Embed),
            (&self.doors.bulk_embed, metrics::Door::BulkEmbed),
            (&self.doors.write, metrics::Door::Write),
        ] {
            let load = door.load();
            metrics.admission_limit[at].set(gauge(load.limit));
            metrics.admission_in_flight[at].set(gauge(load.in_flight));
            metrics.admission_waiting[at].set(gauge(load.waiting));
        }
        self.follow_level(self.clock.now());
    }
}
