//! Callers of many names, and requests that are taken back at once: refused, forgotten, and nobody else notices.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::support::app::{App, wait_until};
use crate::support::frames;
use crate::support::pipeline::Pipeline;
use crate::support::server::TestServer;

/// Names that are made up, each used once.
const NAMES: usize = 200_000;

/// Connections over which they come.
const CONNECTIONS: usize = 4;

/// Requests that are under way on one of them.
const AT_ONCE: usize = 50;

/// What a server may hold more than before, whatever it was sent.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

/// The limits as they are by default, behind a proxy on this machine.
const BEHIND_A_PROXY: &[(&str, &str)] = &[
    ("EMBEDDER_RATE_LIMIT_ADDRESS_PER_S", "20"),
    ("EMBEDDER_RATE_LIMIT_AUTH_FAILURES_PER_MIN", "5"),
    ("EMBEDDER_RATE_LIMIT_KEY_PER_S", "1000"),
    ("EMBEDDER_SERVER_TRUSTED_PROXIES", "127.0.0.1"),
];

/// An address that no other number has: of every two one is IPv4 and one IPv6, all over the world.
fn address(number: usize) -> String {
    // An odd factor reaches every number of 24 bits once.
    let spread = number.wrapping_mul(0x9e_3779) & 0xff_ffff;
    let [_, high, middle, low] = u32::try_from(spread).unwrap().to_be_bytes();
    if number.is_multiple_of(2) {
        format!("{}.{middle}.{low}.{}", 128 + high % 64, 1 + high / 64)
    } else {
        format!("2001:{high:x}{middle:02x}:{low:x}::7")
    }
}

/// A key that nobody has, in the form of those that there are.
fn made_up(real: &str, number: usize) -> String {
    let (start, secret) = real.split_at(real.len() - 8);
    assert_eq!(secret.len(), 8);
    format!("{start}{number:08}")
}

/// How an honest caller fared.
#[derive(Default)]
struct Honest {
    asked: usize,
    served: usize,
    resident_kib_max: u64,
}

/// Lets callers of many names ask, a request each, and an honest one search beside them until they have ended. Returns
/// how often each status was the answer, and how the honest one fared.
fn assault(
    server: &TestServer,
    request: impl Fn(usize) -> String + Sync,
) -> (BTreeMap<u16, usize>, Honest) {
    let key = server.key(&["search"], None);
    let mut honest = Honest::default();
    let mut answers = BTreeMap::new();
    thread::scope(|scope| {
        let request = &request;
        let attackers: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                scope.spawn(move || {
                    let mut pipeline = Pipeline::over(server.connect());
                    let numbers: Vec<usize> = (connection..NAMES).step_by(CONNECTIONS).collect();
                    let all = numbers.chunks(AT_ONCE).flat_map(|numbers| {
                        let requests: String =
                            numbers.iter().map(|number| request(*number)).collect();
                        pipeline.ask(&requests, numbers.len()).unwrap()
                    });
                    all.fold(BTreeMap::new(), |mut counts, status| {
                        *counts.entry(status).or_insert(0_usize) += 1;
                        counts
                    })
                })
            })
            .collect();
        while !attackers.iter().all(|attacker| attacker.is_finished()) {
            let body = json!({"query": format!("harbour {}", honest.asked), "mode": "text"});
            let ask = server.ask("POST", "/v1/collections/notes/search").key(&key);
            let ask = ask.header("x-forwarded-for", "198.51.100.7");
            honest.asked += 1;
            honest.served += usize::from(ask.json(&body).send().status == 200);
            if honest.asked % 50 == 0 {
                let now = server.resident_kib();
                honest.resident_kib_max = honest.resident_kib_max.max(now);
            }
        }
        for attacker in attackers {
            for (status, count) in attacker.join().unwrap() {
                *answers.entry(status).or_insert(0_usize) += count;
            }
        }
    });
    (answers, honest)
}

fn withstands(
    request: impl Fn(&TestServer, usize) -> String + Sync,
    layer: &str,
    kept_at_least: usize,
) {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], BEHIND_A_PROXY);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    for number in 0..100 {
        server.find("notes", &format!("harbour {number}"));
    }
    let before = server.resident_kib();
    let (answers, honest) = assault(&server, |number| request(&server, number));
    // Each name is good for one refusal of its own, until no more are kept: then they share.
    let refused: usize = answers.values().sum();
    assert_eq!(refused, NAMES, "{answers:?}");
    assert!(
        answers.keys().all(|status| [401, 429].contains(status)),
        "{answers:?}"
    );
    let page = server.ops("/metrics").send().text;
    let start = format!("embedder_rate_limit_keys{{layer=\"{layer}\"}} ");
    let kept = page.lines().find_map(|line| line.strip_prefix(&*start));
    let kept: usize = kept.unwrap().parse().unwrap();
    assert!(kept >= kept_at_least, "they were told apart: {kept}");
    let grown = honest
        .resident_kib_max
        .max(server.resident_kib())
        .saturating_sub(before);
    eprintln!(
        "{answers:?}, {kept} kept, {grown} KiB more, {} of {} served",
        honest.served, honest.asked
    );
    assert!(grown <= GROWTH_KIB_MAX, "{grown} KiB more");
    assert!(honest.asked >= 100, "{}", honest.asked);
    assert!(
        honest.served * 100 >= honest.asked * 99,
        "{} of {}",
        honest.served,
        honest.asked
    );
    // Neither metrics nor the audit log have a line for each.
    assert!(page.lines().count() < 10_000);
    assert_eq!(server.get("/v1/admin/audit/verify").ok()["is_whole"], true);
    assert_eq!(server.find("notes", "harbour"), ["a"]);
    server.ops("/readyz").send().with_status(200);
    server.stop();
}

#[test]
fn two_hundred_thousand_made_up_keys_from_as_many_addresses() {
    withstands(
        |server, number| {
            format!(
                "GET /v1/collections HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\n\
                 x-forwarded-for: {}\r\n\r\n",
                made_up(&server.admin, number),
                address(number)
            )
        },
        "auth_failures",
        10_000,
    );
}

#[test]
fn two_hundred_thousand_addresses_without_a_key() {
    withstands(
        |_, number| {
            format!(
                "GET /v1/collections HTTP/1.1\r\nhost: 127.0.0.1\r\nx-forwarded-for: {}\r\n\r\n",
                address(number)
            )
        },
        "address",
        // One request of a burst is forgotten after a twentieth of a second.
        100,
    );
}

/// Asks and takes back so often, as fast as the server reads, and returns what the server said.
fn reset_rapidly(mut stream: TcpStream, key: &str, times: u32) -> Vec<u8> {
    let mut reading = stream.try_clone().unwrap();
    thread::scope(|scope| {
        let heard = scope.spawn(move || {
            let mut bytes = Vec::new();
            // A connection that is reset has said what it had to say.
            let _ = reading.read_to_end(&mut bytes);
            bytes
        });
        let mut start = frames::PREFACE.to_vec();
        start.extend(frames::frame(frames::SETTINGS, 0, 0, &[]));
        let mut is_open = stream.write_all(&start).is_ok();
        let mut streams = (0..times).map(|number| number * 2 + 1).peekable();
        while is_open && streams.peek().is_some() {
            let bytes: Vec<u8> = streams
                .by_ref()
                .take(100)
                .flat_map(|number| {
                    let mut pair = frames::request(number, "/v1/collections", key);
                    let reset = frames::frame(frames::RST_STREAM, 0, number, &frames::CANCEL);
                    pair.extend(reset);
                    pair
                })
                .collect();
            is_open = stream.write_all(&bytes).is_ok();
        }
        if is_open {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        heard.join().unwrap()
    })
}

#[test]
fn a_client_that_takes_every_request_back_is_sent_away() {
    const RESETS: u32 = 100_000;
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    server.write("notes", &[("a", "the harbour opens")]);
    // One that is not taken back is answered: the frames are in order.
    let mut well = server.connect();
    let mut asked = frames::PREFACE.to_vec();
    asked.extend(frames::frame(frames::SETTINGS, 0, 0, &[]));
    asked.extend(frames::request(1, "/v1/collections", &server.admin));
    well.write_all(&asked).unwrap();
    // Not closed meanwhile: whoever hangs up is not answered.
    let head = frames::read_until(&mut well, |frames| {
        let head = frames.iter().find(|(kind, _)| *kind == frames::HEADERS)?;
        Some(head.1.to_vec())
    });
    drop(well);
    // 200, by its index.
    assert_eq!(head[0], 0x88);

    let before = server.resident_kib();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let attackers: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| reset_rapidly(server.connect(), &server.admin, RESETS)))
            .collect();
        let (server, is_over) = (&server, &is_over);
        let honest = scope.spawn(move || {
            let mut served = 0;
            while !is_over.load(Ordering::Relaxed) || served < 100 {
                assert_eq!(server.find("notes", "harbour"), ["a"]);
                served += 1;
            }
        });
        let heard: Vec<_> = attackers
            .into_iter()
            .map(|attacker| attacker.join().unwrap())
            .collect();
        is_over.store(true, Ordering::Relaxed);
        honest.join().unwrap();
        for bytes in heard {
            let goodbyes = frames::split(&bytes)
                .into_iter()
                .filter(|(kind, _)| *kind == frames::GOAWAY)
                .map(|(_, payload)| payload[4..8].to_vec());
            let goodbyes: Vec<_> = goodbyes.collect();
            assert!(
                goodbyes
                    .iter()
                    .any(|reason| *reason == frames::ENHANCE_YOUR_CALM),
                "{goodbyes:?}"
            );
        }
    });
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown <= GROWTH_KIB_MAX, "{grown} KiB more");
    let page = || server.ops("/metrics").send().text;
    let closed = format!("embedder_connections_closed_total{{reason=\"protocol\"}} {CONNECTIONS}");
    wait_until("all of them are counted", || page().contains(&closed));
    assert!(page().contains("embedder_panics_total 0"));
    server.stop();
}
