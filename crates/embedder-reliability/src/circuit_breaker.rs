//! Whether a dependency may be called at all.
//!
//! The words are electrical: a *closed* breaker lets calls through, an *open* one refuses them. A dependency that keeps
//! failing is left alone for a while ([`CircuitState::Open`]); then a few calls are let through as probes
//! ([`CircuitState::HalfOpen`]), and their results decide whether it closes or opens for longer.
//!
//! It opens after a few failed requests in a row (a hard outage is seen at once), or when the share of failed or slow calls
//! in a sliding window is too high (so is a partial one).
//!
//! Guarantees:
//! * A result counts only in the epoch that admitted its call: an answer from before the breaker opened never decides
//!   what a probe is asked to decide.
//! * In an epoch of probes at most [`BreakerPolicy::probes`] calls are let through whose results count, and exactly one
//!   transition ends it.
//! * No permit is lost: one that is dropped without a verdict gives its place back, and one that nobody comes back with
//!   counts as a failure after [`BreakerPolicy::probe_stay_max`].
//! * Refusing takes no lock and allocates nothing; letting through reads one atomic.
//!
//! ```
//! use std::time::Duration;
//! use embedder_reliability::Timestamp;
//! use embedder_reliability::circuit_breaker::{BreakerPolicy, CircuitBreaker, CircuitState, Outcome};
//!
//! let breaker = CircuitBreaker::new(BreakerPolicy::default(), 1)?;
//! let now = Timestamp::ZERO;
//! for _ in 0..3 {
//!     breaker.try_acquire(now).expect("it is closed").record(Outcome::FAILURE, now);
//! }
//! assert_eq!(breaker.state(), CircuitState::Open);
//! let refused = breaker.try_acquire(now).expect_err("it is open");
//! assert_eq!(refused.retry_after(), Duration::from_secs(30));
//! # Ok::<(), embedder_reliability::circuit_breaker::BreakerPolicyError>(())
//! ```

mod control;
mod manual;
mod permit;
mod policy;
mod registry;
mod transition;
mod window;

#[cfg(all(test, not(loom)))]
mod reference;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::time::Duration;

use control::Control;
use control::word::{Gate, Word};
pub use manual::{Manual, ManualMode};
pub use permit::{Outcome, Permit};
pub use policy::{BreakerPolicy, BreakerPolicyError, WindowKind};
pub use registry::{BreakerRegistry, ENDPOINTS_MAX};
pub use transition::{BreakerObserver, Transition, TransitionReason};
pub use window::Counts;

use crate::Timestamp;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// Whether calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CircuitState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// A few calls pass, as probes.
    HalfOpen,
}

impl CircuitState {
    /// Every state.
    pub const ALL: [CircuitState; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Returns the name that logs and metrics use.
    pub fn name(self) -> &'static str {
        match self {
            CircuitState::Closed => "closed",
            CircuitState::Open => "open",
            CircuitState::HalfOpen => "half_open",
        }
    }
}

/// Why a call was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CircuitBreakerError {
    /// The breaker is open.
    #[error("the circuit breaker is open for another {:.1} s", .retry_after.as_secs_f64())]
    Open {
        /// When the next call may pass.
        retry_after: Duration,
    },
    /// As many probes as there may be are under way, and have not answered yet.
    #[error("the circuit breaker waits for its probes")]
    Probing {
        /// When the oldest of them is given up.
        retry_after: Duration,
    },
}

impl CircuitBreakerError {
    /// Returns when it is worth asking again.
    pub fn retry_after(self) -> Duration {
        match self {
            CircuitBreakerError::Open { retry_after }
            | CircuitBreakerError::Probing { retry_after } => retry_after,
        }
    }
}

/// What a breaker knows, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSnapshot {
    /// Whether calls pass.
    pub state: CircuitState,
    /// What somebody decided by hand.
    pub manual: Option<Manual>,
    /// Grows with each change of state.
    pub epoch: u64,
    /// Requests that failed in a row.
    pub consecutive_failures: u32,
    /// Calls in the window.
    pub window: Counts,
    /// How often in a row its probes failed.
    pub reopened: u32,
    /// Probes that have not answered.
    pub probes_in_flight: u32,
    /// How long it stays open.
    pub retry_after: Option<Duration>,
}

/// A circuit breaker, shared by all who call one dependency.
pub struct CircuitBreaker {
    /// What the callers need to know, so that most take no lock.
    word: AtomicU64,
    /// Until when calls are refused while the word says so.
    refused_until: AtomicU64,
    control: Mutex<Control>,
    observer: Option<Box<dyn BreakerObserver>>,
}

impl CircuitBreaker {
    /// Makes a closed one. `seed` is that of the jitter: replicas with different seeds do not probe in step.
    ///
    /// # Errors
    /// A policy that cannot be used.
    pub fn new(policy: BreakerPolicy, seed: u64) -> Result<CircuitBreaker, BreakerPolicyError> {
        policy.check()?;
        let control = Control::new(policy, seed);
        Ok(CircuitBreaker {
            word: AtomicU64::new(control.word().bits()),
            refused_until: AtomicU64::new(0),
            control: Mutex::new(control),
            observer: None,
        })
    }

    /// Tells somebody of each transition, in order. The observer is called under the breaker's lock: it must be quick and
    /// must not ask the breaker.
    #[must_use]
    pub fn with_observer(mut self, observer: Box<dyn BreakerObserver>) -> CircuitBreaker {
        self.observer = Some(observer);
        self
    }

    /// Returns whether calls pass, without a lock. An open breaker stays open until somebody asks for a permit after its
    /// time.
    pub fn state(&self) -> CircuitState {
        self.load().state()
    }

    /// Asks whether a call may be made.
    ///
    /// # Errors
    /// [`CircuitBreakerError`] says when to ask again.
    pub fn try_acquire(&self, now: Timestamp) -> Result<Permit<'_>, CircuitBreakerError> {
        let word = self.load();
        match word.gate() {
            Gate::Pass => return Ok(Permit::of_call(self, word.epoch(), now)),
            Gate::Refuse => {
                let until = Timestamp::from_nanos(self.refused_until.load(Ordering::Relaxed));
                if now < until {
                    return Err(refused(word.state(), now.until(until)));
                }
            }
            Gate::Ask => {}
        }
        self.ask(now)
    }

    /// Refuses all calls until `until`, whatever the dependency does.
    pub fn force_open(&self, now: Timestamp, until: Timestamp) {
        self.set_manual(now, ManualMode::ForcedOpen, until);
    }

    /// Lets all calls through until `until`, whatever the dependency does.
    pub fn force_closed(&self, now: Timestamp, until: Timestamp) {
        self.set_manual(now, ManualMode::ForcedClosed, until);
    }

    /// Lets all calls through until `until` and goes on measuring.
    pub fn metrics_only(&self, now: Timestamp, until: Timestamp) {
        self.set_manual(now, ManualMode::MetricsOnly, until);
    }

    /// Closes it as if nothing had ever failed, and takes back what was forced.
    pub fn reset(&self, now: Timestamp) {
        self.change(|control| control.reset(now));
    }

    /// Returns what it knows.
    pub fn snapshot(&self, now: Timestamp) -> BreakerSnapshot {
        self.change(|control| control.snapshot(now))
    }

    fn set_manual(&self, now: Timestamp, mode: ManualMode, until: Timestamp) {
        self.change(|control| control.set_manual(now, Manual { mode, until }));
    }

    /// The slow side of [`CircuitBreaker::try_acquire`].
    fn ask(&self, now: Timestamp) -> Result<Permit<'_>, CircuitBreakerError> {
        self.change(|control| match control.ask(now) {
            Ok(probe) => Ok(Permit::new(self, control.epoch(), probe, now)),
            Err(wait) => Err(refused(control.state(), wait)),
        })
    }

    fn load(&self) -> Word {
        Word::from_bits(self.word.load(Ordering::Acquire))
    }

    /// Changes the control and tells of it: the word to callers, transitions to the observer.
    fn change<T>(&self, change: impl FnOnce(&mut Control) -> T) -> T {
        let mut control = lock(&self.control);
        let result = change(&mut control);
        self.publish(&mut control);
        result
    }

    fn publish(&self, control: &mut Control) {
        let (word, until) = (control.word().bits(), control.refused_until().as_nanos());
        // Most calls change neither: then the line that all callers read stays shared.
        if self.refused_until.load(Ordering::Relaxed) != until {
            self.refused_until.store(until, Ordering::Relaxed);
        }
        if self.word.load(Ordering::Relaxed) != word {
            self.word.store(word, Ordering::Release);
        }
        while let Some(transition) = control.take_transition() {
            if let Some(observer) = &self.observer {
                observer.transition(&transition);
            }
        }
    }
}

fn refused(state: CircuitState, retry_after: Duration) -> CircuitBreakerError {
    match state {
        CircuitState::HalfOpen => CircuitBreakerError::Probing { retry_after },
        CircuitState::Open | CircuitState::Closed => CircuitBreakerError::Open { retry_after },
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
