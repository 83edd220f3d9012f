use std::cell::RefCell;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::thread;

use super::*;
use crate::engine::bench::overload::plan::StreamOutcome;
use crate::engine::bench::overload::schedule::Arrivals;

/// Serves connections as long as the tests run; each is a thread's.
fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Answers every other request by a success, and refuses the others. Of each kind every second answer closes its
/// connection.
fn in_turns() -> SocketAddr {
    let asked = Arc::new(AtomicUsize::new(0));
    server(move |mut stream: TcpStream| {
        let (mut request, mut byte) = (Vec::new(), [0]);
        while stream.read_exact(&mut byte).is_ok() {
            request.push(byte[0]);
            if !request.ends_with(b"\r\n\r\n") {
                continue;
            }
            request.clear();
            let turn = asked.fetch_add(1, Ordering::Relaxed);
            let status = if turn.is_multiple_of(2) {
                "200 OK"
            } else {
                "503 Busy\r\nretry-after: 1"
            };
            let is_last = turn % 4 >= 2;
            let closing = if is_last { "connection: close\r\n" } else { "" };
            let answer = format!("HTTP/1.1 {status}\r\n{closing}content-length: 2\r\n\r\n{{}}");
            if stream.write_all(answer.as_bytes()).is_err() || is_last {
                return;
            }
        }
    })
}

/// Reads and never answers.
fn silent() -> SocketAddr {
    server(|mut stream: TcpStream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
}

fn stream(server: SocketAddr, connections: usize, give_up_ms: u64) -> StreamPlan {
    StreamPlan {
        server,
        requests: vec!["GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()],
        connections,
        arrivals: Arrivals::Random,
        deadline_ms: 60_000,
        give_up_ms,
    }
}

fn phase(load: Load) -> PhasePlan {
    PhasePlan {
        name: "a phase".to_owned(),
        load,
        warm_up_ms: 50,
        measured_ms: 300,
        is_recovery: false,
    }
}

fn run(streams: Vec<StreamPlan>, phases: Vec<PhasePlan>) -> Vec<PhaseOutcome> {
    let plan = Plan {
        process: std::process::id(),
        seed: 5,
        streams,
        phases,
    };
    let text = serde_json::to_vec(&plan).unwrap();
    let said = RefCell::new(0);
    let stop = AtomicBool::new(false);
    let say = |_: &str| *said.borrow_mut() += 1;
    let measured = offer(&mut text.as_slice(), &stop, &say).unwrap();
    assert_eq!(*said.borrow(), plan.phases.len());
    // As they come from the other process.
    let text = serde_json::to_vec(&measured).unwrap();
    let read: Measured = serde_json::from_slice(&text).unwrap();
    read.phases
}

/// How many requests a schedule of the plan has in the measured part of [`phase`].
fn due(per_second: f64, phase: u64, stream: u64) -> u64 {
    let from = Duration::from_millis(50);
    let until = Duration::from_millis(350);
    let schedule = Schedule::new(Arrivals::Random, per_second, [5, phase, stream]);
    let due = schedule.take_while(|&due| due < until);
    due.filter(|&due| due >= from).count() as u64
}

fn ends(outcome: &StreamOutcome) -> u64 {
    outcome.late + outcome.served() + outcome.shed + outcome.failed()
}

#[test]
fn exactly_what_is_due_is_asked_and_everything_has_an_end() {
    let server = in_turns();
    let streams = vec![stream(server, 40, 60_000), stream(server, 40, 60_000)];
    let open = |first, second| {
        phase(Load::Open {
            per_second: vec![first, second],
        })
    };
    let phases = run(streams, vec![open(300.0, 0.0), open(100.0, 200.0)]);
    assert_eq!(phases.len(), 2);
    for (number, rates) in [[300.0, 0.0], [100.0, 200.0]].into_iter().enumerate() {
        assert_eq!(phases[number].seconds, 0.3);
        for (place, rate) in rates.into_iter().enumerate() {
            let outcome = &phases[number].streams[place];
            assert_eq!(outcome.due, due(rate, number as u64, place as u64));
            assert_eq!(ends(outcome), outcome.due);
        }
    }
    let outcome = &phases[0].streams[0];
    assert!(outcome.good > 0 && outcome.shed > 0, "{outcome:?}");
    assert_eq!((outcome.failed(), outcome.shed_silently), (0, 0));
    assert!(outcome.lag.is_some());
}

#[test]
fn a_server_that_does_not_answer_is_asked_all_the_same() {
    let streams = vec![stream(silent(), 2, 100)];
    let load = Load::Open {
        per_second: vec![500.0],
    };
    let phases = run(streams, vec![phase(load)]);
    let outcome = &phases[0].streams[0];
    assert_eq!(outcome.due, due(500.0, 0, 0));
    assert!(outcome.late > 0 && outcome.given_up > 0, "{outcome:?}");
    assert_eq!(outcome.late + outcome.given_up, outcome.due);
}

#[test]
fn where_nobody_listens_every_request_breaks() {
    let server = "127.0.0.1:1".parse().unwrap();
    let load = Load::Open {
        per_second: vec![100.0],
    };
    let phases = run(vec![stream(server, 20, 60_000)], vec![phase(load)]);
    let outcome = &phases[0].streams[0];
    assert_eq!(outcome.broken + outcome.late, outcome.due);
    assert!(outcome.broken > 0);
}

#[test]
fn clients_of_a_closed_loop_never_find_all_connections_busy() {
    let streams = vec![stream(in_turns(), 3, 60_000)];
    let phases = run(streams, vec![phase(Load::Closed { clients: 5 })]);
    let outcome = &phases[0].streams[0];
    assert!(outcome.good > 0 && outcome.shed > 0, "{outcome:?}");
    assert_eq!(outcome.late, 0);
    assert_eq!(ends(outcome), outcome.due);
}

#[test]
fn a_load_ends_when_it_is_asked_to_and_refuses_what_is_no_plan() {
    let plan = Plan {
        process: 1,
        seed: 1,
        streams: vec![stream(silent(), 1, 60_000)],
        phases: vec![phase(Load::Closed { clients: 1 })],
    };
    let text = serde_json::to_vec(&plan).unwrap();
    let stop = AtomicBool::new(true);
    let stopped = offer(&mut text.as_slice(), &stop, &|_| {}).unwrap_err();
    assert!(matches!(stopped, Error::Interrupted));
    let refused = offer(&mut &b"{}"[..], &AtomicBool::new(false), &|_| {}).unwrap_err();
    assert!(matches!(refused, Error::Argument { .. }));
}
