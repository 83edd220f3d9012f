use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::reference::{Admitted, Reference};
use super::*;

const FAILURE: Outcome = Outcome::FAILURE;

fn at(seconds: f64) -> Timestamp {
    Timestamp::after_origin(Duration::from_secs_f64(seconds))
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::new(BreakerPolicy::default(), 1).unwrap()
}

fn call(breaker: &CircuitBreaker, outcome: Outcome, now: Timestamp) {
    breaker.try_acquire(now).unwrap().record(outcome, now);
}

/// A breaker that has been open since the origin of time.
fn opened() -> CircuitBreaker {
    let breaker = breaker();
    for _ in 0..3 {
        call(&breaker, FAILURE, Timestamp::ZERO);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
    breaker
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Transition>>>);

impl BreakerObserver for Told {
    fn transition(&self, transition: &Transition) {
        self.0.lock().unwrap().push(*transition);
    }
}

#[test]
fn three_failed_requests_open_it_and_thirty_seconds_later_two_probes_close_it() {
    let told = Told::default();
    let breaker = breaker().with_observer(Box::new(told.clone()));
    for second in 0..3 {
        assert_eq!(breaker.state(), CircuitState::Closed);
        call(&breaker, FAILURE, at(f64::from(second)));
    }
    assert_eq!(breaker.state(), CircuitState::Open);
    let refused = breaker.try_acquire(at(31.0)).unwrap_err();
    assert_eq!(refused.retry_after(), Duration::from_secs(1));
    for second in [32.0, 32.1] {
        let probe = breaker.try_acquire(at(second)).unwrap();
        assert!(probe.is_probe());
        probe.record(Outcome::Success, at(second));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    let reasons: Vec<_> = told
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|told| told.reason)
        .collect();
    assert_eq!(
        reasons,
        [
            TransitionReason::ConsecutiveFailures,
            TransitionReason::Elapsed,
            TransitionReason::ProbesSucceeded
        ]
    );
}

#[test]
fn the_attempts_of_one_request_count_once() {
    let breaker = breaker();
    let attempt = Outcome::Failure { is_last: false };
    for request in 0..3 {
        assert_eq!(breaker.state(), CircuitState::Closed, "{request}");
        for outcome in [attempt, attempt, FAILURE] {
            call(&breaker, outcome, Timestamp::ZERO);
        }
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn a_success_between_failures_begins_the_row_anew() {
    let breaker = breaker();
    for _ in 0..6 {
        call(&breaker, FAILURE, Timestamp::ZERO);
        call(&breaker, FAILURE, Timestamp::ZERO);
        call(&breaker, Outcome::Success, Timestamp::ZERO);
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_rate_is_judged_on_success_too_once_there_are_enough_calls() {
    let breaker = breaker();
    for number in 0..19 {
        let outcome = if number % 2 == 0 {
            FAILURE
        } else {
            Outcome::Success
        };
        call(&breaker, outcome, at(f64::from(number)));
        assert_eq!(breaker.state(), CircuitState::Closed, "{number}");
    }
    call(&breaker, Outcome::Success, at(19.0));
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn after_ten_thousand_successes_half_a_window_of_failures_opens_it() {
    let policy = BreakerPolicy {
        window: WindowKind::Count { calls: 100 },
        consecutive_failures: u32::MAX,
        ..BreakerPolicy::default()
    };
    let breaker = CircuitBreaker::new(policy, 1).unwrap();
    for _ in 0..10_000 {
        call(&breaker, Outcome::Success, Timestamp::ZERO);
    }
    for _ in 0..49 {
        call(&breaker, FAILURE, Timestamp::ZERO);
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    call(&breaker, FAILURE, Timestamp::ZERO);
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn slow_calls_open_it_although_they_succeed() {
    let breaker = breaker();
    for number in 0..20 {
        let begun = f64::from(number);
        let permit = breaker.try_acquire(at(begun)).unwrap();
        permit.record(Outcome::Success, at(begun + 8.0));
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn what_is_the_callers_fault_never_opens_it() {
    let breaker = breaker();
    for _ in 0..1_000 {
        call(&breaker, Outcome::Ignored, Timestamp::ZERO);
        drop(breaker.try_acquire(Timestamp::ZERO).unwrap());
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    assert_eq!(breaker.snapshot(Timestamp::ZERO).window, Counts::default());
}

#[test]
fn probes_that_say_nothing_about_the_dependency_do_not_reopen_it() {
    let breaker = opened();
    for _ in 0..50 {
        call(&breaker, Outcome::Ignored, at(30.0));
    }
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
}

#[test]
fn no_more_probes_than_allowed_are_under_way() {
    let breaker = opened();
    let probes: Vec<_> = (0..3)
        .map(|_| breaker.try_acquire(at(30.0)).unwrap())
        .collect();
    let refused = breaker.try_acquire(at(31.0)).unwrap_err();
    assert_eq!(
        refused,
        CircuitBreakerError::Probing {
            retry_after: Duration::from_secs(9)
        }
    );
    drop(probes);
    assert!(breaker.try_acquire(at(31.0)).is_ok());
}

#[test]
fn a_result_from_before_it_opened_does_not_decide() {
    let breaker = breaker();
    let late: Vec<_> = (0..5)
        .map(|_| breaker.try_acquire(Timestamp::ZERO).unwrap())
        .collect();
    for _ in 0..3 {
        call(&breaker, FAILURE, Timestamp::ZERO);
    }
    let probe = breaker.try_acquire(at(30.0)).unwrap();
    for permit in late {
        permit.record(Outcome::Success, at(30.0));
    }
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    probe.record(Outcome::Success, at(30.0));
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    call(&breaker, Outcome::Success, at(30.0));
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_probe_that_hangs_is_given_up_and_its_result_comes_too_late() {
    let breaker = opened();
    let hung: Vec<_> = (0..2)
        .map(|_| breaker.try_acquire(at(30.0)).unwrap())
        .collect();
    assert!(breaker.try_acquire(at(40.0)).is_err());
    assert_eq!(breaker.state(), CircuitState::Open);
    for probe in hung {
        probe.record(Outcome::Success, at(41.0));
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn clients_that_leave_cannot_keep_it_from_deciding() {
    let breaker = opened();
    for _ in 0..5 {
        drop(breaker.try_acquire(at(30.0)).unwrap());
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn a_panic_is_a_failure() {
    let breaker = opened();
    for _ in 0..2 {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _permit = breaker.try_acquire(at(30.0)).unwrap();
            panic!("a defect");
        }));
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn it_stays_open_longer_each_time_its_probes_fail_up_to_the_limit() {
    let breaker = opened();
    let mut now = 30.0;
    let mut stays = Vec::new();
    for _ in 0..8 {
        for _ in 0..2 {
            call(&breaker, FAILURE, at(now));
        }
        let stay = breaker.try_acquire(at(now)).unwrap_err().retry_after();
        stays.push(stay.as_secs_f64());
        now += stay.as_secs_f64();
    }
    for (stay, expected) in stays.iter().zip([60.0, 120.0, 240.0, 300.0, 300.0]) {
        assert!(
            (expected * 0.8..=300_f64.min(expected * 1.2)).contains(stay),
            "{stays:?}"
        );
    }
    assert!(
        stays.iter().any(|stay| stay.fract() != 0.0),
        "no jitter: {stays:?}"
    );
    for _ in 0..2 {
        call(&breaker, Outcome::Success, at(now));
    }
    for _ in 0..3 {
        call(&breaker, FAILURE, at(now));
    }
    let cold = breaker.try_acquire(at(now)).unwrap_err().retry_after();
    assert_eq!(cold, Duration::from_secs(30));
}

#[test]
fn a_dependency_that_asks_for_quiet_gets_it_within_limits() {
    let check = |asked_s: u64, expected_s: Option<u64>| {
        let breaker = breaker();
        let retry_after = Some(Duration::from_secs(asked_s));
        call(&breaker, Outcome::Overload { retry_after }, Timestamp::ZERO);
        let refused = breaker.try_acquire(Timestamp::ZERO).err();
        let expected = expected_s.map(Duration::from_secs);
        assert_eq!(refused.map(CircuitBreakerError::retry_after), expected);
    };
    check(1, None);
    check(29, None);
    check(30, Some(30));
    check(45, Some(45));
    check(86_400, Some(300));
}

#[test]
fn too_much_to_do_fails_a_probe() {
    let breaker = opened();
    let retry_after = Some(Duration::from_secs(200));
    for _ in 0..2 {
        call(&breaker, Outcome::Overload { retry_after }, at(30.0));
    }
    let refused = breaker.try_acquire(at(30.0)).unwrap_err();
    assert_eq!(refused.retry_after(), Duration::from_secs(200));
}

#[test]
fn what_is_forced_holds_until_it_expires() {
    let breaker = breaker();
    breaker.force_open(at(0.0), at(3_600.0));
    assert!(breaker.try_acquire(at(3_599.0)).is_err());
    call(&breaker, Outcome::Success, at(3_600.0));
    assert_eq!(breaker.state(), CircuitState::Closed);

    breaker.force_closed(at(4_000.0), at(5_000.0));
    for _ in 0..10 {
        call(&breaker, FAILURE, at(4_500.0));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    for _ in 0..3 {
        call(&breaker, FAILURE, at(5_000.0));
    }
    assert_eq!(breaker.state(), CircuitState::Open);

    breaker.metrics_only(at(5_001.0), at(6_000.0));
    for _ in 0..30 {
        call(&breaker, FAILURE, at(5_002.0));
    }
    let snapshot = breaker.snapshot(at(5_003.0));
    assert_eq!(
        (snapshot.state, snapshot.window.failed),
        (CircuitState::Closed, 30)
    );
    assert_eq!(snapshot.manual.unwrap().mode, ManualMode::MetricsOnly);
    breaker.reset(at(5_004.0));
    assert_eq!(breaker.snapshot(at(5_004.0)).manual, None);
    call(&breaker, FAILURE, at(5_004.0));
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn what_was_forced_while_probes_were_out_ends_in_new_probes() {
    let breaker = opened();
    let probe = breaker.try_acquire(at(30.0)).unwrap();
    breaker.force_open(at(31.0), at(40.0));
    probe.record(Outcome::Success, at(32.0));
    assert_eq!(breaker.state(), CircuitState::Open);
    assert!(breaker.try_acquire(at(40.0)).unwrap().is_probe());
}

/// What happens to a breaker, step by step.
#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Acquire,
    End(usize, Option<Outcome>),
    Force(ManualMode, u64),
    Reset,
}

fn outcomes() -> impl Strategy<Value = Option<Outcome>> {
    let retry_after = prop::option::of((0_u64..600).prop_map(Duration::from_secs));
    prop_oneof![
        4 => Just(Some(Outcome::Success)),
        4 => any::<bool>().prop_map(|is_last| Some(Outcome::Failure { is_last })),
        1 => retry_after.prop_map(|retry_after| Some(Outcome::Overload { retry_after })),
        1 => Just(Some(Outcome::Ignored)),
        1 => Just(None),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let modes = prop::sample::select(ManualMode::ALL.to_vec());
    let step = prop_oneof![
        6 => (0_u64..4_000).prop_map(Step::Pass),
        1 => (0_u64..100_000).prop_map(Step::Pass),
        16 => Just(Step::Acquire),
        14 => (any::<prop::sample::Index>(), outcomes())
            .prop_map(|(index, outcome)| Step::End(index.index(1 << 20), outcome)),
        1 => (modes, 0_u64..50_000).prop_map(|(mode, ms)| Step::Force(mode, ms)),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..120)
}

fn policies() -> impl Strategy<Value = BreakerPolicy> {
    let time = (1_u32..12).prop_map(|buckets| WindowKind::Time {
        length: Duration::from_secs(u64::from(buckets) * 2),
        buckets,
    });
    let window = prop_oneof![time, Just(WindowKind::Count { calls: 12 })];
    (1_u32..6, 1_u32..8, window, 1_u32..5, 0_u32..4).prop_map(
        |(row, calls_min, window, probes, cancels_max)| BreakerPolicy {
            consecutive_failures: row,
            calls_min,
            window,
            probes,
            successes_needed: probes.div_ceil(2),
            cancels_max,
            slow_after: Duration::from_secs(3),
            ..BreakerPolicy::default()
        },
    )
}

/// The moments of one step: the reference counts in whole buckets and so does the breaker.
fn play(policy: BreakerPolicy, steps: &[Step]) -> Result<(), TestCaseError> {
    let breaker = CircuitBreaker::new(policy.clone(), 9).unwrap();
    let mut reference = Reference::new(policy, 9);
    let mut out: Vec<(Permit<'_>, Admitted)> = Vec::new();
    let mut now = Timestamp::ZERO;
    for step in steps {
        match step.clone() {
            Step::Pass(ms) => now = now.plus(Duration::from_millis(ms)),
            Step::Acquire => match (breaker.try_acquire(now), reference.acquire(now)) {
                (Ok(permit), Ok(admitted)) => out.push((permit, admitted)),
                (Err(refused), Err(wait)) => prop_assert_eq!(refused.retry_after(), wait),
                (ours, theirs) => prop_assert!(false, "{ours:?} but {theirs:?}"),
            },
            Step::End(index, outcome) if !out.is_empty() => {
                let (permit, admitted) = out.swap_remove(index % out.len());
                if outcome.is_none() {
                    // A dropped permit tells no time: both are told it before.
                    let _ = breaker.snapshot(now);
                    reference.see(now);
                }
                reference.end(admitted, outcome, now);
                match outcome {
                    Some(outcome) => permit.record(outcome, now),
                    None => drop(permit),
                }
            }
            Step::End(..) => {}
            Step::Force(mode, ms) => {
                let until = now.plus(Duration::from_millis(ms));
                reference.force(mode, until, now);
                match mode {
                    ManualMode::ForcedOpen => breaker.force_open(now, until),
                    ManualMode::ForcedClosed => breaker.force_closed(now, until),
                    ManualMode::MetricsOnly => breaker.metrics_only(now, until),
                }
            }
            Step::Reset => {
                reference.reset();
                breaker.reset(now);
            }
        }
        prop_assert_eq!(breaker.state(), reference.state(), "after {:?}", step);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn it_says_what_the_reference_says(policy in policies(), steps in steps()) {
        play(policy, &steps)?;
    }
}
