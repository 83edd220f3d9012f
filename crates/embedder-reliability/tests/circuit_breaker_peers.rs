//! The breaker beside its peers: the same trace of events to each, and what state it is in after each step.
//!
//! `circuit_breaker_peers/cases.txt` are the cases, with a reason for each peer that diverges: one without fails the test,
//! and so does a reason for one that agrees. `golden/circuit_breaker_peers.txt` is the list of what was seen;
//! `EMBEDDER_GOLDEN=write` writes it anew.
//!
//! resilience4j is not Rust: its states are those that its documentation gives, or its source where that is silent, and
//! each case says which. What only we have (a dependency that asks to be left alone, orders by hand) is not here.
//!
//! A trace is steps: `ok`, `fail`, `slow` and `ignored` are calls, `begin:a` and `ok:a` one that takes longer, `drop:a` its
//! cancellation; `+11s` is time that passes, and `×3` repeats.
#![cfg(not(loom))]
#![expect(
    clippy::disallowed_methods,
    reason = "a peer that reads the clock, and a list that is a file"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{env, fs, future, thread};

use embedder_reliability::Timestamp;
use embedder_reliability::circuit_breaker::{
    BreakerPolicy, CircuitBreaker, Outcome, Permit, WindowKind,
};
use failsafe::failure_policy::{consecutive_failures, success_rate_over_time_window};
use failsafe::{FailurePolicy, StateMachine, backoff, clock};
use tower_resilience_circuitbreaker as tower;
use tower_service::Service;

const CASES: &str = include_str!("circuit_breaker_peers/cases.txt");
const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/circuit_breaker_peers.txt"
);

const HEAD: &str = "\
The circuit breaker beside its peers. Written by tests/circuit_breaker_peers.rs from circuit_breaker_peers/cases.txt.
Under each step the state after it; a ! is a call that was refused. Where the policy does not say otherwise, it opens
after three failures in a row, or when half of ten calls failed or all were slow (5 s), of three at least; it stays
open for 10 s, then 20 s; two of three probes close it, which have 10 s.
";

/// Of a policy that opens at rates only: resilience4j knows nothing else.
const NEVER: u32 = u32::MAX;

const PEERS: [&str; 3] = ["resilience4j", "failsafe", "tower-resilience"];

struct Case {
    name: &'static str,
    fields: HashMap<&'static str, &'static str>,
    policy: BreakerPolicy,
}

impl Case {
    fn parse(text: &'static str) -> Case {
        let (name, lines) = text.trim().split_once('\n').expect("a name and fields");
        let field = |line: &'static str| line.split_once(": ").expect("a field has a name");
        let fields: HashMap<_, _> = lines.lines().map(field).collect();
        let known = |key: &&str| PEERS.contains(key) || "policy trace says states".contains(*key);
        assert!(fields.keys().all(known), "{name}: {fields:?}");
        Case {
            name,
            policy: policy(fields.get("policy").unwrap_or(&"")),
            fields,
        }
    }

    fn trace(&self) -> &'static str {
        self.fields["trace"]
    }
}

/// Under the policy that a case changes, all peers open after three failures.
fn policy(changes: &str) -> BreakerPolicy {
    let mut policy = BreakerPolicy {
        consecutive_failures: 3,
        failure_percent: 50,
        slow_percent: 100,
        slow_after: Duration::from_secs(5),
        calls_min: 3,
        window: WindowKind::Count { calls: 10 },
        open_for: Duration::from_secs(10),
        open_max: Duration::from_secs(40),
        probes: 3,
        successes_needed: 2,
        probe_stay_max: Duration::from_secs(10),
        cancels_max: 3,
    };
    for change in changes.split_whitespace() {
        let (name, value) = change.split_once('=').unwrap_or((change, "0"));
        let value = number(value);
        match name {
            "rates-only" => policy.consecutive_failures = NEVER,
            "min" => policy.calls_min = value,
            "calls" => policy.window = WindowKind::Count { calls: value },
            "seconds" => {
                let length = Duration::from_secs(value.into());
                let buckets = value;
                policy.window = WindowKind::Time { length, buckets };
            }
            "slow" => policy.slow_percent = value,
            "probes" => policy.probes = value,
            "needed" => policy.successes_needed = value,
            other => panic!("{other} is no setting"),
        }
    }
    policy
}

/// How a call ends.
#[derive(Clone, Copy)]
enum How {
    Ok,
    Fail,
    Ignored,
    Dropped,
}

/// An implementation under a trace.
trait Breaker {
    type Call;
    /// Asks for a call; nothing if it is refused.
    fn begin(&mut self) -> Option<Self::Call>;
    fn end(&mut self, call: Self::Call, how: How);
    fn pass(&mut self, time: Duration);
    /// The name of its state, however it is written.
    fn state(&self) -> String;
}

/// Plays a trace and returns what is seen after each step.
fn play<B: Breaker>(breaker: &mut B, trace: &str) -> Vec<String> {
    let mut calls = HashMap::new();
    trace
        .split(' ')
        .map(|step| play_step(breaker, &mut calls, step))
        .collect()
}

fn play_step<'t, B: Breaker>(
    breaker: &mut B,
    calls: &mut HashMap<&'t str, B::Call>,
    step: &'t str,
) -> String {
    let (step, times) = step.split_once('×').unwrap_or((step, "1"));
    let (what, name) = step.split_once(':').unwrap_or((step, ""));
    let seconds = what
        .strip_prefix('+')
        .and_then(|time| time.strip_suffix('s'));
    let mut is_refused = false;
    for _ in 0..number(times) {
        if let Some(seconds) = seconds {
            breaker.pass(Duration::from_secs(number(seconds).into()));
            continue;
        }
        if name.is_empty() || what == "begin" {
            let call = breaker.begin();
            is_refused = call.is_none();
            calls.extend(call.map(|call| (name, call)));
        }
        let Some(how) = (match what {
            "begin" => None,
            "ok" | "slow" => Some(How::Ok),
            "fail" => Some(How::Fail),
            "ignored" => Some(How::Ignored),
            "drop" => Some(How::Dropped),
            other => panic!("{other} is no step"),
        }) else {
            continue;
        };
        if let Some(call) = calls.remove(name) {
            if what == "slow" {
                breaker.pass(Duration::from_secs(6));
            }
            breaker.end(call, how);
        }
    }
    let shown = breaker.state().to_lowercase();
    let state = ["half", "open", "closed"]
        .into_iter()
        .find(|name| shown.contains(name))
        .expect("it is in a state");
    let state = state.replace("half", "half-open");
    state + if is_refused { "!" } else { "" }
}

struct Ours<'a> {
    breaker: &'a CircuitBreaker,
    now: Timestamp,
}

impl<'a> Breaker for Ours<'a> {
    type Call = Permit<'a>;

    fn begin(&mut self) -> Option<Permit<'a>> {
        self.breaker.try_acquire(self.now).ok()
    }

    fn end(&mut self, call: Permit<'a>, how: How) {
        match how {
            How::Ok => call.record(Outcome::Success, self.now),
            How::Fail => call.record(Outcome::FAILURE, self.now),
            How::Ignored => call.record(Outcome::Ignored, self.now),
            How::Dropped => drop(call),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    fn state(&self) -> String {
        self.breaker.state().name().to_owned()
    }
}

fn play_ours(case: &Case) -> Vec<String> {
    let breaker = CircuitBreaker::new(case.policy.clone(), 1).expect("it is a policy");
    let (breaker, now) = (&breaker, Timestamp::ZERO);
    play(&mut Ours { breaker, now }, case.trace())
}

struct Failsafe<'a, P> {
    breaker: StateMachine<P, ()>,
    clock: &'a mut clock::MockClock,
}

impl<P: FailurePolicy> Breaker for Failsafe<'_, P> {
    type Call = ();

    fn begin(&mut self) -> Option<()> {
        self.breaker.is_call_permitted().then_some(())
    }

    fn end(&mut self, (): (), how: How) {
        match how {
            // An error that its predicate does not name is a success.
            How::Ok | How::Ignored => self.breaker.on_success(),
            How::Fail => self.breaker.on_error(),
            How::Dropped => {}
        }
    }

    fn pass(&mut self, time: Duration) {
        // It is read through a pointer that the compiler cannot connect with this reference.
        std::hint::black_box(&mut *self.clock).advance(time);
    }

    fn state(&self) -> String {
        format!("{:?}", self.breaker)
    }
}

/// Plays it by the clock that failsafe keeps for its own tests.
fn play_failsafe(case: &Case) -> Vec<String> {
    let policy = &case.policy;
    let (success_rate, window) = match policy.window {
        WindowKind::Time { length, .. } => {
            (1.0 - f64::from(policy.failure_percent) / 100.0, length)
        }
        // No share is below nothing: the rate never opens it.
        WindowKind::Count { .. } => (0.0, Duration::from_secs(20)),
    };
    clock::freeze(|clock| {
        let stay = backoff::exponential(policy.open_for, policy.open_max);
        let (failures, calls) = (policy.consecutive_failures, policy.calls_min);
        let rate = success_rate_over_time_window(success_rate, calls, window, stay.clone());
        let failures = consecutive_failures(failures, stay).or_else(rate);
        let breaker = failsafe::Config::new().failure_policy(failures).build();
        play(&mut Failsafe { breaker, clock }, case.trace())
    })
}

/// What a call is made with: its result, once there is one. `false` is an error that is not to count.
type Answer = Arc<Mutex<Option<Result<(), bool>>>>;
type Classify = fn(&Result<(), bool>) -> bool;
type Answering<E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send>>;

/// A service that answers when it is told to.
#[derive(Clone)]
struct Told;

impl Service<Answer> for Told {
    type Response = ();
    type Error = bool;
    type Future = Answering<bool>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), bool>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, answer: Answer) -> Answering<bool> {
        Box::pin(future::poll_fn(move |_| {
            let told = answer.lock().expect("nobody panics").take();
            told.map_or(Poll::Pending, Poll::Ready)
        }))
    }
}

/// It reads the real clock, so a second of a trace is less than half a millisecond of it.
struct Tower {
    service: tower::CircuitBreaker<Told, tower::FnClassifier<Classify>>,
    /// When time was last meant to pass.
    passed: Instant,
    /// No time has passed that was not meant to.
    is_steady: bool,
}

fn real(time: Duration) -> Duration {
    time * 2 / 5_000
}

impl Tower {
    /// The least that means something is the 2 ms after which a call is slow.
    fn see_time(&mut self) {
        self.is_steady &= self.passed.elapsed() < Duration::from_micros(1_500);
    }
}

impl Breaker for Tower {
    type Call = (Answer, Answering<tower::CircuitBreakerError<bool>>);

    fn begin(&mut self) -> Option<Self::Call> {
        let mut context = Context::from_waker(Waker::noop());
        assert!(self.service.poll_ready(&mut context).is_ready());
        let answer = Answer::default();
        let mut call = self.service.call(Arc::clone(&answer));
        Pin::new(&mut call)
            .poll(&mut context)
            .is_pending()
            .then_some((answer, call))
    }

    fn end(&mut self, (answer, mut call): Self::Call, how: How) {
        let result = match how {
            How::Ok => Ok(()),
            How::Fail => Err(true),
            How::Ignored => Err(false),
            How::Dropped => return,
        };
        *answer.lock().expect("nobody panics") = Some(result);
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut call).poll(&mut context).is_ready());
    }

    fn pass(&mut self, time: Duration) {
        self.see_time();
        thread::sleep(real(time));
        self.passed = Instant::now();
    }

    fn state(&self) -> String {
        format!("{:?}", self.service.state_sync())
    }
}

/// Plays it until no time passed but what was meant to: on a busy machine a thread may be held up anywhere.
fn play_tower(case: &Case) -> Vec<String> {
    let policy = &case.policy;
    for _ in 0..200 {
        let rate = |percent: u32| f64::from(percent) / 100.0;
        let classify: Classify = |result| *result == Err(true);
        let mut config = tower::CircuitBreakerLayer::builder()
            .failure_classifier(classify)
            .failure_rate_threshold(rate(policy.failure_percent))
            .slow_call_rate_threshold(rate(policy.slow_percent))
            .slow_call_duration_threshold(real(policy.slow_after))
            .minimum_number_of_calls(policy.calls_min as usize)
            .wait_duration_in_open(real(policy.open_for))
            .permitted_calls_in_half_open(policy.probes as usize);
        config = match policy.window {
            WindowKind::Count { calls } => config.sliding_window_size(calls as usize),
            WindowKind::Time { length, .. } => config
                .sliding_window_type(tower::SlidingWindowType::TimeBased)
                .sliding_window_duration(real(length)),
        };
        if policy.consecutive_failures != NEVER {
            config = config.consecutive_failures(policy.consecutive_failures as usize);
        }
        let layer = config.build().expect("it is a policy");
        let mut breaker = Tower {
            service: layer.layer_fn(Told),
            passed: Instant::now(),
            is_steady: true,
        };
        let seen = play(&mut breaker, case.trace());
        breaker.see_time();
        if breaker.is_steady {
            return seen;
        }
    }
    panic!(
        "{}: the machine is too busy for a clock that is real",
        case.name
    );
}

fn number(text: &str) -> u32 {
    text.parse().expect("it is a number")
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Writes a case down, and what is wrong with it.
fn write_case(case: &Case, list: &mut String, problems: &mut Vec<String>) {
    let ours = play_ours(case);
    let mut rows = vec![("", words(case.trace()), ""), ("ours", ours.clone(), "")];
    for peer in PEERS {
        let verdict = *case.fields.get(peer).unwrap_or(&"agrees");
        let seen = match peer {
            _ if verdict.starts_with("cannot be asked: ") => Vec::new(),
            "resilience4j" => words(case.fields["states"]),
            "failsafe" => play_failsafe(case),
            _ => play_tower(case),
        };
        let is_right = match verdict {
            "agrees" => seen == ours,
            _ if seen.is_empty() => true,
            _ => {
                let reason = verdict.strip_prefix("diverges: ").unwrap_or_default();
                !reason.is_empty() && seen != ours && seen.len() == ours.len()
            }
        };
        if !is_right {
            let name = case.name;
            problems.push(format!("{name}: {peer} {verdict}? {seen:?}, ours {ours:?}"));
        }
        rows.push((peer, seen, verdict));
    }
    let _ = writeln!(list, "\n{}", case.name);
    for key in ["policy", "says"] {
        if let Some(text) = case.fields.get(key) {
            let key = key.replace("says", "resilience4j,");
            let _ = writeln!(list, "  {key} {text}");
        }
    }
    for (name, cells, verdict) in &rows {
        let mut line = format!("  {name:18}");
        for (column, cell) in cells.iter().enumerate() {
            let in_column = rows.iter().filter_map(|(_, cells, _)| cells.get(column));
            let width = in_column.map(|cell| cell.chars().count()).max();
            let _ = write!(line, "{cell:0$}", width.unwrap_or_default() + 2);
        }
        let _ = writeln!(list, "{}", (line + verdict).trim_end());
    }
}

#[test]
fn the_breaker_agrees_with_its_peers_or_has_a_reason() {
    let mut list = HEAD.to_owned();
    let mut problems = Vec::new();
    for case in CASES.split("\n\n").map(Case::parse) {
        write_case(&case, &mut list, &mut problems);
    }
    assert!(
        problems.is_empty(),
        "without a reason, or with one for nothing:\n{}",
        problems.join("\n")
    );
    if env::var("EMBEDDER_GOLDEN").is_ok_and(|value| value == "write") {
        fs::write(GOLDEN, &list).expect("the list can be written");
    }
    let golden = fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(
        golden == list,
        "{GOLDEN} is not what follows (EMBEDDER_GOLDEN=write makes it so):\n{list}"
    );
}
