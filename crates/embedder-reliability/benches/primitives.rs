//! What each primitive costs, beside what people use. `just bench-reliability` prints the table.
//!
//! Ours and the peer's take turns in one run; the median of the rounds counts, with the least and the most beside it.

#[path = "request/stack.rs"]
mod stack;

use std::hint::black_box;
use std::time::{Duration, Instant};

use embedder_reliability::circuit_breaker::{BreakerPolicy, CircuitBreaker, Outcome};
use embedder_reliability::degradation::GracefulDegradation;
use embedder_reliability::retry::RetryBudget;
use embedder_reliability::{Random, Timestamp};
use failsafe::CircuitBreaker as _;

const ROUNDS: usize = 15;
const CALLS: u32 = 200_000;

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

/// Nanoseconds a call, of each round.
fn rounds(mut ours: impl FnMut(), mut peer: Option<&mut dyn FnMut()>) -> (Vec<f64>, Vec<f64>) {
    let time = |work: &mut dyn FnMut()| {
        let started = clock();
        for _ in 0..CALLS {
            work();
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.push(time(&mut ours));
        if let Some(peer) = &mut peer {
            theirs.push(time(peer));
        }
    }
    (mine, theirs)
}

fn median(numbers: &mut [f64]) -> (f64, f64, f64) {
    numbers.sort_by(f64::total_cmp);
    (
        numbers[numbers.len() / 2],
        numbers[0],
        numbers[numbers.len() - 1],
    )
}

fn report(name: &str, ours: impl FnMut(), peer: Option<(&str, &mut dyn FnMut())>) {
    let (peer_name, peer) = peer.unzip();
    let (mut mine, mut theirs) = rounds(ours, peer);
    let (own, least, most) = median(&mut mine);
    let line = format!("{name:44} {own:7.1} ns ({least:.1}-{most:.1})");
    if let Some(peer_name) = peer_name {
        let mut ratios: Vec<f64> = mine
            .iter()
            .zip(&theirs)
            .map(|(own, peer)| own / peer)
            .collect();
        let (ratio, _, _) = median(&mut ratios);
        let (peer, least, most) = median(&mut theirs);
        print(&format!(
            "{line}  {peer_name} {peer:7.1} ns ({least:.1}-{most:.1})  {ratio:.2}x"
        ));
    } else {
        print(&line);
    }
}

#[expect(clippy::print_stdout, reason = "a bench prints")]
fn print(line: &str) {
    println!("{line}");
}

fn main() {
    let origin = clock();
    let now = || Timestamp::after_origin(origin.elapsed());
    let breaker = || CircuitBreaker::new(BreakerPolicy::default(), 1).expect("it is a policy");
    let failsafe = || failsafe::Config::new().build();

    let (ours, peer) = (breaker(), failsafe());
    let at = now();
    report(
        "breaker, closed, timestamp passed",
        || {
            if let Ok(permit) = ours.try_acquire(at) {
                permit.record(Outcome::Success, at);
            }
        },
        Some(("failsafe", &mut || {
            let _ = black_box(peer.call(|| Ok::<(), ()>(())));
        })),
    );
    report(
        "breaker, closed, own clock, read twice",
        || {
            if let Ok(permit) = ours.try_acquire(now()) {
                permit.record(Outcome::Success, now());
            }
        },
        Some(("failsafe", &mut || {
            let _ = black_box(peer.call(|| Ok::<(), ()>(())));
        })),
    );

    let (ours, peer) = (breaker(), failsafe());
    for _ in 0..3 {
        if let Ok(permit) = ours.try_acquire(at) {
            permit.record(Outcome::FAILURE, at);
        }
    }
    for _ in 0..100 {
        let _ = peer.call(|| Err::<(), ()>(()));
    }
    report(
        "breaker, open, refuses",
        || {
            black_box(ours.try_acquire(at).is_err());
        },
        Some(("failsafe", &mut || {
            let _ = black_box(peer.call(|| Ok::<(), ()>(())));
        })),
    );

    let policy = BreakerPolicy {
        consecutive_failures: u32::MAX,
        failure_percent: 100,
        ..BreakerPolicy::default()
    };
    let ours = CircuitBreaker::new(policy, 1).expect("it is a policy");
    let mut turn = 0_u64;
    report(
        "breaker, failure recorded and judged",
        || {
            turn += 1;
            let at = at.plus(Duration::from_nanos(turn));
            if let Ok(permit) = ours.try_acquire(at) {
                // One success in ten, the first call among them, keeps it closed.
                let outcome = if turn % 10 == 1 {
                    Outcome::Success
                } else {
                    Outcome::FAILURE
                };
                permit.record(outcome, at);
            }
        },
        None,
    );

    let budget = RetryBudget::default();
    report(
        "retry budget, deposit to a full one",
        || budget.deposit(),
        None,
    );
    let budget = RetryBudget::default();
    report(
        "retry budget, withdraw from an empty one",
        || {
            black_box(budget.withdraw(true));
        },
        None,
    );

    let service = GracefulDegradation::default();
    report(
        "level of service, read",
        || {
            black_box(service.current());
        },
        None,
    );

    let stack = stack::Stack::new();
    let mut number = 0;
    report(
        "all that a request passes, timestamp passed",
        || {
            number += 1;
            black_box(stack.pass(at.plus(Duration::from_micros(number))));
        },
        None,
    );

    let mut random = Random::from_seed(1);
    report(
        "jitter",
        || {
            black_box(random.unit());
        },
        None,
    );
}
