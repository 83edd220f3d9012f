//! More is asked than can be done, by clients that never end their requests and by some that never stop asking.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::app::{App, skip};
use crate::support::pipeline::Pipeline;
use crate::support::server::{TestServer, read_to_close, status_of};
use crate::support::socket::{has_hung_up, has_room_for};

/// Clients that send a byte of their request now and then.
const SLOW: u64 = 1_000;

/// How often they do.
const BYTE_EVERY: Duration = Duration::from_millis(500);

/// Clients that search without end, all by one key.
const FLOODING: usize = 64;

/// Probes that are measured: the slowest hundredth are ten.
const PROBES: usize = 1_000;

/// How far probes are apart.
const PROBE_EVERY: Duration = Duration::from_millis(10);

/// How slow the slowest hundredth of probes may be.
const PROBE_P99_MAX: Duration = Duration::from_millis(50);

/// A client that never ends its request, and connects anew when the server has seen enough.
struct SlowClient {
    number: u64,
    stream: TcpStream,
    request: String,
    sent: usize,
}

impl SlowClient {
    fn connect(server: &TestServer, number: u64) -> SlowClient {
        // One dribbles its head, the next the body of a request whose head was good.
        let request = if number.is_multiple_of(2) {
            format!(
                "POST /v1/search HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: {}",
                "x".repeat(4_096)
            )
        } else {
            let key = &server.admin;
            let head =
                "POST /v1/search HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
            format!(
                "{head}authorization: Bearer {key}\r\ncontent-length: 100000\r\n\r\n{}",
                " ".repeat(4_096)
            )
        };
        let mut stream = server.connect_from(number);
        let sent = request.find("\r\n\r\n").map_or(20, |end| end + 4);
        stream.write_all(&request.as_bytes()[..sent]).unwrap();
        stream.set_nonblocking(true).unwrap();
        SlowClient {
            number,
            stream,
            request,
            sent,
        }
    }

    /// Sends one more byte. Returns whether it had to connect anew.
    fn dribble(&mut self, server: &TestServer) -> bool {
        let byte = &self.request.as_bytes()[self.sent..=self.sent];
        if self.stream.write_all(byte).is_ok() && !has_hung_up(&self.stream) {
            self.sent += 1;
            return false;
        }
        *self = SlowClient::connect(server, self.number);
        true
    }
}

/// Asks the ops listener whether the server is alive, as those do who connect for each probe; how long that took.
fn probe(server: &TestServer) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.ops_address()).unwrap();
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        .unwrap();
    let answer = read_to_close(&mut stream);
    assert_eq!(status_of(&answer), 200, "{answer}");
    begun.elapsed()
}

/// Searches for something new.
fn search(key: &str, question: &str) -> String {
    let body = json!({"query": question}).to_string();
    format!(
        "POST /v1/collections/notes/search HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Searches without end; counts what was refused and what was not.
fn flood(server: &TestServer, key: &str, client: usize, is_over: &AtomicBool) -> (usize, usize) {
    let mut pipeline = Pipeline::over(server.connect());
    let (mut served, mut refused) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let question = format!("harbour question {} of flood {client}", served + refused);
        let statuses = pipeline.ask(&search(key, &question), 1).unwrap();
        match statuses[0] {
            200 | 206 => served += 1,
            503 => refused += 1,
            status => panic!("{status}"),
        }
    }
    (served, refused)
}

#[test]
fn probes_are_answered_at_once_and_honest_callers_served_beside_slow_clients_and_a_flood() {
    if !has_room_for(SLOW) {
        return skip("a thousand connections are more files than may be open here");
    }
    let Some(app) = App::with_model() else { return };
    let server = TestServer::start(&app, &[], super::rig::QUICK);
    server.make_documents("notes");
    server.write(
        "notes",
        &[
            ("harbour.md", "The harbour opens at dawn."),
            ("bread.md", "Bread rises overnight."),
        ],
    );
    let flooding = server.key(&["search"], None);
    let honest = server.key(&["search"], None);
    let mut slow: Vec<_> = (0..SLOW)
        .map(|number| SlowClient::connect(&server, number))
        .collect();
    let is_over = AtomicBool::new(false);
    let (served, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (end, ended) = mpsc::channel::<()>();
    let mut took = thread::scope(|scope| {
        let (server, is_over) = (&server, &is_over);
        let _ending = Ending(is_over, Some(end));
        let dribbling = scope.spawn(move || {
            let mut rounds = 0;
            while ended.recv_timeout(BYTE_EVERY) == Err(RecvTimeoutError::Timeout) {
                for client in &mut slow {
                    client.dribble(server);
                }
                rounds += 1;
            }
            rounds
        });
        let floods: Vec<_> = (0..FLOODING)
            .map(|client| {
                let key = &flooding;
                scope.spawn(move || flood(server, key, client, is_over))
            })
            .collect();
        scope.spawn(|| {
            let mut pipeline = Pipeline::over(server.connect());
            while !is_over.load(Ordering::Relaxed) {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                let question = format!("harbour question {number} of an honest one");
                let status = pipeline.ask(&search(&honest, &question), 1).unwrap()[0];
                served.fetch_add(usize::from([200, 206].contains(&status)), Ordering::Relaxed);
            }
        });
        let (pace, never) = mpsc::channel::<()>();
        let took: Vec<_> = (0..PROBES)
            .map(|_| {
                let _ = never.recv_timeout(PROBE_EVERY);
                probe(server)
            })
            .collect();
        drop(pace);
        let page = server.ops("/metrics").send().text;
        let open = page
            .lines()
            .find_map(|line| line.strip_prefix("embedder_active_connections "))
            .unwrap();
        // Some are between two connections.
        assert!(open.parse::<u64>().unwrap() >= SLOW * 9 / 10, "{open}");
        drop(_ending);
        assert!(dribbling.join().unwrap() > 0);
        let flooded: Vec<_> = floods
            .into_iter()
            .map(|flood| flood.join().unwrap())
            .collect();
        let (served, refused): (usize, usize) = flooded
            .iter()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        eprintln!("of the flood {served} were served and {refused} refused");
        assert!(refused > 0, "there was no overload: {served}");
        took
    });
    took.sort_unstable();
    let p99 = took[PROBES * 99 / 100];
    let (served, asked) = (served.into_inner(), asked.into_inner());
    eprintln!(
        "probes: median {:?}, p99 {p99:?}, max {:?}; honest: {served} of {asked}",
        took[PROBES / 2],
        took[PROBES - 1]
    );
    assert!(p99 < PROBE_P99_MAX, "{p99:?}");
    assert!(asked >= 20, "{asked}");
    assert!(served * 100 >= asked * 95, "{served} of {asked}");
    // Afterwards all is as before.
    let whole = server.post(
        "/v1/collections/notes/search",
        &json!({"query": "when the harbour opens"}),
    );
    assert_eq!(whole.ok()["hits"][0]["path"], "harbour.md");
    server.stop();
}

/// Ends the flood and the dribbling, however the test ends.
struct Ending<'a>(&'a AtomicBool, Option<mpsc::Sender<()>>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1 = None;
    }
}
