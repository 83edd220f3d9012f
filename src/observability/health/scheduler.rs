//! The threads that look: one for each dependency, one for the machine, and one that tells them when and hears what
//! they found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::rounds::{Rounds, Timing};
use super::{HealthCheckable, HealthStatus, Reason, SystemMetrics, Verdict};
use crate::observability::metrics::Metrics;

/// What a thread tells the scheduler.
pub(super) enum Event {
    /// A check ended.
    Checked {
        index: usize,
        verdict: Verdict,
        duration: Duration,
    },
    /// The machine was read.
    Read(SystemMetrics),
    /// Nobody wants to know any more.
    Stop,
}

/// Keeps the rounds.
pub(super) struct Scheduler<J, P> {
    rounds: Rounds,
    events: Receiver<Event>,
    checks: Vec<SyncSender<()>>,
    reader: SyncSender<()>,
    system: Option<(SystemMetrics, Instant)>,
    metrics: Arc<Metrics>,
    /// A random number from 0 to 1.
    jitter: J,
    publish: P,
}

impl<J: FnMut() -> f64, P: FnMut(HealthStatus)> Scheduler<J, P> {
    /// Starts the threads that look, and returns what tells them when, and the way to stop it. Nothing is looked at
    /// until it runs.
    ///
    /// # Panics
    /// When the system has no thread to give.
    pub(super) fn new(
        checks: Vec<Box<dyn HealthCheckable>>,
        data_dir: PathBuf,
        timing: Timing,
        metrics: Arc<Metrics>,
        jitter: J,
        publish: P,
    ) -> (Scheduler<J, P>, SyncSender<Event>) {
        let dependencies = checks
            .iter()
            .map(|check| (check.name(), check.is_critical()));
        let rounds = Rounds::new(dependencies, timing, Instant::now());
        // Each thread has one thing to tell at a time, and somebody may say stop: nobody ever waits to be heard.
        let (sender, events) = sync_channel(checks.len() + 2);
        let checks = checks
            .into_iter()
            .enumerate()
            .map(|(index, check)| {
                let name = check.name().name();
                start(name, sender.clone(), move || look(index, &*check))
            })
            .collect();
        let mut previous = None;
        let reader = start("system", sender.clone(), move || {
            let system = SystemMetrics::read(&data_dir, previous.as_ref(), Instant::now());
            previous = Some(system.clone());
            Event::Read(system)
        });
        let scheduler = Scheduler {
            rounds,
            events,
            checks,
            reader,
            system: None,
            metrics,
            jitter,
            publish,
        };
        (scheduler, sender)
    }

    /// Keeps the rounds until it is stopped. Threads that hang are left behind; the others end.
    pub(super) fn run(mut self) {
        loop {
            // What has arrived is heard before anybody is given up, also by a thread that was kept from running.
            let wait = self
                .rounds
                .wake_at()
                .saturating_duration_since(Instant::now());
            match self.events.recv_timeout(wait) {
                Ok(Event::Checked {
                    index,
                    verdict,
                    duration,
                }) => self.take(index, verdict, duration),
                Ok(Event::Read(system)) => self.system = Some((system, Instant::now())),
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.tick(),
            }
            let status = self.status();
            (self.publish)(status);
        }
    }

    /// Returns what is known now.
    pub(super) fn status(&self) -> HealthStatus {
        HealthStatus {
            dependencies: self.rounds.dependencies().to_vec(),
            system: self.system.clone(),
        }
    }

    fn tick(&mut self) {
        let Some(due) = self.rounds.tick(Instant::now(), (self.jitter)()) else {
            return;
        };
        for index in due {
            // There is room: a check that is due has answered the last time it was asked.
            let _ = self.checks[index].try_send(());
        }
        // One that hangs has been asked already.
        let _ = self.reader.try_send(());
    }

    fn take(&mut self, index: usize, verdict: Verdict, duration: Duration) {
        if verdict == Verdict::Failed(Reason::Panicked) {
            self.metrics.panics_total.inc();
        }
        let name = self.rounds.dependencies()[index].name;
        self.metrics.health_check_seconds[name].observe(duration);
        self.rounds
            .completed(index, verdict, duration, Instant::now());
    }
}

/// Starts a thread that works each time it is asked, and tells what came of it.
fn start(
    name: &str,
    events: SyncSender<Event>,
    mut work: impl FnMut() -> Event + Send + 'static,
) -> SyncSender<()> {
    let (ask, asked) = sync_channel(1);
    thread::Builder::new()
        .name(format!("health {name}"))
        .spawn(move || {
            while asked.recv().is_ok() {
                if events.send(work()).is_err() {
                    break;
                }
            }
        })
        .expect("a thread can be started while the program starts");
    ask
}

fn look(index: usize, check: &dyn HealthCheckable) -> Event {
    let begun = Instant::now();
    // A check changes nothing, so there is nothing half-done to be seen.
    let verdict = catch_unwind(AssertUnwindSafe(|| check.check()))
        .unwrap_or(Verdict::Failed(Reason::Panicked));
    Event::Checked {
        index,
        verdict,
        duration: begun.elapsed(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc;

    use super::super::HealthState::{Healthy, Unhealthy};
    use super::super::{Dependency, HealthState};
    use super::*;

    /// Time enough for anything to happen.
    const LONG: Duration = Duration::from_secs(3_600);

    /// Rounds as fast as they go.
    const FAST: Timing = Timing {
        interval: Duration::from_millis(2),
        timeout: Duration::from_millis(1),
    };

    struct Fake<F>(Dependency, F);

    impl<F: Fn() -> Verdict + Send> HealthCheckable for Fake<F> {
        fn name(&self) -> Dependency {
            self.0
        }

        fn is_critical(&self) -> bool {
            true
        }

        fn check(&self) -> Verdict {
            (self.1)()
        }
    }

    fn fake(
        name: Dependency,
        check: impl Fn() -> Verdict + Send + 'static,
    ) -> Box<dyn HealthCheckable> {
        Box::new(Fake(name, check))
    }

    /// A scheduler that runs, and all that it publishes.
    struct Running {
        statuses: mpsc::Receiver<HealthStatus>,
        events: SyncSender<Event>,
        thread: thread::JoinHandle<()>,
        metrics: Arc<Metrics>,
    }

    impl Running {
        fn start(timing: Timing, checks: Vec<Box<dyn HealthCheckable>>) -> Running {
            let (sender, statuses) = mpsc::channel();
            let metrics = Arc::new(Metrics::new(&[], ""));
            let (scheduler, events) = Scheduler::new(
                checks,
                PathBuf::from("/"),
                timing,
                Arc::clone(&metrics),
                || 0.5,
                move |status| sender.send(status).unwrap(),
            );
            Running {
                statuses,
                events,
                thread: thread::spawn(|| scheduler.run()),
                metrics,
            }
        }

        /// Waits until the dependencies are in these states.
        fn until(&self, states: &[Option<HealthState>]) -> HealthStatus {
            self.statuses
                .iter()
                .find(|status| {
                    let now = Instant::now();
                    let dependencies = status.dependencies.iter();
                    dependencies
                        .map(|d| d.state(now))
                        .eq(states.iter().copied())
                })
                .unwrap()
        }

        fn stop(self) {
            self.events.send(Event::Stop).unwrap();
            self.thread.join().unwrap();
        }
    }

    #[test]
    fn checks_run_side_by_side() {
        // Each waits for the other, so one after the other they would wait for ever.
        let barrier = Arc::new(Barrier::new(2));
        let checks = [Dependency::ContentStore, Dependency::Disk].map(|name| {
            let barrier = Arc::clone(&barrier);
            fake(name, move || {
                barrier.wait();
                Verdict::Healthy
            })
        });
        let timing = Timing {
            interval: LONG,
            timeout: LONG / 2,
        };
        let running = Running::start(timing, checks.into());
        running.until(&[Some(Healthy), Some(Healthy)]);
        let durations = &running.metrics.health_check_seconds;
        assert_eq!(durations[Dependency::Disk].count(), 1);
        running.stop();
    }

    #[test]
    fn a_check_that_hangs_holds_up_nobody_and_has_one_thread() {
        let (enter, entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let (look, looked) = mpsc::channel();
        let hangs = fake(Dependency::HubStore, move || {
            let _ = enter.send(());
            let _ = released.recv();
            Verdict::Healthy
        });
        let answers = fake(Dependency::Cache, move || {
            let _ = look.send(());
            Verdict::Healthy
        });
        let running = Running::start(FAST, vec![hangs, answers]);
        entered.recv().unwrap();
        let mut statuses = running.statuses.iter();
        let unhealthy = statuses
            .find(|status| status.dependencies[0].state(Instant::now()) == Some(Unhealthy))
            .unwrap();
        let reason = unhealthy.dependencies[0].reason(Instant::now());
        assert_eq!(reason, Some(Reason::Timeout));
        assert_eq!(looked.iter().take(5).count(), 5);
        assert!(entered.try_recv().is_err(), "it runs once");
        // When it ends it is asked again, and now answers.
        drop(release);
        assert!(
            statuses.any(|status| status.dependencies[0].state(Instant::now()) == Some(Healthy))
        );
        running.stop();
    }

    #[test]
    fn a_check_that_panics_has_failed_and_is_asked_again() {
        let timing = Timing {
            interval: Duration::from_millis(1),
            timeout: LONG,
        };
        let running = Running::start(
            timing,
            vec![fake(Dependency::LexicalIndex, || panic!("a defect"))],
        );
        let status = running.until(&[Some(Unhealthy)]);
        let health = &status.dependencies[0];
        assert_eq!(health.reason(Instant::now()), Some(Reason::Panicked));
        assert!(running.metrics.panics_total.get() >= 3);
        running.stop();
    }

    #[test]
    fn the_machine_is_read_in_every_round() {
        let running = Running::start(FAST, Vec::new());
        let mut statuses = running.statuses.iter();
        assert!(statuses.any(|status| status.system.is_some()));
        running.stop();
    }

    #[test]
    fn it_stops_although_a_check_hangs() {
        let (_release, released) = mpsc::channel::<()>();
        let (entered, has_entered) = mpsc::channel();
        let hang = fake(Dependency::Disk, move || {
            entered.send(()).unwrap();
            let _ = released.recv();
            Verdict::Healthy
        });
        let running = Running::start(Timing::default(), vec![hang]);
        has_entered.recv().unwrap();
        running.stop();
    }
}
