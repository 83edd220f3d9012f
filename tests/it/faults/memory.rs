//! Memory runs short: clients send large bodies and do not end them, or do not read what they asked for.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::rig::Rig;
use crate::support::app::{App, wait_until};
use crate::support::frames;
use crate::support::server::{TestServer, read_to_close, status_of};

const MIB: usize = 1_024 * 1_024;

/// What is announced of a body; less is sent.
const ANNOUNCED: usize = 31 * MIB;

/// What is sent of one, so that one more byte is always due.
const SENT_MAX: usize = 30 * MIB;

/// The memory that bodies may have beside what a server holds that has just started.
const ROOM: f64 = 256.0 * MIB as f64;

/// Clients that send a document without end, one after the other.
struct Bodies<'a> {
    server: &'a TestServer,
    streams: Vec<(TcpStream, usize)>,
}

/// Begins to send documents of so many bytes.
fn begin(server: &TestServer, announced: usize) -> TcpStream {
    let mut stream = server.connect();
    let head = format!(
        "POST /v1/collections/notes/documents HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {announced}\r\n\r\n",
        server.admin
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

impl Bodies<'_> {
    /// Sends a mebibyte more. Whether the server still takes it.
    fn send(&mut self) -> bool {
        if self.streams.last().is_none_or(|last| last.1 >= SENT_MAX) {
            let stream = begin(self.server, ANNOUNCED);
            self.streams.push((stream, 0));
        }
        let (stream, sent) = self.streams.last_mut().unwrap();
        *sent += MIB;
        stream.write_all(&vec![b' '; MIB]).is_ok()
    }
}

#[test]
fn memory_that_runs_short_takes_what_can_be_spared_and_then_large_bodies() {
    let Some(app) = App::with_model() else { return };
    let usage = "embedder_memory_usage_bytes";
    let at_rest = {
        let rig = Rig::start(&app, &[]);
        rig.assert_whole();
        rig.metric(usage)
    };
    // Below this there is no pressure, whoever measures.
    let limit = ((at_rest + ROOM) / 0.9) as u64;
    let limit = limit.to_string();
    let server = TestServer::start(
        &app,
        &[],
        &[
            super::rig::QUICK,
            &[("EMBEDDER_SERVER_MEMORY_BYTES_MAX", &*limit)],
        ]
        .concat(),
    );
    let rig = Rig::of(server);
    rig.assert_whole();
    let mut bodies = Bodies {
        server: &rig.server,
        streams: Vec::new(),
    };
    let is_short = || {
        let modes = &rig.server.get("/v1/admin/degradation").ok()["modes"];
        modes.to_string().contains("overload")
    };
    while !is_short() {
        assert!(bodies.send(), "refused before anything was spared");
        assert!(bodies.streams.len() < 20, "it takes everything");
    }
    // Searches are by words, and nothing is done in bulk; small requests are served.
    rig.assert_degraded("text", "overload");
    rig.embed().with_status(200);
    let bulk = json!({"input": rig.question(), "model": "all-MiniLM-L6-v2"});
    let bulk = rig.server.ask("POST", "/v1/embeddings").json(&bulk);
    let refused = bulk.header("x-priority", "bulk").send();
    assert!(!refused.header("retry-after").is_empty());
    refused.problem(503, "overloaded");
    rig.write("lamp.md", "A lighthouse needs a lamp.")
        .with_status(200);

    // More, and large bodies are refused; what is small is not.
    while bodies.send() && rig.metric("embedder_shed_total{reason=\"memory\"}") < 2.0 {
        assert!(bodies.streams.len() < 40, "it takes everything");
    }
    let (mut refused, _) = bodies.streams.pop().unwrap();
    let answer = read_to_close(&mut refused);
    assert_eq!(status_of(&answer), 503, "{answer}");
    assert!(answer.contains("memory runs short"), "{answer}");
    rig.embed().with_status(200);
    rig.server.ops("/livez").send().with_status(200);
    assert_eq!(rig.readiness(), 200);
    assert_eq!(rig.server.find("notes", "lighthouse"), ["lamp.md"]);

    drop(bodies);
    wait_until("memory is there again", || !is_short());
    rig.assert_recovers();
    rig.server.stop();
}

#[test]
fn memory_that_many_clients_took_at_once_is_there_again_when_they_are_gone() {
    const CLIENTS: usize = 600;
    let Some(app) = App::with_model() else { return };
    let rig = Rig::start(&app, &[]);
    let usage = "embedder_memory_usage_bytes";
    rig.assert_whole();
    let before = rig.metric(usage);
    let mut bodies: Vec<TcpStream> = (0..CLIENTS).map(|_| begin(&rig.server, MIB)).collect();
    // A little of each in turn, so that what belongs to one lies between what belongs to others.
    for _ in 0..8 {
        for body in &mut bodies {
            body.write_all(&[b' '; 100 * 1_024]).unwrap();
        }
    }
    let held = (CLIENTS * 600 * 1_024) as f64;
    wait_until("all of it has arrived", || {
        rig.metric(usage) > before + held
    });
    drop(bodies);
    let room = 64.0 * MIB as f64;
    wait_until("it is given back", || rig.metric(usage) < before + room);
    rig.assert_whole();
    rig.server.stop();
}

#[test]
fn an_answer_that_would_be_very_large_is_not_put_together() {
    let app = App::text_only();
    let server = TestServer::start(&app, &[], &[]);
    server.make_documents("notes");
    let text = |part: u32, number: u32| -> String {
        let line = |line| {
            format!("{part} {number} {line}: the harbour opens at dawn and the first ships leave\n")
        };
        (0..200).map(line).collect()
    };
    for part in 0..10 {
        let documents: Vec<_> = (0..10)
            .map(|number| json!({"id": format!("{part}/{number}.md"), "text": text(part, number)}))
            .collect();
        let path = "/v1/collections/notes/documents";
        server
            .post(path, &json!({"documents": documents}))
            .with_status(200);
    }
    let body = json!({"query": "harbour", "mode": "text", "limit": 1_000, "snippet_lines": 1_000, "context": 20});
    let refused = server.post("/v1/collections/notes/search", &body);
    assert!(refused.text.contains("fewer hits"), "{}", refused.text);
    refused.problem(413, "too_large");
    let body = json!({"query": "harbour", "mode": "text", "limit": 1_000});
    let answer = server.post("/v1/collections/notes/search", &body).ok();
    assert_eq!(answer["hits"].as_array().unwrap().len(), 1_000);
    server.stop();
}

/// Where a document is that weighs [`LARGE`].
const LARGE_PATH: &str = "/v1/collections/notes/documents/large";

/// What no buffer of a socket takes.
const LARGE: usize = 5 * MIB;

/// Large answers that one caller may leave unread: half of 64 MiB.
const UNREAD_MAX: usize = 6;

/// Those for which it asks.
const ASKED: usize = 20;

fn with_large_document() -> (App, TestServer) {
    let app = App::text_only();
    let limit = (LARGE * 2).to_string();
    let server = TestServer::start(&app, &[], &[("EMBEDDER_INDEX_FILE_BYTES_MAX", &limit)]);
    server.make_documents("notes");
    let text = "the harbour opens at dawn\n".repeat(LARGE / 26 + 1);
    server.write("notes", &[("large", &text)]);
    (app, server)
}

/// Asks for the large document, and reads the status and no more; returns it and the connection.
fn ask_and_leave_unread(server: &TestServer, key: &str) -> (u16, TcpStream) {
    let mut stream = server.connect_narrowly();
    let head = format!(
        "GET {LARGE_PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    (status_of(std::str::from_utf8(&status).unwrap()), stream)
}

#[test]
fn of_large_answers_that_nobody_reads_one_caller_has_so_many_and_others_theirs() {
    let (_app, server) = with_large_document();
    let key = server.key(&["collections:read"], None);
    let asked: Vec<_> = (0..ASKED)
        .map(|_| ask_and_leave_unread(&server, &key))
        .collect();
    let given = asked.iter().filter(|(status, _)| *status == 200).count();
    let refused = asked.iter().filter(|(status, _)| *status == 503).count();
    assert_eq!((given, refused), (UNREAD_MAX, ASKED - UNREAD_MAX));
    // Small answers are given, and others are given large ones, however many leave theirs unread.
    server.ask("GET", "/v1/collections").key(&key).send().ok();
    let others: Vec<_> = (0..3)
        .map(|_| server.key(&["collections:read"], None))
        .collect();
    let held: Vec<_> = others
        .iter()
        .flat_map(|other| (0..UNREAD_MAX).map(|_| ask_and_leave_unread(&server, other)))
        .collect();
    let another = server.key(&["collections:read"], None);
    let read = |key: &str| server.ask("GET", LARGE_PATH).key(key).send();
    assert!(read(&another).ok()["text"].as_str().unwrap().len() >= LARGE);
    let refused = read(&key);
    assert!(!refused.header("retry-after").is_empty());
    refused.problem(503, "overloaded");

    drop((asked, held));
    wait_until("there is room again", || read(&key).status == 200);
    server.stop();
}

#[test]
fn over_http2_the_same_number_is_left_unread() {
    let (_app, server) = with_large_document();
    let mut stream = server.connect();
    // Of every answer one byte is taken.
    const INITIAL_WINDOW_SIZE: u8 = 4;
    let window = [0, INITIAL_WINDOW_SIZE, 0, 0, 0, 1];
    let mut sent = frames::PREFACE.to_vec();
    sent.extend(frames::frame(frames::SETTINGS, 0, 0, &window));
    for number in 0..ASKED {
        let id = u32::try_from(number * 2 + 1).unwrap();
        sent.extend(frames::request(id, LARGE_PATH, &server.admin));
    }
    stream.write_all(&sent).unwrap();
    let given = frames::read_until(&mut stream, |frames| {
        let is_head = |(kind, _): &&(u8, &[u8])| *kind == frames::HEADERS;
        let heads: Vec<_> = frames.iter().filter(is_head).collect();
        // 200, by its index.
        let given = heads.iter().filter(|(_, head)| head[0] == 0x88).count();
        (heads.len() == ASKED).then_some(given)
    });
    assert_eq!(given, UNREAD_MAX);
    drop(stream);
    server.stop();
}
