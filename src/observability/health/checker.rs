//! The health of the server, for those who ask.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::body::{HealthBody, HealthDetail};
use super::lifecycle::{Lifecycle, Phase, STARTUP_MAX, StartStep};
use super::publisher::Publisher;
use super::rounds::Timing;
use super::scheduler::{Event, Scheduler};
use super::{HealthCheckable, HealthState, HealthStatus, Watchdog};
use crate::observability::metrics::Metrics;

/// The health of the server. It answers from the moment it is made; [`start`](HealthChecker::start) makes it look at
/// the dependencies. No question takes a lock, calls a dependency or waits.
pub struct HealthChecker {
    version: &'static str,
    lifecycle: Lifecycle,
    watchdog: Watchdog,
    status: Arc<ArcSwap<HealthStatus>>,
    metrics: Arc<Metrics>,
    is_overdue_told: AtomicBool,
    scheduler: Mutex<Option<Running>>,
}

/// The thread that keeps the rounds.
struct Running {
    events: SyncSender<Event>,
    thread: JoinHandle<()>,
}

/// Why a question is answered with no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPassed {
    /// The runtime runs no tasks.
    Wedged,
    /// The server is loading.
    Starting(StartStep),
    /// The server has been loading for longer than [`STARTUP_MAX`], which is a failure.
    Overdue(StartStep),
    /// The server is ending.
    Draining,
    /// A critical dependency is unhealthy, or was not looked at yet.
    Unhealthy,
}

impl NotPassed {
    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            NotPassed::Wedged => "wedged",
            NotPassed::Starting(_) => "starting",
            NotPassed::Overdue(_) => "startup_overdue",
            NotPassed::Draining => "draining",
            NotPassed::Unhealthy => "unhealthy",
        }
    }
}

impl HealthChecker {
    /// Makes one for a server that starts now.
    pub fn new(version: &'static str, metrics: Arc<Metrics>, now: Instant) -> HealthChecker {
        HealthChecker {
            version,
            lifecycle: Lifecycle::new(now),
            watchdog: Watchdog::new(now),
            status: Arc::default(),
            metrics,
            is_overdue_told: AtomicBool::new(false),
            scheduler: Mutex::new(None),
        }
    }

    /// Looks at the dependencies from now on, once in `interval`, and at the disk of the data directory. `jitter` returns
    /// random numbers from 0 to 1. Does nothing where it was started before.
    ///
    /// # Panics
    /// When the system has no thread to give.
    pub fn start(
        &self,
        checks: Vec<Box<dyn HealthCheckable>>,
        data_dir: PathBuf,
        interval: Duration,
        jitter: impl FnMut() -> f64 + Send + 'static,
    ) {
        let mut running = self.running();
        if running.is_some() {
            return;
        }
        let publisher = self.publisher();
        let (scheduler, events) = Scheduler::new(
            checks,
            data_dir,
            Timing::every(interval),
            Arc::clone(&self.metrics),
            jitter,
            move |status| publisher.publish(status, Instant::now()),
        );
        // From here on nothing is called well that was not looked at.
        self.status.store(Arc::new(scheduler.status()));
        let thread = thread::Builder::new()
            .name("health".to_owned())
            .spawn(|| scheduler.run())
            .expect("a thread can be started while the program starts");
        *running = Some(Running { events, thread });
    }

    /// Stops looking, and waits for that; not for a check that hangs.
    pub fn stop(&self) {
        let Some(Running { events, thread }) = self.running().take() else {
            return;
        };
        // It may have ended by a panic, which has been told.
        let _ = events.send(Event::Stop);
        let _ = thread.join();
    }

    /// Says what starting waits for now.
    pub fn set_step(&self, step: StartStep) {
        self.lifecycle.await_step(step);
    }

    /// Says that everything is loaded, and that the dependencies are looked at.
    pub fn set_serving(&self) {
        self.lifecycle.reach(Phase::Serving);
    }

    /// Says that the server is ending: it is not ready any more.
    pub fn set_draining(&self) {
        self.lifecycle.reach(Phase::Draining);
    }

    /// Returns how far the server is in its life.
    pub fn phase(&self) -> Phase {
        self.lifecycle.phase()
    }

    /// Returns the heartbeat, for the task that beats it.
    pub fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// Returns what is known of the dependencies.
    pub fn status(&self) -> Arc<HealthStatus> {
        self.status.load_full()
    }

    /// Whether the program works at all.
    ///
    /// # Errors
    /// [`NotPassed::Wedged`]: it should be started anew.
    pub fn live(&self, now: Instant) -> Result<(), NotPassed> {
        if self.watchdog.is_wedged(now) {
            return Err(NotPassed::Wedged);
        }
        Ok(())
    }

    /// Whether everything is loaded. Once true, always true.
    ///
    /// # Errors
    /// [`NotPassed::Starting`] and [`NotPassed::Overdue`], with what is waited for.
    pub fn started(&self, now: Instant) -> Result<(), NotPassed> {
        let Some(step) = self.lifecycle.step() else {
            return Ok(());
        };
        if !self.lifecycle.is_overdue(now) {
            return Err(NotPassed::Starting(step));
        }
        if !self.is_overdue_told.swap(true, Ordering::Relaxed) {
            let max = STARTUP_MAX.as_secs();
            tracing::error!(?step, "Starting takes longer than {max} s, at {step:?}");
        }
        Err(NotPassed::Overdue(step))
    }

    /// Whether the server should get requests.
    ///
    /// # Errors
    /// Those of [`HealthChecker::started`]; [`NotPassed::Draining`]; [`NotPassed::Unhealthy`].
    pub fn ready(&self, now: Instant) -> Result<(), NotPassed> {
        self.started(now)?;
        if self.phase() == Phase::Draining {
            return Err(NotPassed::Draining);
        }
        match self.status.load().overall(now) {
            HealthState::Healthy | HealthState::Degraded => Ok(()),
            HealthState::Unhealthy => Err(NotPassed::Unhealthy),
        }
    }

    /// Returns how well the server is. One that is starting does not work yet, so it is unhealthy.
    pub fn state(&self, now: Instant) -> HealthState {
        self.state_with(&self.status.load(), now)
    }

    /// Returns what anybody may know.
    pub fn body(&self, now: Instant) -> HealthBody {
        HealthBody {
            status: self.state(now),
        }
    }

    /// Returns everything, for the operator.
    pub fn detail(&self, now: Instant) -> HealthDetail {
        let status = self.status.load();
        HealthDetail {
            status: self.state_with(&status, now),
            phase: self.lifecycle.phase(),
            waiting_for: self.lifecycle.step(),
            version: self.version,
            uptime_seconds: self.lifecycle.age(now).as_secs_f64(),
            dependencies: HealthDetail::dependencies(&status, now),
            system: status.system(now),
        }
    }

    fn state_with(&self, status: &HealthStatus, now: Instant) -> HealthState {
        match self.lifecycle.phase() {
            Phase::Starting => HealthState::Unhealthy,
            Phase::Serving | Phase::Draining => status.overall(now),
        }
    }

    fn publisher(&self) -> Publisher {
        Publisher::new(Arc::clone(&self.status), Arc::clone(&self.metrics))
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.scheduler
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HealthChecker {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::dependency::DependencyHealth;
    use super::super::{Dependency, Reason, STALE_AFTER, SystemMetrics, Verdict, WEDGED_AFTER};
    use super::*;
    use crate::observability::metrics::Format;

    fn checker(now: Instant) -> HealthChecker {
        HealthChecker::new("1.2.3", Arc::new(Metrics::new(&[], "1.2.3")), now)
    }

    /// Shows that one critical dependency was found like this.
    fn show(publisher: &Publisher, verdicts: &[Verdict], now: Instant) {
        let mut health = DependencyHealth::unknown(Dependency::ContentStore, true, now);
        for verdict in verdicts {
            health.completed(*verdict, Duration::from_micros(1_500), now);
        }
        let status = HealthStatus {
            dependencies: vec![health],
            system: Some((SystemMetrics::default(), now)),
        };
        publisher.publish(status, now);
    }

    const FAILED: [Verdict; 3] = [Verdict::Failed(Reason::IoError); 3];

    #[test]
    fn readiness_needs_the_phase_and_the_dependencies() {
        let now = Instant::now();
        let healthy: &[Verdict] = &[Verdict::Healthy];
        let degraded: &[Verdict] = &[Verdict::Degraded(Reason::LowSpace)];
        for (phase, verdicts, expected) in [
            (
                Phase::Starting,
                healthy,
                Err(NotPassed::Starting(StartStep::Store)),
            ),
            (Phase::Serving, healthy, Ok(())),
            (Phase::Serving, degraded, Ok(())),
            (Phase::Serving, &FAILED, Err(NotPassed::Unhealthy)),
            (Phase::Serving, &[], Err(NotPassed::Unhealthy)),
            (Phase::Draining, healthy, Err(NotPassed::Draining)),
            (Phase::Draining, &FAILED, Err(NotPassed::Draining)),
        ] {
            let checker = checker(now);
            let publisher = checker.publisher();
            checker.lifecycle.reach(phase);
            show(&publisher, verdicts, now);
            assert_eq!(checker.ready(now), expected, "{phase:?} {verdicts:?}");
            assert_eq!(checker.started(now).is_ok(), phase != Phase::Starting);
            assert_eq!(checker.live(now), Ok(()));
        }
    }

    #[test]
    fn a_start_that_takes_too_long_has_failed_and_says_at_what() {
        let begin = Instant::now();
        let checker = checker(begin);
        checker.set_step(StartStep::Indexes);
        let waiting = Err(NotPassed::Starting(StartStep::Indexes));
        assert_eq!(checker.started(begin + STARTUP_MAX), waiting);
        let late = begin + STARTUP_MAX + Duration::from_secs(1);
        let overdue = Err(NotPassed::Overdue(StartStep::Indexes));
        assert_eq!(checker.started(late), overdue);
        assert_eq!(checker.ready(late), overdue);
        checker.set_serving();
        assert_eq!(checker.started(late), Ok(()));
    }

    #[test]
    fn only_a_heart_that_stops_is_a_reason_to_restart() {
        let begin = Instant::now();
        let checker = checker(begin);
        let publisher = checker.publisher();
        checker.set_serving();
        show(&publisher, &FAILED, begin);
        assert_eq!(checker.live(begin), Ok(()));
        let late = begin + WEDGED_AFTER + Duration::from_secs(1);
        assert_eq!(checker.live(late), Err(NotPassed::Wedged));
        checker.watchdog().beat(late);
        assert_eq!(checker.live(late), Ok(()));
    }

    #[test]
    fn findings_that_nobody_renews_make_it_unready() {
        let now = Instant::now();
        let checker = checker(now);
        let publisher = checker.publisher();
        checker.set_serving();
        show(&publisher, &[Verdict::Healthy], now);
        assert_eq!(checker.ready(now + STALE_AFTER), Ok(()));
        let late = now + STALE_AFTER + Duration::from_secs(1);
        assert_eq!(checker.ready(late), Err(NotPassed::Unhealthy));
    }

    #[test]
    fn anybody_learns_one_word() {
        let now = Instant::now();
        let checker = checker(now);
        let publisher = checker.publisher();
        let body = |expected: &str| {
            let json = serde_json::to_string(&checker.body(now)).unwrap();
            assert_eq!(json, format!("{{\"status\":\"{expected}\"}}"));
        };
        body("Unhealthy");
        checker.set_serving();
        show(&publisher, &[Verdict::Healthy], now);
        body("Healthy");
        show(&publisher, &[Verdict::Degraded(Reason::Backlog)], now);
        body("Degraded");
        show(&publisher, &FAILED, now);
        body("Unhealthy");
    }

    #[test]
    fn the_operator_learns_what_is_measured_and_null_for_the_rest() {
        let begin = Instant::now();
        let checker = checker(begin);
        let publisher = checker.publisher();
        checker.set_serving();
        show(&publisher, &FAILED, begin);
        let now = begin + Duration::from_millis(2_500);
        let json = serde_json::to_value(checker.detail(now)).unwrap();
        let expected = serde_json::json!({
            "status": "Unhealthy",
            "phase": "serving",
            "waiting_for": null,
            "version": "1.2.3",
            "uptime_seconds": 2.5,
            "dependencies": [{
                "name": "content_store",
                "state": "Unhealthy",
                "critical": true,
                "last_check_age_ms": 2_500,
                "duration_ms": 1.5,
                "consecutive_failures": 3,
                "reason": "io_error",
            }],
            "system": serde_json::to_value(SystemMetrics::default()).unwrap(),
        });
        assert_eq!(json, expected);

        show(&publisher, &[], now);
        let json = serde_json::to_value(checker.detail(now)).unwrap();
        let expected = serde_json::json!({
            "name": "content_store",
            "state": null,
            "critical": true,
            "last_check_age_ms": null,
            "duration_ms": null,
            "consecutive_failures": 0,
            "reason": "not_checked",
        });
        assert_eq!(json["dependencies"][0], expected);
    }

    /// Says when it is asked, and answers when it is allowed to.
    struct Asked {
        asked: mpsc::Sender<()>,
        allowed: mpsc::Receiver<()>,
    }

    impl HealthCheckable for Asked {
        fn name(&self) -> Dependency {
            Dependency::Encoder
        }

        fn is_critical(&self) -> bool {
            true
        }

        fn check(&self) -> Verdict {
            let _ = self.asked.send(());
            let _ = self.allowed.recv();
            Verdict::Healthy
        }
    }

    #[test]
    fn nothing_is_ready_that_was_not_looked_at() {
        let now = Instant::now();
        let checker = checker(now);
        let (asked, has_asked) = mpsc::channel();
        let (_allow, allowed) = mpsc::channel();
        let check = Asked { asked, allowed };
        checker.start(
            vec![Box::new(check)],
            PathBuf::from("/"),
            Duration::from_secs(5),
            || 0.5,
        );
        checker.set_serving();
        assert_eq!(checker.ready(now), Err(NotPassed::Unhealthy));
        has_asked.recv().unwrap();
        assert_eq!(checker.ready(now), Err(NotPassed::Unhealthy));
    }

    #[test]
    fn to_be_asked_causes_no_work() {
        let now = Instant::now();
        let checker = checker(now);
        checker.set_serving();
        let (asked, has_asked) = mpsc::channel();
        let (allow, allowed) = mpsc::channel();
        drop(allow);
        let check = Asked { asked, allowed };
        checker.start(
            vec![Box::new(check)],
            PathBuf::from("/"),
            Duration::from_secs(5),
            || 1.0,
        );
        // A second start changes nothing.
        checker.start(
            Vec::new(),
            PathBuf::from("/"),
            Duration::from_secs(5),
            || 1.0,
        );
        for _ in 0..10_000 {
            let _ = checker.ready(now);
            let _ = checker.live(now);
            let _ = checker.detail(now);
        }
        checker.stop();
        checker.stop();
        let rounds = 1 + now.elapsed().as_secs() as usize / 5;
        assert!(has_asked.iter().count() <= rounds);
        let text = checker.metrics.encode(Format::PrometheusText);
        assert!(!text.contains("embedder_health_state{"));
    }
}
