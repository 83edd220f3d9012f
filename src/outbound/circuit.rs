//! What stands before a dependency that can fail: deadline → retry → circuit breaker → bulkhead → timeout, composed once.
//!
//! [`Circuit::call`] makes a call that may be repeated, and ends in time; [`Circuit::begin`] is for work of our own that may
//! not be repeated. Both keep a dependency that fails from being asked, and tell the [`CircuitObserver`] what happened. How an error
//! counts is said by its [`Fault`]: what a client asked for wrongly never opens a breaker.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use embedder_reliability::circuit_breaker::{
    BreakerObserver, BreakerPolicy, BreakerPolicyError, CircuitBreaker, CircuitBreakerError,
    Outcome, Permit, Transition,
};
use embedder_reliability::retry::{Failure, Retry, RetryBudget, RetryError, RetryPolicy};
use embedder_reliability::{Random, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Clock;

#[cfg(test)]
mod tests;

/// How a dependency is dealt with.
#[derive(Debug, Clone)]
pub struct CircuitPolicy {
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Calls at once.
    pub at_once_max: usize,
    /// How long a call may wait for others to end.
    pub wait_max: Duration,
    /// How failed calls are repeated.
    pub retry: RetryPolicy,
    /// When it is left alone.
    pub breaker: BreakerPolicy,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The dependency's, and it may go well the next time.
    Transient,
    /// The dependency's, and the same call must not be made again.
    Permanent,
    /// The dependency has too much to do.
    Overload {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The caller's, or ours: it says nothing about the dependency.
    Request,
    /// Nobody's: the dependency was not asked at all.
    NotAsked,
}

/// What a call is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Its answer. Where it fails, the dependency has failed; it may be made again.
    Answer,
    /// To see whether it can be answered. Where it fails, what was asked may be the reason, or how much of it, so that says
    /// nothing about the dependency, and it is not made again: who asks finds out whose fault it was.
    Trial,
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError<E> {
    /// The breaker is open.
    #[error(transparent)]
    Open(#[from] CircuitBreakerError),
    /// As many calls as there may be are under way.
    #[error("too many calls are under way")]
    Busy,
    /// An attempt took too long.
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The caller's deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// The call failed.
    #[error("{0}")]
    Failed(E),
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// It brought what it was made for.
    Success,
    /// It failed.
    Failure,
    /// It took too long.
    Timeout,
    /// The dependency had too much to do.
    Overload,
    /// The request was at fault.
    Ignored,
    /// The breaker did not let it through.
    Refused,
    /// There was no room for it.
    Busy,
}

/// Is told what happens before a dependency. It must be quick.
pub trait CircuitObserver: Send + Sync {
    /// An attempt ended, or was not made.
    fn ended(&self, outcome: CallOutcome);

    /// A call is made again.
    fn retried(&self);

    /// A failed call is not made again.
    fn gave_up(&self, reason: RetryError);

    /// The breaker's state changed. Called under its lock: it must not be asked.
    fn transition(&self, transition: &Transition);
}

/// Hears of nothing: what happens before a dependency that is none.
#[derive(Debug, Default)]
pub struct Unobserved;

impl CircuitObserver for Unobserved {
    fn ended(&self, _: CallOutcome) {}
    fn retried(&self) {}
    fn gave_up(&self, _: RetryError) {}
    fn transition(&self, _: &Transition) {}
}

/// What stands before one dependency.
pub struct Circuit {
    name: &'static str,
    policy: CircuitPolicy,
    clock: Clock,
    breaker: CircuitBreaker,
    budget: RetryBudget,
    room: Semaphore,
    random: Mutex<Random>,
    observer: std::sync::Arc<dyn CircuitObserver>,
}

/// A piece of work of our own, under way.
#[must_use = "work that is dropped counts as cancelled"]
pub struct Running<'a> {
    circuit: &'a Circuit,
    permit: Permit<'a>,
}

/// Which attempt it is, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// From 0.
    pub number: u32,
    /// What is left for it.
    pub timeout: Duration,
}

struct Forward(std::sync::Arc<dyn CircuitObserver>);

impl BreakerObserver for Forward {
    fn transition(&self, transition: &Transition) {
        self.0.transition(transition);
    }
}

impl Running<'_> {
    /// It ended; whose fault it was if it failed. How long it took is measured.
    pub fn ended(self, fault: Option<Fault>) {
        let now = self.circuit.clock.now();
        self.end(fault, now);
    }

    /// It ended, and how long it took says nothing: it was as much work as somebody asked for.
    pub fn ended_untimed(mut self, fault: Option<Fault>) {
        let now = self.circuit.clock.now();
        self.permit.begins(now);
        self.end(fault, now);
    }

    fn end(self, fault: Option<Fault>, now: Timestamp) {
        let (outcome, told) = match fault {
            None => (Outcome::Success, CallOutcome::Success),
            Some(fault) => verdict(fault, true),
        };
        self.permit.record(outcome, now);
        self.circuit.observer.ended(told);
    }
}

/// Returns what an error says of the dependency.
fn verdict(fault: Fault, is_last: bool) -> (Outcome, CallOutcome) {
    match fault {
        Fault::Transient | Fault::Permanent => (Outcome::Failure { is_last }, CallOutcome::Failure),
        Fault::Overload { retry_after } => {
            (Outcome::Overload { retry_after }, CallOutcome::Overload)
        }
        Fault::Request | Fault::NotAsked => (Outcome::Ignored, CallOutcome::Ignored),
    }
}

impl Circuit {
    /// Puts one before the dependency `name`. `seed` is that of its jitter.
    ///
    /// # Errors
    /// A policy that cannot be used.
    pub fn new(
        name: &'static str,
        policy: CircuitPolicy,
        clock: Clock,
        seed: u64,
        observer: std::sync::Arc<dyn CircuitObserver>,
    ) -> Result<Circuit, BreakerPolicyError> {
        let mut random = Random::from_seed(seed);
        let breaker = CircuitBreaker::new(policy.breaker.clone(), random.next_u64())?
            .with_observer(Box::new(Forward(std::sync::Arc::clone(&observer))));
        Ok(Circuit {
            name,
            clock,
            breaker,
            budget: RetryBudget::default(),
            room: Semaphore::new(policy.at_once_max),
            random: Mutex::new(random),
            observer,
            policy,
        })
    }

    /// Returns the dependency's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns how it is dealt with.
    pub fn policy(&self) -> &CircuitPolicy {
        &self.policy
    }

    /// Returns its breaker.
    pub fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    /// Returns what its callers may still spend on trying again.
    pub fn budget(&self) -> &RetryBudget {
        &self.budget
    }

    /// Returns how many calls are under way.
    pub fn in_flight(&self) -> usize {
        self.policy.at_once_max - self.room.available_permits()
    }

    /// Returns the clock it goes by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Makes a call that may be repeated, until it succeeds, cannot, or `deadline` passes. `fault` says whose fault an
    /// error is. Dropped, it is cancelled.
    ///
    /// # Errors
    /// That of the last attempt which was made: that another could not be does not hide why the first one failed.
    pub async fn call<T, E, F>(
        &self,
        purpose: Purpose,
        deadline: Option<Instant>,
        mut attempt: impl FnMut(Attempt) -> F,
        fault: impl Fn(&E) -> Fault,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut now = self.clock.now();
        let deadline = match deadline {
            Some(deadline) => self.clock.at(deadline),
            None => now.plus(self.policy.timeout * self.policy.retry.attempts),
        };
        let mut retry = Retry::new(&self.policy.retry, &self.budget, deadline);
        let mut failed: Option<(CallError<E>, Fault)> = None;
        loop {
            let mut permit = match self.permit(now) {
                Ok(permit) => permit,
                Err(refused) => {
                    let Some((error, _)) = failed else {
                        return Err(CallError::Open(refused));
                    };
                    self.observer.gave_up(RetryError::Refused);
                    return Err(error);
                }
            };
            let room = match self.make_room(now, deadline).await {
                Ok(room) => room,
                Err(busy) => return Err(self.not_repeated(permit, failed, busy)),
            };
            now = self.clock.now();
            permit.begins(now);
            let left = now.until(deadline);
            let timeout = self.policy.timeout.min(left);
            let this = Attempt {
                number: retry.failed(),
                timeout,
            };
            let ended = tokio::time::timeout(timeout, attempt(this)).await;
            now = self.clock.now();
            let (error, fault) = match ended {
                Ok(Ok(value)) => {
                    permit.record(Outcome::Success, now);
                    self.observer.ended(CallOutcome::Success);
                    retry.succeeded();
                    return Ok(value);
                }
                Ok(Err(error)) => {
                    let fault = fault(&error);
                    let error = CallError::Failed(error);
                    if fault == Fault::NotAsked && failed.is_some() {
                        return Err(self.not_repeated(permit, failed, error));
                    }
                    (error, fault)
                }
                // A caller in more of a hurry than the dependency can be says nothing about it.
                Err(_) if timeout < self.policy.breaker.slow_after.min(self.policy.timeout) => {
                    self.observer.ended(CallOutcome::Timeout);
                    if failed.is_none() {
                        permit.record(Outcome::Ignored, now);
                        return Err(CallError::Deadline);
                    }
                    return Err(self.not_repeated(permit, failed, CallError::Deadline));
                }
                Err(_) => (CallError::TimedOut(timeout), Fault::Transient),
            };
            let fault = match (purpose, fault) {
                (Purpose::Answer, fault) | (Purpose::Trial, fault @ Fault::NotAsked) => fault,
                (Purpose::Trial, _) => Fault::Request,
            };
            let failure = failure_of(fault);
            let next = retry.after(failure, now, &mut self.random());
            let (outcome, told) = verdict(fault, next.is_err());
            permit.record(outcome, now);
            self.observer
                .ended(if matches!(error, CallError::TimedOut(_)) {
                    CallOutcome::Timeout
                } else {
                    told
                });
            match next {
                Ok(wait) => {
                    self.observer.retried();
                    failed = Some((error, fault));
                    // Who waits takes no place from those who could call.
                    drop(room);
                    tokio::time::sleep(wait).await;
                    now = self.clock.now();
                }
                Err(reason) => {
                    self.observer.gave_up(reason);
                    return Err(error);
                }
            }
        }
    }

    /// Ends a call of which another attempt cannot be made: it ended with the one before, if there was one.
    fn not_repeated<E>(
        &self,
        permit: Permit<'_>,
        failed: Option<(CallError<E>, Fault)>,
        why: CallError<E>,
    ) -> CallError<E> {
        let Some((error, fault)) = failed else {
            return why;
        };
        permit.record(verdict(fault, true).0, self.clock.now());
        self.observer.gave_up(RetryError::Refused);
        error
    }

    /// Begins work of our own that is not repeated, unless the breaker is open. Say how it ended; a panic counts as a
    /// failure.
    ///
    /// # Errors
    /// When to ask again.
    pub fn begin(&self, now: Timestamp) -> Result<Running<'_>, CircuitBreakerError> {
        let permit = self.permit(now)?;
        Ok(Running {
            circuit: self,
            permit,
        })
    }

    fn permit(&self, now: Timestamp) -> Result<Permit<'_>, CircuitBreakerError> {
        self.breaker
            .try_acquire(now)
            .inspect_err(|_| self.observer.ended(CallOutcome::Refused))
    }

    /// Waits for others to end, not for long.
    async fn make_room<E>(
        &self,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<SemaphorePermit<'_>, CallError<E>> {
        if let Ok(room) = self.room.try_acquire() {
            return Ok(room);
        }
        let wait = self.policy.wait_max.min(now.until(deadline));
        match tokio::time::timeout(wait, self.room.acquire()).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) | Err(_) => {
                self.observer.ended(CallOutcome::Busy);
                Err(CallError::Busy)
            }
        }
    }

    fn random(&self) -> std::sync::MutexGuard<'_, Random> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure_of(fault: Fault) -> Failure {
    match fault {
        Fault::Transient => Failure::Transient,
        Fault::Overload { retry_after } => Failure::Throttled { retry_after },
        Fault::Permanent | Fault::Request | Fault::NotAsked => Failure::Final,
    }
}
