use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use embedder_reliability::circuit_breaker::CircuitState;

use super::*;

#[derive(Default)]
struct Told {
    ended: Mutex<Vec<CallOutcome>>,
    retried: AtomicU32,
    gave_up: Mutex<Vec<RetryError>>,
    transitions: Mutex<Vec<CircuitState>>,
}

impl CircuitObserver for Told {
    fn ended(&self, outcome: CallOutcome) {
        self.ended.lock().unwrap().push(outcome);
    }

    fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    fn gave_up(&self, reason: RetryError) {
        self.gave_up.lock().unwrap().push(reason);
    }

    fn transition(&self, transition: &Transition) {
        self.transitions.lock().unwrap().push(transition.to);
    }
}

fn circuit(change: impl FnOnce(&mut CircuitPolicy)) -> (Circuit, Arc<Told>) {
    let mut policy = CircuitPolicy {
        timeout: Duration::from_secs(10),
        at_once_max: 4,
        wait_max: Duration::from_secs(1),
        retry: RetryPolicy::default(),
        breaker: BreakerPolicy::default(),
    };
    change(&mut policy);
    let told = Arc::new(Told::default());
    let observer: Arc<dyn CircuitObserver> = Arc::clone(&told) as _;
    let circuit = Circuit::new("tests", policy, Clock::start(), 7, observer).unwrap();
    (circuit, told)
}

/// Calls something that fails in the ways given, and then succeeds; returns the answer and how often it was called.
async fn call(circuit: &Circuit, faults: &[Fault]) -> (Result<u32, CallError<Fault>>, u32) {
    call_for(Purpose::Answer, circuit, faults).await
}

async fn call_for(
    purpose: Purpose,
    circuit: &Circuit,
    faults: &[Fault],
) -> (Result<u32, CallError<Fault>>, u32) {
    let calls = AtomicU32::new(0);
    let attempt = |_| {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        let ended = match faults.get(number as usize) {
            Some(fault) => Err(*fault),
            None => Ok(number),
        };
        async move { ended }
    };
    let answer = circuit.call(purpose, None, attempt, |fault| *fault).await;
    (answer, calls.into_inner())
}

#[tokio::test(start_paused = true)]
async fn what_may_go_well_the_next_time_is_tried_again() {
    let (circuit, told) = circuit(|_| {});
    let (answer, calls) = call(&circuit, &[Fault::Transient; 2]).await;
    assert_eq!((answer.unwrap(), calls), (2, 3));
    assert_eq!(told.retried.load(Ordering::Relaxed), 2);
    let (answer, calls) = call(&circuit, &[Fault::Transient; 9]).await;
    assert!(matches!(answer, Err(CallError::Failed(Fault::Transient))));
    assert_eq!(calls, 3);
    assert_eq!(*told.gave_up.lock().unwrap(), [RetryError::Exhausted]);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_repeated_is_called_once() {
    for fault in [Fault::Permanent, Fault::Request] {
        let (circuit, _) = circuit(|_| {});
        let (answer, calls) = call(&circuit, &[fault; 9]).await;
        assert!(matches!(answer, Err(CallError::Failed(_))));
        assert_eq!(calls, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn three_failed_requests_open_the_breaker_whatever_their_attempts() {
    let (circuit, told) = circuit(|_| {});
    for request in 0..3 {
        assert_eq!(circuit.breaker().state(), CircuitState::Closed, "{request}");
        let (_, calls) = call(&circuit, &[Fault::Transient; 9]).await;
        assert_eq!(calls, 3);
    }
    assert_eq!(*told.transitions.lock().unwrap(), [CircuitState::Open]);
    let (answer, calls) = call(&circuit, &[]).await;
    assert!(matches!(answer, Err(CallError::Open(_))), "{answer:?}");
    assert_eq!(calls, 0);

    tokio::time::advance(Duration::from_secs(30)).await;
    for _ in 0..2 {
        assert!(call(&circuit, &[]).await.0.is_ok());
    }
    assert_eq!(circuit.breaker().state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_clients_mistakes_never_open_the_breaker() {
    let (circuit, _) = circuit(|_| {});
    for _ in 0..100 {
        call(&circuit, &[Fault::Request]).await.0.unwrap_err();
    }
    assert_eq!(circuit.breaker().state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_fails_is_made_once_and_says_nothing_of_the_dependency() {
    let (circuit, told) = circuit(|_| {});
    let overload = Fault::Overload { retry_after: None };
    for fault in [Fault::Transient, Fault::Permanent, overload].repeat(20) {
        let (answer, calls) = call_for(Purpose::Trial, &circuit, &[fault; 9]).await;
        assert!(matches!(answer, Err(CallError::Failed(_))));
        assert_eq!(calls, 1);
    }
    assert_eq!(circuit.breaker().state(), CircuitState::Closed);
    let ended = told.ended.lock().unwrap().clone();
    assert!(ended.iter().all(|outcome| *outcome == CallOutcome::Ignored));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_not_be_repeated_ends_with_what_failed_it() {
    let (circuit, told) = circuit(|_| {});
    let faults = [Fault::Transient, Fault::NotAsked];
    for _ in 0..3 {
        assert_eq!(circuit.breaker().state(), CircuitState::Closed);
        let (answer, calls) = call(&circuit, &faults).await;
        assert!(matches!(answer, Err(CallError::Failed(Fault::Transient))));
        assert_eq!(calls, 2);
    }
    assert_eq!(circuit.breaker().state(), CircuitState::Open);
    assert_eq!(*told.gave_up.lock().unwrap(), [RetryError::Refused; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_is_not_asked_has_not_failed() {
    let (circuit, _) = circuit(|_| {});
    for _ in 0..10 {
        let (answer, calls) = call(&circuit, &[Fault::NotAsked]).await;
        assert!(matches!(answer, Err(CallError::Failed(Fault::NotAsked))));
        assert_eq!(calls, 1);
    }
    assert_eq!(circuit.breaker().state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_ends_at_its_timeout_and_counts() {
    let (circuit, told) = circuit(|policy| policy.retry.attempts = 1);
    let started = circuit.clock().now();
    for _ in 0..3 {
        let hung = circuit.call(
            Purpose::Answer,
            None,
            |_| std::future::pending::<Result<(), Fault>>(),
            |fault| *fault,
        );
        assert!(matches!(hung.await, Err(CallError::TimedOut(_))));
    }
    assert_eq!(
        circuit.clock().now().since(started),
        Duration::from_secs(30)
    );
    assert_eq!(circuit.breaker().state(), CircuitState::Open);
    assert_eq!(*told.ended.lock().unwrap(), [CallOutcome::Timeout; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_a_hurry_says_nothing_about_the_dependency() {
    let (circuit, _) = circuit(|_| {});
    for _ in 0..50 {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(100);
        let attempt = |_| std::future::pending::<Result<(), Fault>>();
        let hung = circuit
            .call(
                Purpose::Answer,
                Some(deadline.into_std()),
                attempt,
                |fault| *fault,
            )
            .await;
        assert!(matches!(hung, Err(CallError::Deadline)));
    }
    assert_eq!(circuit.breaker().state(), CircuitState::Closed);
    assert_eq!(circuit.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_failed_before_the_deadline_is_told_and_counts() {
    let (circuit, told) = circuit(|_| {});
    for _ in 0..3 {
        assert_eq!(circuit.breaker().state(), CircuitState::Closed);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
        let attempt = async |attempt: Attempt| match attempt.number {
            0 => Err(Fault::Transient),
            _ => std::future::pending::<Result<(), Fault>>().await,
        };
        let deadline = Some(deadline.into_std());
        let cut = circuit
            .call(Purpose::Answer, deadline, attempt, |fault| *fault)
            .await;
        assert!(matches!(cut, Err(CallError::Failed(Fault::Transient))));
    }
    assert_eq!(circuit.breaker().state(), CircuitState::Open);
    assert_eq!(*told.gave_up.lock().unwrap(), [RetryError::Refused; 3]);
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_under_way_than_may_be() {
    let (circuit, told) = circuit(|policy| policy.at_once_max = 1);
    let circuit = Arc::new(circuit);
    let first = tokio::spawn({
        let circuit = Arc::clone(&circuit);
        async move {
            let attempt = |_| std::future::pending::<Result<(), Fault>>();
            circuit
                .call(Purpose::Answer, None, attempt, |fault| *fault)
                .await
        }
    });
    while circuit.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let (second, calls) = call(&circuit, &[]).await;
    assert!(matches!(second, Err(CallError::Busy)) && calls == 0);
    assert_eq!(*told.ended.lock().unwrap(), [CallOutcome::Busy]);
    first.abort();
    let _ = first.await;
    assert!(
        call(&circuit, &[]).await.0.is_ok(),
        "a call that is dropped gives its room back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_says_when_to_come_back_is_waited_for() {
    let (circuit, _) = circuit(|_| {});
    let started = circuit.clock().now();
    let retry_after = Some(Duration::from_secs(4));
    let (answer, calls) = call(&circuit, &[Fault::Overload { retry_after }]).await;
    assert_eq!((answer.unwrap(), calls), (1, 2));
    assert!(circuit.clock().now().since(started) >= Duration::from_secs(4));

    let absurd = Some(Duration::from_secs(86_400));
    let overload = Fault::Overload {
        retry_after: absurd,
    };
    let (answer, calls) = call(&circuit, &[overload; 9]).await;
    assert!(answer.is_err());
    assert_eq!(calls, 1);
    let refused = circuit
        .breaker()
        .try_acquire(circuit.clock().now())
        .unwrap_err();
    assert_eq!(refused.retry_after(), Duration::from_secs(300));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_meanwhile_does_not_hide_the_cause() {
    let (circuit, _) = circuit(|policy| policy.breaker.consecutive_failures = 1);
    let attempt = |_| {
        // Somebody else's request fails beside.
        let now = circuit.clock().now();
        if let Ok(permit) = circuit.breaker().try_acquire(now) {
            permit.record(Outcome::FAILURE, now);
        }
        async { Err::<(), _>(Fault::Transient) }
    };
    let answer = circuit
        .call(Purpose::Answer, None, attempt, |fault| *fault)
        .await;
    assert!(
        matches!(answer, Err(CallError::Failed(Fault::Transient))),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn work_of_our_own_is_done_unless_the_breaker_is_open() {
    let (circuit, told) = circuit(|_| {});
    let run = |fault| {
        circuit
            .begin(circuit.clock().now())
            .map(|running| running.ended(fault))
    };
    run(None).unwrap();
    for _ in 0..3 {
        run(Some(Fault::Permanent)).unwrap();
    }
    run(None).unwrap_err();
    let ended = told.ended.lock().unwrap();
    assert_eq!(ended.first(), Some(&CallOutcome::Success));
    assert_eq!(ended.last(), Some(&CallOutcome::Refused));
}

#[tokio::test(start_paused = true)]
async fn work_of_any_length_is_not_slow_where_its_length_was_asked_for() {
    for (is_timed, expected) in [(true, CircuitState::Open), (false, CircuitState::Closed)] {
        let (circuit, _) = circuit(|policy| policy.breaker.calls_min = 2);
        for _ in 0..2 {
            let running = circuit.begin(circuit.clock().now()).unwrap();
            tokio::time::advance(Duration::from_secs(9)).await;
            if is_timed {
                running.ended(None);
            } else {
                running.ended_untimed(None);
            }
        }
        assert_eq!(circuit.breaker().state(), expected, "timed: {is_timed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_clients_of_a_dead_dependency_make_no_storm() {
    let (circuit, _) = circuit(|policy| {
        // The budget alone holds them.
        policy.breaker.consecutive_failures = u32::MAX;
        policy.breaker.calls_min = u32::MAX;
        policy.at_once_max = 2_000;
    });
    let circuit = Arc::new(circuit);
    let clients: Vec<_> = (0..1_000)
        .map(|_| {
            let circuit = Arc::clone(&circuit);
            tokio::spawn(async move { call(&circuit, &[Fault::Transient; 9]).await.1 })
        })
        .collect();
    let mut calls = 0;
    for client in clients {
        calls += client.await.unwrap();
    }
    assert_eq!(calls, 1_000 + 35);
}
