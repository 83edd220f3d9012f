//! Every order in which threads can meet at a breaker or a budget. Run by `just loom`; without loom there is nothing here.
#![cfg(loom)]

use std::time::Duration;

use embedder_reliability::Timestamp;
use embedder_reliability::circuit_breaker::{BreakerPolicy, CircuitBreaker, CircuitState, Outcome};
use embedder_reliability::retry::RetryBudget;
use loom::sync::Arc;
use loom::thread;

const OPENED: Timestamp = Timestamp::ZERO;

fn later(seconds: u64) -> Timestamp {
    Timestamp::ZERO.plus(Duration::from_secs(seconds))
}

/// A breaker with two probes, of which one must succeed; open since the origin of time.
fn opened() -> Arc<CircuitBreaker> {
    let policy = BreakerPolicy {
        consecutive_failures: 1,
        probes: 2,
        successes_needed: 1,
        ..BreakerPolicy::default()
    };
    let breaker = CircuitBreaker::new(policy, 1).expect("it is a policy");
    let permit = breaker.try_acquire(OPENED).expect("it is closed");
    permit.record(Outcome::FAILURE, OPENED);
    assert_eq!(breaker.state(), CircuitState::Open);
    Arc::new(breaker)
}

#[test]
fn no_more_probes_pass_than_may_whoever_asks_when() {
    loom::model(|| {
        let breaker = opened();
        let ask = |breaker: Arc<CircuitBreaker>| {
            move || match breaker.try_acquire(later(30)) {
                Ok(permit) => {
                    assert!(permit.is_probe());
                    // It never answers.
                    std::mem::forget(permit);
                    1
                }
                Err(_) => 0,
            }
        };
        let threads: Vec<_> = (0..2)
            .map(|_| thread::spawn(ask(Arc::clone(&breaker))))
            .collect();
        let here = ask(Arc::clone(&breaker))();
        let passed: i32 = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(passed + here, 2);
        let snapshot = breaker.snapshot(later(30));
        assert_eq!(
            (snapshot.state, snapshot.epoch),
            (CircuitState::HalfOpen, 2)
        );
    });
}

#[test]
fn one_transition_ends_an_epoch_of_probes() {
    loom::model(|| {
        let breaker = opened();
        let probe = |breaker: Arc<CircuitBreaker>, outcome| {
            move || {
                if let Ok(permit) = breaker.try_acquire(later(30)) {
                    permit.record(outcome, later(30));
                }
            }
        };
        let good = thread::spawn(probe(Arc::clone(&breaker), Outcome::Success));
        let bad = thread::spawn(probe(Arc::clone(&breaker), Outcome::FAILURE));
        good.join().unwrap();
        bad.join().unwrap();
        // One success closes it. Either the failure came before and was outvoted, or it came after: then it was an ordinary
        // call of a closed breaker, and opened it again.
        let snapshot = breaker.snapshot(later(30));
        match snapshot.state {
            CircuitState::Closed => assert_eq!(snapshot.epoch, 3),
            CircuitState::Open => assert_eq!(snapshot.epoch, 4),
            CircuitState::HalfOpen => panic!("nothing decided: {snapshot:?}"),
        }
    });
}

#[test]
fn no_permit_is_lost_when_clients_leave() {
    loom::model(|| {
        let breaker = opened();
        let leave = |breaker: Arc<CircuitBreaker>| move || drop(breaker.try_acquire(later(30)));
        let threads: Vec<_> = (0..2)
            .map(|_| thread::spawn(leave(Arc::clone(&breaker))))
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(breaker.snapshot(later(30)).probes_in_flight, 0);
        let probe = breaker.try_acquire(later(30)).expect("there is room");
        probe.record(Outcome::Success, later(30));
        assert_eq!(breaker.state(), CircuitState::Closed);
    });
}

#[test]
fn a_late_result_never_decides() {
    loom::model(|| {
        let policy = BreakerPolicy {
            consecutive_failures: 1,
            ..BreakerPolicy::default()
        };
        let breaker = Arc::new(CircuitBreaker::new(policy, 1).expect("it is a policy"));
        let other = Arc::clone(&breaker);
        let late = thread::spawn(move || {
            if let Ok(permit) = other.try_acquire(OPENED) {
                permit.record(Outcome::Success, later(30));
            }
        });
        if let Ok(permit) = breaker.try_acquire(OPENED) {
            permit.record(Outcome::FAILURE, OPENED);
        }
        let probe = breaker.try_acquire(later(30)).expect("its time has passed");
        assert!(probe.is_probe());
        late.join().unwrap();
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        drop(probe);
    });
}

#[test]
fn a_budget_gives_exactly_what_it_has() {
    loom::model(|| {
        let budget = Arc::new(RetryBudget::default());
        // Down to what two retries cost, less one.
        while budget.balance() > 27 {
            assert!(budget.withdraw(true) || budget.withdraw(false));
            if budget.balance() < 32 {
                break;
            }
        }
        let before = budget.balance();
        let take = |budget: Arc<RetryBudget>| move || u64::from(budget.withdraw(false));
        let threads: Vec<_> = (0..2)
            .map(|_| thread::spawn(take(Arc::clone(&budget))))
            .collect();
        budget.deposit();
        let taken: u64 = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(budget.balance(), before + 1 - 14 * taken);
    });
}
